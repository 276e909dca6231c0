#include "io/event_loop.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "base/check.h"

namespace holdfast::io {

namespace asio = boost::asio;

namespace {
thread_local EventLoop* this_threads_loop = nullptr;
}

struct EventLoop::Inside {
  // Only the loop's own thread touches sockets and timers, so the reactor needs no locks; posting from other threads
  // goes through the scheduler's, which stays.
  asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread;
};

EventLoop::EventLoop(std::size_t number, std::string name)
    : number_(number), name_(std::move(name)), inside_(std::make_unique<Inside>()) {}

EventLoop::~EventLoop() { stop(); }

EventLoop* EventLoop::current() { return this_threads_loop; }

asio::io_context& EventLoop::context() { return inside_->context; }

void EventLoop::post(std::function<void()> work) { asio::post(inside_->context, std::move(work)); }

void EventLoop::post_after(Duration delay, std::function<void()> work) {
  // The timer is made on the loop: its queue is not locked.
  post([this, delay, work = std::move(work)]() mutable {
    auto timer = std::make_unique<asio::steady_timer>(inside_->context, delay);
    auto& waiting = *timer;
    waiting.async_wait([timer = std::move(timer), work = std::move(work)](boost::system::error_code error) {
      if (!error) work();
    });
  });
}

void EventLoop::start() {
  CHECK(!inside_->thread.joinable());
  inside_->thread = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    this_threads_loop = this;
    inside_->context.run();
    this_threads_loop = nullptr;
  });
}

void EventLoop::stop() {
  CHECK(!is_current());
  inside_->context.stop();
  if (inside_->thread.joinable()) inside_->thread.join();
}

EventLoops::EventLoops(std::size_t count, const std::string& name) {
  CHECK(count > 0);
  for (std::size_t i = 0; i < count; ++i) {
    loops_.push_back(std::make_unique<EventLoop>(i, name + std::to_string(i)));
    loops_.back()->start();
  }
}

EventLoops::~EventLoops() { stop(); }

EventLoop& EventLoops::any() {
  if (auto* mine = EventLoop::current()) {
    for (auto& loop : loops_) {
      if (loop.get() == mine) return *mine;
    }
  }
  return *loops_[next_.fetch_add(1, std::memory_order_relaxed) % loops_.size()];
}

void EventLoops::stop() {
  for (auto& loop : loops_) loop->stop();
}

}  // namespace holdfast::io
