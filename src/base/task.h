// Task: a coroutine that nobody waits for, and `awaited`, which turns any callback into something to co_await.
//
//   Task upload(Exchange& exchange) {
//     Result<Stored> stored = co_await awaited<Result<Stored>>(exchange.loop(), [&](auto done) {
//       service.write(request, std::move(done));
//     });
//     ...
//   }
//
// A Task runs at once, up to its first suspension, on the thread that called it, and frees itself at its end. What it
// refers to must live until then: pass by value what the caller does not keep.
//
// Beware of g++ 12: keep what is passed to a co_await expression free of braces and conditional temporaries; name them
// first.
#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <optional>
#include <utility>

#include "base/check.h"

namespace holdfast {

struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { CHECK(false && "an exception left a Task"); }
  };
};

// A coroutine with a result, for another coroutine to await: it starts when awaited, on the awaiter's thread, and ends
// by resuming the awaiter. Await it exactly once, at once.
template <typename T>
class [[nodiscard]] Async {
 public:
  struct promise_type {
    Async get_return_object() { return Async(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        return ended.promise().awaiter;
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(T v) { value.emplace(std::move(v)); }
    void unhandled_exception() { CHECK(false && "an exception left an Async"); }

    std::optional<T> value;
    std::coroutine_handle<> awaiter;
  };

  Async(Async&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  ~Async() {
    if (coroutine_) coroutine_.destroy();
  }

  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    coroutine_.promise().awaiter = awaiter;
    return coroutine_;
  }
  T await_resume() { return std::move(*coroutine_.promise().value); }

 private:
  explicit Async(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
  std::coroutine_handle<promise_type> coroutine_;
};

// Awaits the one call of the callback given to `start`. The callback may come from any thread, also from inside
// `start`; the coroutine goes on through loop.post(), or straight away when the callback came before `start` returned.
// `done` is a copyable function object taking a T; call it exactly once.
template <typename T, typename Loop, typename Start>
class Awaited {
 public:
  Awaited(Loop& loop, Start start) : loop_(loop), start_(std::move(start)) {}
  Awaited(const Awaited&) = delete;

  struct Done {
    Awaited* awaited;
    void operator()(T value) const { awaited->complete(std::move(value)); }
  };

  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    start_(Done{this});
    return !first_through_.exchange(true, std::memory_order_acq_rel);
  }
  T await_resume() { return std::move(*value_); }

 private:
  // Whoever comes first of complete() and the end of await_suspend() leaves the resuming to the other; neither
  // touches this object afterwards unless it is the second.
  void complete(T value) {
    value_.emplace(std::move(value));
    Loop& loop = loop_;
    auto waiting = waiting_;
    if (first_through_.exchange(true, std::memory_order_acq_rel)) loop.post([waiting] { waiting.resume(); });
  }

  Loop& loop_;
  Start start_;
  std::coroutine_handle<> waiting_;
  std::optional<T> value_;
  std::atomic<bool> first_through_{false};
};

template <typename T, typename Loop, typename Start>
Awaited<T, Loop, Start> awaited(Loop& loop, Start start) {
  return Awaited<T, Loop, Start>(loop, std::move(start));
}

}  // namespace holdfast
