// WorkPool: a few threads for what may wait for a disk. Work begins in the order it was posted.
//
// Thread-safe. stop() lets what was posted finish and joins; post() then answers false.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace holdfast::volume {

class WorkPool {
 public:
  using Work = std::function<void()>;

  // More work than this waiting means that the disks cannot follow: post() refuses (callers answer Code::busy).
  static constexpr std::size_t kWaitingMax = 65536;

  explicit WorkPool(int threads);
  ~WorkPool();  // stops

  [[nodiscard]] bool post(Work work);
  void stop();

 private:
  void run();

  Mutex mutex_;  // leaf
  Condition wake_;
  std::deque<Work> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace holdfast::volume
