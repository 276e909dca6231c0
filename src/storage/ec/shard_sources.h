// ShardSources: the shards of one volume that lie on this server, read side by side from one end to the other; what is
// missing among the wanted ones is made from the others. Rebuilding and decoding are loops over it.
//
// Reads in bounded buffers, one step of each shard at a time. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/ec/checksums.h"
#include "core/ec/codec.h"
#include "io/disk.h"

namespace holdfast::ec {

// Bytes of each shard that are in memory at a time: 1 MiB is large enough for any disk, and small enough that all
// shards of a step stay close to the processor.
inline constexpr std::size_t kStepBytes = 1_MiB;

// Room for one step of several shards, aligned as the vector instructions like it.
class StepRoom {
 public:
  explicit StepRoom(unsigned shards);
  std::uint8_t* of(unsigned i) const { return begin_ + i * kStepBytes; }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::uint8_t* begin_ = nullptr;
};

class ShardSources {
 public:
  // `paths` of the shards that are here; at least `data` of them, all equally long. `wanted` are read, or made where
  // there is no path. `sums`: each shard read is summed in blocks of this many bytes, 0 for not at all.
  static Result<ShardSources> open(io::Disk& disk, Scheme scheme, const std::map<ShardId, std::string>& paths,
                                   std::vector<ShardId> wanted, std::uint32_t sum_block_bytes);

  std::uint64_t shard_bytes() const { return shard_bytes_; }

  // The wanted shards' bytes from `offset` on, up to kStepBytes each, in the order asked for; they are good until the
  // next call.
  Result<std::vector<BytesView>> read(std::uint64_t offset, std::size_t bytes);

  // Of the shards read so far, when they were read from end to end.
  std::vector<ShardChecksums> finish_sums();

 private:
  ShardSources(Codec codec, Codec::Plan plan, unsigned rooms)
      : codec_(std::move(codec)), plan_(std::move(plan)), room_(rooms) {}

  Codec codec_;
  Codec::Plan plan_;  // for those of wanted_ that are not here
  StepRoom room_;
  std::vector<ShardId> wanted_;
  std::map<ShardId, std::unique_ptr<io::File>> files_;  // those that are read
  std::map<ShardId, ShardSummer> summers_;
  std::uint64_t shard_bytes_ = 0;
};

}  // namespace holdfast::ec
