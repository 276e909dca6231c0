// Clock: where time comes from. Services take a Clock&; cores take Instants.
//
// now() never goes back within a process and goes on through suspend (CLOCK_BOOTTIME); its origin is arbitrary.
// raw() likewise, by another count (CLOCK_MONOTONIC_RAW): no time daemon speeds it up or slows it down, but it may stand
// still in suspend. Leases look at both (core/raft/lease.h); a clock that has only one gives it twice.
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
  [[nodiscard]] virtual Instant raw() const { return now(); }
  [[nodiscard]] virtual WallTime wall() const = 0;
};

}  // namespace holdfast::io
