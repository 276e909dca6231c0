// The machine's clocks behind io/clock.h.
#pragma once

#include "io/clock.h"

namespace holdfast::io::posix {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] Instant raw() const override;
  [[nodiscard]] WallTime wall() const override;
};

// One for everybody; it has no state.
SystemClock& system_clock();

// CLOCK_BOOTTIME without the virtual call.
Instant boot_now();

}  // namespace holdfast::io::posix
