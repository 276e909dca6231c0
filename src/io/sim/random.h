// A Random that repeats under its seed: splitmix64, so that neighbouring seeds give unrelated streams.
#pragma once

#include "io/random.h"

namespace holdfast::io::sim {

// Not thread-safe: simulations have one thread.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;

  // True in `parts` of a million draws.
  bool chance(std::uint64_t parts_per_million) { return below(1'000'000) < parts_per_million; }

 private:
  std::uint64_t state_;
};

}  // namespace holdfast::io::sim
