// Vacuums: the vacuums under way on one volume server, at most one per volume: check, compact, commit, clean up, each an
// order of its own (upstream's VacuumVolume* rpcs).
//
// A compaction that nobody commits is dropped after kKeptMax, so that it does not hold its room on the disk for ever;
// it is also gone after a restart, as upstream's is.
//
// Thread-safe. compact() and commit() may take long and must not run on the store's pool (compaction.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "base/result.h"
#include "io/clock.h"
#include "storage/volume/compaction.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class Vacuums {
 public:
  static constexpr Duration kKeptMax = 2h;

  // Both outlive this.
  Vacuums(io::Clock& clock, Store& store) : clock_(clock), store_(store) {}

  // not_found "not found volume id N", from all four.
  Result<double> garbage_ratio(VolumeId id) const;

  // At most this many bytes of the old .dat are read in a second, by each; 0: as fast as the disk goes. Set before use.
  void set_bytes_per_second(std::uint64_t bytes) { bytes_per_second_ = bytes; }

  // busy: one is under way on this volume. An earlier compaction that was not committed is dropped.
  Result<Compaction::Totals> compact(VolumeId id, Compaction::Options options);

  // The volume as it is then. invalid: no compaction of it is ready.
  Result<std::shared_ptr<Volume>> commit(VolumeId id);

  // Calls off a compaction under way (and waits until it is), or drops the one that is ready. Fine when there is none.
  // busy: it is being committed.
  Status clean_up(VolumeId id);

  // Drops what nobody came to commit. Call it now and then.
  void drop_forgotten();

  // Calls off all compactions; new ones are refused.
  void stop();

  std::size_t under_way() const;  // compacting or committing

 private:
  struct Vacuum {
    bool busy = false;                       // compacting or committing
    bool committing = false;
    bool called_off = false;
    std::unique_ptr<Compaction> ready;
    Instant ready_since{};
  };
  using VacuumPtr = std::shared_ptr<Vacuum>;  // shared by the table and whoever works on it

  // Waits until `bytes_read` may have been read by now. False: called off.
  bool keep_pace(const VacuumPtr& vacuum, Instant begun, std::uint64_t bytes_read);
  void drop(VolumeId id, const VacuumPtr& vacuum);
  void ended(VolumeId id, const VacuumPtr& vacuum);

  io::Clock& clock_;
  Store& store_;

  std::uint64_t bytes_per_second_ = 0;

  mutable Mutex mutex_;  // leaf
  Condition ended_;
  Condition called_off_;
  std::map<VolumeId, VacuumPtr> vacuums_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopped_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::volume
