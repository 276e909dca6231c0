// From argv to a command: global flags, `help`, usage texts, environment and `-options` (spec/weed-cluster 1.1, 1.2).
//
// Exit status: 0 done or stopped by a signal, 2 the command line is wrong or the command failed, 255 a server cannot
// start or go on.
#pragma once

#include <string>
#include <vector>

#include "cmd/command.h"

namespace holdfast::cmd {

// The whole program. Answers the exit status.
int dispatch(const std::vector<std::string>& argv, const Environment& environment);

// "Example: ... Default Usage: ... Description: ..." of one command, as its -h prints.
std::string usage_text(const std::string& program, const Command& command);

// The list of commands, as `help` prints.
std::string command_list(const std::string& program);

}  // namespace holdfast::cmd
