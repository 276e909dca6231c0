// Mutex and Guard that clang's -Wthread-safety understands. Under g++ the annotations are empty.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define HOLDFAST_ANNOTATE(x) __attribute__((x))
#else
#define HOLDFAST_ANNOTATE(x)
#endif

#define HOLDFAST_CAPABILITY(x) HOLDFAST_ANNOTATE(capability(x))
#define HOLDFAST_SCOPED HOLDFAST_ANNOTATE(scoped_lockable)
#define HOLDFAST_GUARDED_BY(x) HOLDFAST_ANNOTATE(guarded_by(x))
#define HOLDFAST_REQUIRES(...) HOLDFAST_ANNOTATE(requires_capability(__VA_ARGS__))
#define HOLDFAST_EXCLUDES(...) HOLDFAST_ANNOTATE(locks_excluded(__VA_ARGS__))
#define HOLDFAST_ACQUIRE(...) HOLDFAST_ANNOTATE(acquire_capability(__VA_ARGS__))
#define HOLDFAST_RELEASE(...) HOLDFAST_ANNOTATE(release_capability(__VA_ARGS__))
#define HOLDFAST_TRY_ACQUIRE(...) HOLDFAST_ANNOTATE(try_acquire_capability(__VA_ARGS__))
#define HOLDFAST_NO_ANALYSIS HOLDFAST_ANNOTATE(no_thread_safety_analysis)

namespace holdfast {

class HOLDFAST_CAPABILITY("mutex") Mutex {
 public:
  void lock() HOLDFAST_ACQUIRE() { mutex_.lock(); }
  void unlock() HOLDFAST_RELEASE() { mutex_.unlock(); }
  bool try_lock() HOLDFAST_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

class HOLDFAST_SCOPED Guard {
 public:
  explicit Guard(Mutex& mutex) HOLDFAST_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Guard() HOLDFAST_RELEASE() { mutex_.unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  Mutex& mutex_;
};

// Waits on a Mutex: condition.wait(mutex) with the mutex held by the caller.
using Condition = std::condition_variable_any;

}  // namespace holdfast
