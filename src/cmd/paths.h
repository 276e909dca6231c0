// Folders named on the command line: "~", comma-separated lists, and whether a server may use them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::cmd {

// Go's words for the errors of the system: "no such file or directory".
std::string errno_words(int number);

// This machine's name, as its users see it; "localhost" when it has none.
std::string host_name();

// "~", "~/x" and "~user/x" with the home folder put in; anything else, and an unknown user, as it is.
std::string expand_home(std::string_view path);

// Split at commas. Blank items stay, as "": lists that belong together are matched by position.
std::vector<std::string> split_list(std::string_view text);

// Split at commas, blanks around items cut off, blank items left out.
std::vector<std::string> split_names(std::string_view text);

// Makes the folder (0755) when only its last component is missing. The error is upstream's:
// "stat ./1/2: no such file or directory".
Status make_last_component(const std::string& path);

// A folder that exists and has its owner's write bit. The error is upstream's, as above, or "... is not writable".
Status check_writable_folder(const std::string& path);

}  // namespace holdfast::cmd
