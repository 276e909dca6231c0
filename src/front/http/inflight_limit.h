// InflightLimit: holds back requests while those under way hold more bytes than there is room for (spec/weed-cluster
// 3.3, 3.5: -concurrentUploadLimitMB, -concurrentDownloadLimitMB). One is let in as long as those before it are within the bound, however large it is
// itself, so that a request larger than the bound is served too, alone.
//
// Waiting costs no thread. Whoever waits goes on in the order of coming, or hears after `patience` that it may not.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "base/task.h"
#include "base/time.h"
#include "io/event_loop.h"

namespace holdfast::front {

class InflightLimit {
 public:
  // bytes_max 0: no bound.
  InflightLimit(std::uint64_t bytes_max, Duration patience);

  bool is_on() const { return bytes_max_ > 0; }
  bool is_full() const { return is_on() && bytes() > bytes_max_; }  // who comes now waits
  std::uint64_t bytes_max() const { return bytes_max_; }
  std::uint64_t bytes() const;  // of what is under way

  // Given back when it goes. Empty when the patience ended first.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : room_(std::move(other.room_)), bytes_(other.bytes_) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass();
    explicit operator bool() const { return room_ != nullptr; }

   private:
    friend class InflightLimit;
    struct Room;
    Pass(std::shared_ptr<Room> room, std::uint64_t bytes) : room_(std::move(room)), bytes_(bytes) {}
    std::shared_ptr<Room> room_;
    std::uint64_t bytes_ = 0;
  };

  // For a request of `bytes`, on its loop.
  Async<Pass> enter(io::EventLoop& loop, std::uint64_t bytes);

  // For one that has waited before its size was known: counts it, whatever else is under way.
  Pass take(std::uint64_t bytes);

 private:
  const std::uint64_t bytes_max_;
  const Duration patience_;
  const std::shared_ptr<Pass::Room> room_;  // shared with the passes and the timers
};

}  // namespace holdfast::front
