// Scripts that complete the command line in a shell, made from the tables that flags and commands are declared in: what a table
// gains, the shell knows after the next installation (`completion`).
#pragma once

#include <string>
#include <string_view>

namespace holdfast::cmd {

// For "bash", "zsh" or "fish"; "" for a shell that there is none for.
std::string completion_script(std::string_view shell);

}  // namespace holdfast::cmd
