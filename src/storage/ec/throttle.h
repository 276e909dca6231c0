// Throttle: holds a copying loop to so many bytes a second, by sleeping when it is ahead.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace holdfast::ec {

class Throttle {
 public:
  // 0: no bound.
  explicit Throttle(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  void passed(std::uint64_t bytes) {
    if (bytes_per_second_ == 0) return;
    bytes_ += bytes;
    using Clock = std::chrono::steady_clock;
    if (begun_ == Clock::time_point()) begun_ = Clock::now();
    const auto due = std::chrono::duration<double>(static_cast<double>(bytes_) / static_cast<double>(bytes_per_second_));
    std::this_thread::sleep_until(begun_ + std::chrono::duration_cast<Clock::duration>(due));
  }

 private:
  const std::uint64_t bytes_per_second_;
  std::uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace holdfast::ec
