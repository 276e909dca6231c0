#include "core/kv/expiry.h"

namespace holdfast::kv {
namespace {

constexpr std::size_t kLeftoversMax = 1024;

}  // namespace

void Expiry::begin() {
  seen_ = Life();
  ends_.clear();
}

std::vector<Expire::One> Expiry::look(const Space& space, Instant now) {
  const auto& lives = space.lives();
  for (auto it = lives.upper_bound(seen_); it != lives.end(); ++it) {
    ends_.emplace(now + space.find(it->second)->ttl, it->first);
  }
  seen_ = space.newest_life();
  // Keys that are renewed all the time leave the ends of their earlier lives behind.
  if (ends_.size() > 2 * lives.size() + kLeftoversMax) {
    std::erase_if(ends_, [&](const auto& end) { return !lives.contains(end.second); });
  }

  std::vector<Expire::One> over;
  while (!ends_.empty() && ends_.begin()->first <= now && over.size() < kExpiriesPerCommandMax) {
    const Life life = ends_.begin()->second;
    ends_.erase(ends_.begin());
    const auto it = lives.find(life);
    if (it == lives.end()) continue;  // renewed, put again or gone
    over.push_back({it->second, life});
    ends_.emplace(now + kRepeat, life);
  }
  return over;
}

}  // namespace holdfast::kv
