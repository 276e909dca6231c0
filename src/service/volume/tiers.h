// Tiers: the stores outside the cluster that masters have told this volume server of.
//
// They come with the first answer of a master and are not kept on disk, for they hold secrets: until then a volume whose
// data lies in one is there, and reading it says `unavailable`. Threads for waiting on stores are made when there is the
// first volume to read from one.
//
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "model/tier_backend.h"
#include "storage/volume/remote_tier.h"

namespace holdfast::volume {

class Tiers final : public RemoteTier {
 public:
  static constexpr int kThreads = 16;  // each may wait for a store

  // Takes the place of all that was told before. One that did not change keeps its connections; one that cannot be is named
  // in the log.
  void set(const std::vector<TierBackend>& backends);

  // not_found names those that there are; invalid or unsupported: what is wrong with this one.
  Result<std::shared_ptr<io::ObjectStore>> find(std::string_view name) override;

  WorkPool& pool() override;

  // Lets what was posted end, and joins.
  void stop();

 private:
  struct Tier {
    TierBackend backend;
    Result<std::shared_ptr<io::ObjectStore>> store;
  };

  Mutex mutex_;  // leaf
  bool is_told_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::map<std::string, Tier, std::less<>> tiers_ HOLDFAST_GUARDED_BY(mutex_);

  Mutex pool_mutex_;  // leaf
  std::unique_ptr<WorkPool> pool_ HOLDFAST_GUARDED_BY(pool_mutex_);  // once made it stays
};

}  // namespace holdfast::volume
