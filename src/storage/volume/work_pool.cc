#include "storage/volume/work_pool.h"

#include <utility>

namespace holdfast::volume {

WorkPool::WorkPool(int threads) {
  for (int i = 0; i < threads; i++) threads_.emplace_back([this] { run(); });
}

WorkPool::~WorkPool() { stop(); }

bool WorkPool::post(Work work) {
  {
    Guard guard(mutex_);
    if (stopping_ || waiting_.size() >= kWaitingMax) return false;
    waiting_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void WorkPool::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkPool::run() {
  while (true) {
    Work work;
    {
      Guard guard(mutex_);
      while (!stopping_ && waiting_.empty()) wake_.wait(mutex_);
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

}  // namespace holdfast::volume
