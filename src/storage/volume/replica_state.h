// ReplicaState: to which set of copies a volume belongs, and whether it stands still while a copy of it is made
// (docs/self-healing.md). Kept as `<base>.hfe` beside the volume; upstream ignores the file. None: epoch 0.
//
//   {"format": 1, "epoch": 3, "outdated_by": 0}
//
// A write that a client sends is made under the epoch that the volume had when it came, here and at the other copies, so it
// counts for one set of copies as a whole or not at all. A freeze holds for a time and is given a longer one by its token
// alone: while it lasts nothing is written, and only then its holder may move the volume on to another epoch. So what was
// copied during a freeze lacks no write of the old set, and there is none after it.
//
// Thread-safe. Shared by a volume and those that a vacuum puts in its place.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/disk.h"

namespace holdfast::volume {

class ReplicaState {
 public:
  static constexpr const char* kExtension = ".hfe";
  static constexpr std::uint64_t kFormat = 1;

  // Both outlive this.
  ReplicaState(io::Disk& disk, io::Clock& clock, std::string path) : disk_(disk), clock_(clock), path_(std::move(path)) {}

  // corrupt, unsupported: the volume must not be used, since nobody knows what it belongs to.
  Status load();
  // Of a volume that is not loaded yet.
  static Status write(io::Disk& disk, const std::string& path, std::uint64_t epoch);

  std::uint64_t epoch() const;
  // The epoch of the copies that have taken this one's place; 0: none have. It is neither read nor written any more.
  std::uint64_t outdated_by() const;

  // Whether something may be written now; `epoch`: that of the set of copies it is written for, nothing for what is told to
  // this copy alone. Code::stale for another epoch, busy while frozen, read_only once outdated.
  Status may_write(std::optional<std::uint64_t> epoch) const;

  // The caller waits afterwards for what is being written. Takes the place of an earlier freeze.
  Status freeze(std::uint64_t token, Duration time);
  Status extend(std::uint64_t token, Duration time);  // stale: the freeze is over
  void thaw(std::uint64_t token);

  // From epoch `from` on to `to`, which is above it; durable. With a token only while its freeze lasts, which ends with it.
  Status adopt(std::optional<std::uint64_t> token, std::uint64_t from, std::uint64_t to);
  Status outdate(std::uint64_t by);

 private:
  static std::string json(std::uint64_t epoch, std::uint64_t outdated_by);
  bool is_frozen() const HOLDFAST_REQUIRES(mutex_);

  io::Disk& disk_;
  io::Clock& clock_;
  const std::string path_;

  Mutex changes_mutex_;    // held while something is made durable
  mutable Mutex mutex_;    // leaf
  std::uint64_t epoch_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::uint64_t outdated_by_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::uint64_t token_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  Instant frozen_until_ HOLDFAST_GUARDED_BY(mutex_) = kDistantPast;
  bool adopting_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::volume
