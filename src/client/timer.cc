#include "client/timer.h"

namespace holdfast::client {

Timer::Timer() : thread_([this] { run(); }) {}

Timer::~Timer() {
  {
    const Guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

Timer::Key Timer::call_at(Time time, std::function<void()> callback) {
  Key key;
  bool is_first = false;
  {
    const Guard guard(mutex_);
    key = {time, ++last_};
    waiting_.emplace(key, std::move(callback));
    is_first = waiting_.begin()->first == key;
  }
  if (is_first) changed_.notify_one();
  return key;
}

void Timer::take_back(const Key& key) {
  std::function<void()> dropped;  // outlives the guard, so is destroyed without the lock: it may own anything
  const Guard guard(mutex_);
  const auto place = waiting_.find(key);
  if (place == waiting_.end()) return;
  dropped = std::move(place->second);
  waiting_.erase(place);
}

void Timer::run() {
  mutex_.lock();
  while (!stopping_) {
    if (waiting_.empty()) {
      changed_.wait(mutex_);
      continue;
    }
    const Time earliest = waiting_.begin()->first.first;
    if (std::chrono::steady_clock::now() < earliest) {
      changed_.wait_until(mutex_, earliest);
      continue;
    }
    auto callback = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    mutex_.unlock();
    callback();
    callback = nullptr;
    mutex_.lock();
  }
  mutex_.unlock();
}

}  // namespace holdfast::client
