// Commented samples of the TOML settings files, for `scaffold`: every key a role reads, with its default and its meaning.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::cmd {

// The sample of `master`; "" for a name that has none. It parses as it stands, and changes nothing: each value is the
// default, and what has none is commented out.
std::string toml_sample(std::string_view name);

}  // namespace holdfast::cmd
