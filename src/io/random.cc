#include "io/random.h"

#include "base/check.h"

namespace holdfast::io {

std::uint64_t Random::below(std::uint64_t bound) {
  CHECK(bound > 0);
  // Values above the last whole multiple of `bound` would favour small remainders: draw again.
  const std::uint64_t unfair = (0 - bound) % bound;
  for (;;) {
    const std::uint64_t drawn = next();
    if (drawn >= unfair) return drawn % bound;
  }
}

Uuid Random::uuid() {
  const std::uint64_t a = next();
  return Uuid::from_random(a, next());
}

}  // namespace holdfast::io
