#include "front/http/inflight_limit.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace holdfast::front {

struct InflightLimit::Pass::Room {
  struct Waiter {
    std::uint64_t number;
    std::uint64_t bytes;
    std::function<void(bool)> done;
  };

  Mutex mutex;  // leaf
  std::uint64_t bytes_max = 0;
  std::uint64_t under_way HOLDFAST_GUARDED_BY(mutex) = 0;
  std::uint64_t last_number HOLDFAST_GUARDED_BY(mutex) = 0;
  std::deque<Waiter> waiters HOLDFAST_GUARDED_BY(mutex);

  // The number to give up under, or 0 when it is in already.
  std::uint64_t enter(std::uint64_t bytes, std::function<void(bool)> done) {
    {
      const Guard guard(mutex);
      if (under_way > bytes_max || !waiters.empty()) {
        waiters.push_back({++last_number, bytes, std::move(done)});
        return last_number;
      }
      under_way += bytes;
    }
    done(true);
    return 0;
  }

  void leave(std::uint64_t bytes) {
    std::vector<Waiter> entered;
    {
      const Guard guard(mutex);
      under_way -= bytes;
      while (!waiters.empty() && under_way <= bytes_max) {
        under_way += waiters.front().bytes;
        entered.push_back(std::move(waiters.front()));
        waiters.pop_front();
      }
    }
    for (auto& waiter : entered) waiter.done(true);
  }

  void give_up(std::uint64_t number) {
    std::function<void(bool)> done;
    {
      const Guard guard(mutex);
      const auto found = std::find_if(waiters.begin(), waiters.end(), [&](const Waiter& w) { return w.number == number; });
      if (found == waiters.end()) return;
      done = std::move(found->done);
      waiters.erase(found);
    }
    done(false);
  }
};

InflightLimit::InflightLimit(std::uint64_t bytes_max, Duration patience)
    : bytes_max_(bytes_max), patience_(patience), room_(std::make_shared<Pass::Room>()) {
  room_->bytes_max = bytes_max;
}

std::uint64_t InflightLimit::bytes() const {
  const Guard guard(room_->mutex);
  return room_->under_way;
}

InflightLimit::Pass::~Pass() {
  if (room_) room_->leave(bytes_);
}

Async<InflightLimit::Pass> InflightLimit::enter(io::EventLoop& loop, std::uint64_t bytes) {
  auto start = [&](auto done) {
    const auto number = room_->enter(bytes, done);
    if (number == 0) return;
    loop.post_after(patience_, [room = room_, number] { room->give_up(number); });
  };
  const bool is_in = co_await awaited<bool>(loop, start);
  if (!is_in) co_return Pass();
  co_return Pass(room_, bytes);
}

InflightLimit::Pass InflightLimit::take(std::uint64_t bytes) {
  {
    const Guard guard(room_->mutex);
    room_->under_way += bytes;
  }
  return Pass(room_, bytes);
}

}  // namespace holdfast::front
