// A line of `shell` as commands, each as words: blanks separate words and `;` commands; 'as it is', "with \" inside", and
// a backslash before any character takes away what it means.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::cmd {

// No command is empty. An Error when a quote is not closed, or a backslash stands at the end.
Result<std::vector<std::vector<std::string>>> shell_words(std::string_view line);

}  // namespace holdfast::cmd
