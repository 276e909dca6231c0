// The commands of `shell`, each declared once: name, help, flags, and what it does. The loop around them is shell.cc.
//
// A command waits for its answer and prints it on stdout. What goes wrong is its Error, which the loop prints as
// "error: ..." on stderr; the next command runs all the same.
#pragma once

#include <span>
#include <string_view>

#include "cmd/flags.h"
#include "cmd/shell_session.h"

namespace holdfast::cmd {

struct ShellCommand {
  std::string_view name;
  std::string_view help;  // sentences, the first one short: the list shows it
  void (*declare)(FlagSet& flags);
  Status (*run)(Shell& shell, const FlagSet& flags);
  bool needs_lock = false;  // refused without the admin lock
};

// By family; all of them together are shell_commands().
std::span<const ShellCommand> cluster_commands();     // members, servers, the lock: shell_cluster.cc
std::span<const ShellCommand> list_commands();        // what there is: shell_list.cc
std::span<const ShellCommand> volume_commands();      // what is done to single volumes: shell_volume.cc
std::span<const ShellCommand> transfer_commands();    // volumes from server to server: shell_transfer.cc
std::span<const ShellCommand> repair_commands();      // copies made, dropped, compared: shell_repair.cc
std::span<const ShellCommand> tier_commands();        // volumes to other disks: shell_tier.cc
std::span<const ShellCommand> remote_commands();      // volumes to stores outside the cluster: shell_remote.cc
std::span<const ShellCommand> ec_commands();          // erasure-coded volumes: shell_ec.cc

std::span<const ShellCommand> shell_commands();  // sorted by name
const ShellCommand* find_shell_command(std::string_view name);

// Whether SeaweedFS's shell has a command of this name that comes here with a later release.
bool is_future_shell_command(std::string_view name);

}  // namespace holdfast::cmd
