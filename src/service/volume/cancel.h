// Cancel: tells what works for a caller, on another thread, that the caller is gone or the server stops.
//
// Thread-safe. Shared by the call, which sets it, and the work, which looks at it.
#pragma once

#include <functional>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"

namespace holdfast::volume {

class Cancel {
 public:
  void set() {
    const Guard guard(mutex_);
    is_set_ = true;
    changed_.notify_all();
    if (hook_) hook_();
  }

  bool is_set() const {
    const Guard guard(mutex_);
    return is_set_;
  }

  // Whether it slept all of `length`; false when it was woken, or not put to sleep, by set().
  bool sleep(Duration length) {
    const Guard guard(mutex_);
    const auto until = std::chrono::steady_clock::now() + length;
    while (!is_set_) {
      if (changed_.wait_until(mutex_, until) == std::cv_status::timeout) break;
    }
    return !is_set_;
  }

  // Calls `hook` at set() for as long as it lives, at once when it was set before. One at a time; the hook must not
  // call back.
  class Hook {
   public:
    Hook(Cancel& cancel, std::function<void()> hook) : cancel_(cancel) {
      const Guard guard(cancel_.mutex_);
      if (cancel_.is_set_) hook();
      cancel_.hook_ = std::move(hook);
    }
    ~Hook() {
      const Guard guard(cancel_.mutex_);
      cancel_.hook_ = nullptr;
    }
    Hook(const Hook&) = delete;

   private:
    Cancel& cancel_;
  };

 private:
  mutable Mutex mutex_;  // held while the hook runs
  Condition changed_;
  bool is_set_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::function<void()> hook_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::volume
