// HealPlanner: what the leader should do about the copies of volumes, and when (docs/self-healing.md).
//
// A volume that has lacked copies for the grace time gets one more, from a copy that counts. A copy that does not count is told so,
// and then held against those that count. A volume that has had more copies than asked for, for the grace time, is looked at: when all
// its copies are found equal, one of them is told that it counts no more, and goes the way of any old copy.
//
// What never is in a plan: anything about a volume of which a copy's server cannot be asked; a removal before the copy was held against
// every copy that counts, all of them there; a copy from one that does not count; anything new while so much is missing that it
// looks like a cut network; a step to a removal while somebody holds the admin lock, who may be about to remove another copy, or a
// copy of what then is read-only, since that may be on its way elsewhere.
//
// Decides, and touches nothing: whoever carries a task out tells how it went. Pure: no clock, no draw of its own. Not thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "core/topology/heal_plan.h"

namespace holdfast::topology {

constexpr Duration kOutdateAfter = 2s;        // an old copy was seen for so long
constexpr Duration kOutdateAgain = 1min;      // a server that did not obey is told again
constexpr Duration kCompareAfterMax = 1min;   // after it was told; at most the grace time
constexpr Duration kCompareAgain = 1h;        // an old copy that was not found to be known elsewhere; a surplus one
constexpr std::size_t kLookedInto = 64;       // volumes in one look
constexpr Duration kObstacleWait = 10s;       // before one that could not be mended is looked at again

struct HealTask {
  enum class Kind {
    make,          // a copy on `target`, from `copy`
    outdate,       // tell `copy` that it does not count any more
    hold_against,  // `copy`, which does not count, against each copy that does; then it goes
    look,          // whether all copies are equal; then one of them is one too many (surplus_of)
  };
  Kind kind = Kind::make;
  HealVolume volume;
  HealCopy copy;
  std::string target;
  Instant since;  // make: how long copies have been missing
};

class HealPlanner {
 public:
  struct World {
    std::function<std::optional<HealVolume>(VolumeId)> volume;
    std::function<std::vector<HealPlace>(VolumeId, const std::string& disk_type)> targets;
  };
  struct Turn {
    Instant now;
    bool may_change = true;      // make copies, remove surplus ones: nothing of the whole cluster's stands in the way
    bool may_compare = true;     // nothing is being compared
    bool is_locked = false;      // somebody changes the cluster under the admin lock
    std::set<VolumeId> under_way;
    std::set<std::string> busy;  // servers that take part in what is under way
    std::size_t makes_max = 0;   // how many more may be under way
  };

  // grace 0: nothing is made and nothing goes, but old copies are told.
  explicit HealPlanner(Duration grace) : grace_(grace) {}

  // All that was seen: another leader's term.
  void forget();

  // At most one of the tasks compares.
  std::vector<HealTask> plan(const HealView& view, const World& world, Turn turn, PickRandom& random);

  // The copy that may go now that all those of `found_equal` were, if there is one: it is one too many still, and has been for the
  // grace time.
  std::optional<HealCopy> surplus_of(const HealVolume& found_equal, const std::optional<HealVolume>& there, Instant now) const;
  // Whether the copy may go that was found known to every copy of `compared`: all of these still count, and can be asked.
  static bool may_discard(const HealVolume& compared, const std::optional<HealVolume>& there);

  // How it went.
  void told(VolumeId volume, const std::string& server, Instant now);
  void stays(VolumeId volume, const std::string& server, std::string why);  // the old copy on it
  void not_made(VolumeId volume, Instant now, const std::string& why);

  // What is in the way, by volume; the cause of those whose old copy stays ends in what to do.
  const std::map<VolumeId, std::string>& troubles() const { return troubles_; }

 private:
  struct Short {
    Instant since;
    Instant next;          // not before that
    std::string obstacle;  // found at the last try
  };
  struct OldCopy {
    Instant next;        // when to do something about it
    bool told = false;   // it knows, in this term
    std::string found;   // why it stays
  };

  void plan_old_copies(const HealView& view, Turn& turn, std::vector<HealTask>& out);
  void plan_surplus(const HealView& view, const World& world, Turn& turn, std::vector<HealTask>& out);
  void plan_makes(const HealView& view, const World& world, Turn& turn, PickRandom& random, std::vector<HealTask>& out);
  std::optional<HealTask> plan_make(const HealVolume& volume, Short& one, const World& world, Turn& turn, PickRandom& random);

  const Duration grace_;
  bool may_change_ = false;  // in the last turn
  std::map<VolumeId, Short> shorts_;    // short of copies
  std::map<VolumeId, Short> surplus_;   // with more than they should have
  std::map<std::pair<VolumeId, std::string>, OldCopy> old_copies_;  // by their server
  std::map<VolumeId, std::string> troubles_;
};

// How many of a volume's copies are gone, in words.
std::string copies_gone(const HealVolume& volume);

}  // namespace holdfast::topology
