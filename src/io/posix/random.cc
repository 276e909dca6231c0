#include "io/posix/random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace holdfast::io::posix {

std::uint64_t SystemRandom::next() {
  std::uint64_t bits = 0;
  for (;;) {
    const ssize_t got = getrandom(&bits, sizeof bits, 0);
    if (got == sizeof bits) return bits;
    CHECK(got >= 0 || errno == EINTR);  // requests of up to 256 bytes are never short
  }
}

SystemRandom& system_random() {
  static SystemRandom random;
  return random;
}

}  // namespace holdfast::io::posix
