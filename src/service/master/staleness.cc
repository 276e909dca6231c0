#include "service/master/staleness.h"

#include <algorithm>

namespace holdfast::master {

void Staleness::start(Consensus& consensus) {
  thread_ = std::thread([this, &consensus] { run(consensus); });
}

void Staleness::stop() {
  {
    Guard guard(mutex_);
    stopping_ = true;
    woken_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::optional<Duration> Staleness::bound() const {
  const Instant fresh(Duration(shared_->fresh.load(std::memory_order_acquire)));
  if (fresh == kDistantPast) return std::nullopt;
  return std::max(clock_.now() - fresh, Duration(0));
}

void Staleness::run(Consensus& consensus) {
  for (;;) {
    // One question at a time; each is answered, if only with an error.
    if (!shared_->is_asking.exchange(true)) {
      const auto asked = clock_.now().time_since_epoch().count();
      consensus.confirm_read([shared = shared_, asked](Result<Index> confirmed) {
        if (confirmed && asked > shared->fresh.load()) shared->fresh.store(asked, std::memory_order_release);
        shared->is_asking = false;
      });
    }
    const Instant until = clock_.now() + kInterval;
    Guard guard(mutex_);
    while (!stopping_ && clock_.now() < until) (void)woken_.wait_for(mutex_, until - clock_.now());
    if (stopping_) return;
  }
}

std::string read_only_text(const std::string& leader) {
  return "this master is read-only: " + (leader.empty() ? std::string("another one takes changes, once there is a leader")
                                                          : "ask the leader, " + leader + ", or any other master");
}

}  // namespace holdfast::master
