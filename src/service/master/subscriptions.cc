#include "service/master/subscriptions.h"

namespace holdfast::master {

LocationChange change_of(topology::LocationEvent event) {
  return {std::move(event.url),   std::move(event.public_url), std::move(event.data_center), event.grpc_port,
          std::move(event.added), std::move(event.removed),    std::move(event.ec_added),
          std::move(event.ec_removed), {}};
}

class Subscriptions::Handle final : public Subscription {
 public:
  explicit Handle(std::shared_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
  ~Handle() override {
    Guard guard(watcher_->mutex);
    watcher_->changed = nullptr;
  }

 private:
  std::shared_ptr<Watcher> watcher_;  // shared with the loop while it hands out
};

std::unique_ptr<Subscription> Subscriptions::add(Changed changed) {
  Guard guard(mutex_);
  auto watcher = std::make_shared<Watcher>(std::move(changed), next_);
  std::erase_if(watchers_, [](const auto& w) { return w.expired(); });
  watchers_.push_back(watcher);
  return std::make_unique<Handle>(std::move(watcher));
}

void Subscriptions::queue(std::vector<topology::LocationEvent> events) {
  Guard guard(mutex_);
  for (auto& event : events) {
    ++next_;
    queued_.push_back(change_of(std::move(event)));
  }
}

void Subscriptions::queue_leader(std::string leader) {
  LocationChange change;
  change.leader = std::move(leader);
  Guard guard(mutex_);
  ++next_;
  queued_.push_back(std::move(change));
}

void Subscriptions::deliver() {
  std::deque<LocationChange> changes;
  std::vector<std::shared_ptr<Watcher>> watchers;
  std::uint64_t number = 0;
  {
    Guard guard(mutex_);
    if (queued_.empty()) return;
    changes.swap(queued_);
    number = next_ - changes.size();
    for (const auto& weak : watchers_) {
      if (auto watcher = weak.lock()) watchers.push_back(std::move(watcher));
    }
  }
  for (const LocationChange& change : changes) {
    for (const auto& watcher : watchers) {
      if (number < watcher->first) continue;
      Guard guard(watcher->mutex);
      if (watcher->changed) watcher->changed(change);
    }
    ++number;
  }
}

}  // namespace holdfast::master
