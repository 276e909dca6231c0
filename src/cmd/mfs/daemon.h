// mfsmaster, mfschunkserver and mfsmetalogger: the programs that this one is under their names (links beside it).
//
// An action finds the running daemon by the lock file in DATA_PATH and signals it; `start` reads the settings, leaves the
// terminal, takes the lock, becomes WORKING_USER and serves. The parent of a daemon ends when it is known how the start
// went, so `start` returns when everything listens. Exit status: 0 or 1, as -h says.
#pragma once

#include <string>
#include <vector>

#include "cmd/mfs/options.h"

namespace holdfast::mfs {

// The role whose program has this name (argv[0], with or without folders); null for any other.
const Role* role_of_program(const std::string& argv0);

// The whole program. Answers the exit status.
int run(const Role& role, const std::vector<std::string>& arguments);

}  // namespace holdfast::mfs
