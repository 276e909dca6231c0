// Picture: what lies where, as a value: all that the planners of repair, balance and evacuation look at, and what they
// draw their steps into. A master fills it from its topology, a tool from a VolumeList.
//
// And the one rule about replica placement (spec/weed-cluster 4.3): a full set of places for xyz is z+1 servers in one
// rack, one more server in each of y other racks of that data center, and one in each of x other data centers.
//
// Pure values. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/ec_shards_info.h"
#include "model/ids.h"
#include "model/replica_placement.h"
#include "model/volume_info.h"

namespace holdfast::topology {

struct PictureDisk {
  std::int64_t max = 0;   // slots
  std::int64_t free = 0;  // slots that take another volume
  std::uint64_t total_bytes = 0;  // 0: not told
  std::uint64_t free_bytes = 0;
};

struct PictureServer {
  std::string id;   // as the masters know it
  Address address;  // HTTP and gRPC
  std::string data_center;
  std::string rack;
  std::map<std::string, PictureDisk> disks;  // by canonical disk type: "" is hdd
  std::vector<VolumeInfo> volumes;
  std::vector<EcShardsInfo> shards;  // several of one volume when it lies on several disks
  bool takes_volumes = true;         // false: no target (silent, leaving, filtered out)

  const VolumeInfo* find(VolumeId volume) const;
  std::uint32_t shard_bits(VolumeId volume) const;  // of all disks
  std::int64_t free_slots(const std::string& disk_type) const;
};

struct Picture {
  std::vector<PictureServer> servers;
  std::uint64_t volume_size_limit = 0;  // bytes

  // By id or by "host:port"; null when there is none.
  const PictureServer* find(std::string_view server) const;
  std::vector<const PictureServer*> holders(VolumeId volume) const;
  std::vector<const PictureServer*> shard_holders(VolumeId volume) const;
};

struct Place {
  std::string data_center;
  std::string rack;
  std::string server;
};
inline Place place_of(const PictureServer& server) { return {server.data_center, server.rack, server.id}; }

// Whether these places are a full set, or can become one by adding places. False when a server stands there twice.
bool fits_placement(const ReplicaPlacement& placement, const std::vector<Place>& places);

// Whether they are a full set.
bool satisfies_placement(const ReplicaPlacement& placement, const std::vector<Place>& places);

// The most of these places that fit together; ties go to those that stand earlier. Indexes, ascending.
std::vector<std::size_t> largest_fitting(const ReplicaPlacement& placement, const std::vector<Place>& places);

}  // namespace holdfast::topology
