// Reads of many small things from one volume server, several at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "base/result.h"

namespace holdfast::cmd {

inline constexpr std::size_t kReadsAtOnce = 8;  // of one copy: enough to hide the way there, no burden for a disk

// Runs `work(i)` for all i below `count`, several at a time; the first error ends it.
template <typename Work>
Status in_parallel(std::size_t count, Work work) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<Status> ends(std::clamp<std::size_t>(count, 1, kReadsAtOnce));
  std::vector<std::thread> threads;
  for (auto& end : ends) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < count && !failed; i = next++) {
        if (auto done = work(i); !done) {
          end = done;
          failed = true;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& end : ends) {
    if (!end) return end;
  }
  return {};
}

}  // namespace holdfast::cmd
