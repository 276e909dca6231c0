// A Clock that stands still until it is moved. Not thread-safe.
#pragma once

#include "io/clock.h"

namespace holdfast::io::sim {

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Instant start = at(1s), WallTime wall = WallTime(std::chrono::seconds(1'700'000'000)))
      : now_(start), wall_(wall) {}

  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return wall_; }

  void advance(Duration by) {
    now_ += by;
    wall_ += by;
  }
  void jump_wall(Duration by) { wall_ += by; }  // as an operator or NTP would

 private:
  Instant now_;
  WallTime wall_;
};

}  // namespace holdfast::io::sim
