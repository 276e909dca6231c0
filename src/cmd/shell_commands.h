// The commands of `shell`, each declared once: name, help, flags, and what it does. The loop around them is shell.cc.
//
// A command waits for its answer and prints it on stdout. What goes wrong is its Error, which the loop prints as
// "error: ..." on stderr; the next command runs all the same.
#pragma once

#include <span>
#include <string_view>

#include "client/admin_client.h"
#include "cmd/flags.h"

namespace holdfast::cmd {

struct ShellCommand {
  std::string_view name;
  std::string_view help;  // sentences, the first one short: the list shows it
  void (*declare)(FlagSet& flags);
  Status (*run)(client::AdminClient& masters, const FlagSet& flags);
};

std::span<const ShellCommand> shell_commands();
const ShellCommand* find_shell_command(std::string_view name);

// Whether SeaweedFS's shell has a command of this name that comes here with a later release.
bool is_future_shell_command(std::string_view name);

}  // namespace holdfast::cmd
