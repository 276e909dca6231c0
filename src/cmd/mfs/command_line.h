// The command line of mfsmaster, mfschunkserver and mfsmetalogger (spec/moosefs-ha 4). Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/mfs/options.h"

namespace holdfast::mfs {

enum class Action { start, stop, restart, try_restart, reload, info, test, kill, restore };

struct CommandLine {
  Action action = Action::start;
  std::string config_path;             // -c
  bool wants_help = false;             // -h
  bool wants_version = false;          // -v
  bool in_foreground = false;          // -f
  bool allows_dangerous = false;       // -d
  bool tells_defaults = false;         // -u
  bool keeps_core_limit = false;       // -n
  bool ignores_errors = false;         // -i, master only
  bool restores = false;               // -a, master only
  bool starts_empty = false;           // -e, master only
  int verbosity = 0;                   // -x, -xx, master only
  std::chrono::seconds patience{1800};  // -t: for the lock of a daemon that is stopped
};

// `arguments` without the program's name. Actions in any case; "status" is test. Options and action in any order. The
// Error is one sentence; usage and status 1 follow it.
Result<CommandLine> parse_command_line(const Role& role, const std::vector<std::string>& arguments);

// The actions of the role, as a line names them.
std::vector<std::string_view> action_names(const Role& role);

// What -h prints: options, actions with their exit status, files and ports.
std::string usage_of(const Role& role);

// "/etc/mfs/mfsmaster.cfg"
std::string default_config_path(const Role& role);

}  // namespace holdfast::mfs
