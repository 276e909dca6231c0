// The kernel's random bits behind io/random.h.
#pragma once

#include "io/random.h"

namespace holdfast::io::posix {

class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

SystemRandom& system_random();

}  // namespace holdfast::io::posix
