// Duties: what a leader proposes without being asked, so that nobody has to wait for it later.
//
//   - the cluster's id, once
//   - key blocks: a reserve for every member's process, so that whoever leads next assigns at once; its own when half
//     is used
//   - the adoption of volume servers' folders, and counters above what was found in them
//   - the members' addresses, and the feature level once every voter understands it
//   - volumes, before those of a layout in use are all crowded, and in a periodic look at every layout
//
// Each is proposed once at a time and again, if still needed, when its answer has come: a lost proposal costs nothing.
// Runs on the master's loop.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "service/master/growth.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr std::size_t kAdoptionsAtOnceMax = 64;

class Duties {
 public:
  Duties(Shared& shared, Growth& growth) : shared_(shared), growth_(growth) {}

  // Proposes what is missing, if this master leads. After each change and at each turn of the loop: cheap when there
  // is nothing to do.
  void look(Instant now);

  // Someone needs `count` keys and there are none: a block that holds them.
  void need_keys(std::uint64_t count);

  void stop() { stopped_ = true; }

 private:
  // `name` tells proposals apart: one at a time of each.
  void propose(const std::string& name, const topology::Command& command);
  void look_after_keys(const View& view, const topology::RegistryState& state);
  void look_after_members(const View& view, const topology::RegistryState& state);
  void look_after_folders(const topology::RegistryState& state);
  void look_after_layouts(Instant now);
  // Racks, or data centers where copies go to several racks, in which no volume of the layout has room: each gets some.
  void look_after_places(const topology::Layout& layout, Instant now);

  Shared& shared_;
  Growth& growth_;
  std::set<std::string> proposed_;  // not answered yet
  std::map<std::string, Instant> not_before_;  // refused ones wait a little
  std::set<std::string> complained_;  // refusals that were logged
  Term term_;
  std::uint64_t keys_needed_ = 0;
  Instant layouts_looked_at_ = kDistantPast;
  Instant layouts_passed_ = kDistantPast;
  std::set<topology::LayoutKey> used_;  // layouts picked from since the last pass
  bool stopped_ = false;
};

}  // namespace holdfast::master
