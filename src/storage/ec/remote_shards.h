// RemoteShards: the shards of a volume that other servers hold, as reading a needle sees them. The service implements
// it over gRPC; tests over memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/ec/scheme.h"
#include "model/ids.h"

namespace holdfast::ec {

struct ShardRange {
  ShardId shard = 0;
  std::uint64_t offset = 0;
  std::span<std::uint8_t> out;  // filled whole or not at all
};

enum class RemoteRead { filled, deleted };  // deleted: the other server knows that the needle is

class RemoteShards {
 public:
  virtual ~RemoteShards() = default;

  // Reads each range from whoever holds its shard, all at the same time, and waits for all of them. `encode_ts_ns`: the
  // encoding that the shards must be of, 0 when that is not known.
  virtual std::vector<Result<RemoteRead>> read(VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
                                               const std::vector<ShardRange>& ranges) = 0;
};

}  // namespace holdfast::ec
