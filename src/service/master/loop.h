// Loop: the one thread on which the master waits, grows, deletes and does a leader's duties. What event loops do at
// once (assign, lookup) never comes here.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "base/mutex.h"
#include "base/time.h"

namespace holdfast::master {

class Loop {
 public:
  using Task = std::function<void()>;

  ~Loop() { stop(); }

  // Runs `turn` after each bunch of tasks, and at least every `idle`. Once nothing was posted for 3 s, which is longer than
  // requests wait here by default, it comes when the last turn said (how long from then), and every 500 ms.
  using Turn = std::function<Duration()>;
  void start(Duration idle, Turn turn);

  // Runs what was posted before, then joins. Tasks posted later are dropped, false. Any thread but the loop's own.
  void stop();
  bool post(Task task);
  // Only makes the turn come soon; many calls are one.
  void wake();

 private:
  void run(Duration idle, const Turn& turn);

  Mutex mutex_;  // leaf
  Condition changed_;
  std::deque<Task> tasks_ HOLDFAST_GUARDED_BY(mutex_);
  bool woken_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::master
