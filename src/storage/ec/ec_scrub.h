// Scrubbing an erasure-coded volume: looking for damage without changing anything.
//
//   index      the .ecx is whole and in order, and points into the shards
//   checksums  each shard here holds against the .ecsum
//   local      as index, and each file whose pieces are all here can be read
//   full       as index, and each file can be read, with pieces of other servers
#pragma once

#include <string>
#include <vector>

#include "storage/ec/ec_volume.h"

namespace holdfast::ec {

enum class ScrubMode { index, full, local, checksums };

struct ScrubResult {
  std::uint64_t files = 0;         // looked at
  std::vector<ShardId> broken;     // shards here that are damaged
  std::vector<std::string> details;  // what is wrong, a sentence each; empty: nothing

  static constexpr std::size_t kDetailsMax = 100;
};

// Waits for disk and network. `with_deleted`: deleted files are looked at too.
ScrubResult scrub(io::Disk& disk, const EcVolume& volume, ScrubMode mode, bool with_deleted, RemoteShards* remote);

}  // namespace holdfast::ec
