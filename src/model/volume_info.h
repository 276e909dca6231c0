// VolumeInfo: what a volume server tells of one volume, in heartbeats (master_pb.VolumeInformationMessage), in
// /status and /vol/status (spec/weed-cluster 3.12, 5.3; spec/weed-grpc 4).
#pragma once

#include <cstdint>
#include <string>

#include "model/ids.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast {

struct VolumeInfo {
  VolumeId id;
  std::string collection;
  std::string disk_type;  // "" is hdd
  std::uint32_t disk_id = 0;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::uint32_t version = 3;
  std::uint32_t compact_revision = 0;

  std::uint64_t size = 0;          // bytes of the .dat file: what masters hold against the volume size limit
  std::uint64_t content_size = 0;  // sum of the needles' size fields: what /status calls Size
  std::uint64_t file_count = 0;    // puts since the last vacuum, overwrites included
  std::uint64_t delete_count = 0;  // deletes and overwrites
  std::uint64_t deleted_byte_count = 0;
  NeedleId max_key;                // largest key ever put or deleted; masters assign above it

  bool read_only = false;
  std::int64_t modified_at_second = 0;
  std::string remote_storage_name;  // where its .dat lies when that is a remote tier (model/tier_backend.h); else ""
  std::string remote_storage_key;

  // Which set of copies this one belongs to (docs/self-healing.md); 0: that of the volume's first days. Never told by
  // upstream's servers.
  std::uint64_t replica_epoch = 0;
  // It serves nothing any more: others have taken its place, or it was one too many. Never told by upstream's servers.
  bool replica_outdated = false;

  bool is_remote() const { return !remote_storage_name.empty(); }

  friend bool operator==(const VolumeInfo&, const VolumeInfo&) = default;
};

}  // namespace holdfast
