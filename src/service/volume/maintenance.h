// Maintenance: whether this volume server takes changes, kept in `state.pb` in the first folder's index folder
// (spec/volume-format 1). In maintenance it serves reads and refuses what changes a volume.
//
// Each change of the state raises its version; who sets it names the version it knows, so that of two who change it at
// once one is told. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "io/disk.h"

namespace holdfast::volume {

struct MaintenanceState {
  bool maintenance = false;
  std::uint32_t version = 0;

  friend bool operator==(const MaintenanceState&, const MaintenanceState&) = default;
};

class Maintenance {
 public:
  // Reads what is there; a file that cannot be read counts as empty, and the log says so.
  Maintenance(io::Disk& disk, const std::string& folder, std::string self);

  MaintenanceState state() const;

  // The new state; stale when `wanted` names another version than the present one.
  Result<MaintenanceState> set(const MaintenanceState& wanted);

  // An error for what may not happen in maintenance. For event loops too.
  Status check() const;

 private:
  io::Disk& disk_;
  const std::string path_;
  const std::string self_;
  mutable Mutex mutex_;  // held while saving
  MaintenanceState state_ HOLDFAST_GUARDED_BY(mutex_);
  std::atomic<bool> is_on_{false};  // state_.maintenance
};

}  // namespace holdfast::volume
