// ChangeFeed: what this master has seen committed lately, for those who keep copies elsewhere: metaloggers, images for
// operators (backup_source.h).
//
// The thread that applies entries hands them in and goes on; nothing here keeps it waiting but a short lock. The entries are
// those the Raft log holds anyway, shared, not copied. They reach back to the newest snapshot on disk at least, so an image
// of the state at any later entry can be made at any moment, elsewhere than on that thread: the snapshot is read and the
// entries behind it are applied to it (spec/moosefs-ha 15, number 4; a new cluster has no snapshot and begins with entry 1).
//
// Only committed entries come here, and on one cluster an index holds the same entry everywhere: so a reader may go on at
// another master from where he stands. What he stands on is compared all the same.
//
// Threads: the functions of the applying thread from that one, all else from any.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "core/raft/core.h"
#include "io/clock.h"
#include "storage/backup/image.h"
#include "storage/backup/change_log.h"

namespace holdfast::master {

struct ChangeFeedLimits {
  // Kept besides what is behind the newest snapshot, for readers who are late.
  std::uint64_t bytes_late = 16u << 20;
  std::size_t entries_late = 20'000;
  // Beyond this even what is behind the snapshot goes: images must wait for the next snapshot then.
  std::uint64_t bytes_max = 256u << 20;
};

class ChangeFeed {
 public:
  using Files = std::vector<topology::CheckpointFile>;
  using Load = std::function<Result<Files>(raft::LogPosition)>;  // a snapshot on disk; from any thread

  ChangeFeed(io::Clock& clock, std::uint32_t feature_level, ChangeFeedLimits limits = {})
      : clock_(clock), feature_level_(feature_level), limits_(limits) {}

  // Called after each change, on the applying thread: be short. Given before begin().
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

  // ---- the applying thread ----

  // `snapshot`: where the state stands at the start. Entries up to `replayed` come again after a restart: when they were
  // committed is not known.
  void begin(ClusterId cluster, const std::optional<raft::SnapshotMeta>& snapshot, Index replayed, Load load);
  void committed(std::span<const Entry> entries);
  void restored(const raft::SnapshotMeta& snapshot);  // the state was replaced by that of another master
  void snapshot_stored(Index index);

  // No call of `load` goes on, and none comes any more, when this returns.
  void end();

  // ---- any thread ----

  // What comes behind `after`.
  struct Reading {
    enum class Kind {
      changes,        // perhaps none: there is nothing newer
      too_old,        // no longer here: an image is needed
      ahead,          // this master is not that far yet
      other_history,  // another entry stands here
    };
    Kind kind = Kind::changes;
    std::vector<backup::Change> changes;  // at least one if there is any, else within `bytes_max`
    raft::LogPosition last;               // the last entry that is here
  };
  // `check` is that of the entry there (storage/backup/change_log.h), 0: not known.
  Reading read(raft::LogPosition after, std::uint32_t check, std::uint64_t bytes_max) const;

  [[nodiscard]] raft::LogPosition last() const;
  [[nodiscard]] ClusterId cluster() const;  // empty before begin()

  // How long ago the first entry behind `index` was seen; empty: there is none, or that is not known.
  std::optional<Duration> waiting_behind(Index index) const;

  // The state at last(), made here and now. `generation` and what else is in the state comes from it. busy: try again later.
  Result<backup::Image> make_image() const;

 private:
  struct Kept {
    backup::Change change;
    Instant seen;
  };
  struct Members {
    Index since;
    raft::Configuration configuration;
  };

  void trim() HOLDFAST_REQUIRES(mutex_);
  raft::LogPosition last_locked() const HOLDFAST_REQUIRES(mutex_) {
    return kept_.empty() ? before_ : position_of(kept_.back());
  }
  static raft::LogPosition position_of(const Kept& kept) {
    return {.term = kept.change.entry.term, .index = kept.change.entry.index};
  }
  std::optional<raft::LogPosition> position_at(Index index) const HOLDFAST_REQUIRES(mutex_);

  io::Clock& clock_;
  const std::uint32_t feature_level_;
  const ChangeFeedLimits limits_;
  std::function<void()> changed_;

  mutable Mutex mutex_;
  mutable Condition idle_;
  ClusterId cluster_ HOLDFAST_GUARDED_BY(mutex_);
  Load load_ HOLDFAST_GUARDED_BY(mutex_);
  mutable int loading_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  Index replayed_ HOLDFAST_GUARDED_BY(mutex_);
  raft::LogPosition before_ HOLDFAST_GUARDED_BY(mutex_);  // the entry before the first one kept
  std::deque<Kept> kept_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint64_t bytes_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  raft::LogPosition snapshot_ HOLDFAST_GUARDED_BY(mutex_);  // the newest on disk; index 0: none, the state is empty
  std::vector<Members> members_ HOLDFAST_GUARDED_BY(mutex_);  // ascending; the first holds at the snapshot
};

}  // namespace holdfast::master
