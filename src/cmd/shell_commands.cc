#include "cmd/shell_commands.h"

#include <algorithm>
#include <vector>

namespace holdfast::cmd {
namespace {

// Of spec/weed-cluster 1.9; those of filers by their first word.
constexpr std::string_view kFuture[] = {"volume.fsck", "mount.configure"};
constexpr std::string_view kFutureFamilies[] = {"fs.", "s3.", "remote.", "mq."};

}  // namespace

std::span<const ShellCommand> shell_commands() {
  static const std::vector<ShellCommand> all = [] {
    std::vector<ShellCommand> out;
    for (const auto family : {cluster_commands(), list_commands(), volume_commands(), transfer_commands(),
                              repair_commands(), tier_commands(), remote_commands(), ec_commands()}) {
      out.insert(out.end(), family.begin(), family.end());
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return out;
  }();
  return all;
}

const ShellCommand* find_shell_command(std::string_view name) {
  const auto all = shell_commands();
  const auto found = std::find_if(all.begin(), all.end(), [&](const ShellCommand& command) { return command.name == name; });
  return found == all.end() ? nullptr : &*found;
}

bool is_future_shell_command(std::string_view name) {
  return std::find(std::begin(kFuture), std::end(kFuture), name) != std::end(kFuture) ||
         std::any_of(std::begin(kFutureFamilies), std::end(kFutureFamilies),
                     [&](std::string_view family) { return name.starts_with(family); });
}

}  // namespace holdfast::cmd
