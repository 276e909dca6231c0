#include "front/grpc/lock_rings.h"

#include <algorithm>
#include <chrono>

namespace holdfast::front {

LockRings::LockRings(std::function<std::vector<std::string>(const std::string& group)> filers)
    : filers_(std::move(filers)) {}

LockRings::~LockRings() { timer_.reset(); }

void LockRings::changed(const std::string& group) {
  const Guard guard(mutex_);
  if (!timer_) timer_.emplace();
  Group& ring = groups_[group];
  if (ring.due) timer_->take_back(*ring.due);
  ring.due = timer_->call_at(client::Timer::Time::clock::now() + kRingSettles, [this, group] { settled(group); });
}

void LockRings::settled(const std::string& group) {
  auto servers = filers_(group);
  std::sort(servers.begin(), servers.end());
  const std::int64_t wall_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const Guard guard(mutex_);
  auto& told = groups_[group].told;
  if (told && told->servers == servers) return;
  const std::int64_t version = told ? std::max(wall_ns, told->version + 1) : wall_ns;
  told = LockRing{group, std::move(servers), version};
  for (const auto& [id, watcher] : watchers_) {
    if (watcher.first == group) watcher.second(*told);
  }
}

std::uint64_t LockRings::watch(std::string group, Watcher watcher) {
  const Guard guard(mutex_);
  if (const auto known = groups_.find(group); known != groups_.end() && known->second.told) {
    watcher(*known->second.told);
  }
  const std::uint64_t id = ++last_watcher_;
  watchers_.emplace(id, std::make_pair(std::move(group), std::move(watcher)));
  return id;
}

void LockRings::unwatch(std::uint64_t id) {
  const Guard guard(mutex_);
  watchers_.erase(id);
}

}  // namespace holdfast::front
