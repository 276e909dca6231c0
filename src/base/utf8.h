// UTF-8: what is valid and how long it is.
#pragma once

#include <cstddef>
#include <string_view>

namespace holdfast {

// The length of the valid sequence at the front of `text`, which is not empty; 0 if there is none. Overlong forms,
// surrogates and what lies above U+10FFFF are not valid.
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace holdfast
