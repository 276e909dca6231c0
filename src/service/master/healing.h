// Healing: makes copies again that were lost, as the leader (docs/self-healing.md).
//
// A volume that has had too few copies for the grace time gets another one, where its placement allows:
//   1. freeze   one of its copies, the source, takes no writes for as long as this goes on
//   2. copy     the target pulls it; that is no volume yet
//   3. adopt    the source goes on to the next epoch, if its freeze has lasted until then. From here on it refuses whatever
//               is written for the old set of copies, the lost one's writes among them
//   4. commit   the masters agree that the copies of that epoch count, once the source has told of it
//   5. spread   the target's copy becomes a volume of that epoch, and other copies that there are go on to it
// A leader that is lost in between leaves a freeze that ends by time, a copy that is dropped by time, or a source that is
// ahead of the others: then that one counts, and the next leader begins with it.
//
// Copies of an older epoch than the agreed one are told so, and serve nothing any more. One is removed only when it was held
// against each copy that counts, file by file, and these know all that is in it. Of a volume with more copies than asked for one is
// told the same, once all were found equal. Both happen under the admin lock, so that nobody moves or removes copies by what they saw
// before: while somebody else holds it, no copy goes. Copies that count are held against each other in the background; one that is the
// beginning of another gets the rest of it, any other difference is told, and nothing is changed.
//
// What is to be done, and when, is core/topology/heal_planner.h's to say; this carries it out.
//
// Everything here runs on the master's loop, but for status().
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/topology/heal_planner.h"
#include "service/master/admin_locks.h"
#include "service/master/healing_status.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr std::uint32_t kHealingFeatureLevel = 4;
constexpr Duration kHealLook = 200ms;
constexpr Duration kHealBegin = 1s;            // between two looks for what to begin
constexpr Duration kFreezeTime = 30s;          // given anew every kFreezeExtend while a copy is on its way
constexpr Duration kFreezeExtend = 8s;
constexpr Duration kHealStepTime = 30s;        // for the answer to a step that is no copy
constexpr Duration kHealRemoveTime = 8s;       // for a step to a removal, the taking of the admin lock included
static_assert(kHealRemoveTime < kAdminLockTime, "it is over before somebody else can have the lock");
constexpr Duration kHealTellTime = 15s;        // for the source's report of its epoch
constexpr Duration kHealTimePerGiB = 5min;     // of a copy
// Copies are held against each other in the background, one volume after the other: the first after a leader has led for
// so many times the grace time (an hour), the next after a fraction of it (a minute), all of them at most once a day. What
// differs is looked at once more before it is told.
constexpr int kFirstLook = 12;
constexpr int kNextLook = 5;
constexpr int kSecondLook = 2;
constexpr Duration kLooksPass = 24h;
constexpr std::size_t kHealsAtOnce = 4;        // and one for each server

class Healing {
 public:
  // `space` outlives this.
  Healing(Shared& shared, KeyValues& space);

  void look(Instant now);

  // What an administrator asks for, at once and whatever -healAfter is: a copy on this server, with all that belongs to it; or,
  // with target "", only the step of all copies to their next epoch, so that a copy that was put away before can never be taken
  // for one of them. Answers the epoch; Refusal::Kind::unsupported where epochs are not known to all who take part.
  using Mended = std::function<void(OrRefusal<std::uint64_t>)>;
  void mend(VolumeId id, const std::string& target, Mended finished);

  // The term may have changed: what an earlier one began is given up.
  void view_changed();
  void stop();

  // On any thread.
  HealingStatus status() const;

 private:
  using Step = VolumeOrders::HealOrder::Step;
  enum class Phase { freezing, copying, adopting, telling, committing, spreading, over };
  struct Heal {
    std::string request_id;
    topology::HealVolume volume;
    Term term;
    std::uint64_t token = 0;
    std::uint64_t to = 0;  // the epoch
    topology::HealCopy source;
    std::vector<topology::HealCopy> others;  // that are there, besides the source
    std::string target;  // "": no copy is made
    std::string target_address;
    Mended finished;     // may be null
    bool is_done = false;
    Phase phase = Phase::freezing;
    Instant short_since;
    Instant begun;
    Instant extended;
    Instant adopted;
    std::string failure;
    std::size_t missing = 0;  // answers while spreading
  };
  using HealPtr = std::shared_ptr<Heal>;
  void tend(const HealPtr& heal, Instant now);
  void carry_out(const topology::HealTask& task, Instant now);
  // What takes part in a removal is told it under the admin lock. `act` gets how long its order may take, and what to call once that
  // was answered; the lock ends by time where it was not. Nothing happens while somebody else has it.
  using Unlock = std::function<void(const Status& answered)>;
  void under_lock(VolumeId id, std::function<void(Duration time_max, const Unlock& unlock)> act);
  // `why` ends "the copy on x ".
  void outdate(const topology::HealVolume& volume, const topology::HealCopy& copy, const std::string& why, Duration time_max,
               const Unlock& answered);
  // The old copy against each that counts, from the one at `at` on; then it goes.
  void hold_against(const topology::HealVolume& volume, const topology::HealCopy& copy, std::size_t at);
  void discard(const topology::HealVolume& volume, const topology::HealCopy& copy, std::uint64_t files);
  void remove_surplus(const topology::HealVolume& found_equal);
  // Who holds the admin lock, as far as that says anything about the volumes seen.
  std::optional<std::string> lock_holder(const topology::HealView& view) const;
  void note_lock(const topology::HealView& view, const std::optional<std::string>& holder);
  // Of the volumes that have all their copies.
  void compare_next(const topology::HealView& view, Instant now);
  void compare_copies(const topology::HealVolume& volume, std::size_t at, bool backwards);
  bool look_again(VolumeId id, const Error& error);
  // `one` has files that `other` does not know.
  void copies_differ(const topology::HealVolume& volume, const topology::HealCopy& one, const topology::HealCopy& other,
                     const std::string& what);
  void note_difference(const topology::HealVolume& volume, const std::string& what);
  // An order of its own about this volume.
  HealPtr errand(const topology::HealVolume& volume);
  // Why nothing is changed in this cluster; "": it may be.
  std::string what_all_wait_for(const topology::HealView& view) const;
  void note_troubles(const topology::HealView& view, std::string waiting);
  HealPtr begin(const topology::HealVolume& volume, const std::string& target, Instant short_since, Instant now);
  void copy(const HealPtr& heal);
  void adopt(const HealPtr& heal);
  void commit(const HealPtr& heal);
  void spread(const HealPtr& heal);
  void spread_ended(const HealPtr& heal);
  void fail(const HealPtr& heal, const std::string& why);
  void end(const HealPtr& heal);
  void order(const HealPtr& heal, const std::string& address, VolumeOrders::HealOrder order, Duration time_max,
             std::function<void(Result<VolumeOrders::Healed>)> then);
  bool is_current(const Heal& heal) const;
  void publish(std::string waiting, const topology::HealView* view);

  Shared& shared_;
  KeyValues& space_;
  Term term_;
  std::uint64_t attempts_ = 0;  // in this term
  Instant looked_at_ = kDistantPast;
  Instant begun_at_ = kDistantPast;
  std::map<VolumeId, HealPtr> heals_;
  topology::HealPlanner planner_;
  bool comparing_ = false;  // one at a time
  struct Look {
    std::vector<VolumeId> waiting;   // the next one last
    std::vector<VolumeId> postponed; // in their turn a copy of theirs was out of reach; they have another one after the others
    Instant pass = kDistantPast;    // when the next pass begins
    Instant next = kDistantPast;
    std::map<VolumeId, Instant> suspected;    // differed once; when to look again
    std::map<VolumeId, std::string> differ;   // and again
  };
  Look look_;
  std::map<VolumeId, std::string> troubles_;
  std::string waiting_;
  std::string no_removal_;
  std::uint64_t made_ = 0;
  std::uint64_t failed_ = 0;
  bool stopped_ = false;

  mutable Mutex status_mutex_;  // leaf
  HealingStatus status_ HOLDFAST_GUARDED_BY(status_mutex_);

  metrics::Counter& made_count_;
  metrics::Counter& failed_count_;
};

}  // namespace holdfast::master
