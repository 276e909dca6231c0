// EventLoop: one thread that runs one Asio io_context; EventLoops: a fixed set of them.
//
// Sockets and timers of a loop are touched only on its thread, so nothing on it needs a lock; other threads hand work
// over with post(). No call that can block belongs on a loop: disks have their own pool.
//
// The HTTP server, the HTTP client pool and whoever else speaks TCP share these loops, so that a forwarded request
// never changes threads. Loops outlive everything that runs on them: stop the users first, then the loops.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::io {

// Told when a watched descriptor has become readable or writable.
class Watched {
 public:
  // `ended`: the other side has shut or broken the connection; reading tells which. Readable is then true as well.
  virtual void on_ready(bool readable, bool writable, bool ended) = 0;

 protected:
  ~Watched() = default;
};

class EventLoop {
 public:
  EventLoop(std::size_t number, std::string name);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;

  // Runs `work` on this loop's thread, in the order of posting, never inside post() itself. From any thread.
  // After stop() the work is dropped unrun.
  void post(std::function<void()> work);

  // Runs `work` on this loop after `delay`. From any thread. It cannot be cancelled: let the work look whether it is
  // still wanted.
  void post_after(Duration delay, std::function<void()> work);

  // Whether the caller runs on this loop; and the loop the caller runs on, if any.
  bool is_current() const { return current() == this; }
  static EventLoop* current();

  // The place among its EventLoops, from 0: for counters that are kept once per loop.
  std::size_t number() const { return number_; }

  boost::asio::io_context& context();

  // --- The fast lane, for the many connections of a server. On the loop's thread only.
  // From now on `watched` hears of every *edge*: once when there is something to read or room to write, and again only
  // after it has found the descriptor empty or full. A read that returns less than asked for has found it empty unless
  // the other side has ended. So a request costs its recv and its send and no call to the reactor; Asio's own sockets
  // cost one recv more. Answers whether the kernel took it.
  bool watch(int descriptor, Watched& watched);

  // Before the descriptor is closed: `watched` hears nothing more, also not of what the kernel has already told.
  void unwatch(int descriptor, Watched& watched);

  // Begins to run; and ends after the work now at hand. stop() returns when the thread has ended.
  void start();
  void stop();

 private:
  struct Inside;
  const std::size_t number_;
  const std::string name_;
  std::unique_ptr<Inside> inside_;
};

class EventLoops {
 public:
  // Starts `count` threads called "<name>0", "<name>1", ...
  explicit EventLoops(std::size_t count, const std::string& name = "http");
  ~EventLoops();

  std::size_t size() const { return loops_.size(); }
  EventLoop& at(std::size_t i) { return *loops_[i]; }

  // One after the other; the caller's own loop when it is on one of them.
  EventLoop& any();

  void stop();

 private:
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::atomic<std::size_t> next_{0};
};

}  // namespace holdfast::io
