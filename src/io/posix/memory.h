// How much memory the machine has and this process takes.
#pragma once

#include <cstdint>

namespace holdfast::io::posix {

struct MemoryUse {
  std::uint64_t total = 0;  // bytes, of the machine
  std::uint64_t free = 0;   // what programs may still take, caches included
  std::uint64_t self = 0;   // resident, of this process
  std::uint64_t stack = 0;  // of its first thread
};

// Zeros for what the kernel does not tell.
MemoryUse memory_use();

}  // namespace holdfast::io::posix
