// Pacer: holds work to so many bytes a second, so that copying leaves room for reads and writes.
//
// Counts from the first bytes on and does not save up: what was not used for more than a tenth of a second is gone. One thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "io/clock.h"
#include "service/volume/cancel.h"

namespace holdfast::volume {

class Pacer {
 public:
  // 0: no bound.
  Pacer(io::Clock& clock, std::uint64_t bytes_per_second) : clock_(clock), bytes_per_second_(bytes_per_second) {}

  // Waits as long as the `bytes` just moved should have taken. False when `cancel` was set.
  bool pass(std::uint64_t bytes, Cancel& cancel) {
    if (bytes_per_second_ == 0) return !cancel.is_set();
    const auto now = clock_.now();
    free_at_ = std::max(free_at_, now - kSavedMax) +
               std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
                   static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
    if (free_at_ <= now) return !cancel.is_set();
    return cancel.sleep(free_at_ - now);
  }

 private:
  static constexpr Duration kSavedMax = std::chrono::milliseconds(100);

  io::Clock& clock_;
  const std::uint64_t bytes_per_second_;
  Instant free_at_ = kDistantPast;
};

}  // namespace holdfast::volume
