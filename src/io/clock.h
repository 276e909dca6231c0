// Clock: where time comes from. Services take a Clock&; cores take Instants.
//
// now() never goes back within a process and goes on through suspend (CLOCK_BOOTTIME); its origin is arbitrary.
// wall() is what the calendar says; it may jump either way and serves only formats and log lines.
// Thread-safe.
#pragma once

#include "base/time.h"

namespace holdfast::io {

// Nanoseconds since 1970 in UTC.
using WallTime = std::chrono::sys_time<Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
};

}  // namespace holdfast::io
