// Timer: calls a function at an instant, or not if it is taken back before. One thread for all that one owner waits
// for; it sleeps until the earliest. The gRPC library's own Alarm is not used: what its cancelled callbacks own is
// released by the library's threads at times nobody controls.
//
// Thread-safe. Callbacks run one after the other on the timer's thread, must be short, and may set and take back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"

namespace holdfast::client {

class Timer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Key = std::pair<Time, std::uint64_t>;  // names one call; never reused

  Timer();

  // Drops what is still waiting and joins the thread; not from within a callback.
  ~Timer();

  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  Key call_at(Time time, std::function<void()> callback);

  // The callback is dropped if it has not begun; otherwise nothing happens.
  void take_back(const Key& key);

 private:
  void run();

  Mutex mutex_;  // leaf
  Condition changed_;
  std::map<Key, std::function<void()>> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint64_t last_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::client
