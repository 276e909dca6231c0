// RemoteTier: how volumes reach the stores outside the cluster in which their .dat files may lie (service/volume/tiers.h).
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "io/object_store.h"
#include "storage/volume/work_pool.h"

namespace holdfast::volume {

class RemoteTier {
 public:
  virtual ~RemoteTier() = default;

  // The store of that name, "s3.cold" (model/tier_backend.h). not_found names those that there are: masters tell of
  // them, so at first there is none.
  virtual Result<std::shared_ptr<io::ObjectStore>> find(std::string_view name) = 0;

  // For what waits for a store: a bucket that does not answer must not hold up reads and writes of disks.
  virtual WorkPool& pool() = 0;
};

}  // namespace holdfast::volume
