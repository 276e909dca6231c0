// AskedLately: which volumes the leader was asked for a moment ago, and knew no more of than was known here.
//
// A volume that has lost a copy stays short of it for as long as that takes: a master that asks the leader whenever it knows of
// too few copies asks once a second for each such volume, and never for more than kPlaces volumes in a second.
//
// Thread-safe.
#pragma once

#include <array>
#include <atomic>

#include "base/time.h"
#include "model/ids.h"

namespace holdfast::front {

class AskedLately {
 public:
  static constexpr Duration kQuiet = std::chrono::seconds(1);
  static constexpr std::size_t kPlaces = 4096;  // volumes that share a place are quiet together

  bool contains(VolumeId volume, Instant now) const {
    return now.time_since_epoch().count() < until_[volume.value() % kPlaces].load(std::memory_order_relaxed);
  }
  void add(VolumeId volume, Instant now) {
    until_[volume.value() % kPlaces].store((now + kQuiet).time_since_epoch().count(), std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<Instant::rep>, kPlaces> until_{};
};

}  // namespace holdfast::front
