#include "io/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "base/check.h"

namespace holdfast::io {

namespace asio = boost::asio;

namespace {
thread_local EventLoop* this_threads_loop = nullptr;

constexpr std::size_t kLaneEvents = 64;
constexpr int kLaneRounds = 16;  // before others get their turn: at most about 10 ms of small requests
}

struct EventLoop::Inside {
  Inside() : lane(context.get_executor(), ::epoll_create1(EPOLL_CLOEXEC)) { CHECK(lane.native_handle() >= 0); }

  // Only the loop's own thread touches sockets and timers, so the reactor needs no locks; posting from other threads
  // goes through the scheduler's, which stays.
  asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread;

  // The fast lane is an epoll set inside Asio's. While it has events it is read directly, round after round; when it
  // runs empty, Asio waits for it as for any other descriptor.
  asio::posix::basic_stream_descriptor<asio::io_context::executor_type> lane;
  std::array<epoll_event, kLaneEvents> events;
  int event = 0;        // the one being told
  int event_count = 0;  // of this round

  void wait_for_lane() {
    lane.async_wait(asio::posix::descriptor_base::wait_read, [this](const boost::system::error_code& error) {
      if (!error) run_lane();
    });
  }

  void run_lane() {
    for (int round = 0; round < kLaneRounds; ++round) {
      event_count = ::epoll_wait(lane.native_handle(), events.data(), static_cast<int>(events.size()), 0);
      if (event_count <= 0) {
        wait_for_lane();
        return;
      }
      for (event = 0; event < event_count; ++event) {
        auto* watched = static_cast<Watched*>(events[static_cast<std::size_t>(event)].data.ptr);
        if (watched == nullptr) continue;  // unwatched in this round
        const auto bits = events[static_cast<std::size_t>(event)].events;
        const bool ended = (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        watched->on_ready((bits & EPOLLIN) != 0 || ended, (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0, ended);
      }
      event_count = 0;
    }
    // Timers, posted work and Asio's own sockets get their turn.
    asio::post(context, [this] { run_lane(); });
  }
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

bool EventLoop::watch(int descriptor, Watched& watched) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watched;
  return ::epoll_ctl(inside_->lane.native_handle(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void EventLoop::unwatch(int descriptor, Watched& watched) {
  epoll_event ignored{};
  ::epoll_ctl(inside_->lane.native_handle(), EPOLL_CTL_DEL, descriptor, &ignored);
  for (int i = inside_->event + 1; i < inside_->event_count; ++i) {
    auto& told = inside_->events[static_cast<std::size_t>(i)];
    if (told.data.ptr == &watched) told.data.ptr = nullptr;
  }
}

void EventLoop::start() {
  CHECK(!inside_->thread.joinable());
  inside_->thread = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    this_threads_loop = this;
    inside_->wait_for_lane();
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
