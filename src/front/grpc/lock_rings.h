// LockRings: tells filers and S3 gateways which filers of their group share the locks of the filer's names
// (LockRingUpdate, spec/weed-grpc 5.2). A ring is the list of the group's filers, told when nobody came or went for
// kRingSettles, so that a restart of several is one change and not many. Versions are nanoseconds of the day and only
// rise.
//
// Thread-safe. Watchers are called with the lock held: they must only queue.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "client/timer.h"

namespace holdfast::front {

constexpr Duration kRingSettles = std::chrono::seconds(1);

struct LockRing {
  std::string group;                 // filer_group
  std::vector<std::string> servers;  // addresses, ascending
  std::int64_t version = 0;
};

class LockRings {
 public:
  using Watcher = std::function<void(const LockRing& ring)>;

  // `filers`: the addresses of a group's filers now. Called on the timer's thread, without this one's lock.
  explicit LockRings(std::function<std::vector<std::string>(const std::string& group)> filers);
  ~LockRings();

  // A filer of the group came or went.
  void changed(const std::string& group);

  // Tells the group's last ring, if there was one, then each new one until unwatch().
  std::uint64_t watch(std::string group, Watcher watcher);
  void unwatch(std::uint64_t id);

 private:
  struct Group {
    std::optional<client::Timer::Key> due;
    std::optional<LockRing> told;
  };
  void settled(const std::string& group);

  const std::function<std::vector<std::string>(const std::string& group)> filers_;
  Mutex mutex_;  // locked before the timer's
  std::map<std::string, Group> groups_ HOLDFAST_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::pair<std::string, Watcher>> watchers_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint64_t last_watcher_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::optional<client::Timer> timer_;  // made with the first filer; under the lock, until the destructor
};

}  // namespace holdfast::front
