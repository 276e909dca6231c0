// Durations and instants. An Instant counts on the caller's one monotonic clock (CLOCK_BOOTTIME in production: it
// goes on through suspend) from an arbitrary origin; instants of two processes must not be compared.
// Wall-clock time appears only where a format asks for it (appendAtNs, Last-Modified) and is called Wall...
#pragma once

#include <chrono>
#include <cstdint>

namespace holdfast {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

struct BootClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<BootClock, Duration>;
  static constexpr bool is_steady = true;
};

using Instant = BootClock::time_point;

inline constexpr Instant kDistantPast = Instant(Duration(INT64_MIN / 4));
inline constexpr Instant kDistantFuture = Instant(Duration(INT64_MAX / 4));

// An instant `since` after the clock's origin; tests and simulations use it.
constexpr Instant at(Duration since) { return Instant(since); }

inline std::int64_t milliseconds(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace holdfast
