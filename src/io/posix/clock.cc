#include "io/posix/clock.h"

#include <time.h>

#include "base/check.h"

namespace holdfast::io::posix {
namespace {

Duration read_clock(clockid_t id) {
  timespec time{};
  CHECK(clock_gettime(id, &time) == 0);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Instant boot_now() { return Instant(read_clock(CLOCK_BOOTTIME)); }

Instant SystemClock::now() const { return boot_now(); }
Instant SystemClock::raw() const { return Instant(read_clock(CLOCK_MONOTONIC_RAW)); }
WallTime SystemClock::wall() const { return WallTime(read_clock(CLOCK_REALTIME)); }

SystemClock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace holdfast::io::posix
