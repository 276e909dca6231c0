// EcShardsInfo: the shards of one erasure-coded volume that lie on one disk of a server, as reports carry them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/ids.h"

namespace holdfast {

struct EcShardsInfo {
  VolumeId id;
  std::string collection;
  std::uint32_t bits = 0;  // bit i: shard i
  std::string disk_type;   // "" is hdd
  std::uint32_t disk_id = 0;
  std::uint64_t expire_at_sec = 0;
  std::vector<std::int64_t> shard_sizes;  // in the order of the bits
  std::uint64_t file_count = 0;           // rows of the .ecx
  std::uint64_t delete_count = 0;         // ids in the .ecj
  NeedleId max_key;                       // the last of the .ecx; 0: not told
  std::int64_t encode_ts_ns = 0;          // which encoding; 0: not known

  friend bool operator==(const EcShardsInfo&, const EcShardsInfo&) = default;
};

}  // namespace holdfast
