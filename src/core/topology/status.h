// What the picture of the volume servers looks like to people and programs: plain values made for one answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/ec_shards_info.h"
#include "model/ids.h"
#include "model/replica_placement.h"
#include "model/ttl.h"
#include "model/volume_info.h"

namespace holdfast::topology {

using VolumeInfoPtr = std::shared_ptr<const VolumeInfo>;

struct DiskStatus {
  std::int64_t max = 0;      // slots told by the server
  std::int64_t volumes = 0;
  std::int64_t free = 0;     // max - volumes - ceil(ec shards / 10), may be negative
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::vector<VolumeId> volume_ids;  // ascending
};

struct ServerStatus {
  std::string id;          // ip:port unless the server has a name
  std::string url;         // ip:port
  std::string public_url;
  std::uint32_t grpc_port = 0;
  bool writable = true;    // false: silent, leaving or sharing the fate of a lost leader; `state` says which
  std::string state;       // "ok", "silent", "leaving", "refused: ...", in words for people
  bool leaving = false;    // it has said goodbye: no place for anything new
  bool in_maintenance = false;  // what is there is read; no place for anything new either
  Duration silent_for{0};  // since its last report
  std::int64_t max = 0;
  std::int64_t free = 0;
  std::int64_t volumes = 0;
  std::uint32_t ec_shards = 0;
  std::uint64_t used_bytes = 0;              // sum of its volumes' sizes
  std::map<std::string, DiskStatus> disks;   // by disk type, "" is hdd
  std::vector<VolumeInfoPtr> volume_infos;   // ascending by id; only when asked for
  std::vector<EcShardsInfo> ec_infos;        // likewise, one for each disk of a volume
};
struct RackStatus {
  std::string id;
  std::vector<ServerStatus> servers;  // by url
};
struct DataCenterStatus {
  std::string id;
  std::vector<RackStatus> racks;  // by id
};

// A layout is (collection, replication, ttl, disk type): volumes of one layout are interchangeable for an assign.
struct LayoutStatus {
  std::string collection;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::string disk_type;  // "" is hdd; /dir/status shows "hdd"
  std::vector<VolumeId> writables;  // ascending
  std::uint64_t crowded = 0;        // of the writable ones, those over 90 % full
  std::uint64_t volumes = 0;        // all, writable or not
  std::uint64_t short_of_copies = 0;  // of all of them
};

struct MisplacedVolume {
  std::string collection;
  VolumeId volume;
};

struct TopologyStatus {
  std::int64_t max = 0;
  std::int64_t free = 0;
  std::vector<DataCenterStatus> data_centers;  // by id
  std::vector<LayoutStatus> layouts;           // by collection, replication, ttl, disk type
  std::uint64_t volumes = 0;                   // logical: each id once
  std::vector<MisplacedVolume> misplaced;      // whose copies stand where their replication does not want them, by id
};

// Of /collection/info, one per collection or (detail) per layout, and of the Statistics rpc.
struct CollectionStatus {
  std::string collection;
  std::uint64_t file_count = 0;
  std::uint64_t total_size = 0;  // size limit x writable volumes + used sizes of the others
  std::uint64_t used_size = 0;
  std::uint64_t layouts = 0;     // upstream calls it VolumeCount
  std::uint64_t volumes = 0;
};

}  // namespace holdfast::topology
