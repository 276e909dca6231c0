// Random: where random bits come from. Cores take numbers or a seed; services take a Random&.
//
// The real one is the kernel's getrandom and fit for UUIDs and cookies; the simulated one repeats under its seed.
// Thread-safe.
#pragma once

#include <cstdint>

#include "base/uuid.h"

namespace holdfast::io {

class Random {
 public:
  virtual ~Random() = default;

  // 64 bits, each value equally likely.
  virtual std::uint64_t next() = 0;

  // Below `bound`, which is above 0; every value equally likely.
  std::uint64_t below(std::uint64_t bound);

  Uuid uuid();
};

}  // namespace holdfast::io
