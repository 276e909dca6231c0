// encode(): makes the shards of a volume out of its .dat; decode(): the .dat and .idx out of the shards; rebuild():
// the shards that are missing; fold(): .ecj into .ecx (spec/volume-format 13).
//
// Each leaves, wherever a crash stops it, either what was there before or all that it makes:
//   encode   the sorted index is written first, under another name; then the shards, .ecsum and .vif, each synced; then
//            the index takes its name. Shards without an index beside a .dat are swept away at the next start.
//   rebuild  writes <shard>.rebuilding and renames each when all are synced and hold against .ecsum.
//   decode   writes under other names; the .idx takes its name first, and without its .dat it is passed over.
//   fold     marks rows deleted in place, syncs, then removes the .ecj: doing it again changes nothing.
//
// All of them wait for the disk, in buffers of kStepBytes for each shard. They may run on any thread; that no two run on
// one volume at a time is the caller's matter (EcStore).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/ec/checksums.h"
#include "core/volume/needle.h"
#include "storage/ec/ec_files.h"

namespace holdfast::ec {

struct EncodeJob {
  Scheme scheme;
  // What of the volume is encoded. All records that the first idx_bytes speak of lie within the first dat_bytes.
  std::uint64_t dat_bytes = 0;
  std::uint64_t idx_bytes = 0;
  std::uint32_t version = 3;
  std::uint64_t expire_at_sec = 0;
  std::int64_t encode_ts_ns = 0;  // tells this encoding from others; not 0
  std::array<std::uint8_t, 16> encode_uuid{};
  std::uint64_t bytes_per_second = 0;  // of the .dat; 0: as fast as it goes
};

// The volume's files stay. An earlier set of the same name is replaced. After an error nothing of the new set stays.
Status encode(io::Disk& disk, const VolumePlace& place, const EncodeJob& job);

struct RebuildJob {
  Scheme scheme;
  std::map<ShardId, std::string> paths;  // the shards that are here, in whichever folder
  EcFiles target;                        // where the others are to be made
  std::int64_t encode_ts_ns = 0;
  bool ignore_checksums = false;
  std::uint64_t bytes_per_second = 0;
};

// Makes all shards that have no path. Shards that do not hold against the .ecsum are not used and made anew as well.
// unavailable when too few are left; corrupt when the .ecsum itself is damaged or another encoding's.
Result<std::vector<ShardId>> rebuild(io::Disk& disk, const RebuildJob& job);

struct DecodeJob {
  Scheme scheme;
  std::map<ShardId, std::string> paths;
  EcFiles files;
  std::uint64_t dat_bytes_encoded = 0;  // .vif's datFileSize; 0: unknown
  volume::VolumePlace target;
};

// Makes .dat and .idx at the target. Any `data` of the shards will do. Code::stale "... has no live entries" when every
// file was deleted.
Status decode(io::Disk& disk, const DecodeJob& job);

// Marks the journal's ids deleted in the index and removes the journal. Code::corrupt for a journal that ends in a part
// of an id.
Status fold(io::Disk& disk, const EcFiles& files);

}  // namespace holdfast::ec
