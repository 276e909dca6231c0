// Report: what a volume server tells a master, free of the wire (master_pb.Heartbeat, spec/weed-cluster 5.3,
// spec/weed-grpc 5.1; api/ converts). And the names of places: a server lies in a rack of a data center.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/uuid.h"
#include "model/ec_shards_info.h"
#include "model/ids.h"
#include "model/volume_info.h"

namespace holdfast::topology {

inline constexpr const char* kDefaultDataCenter = "DefaultDataCenter";
inline constexpr const char* kDefaultRack = "DefaultRack";

// "" and "hdd" are the same disk type, upper case is lowered; the result is "" for hdd.
std::string canonical_disk_type(std::string_view disk_type);
// The name people see: "hdd" for "".
std::string disk_type_name(std::string_view canonical);

struct Report {
  // Who. Only the first report of a stream must carry it; empty fields later mean "as before".
  std::string id;  // "" = ip:port
  std::string ip;
  std::uint32_t port = 0;
  std::uint32_t grpc_port = 0;  // 0 = port + 10000
  std::string public_url;       // "" = ip:port
  std::string data_center;      // "" = DefaultDataCenter
  std::string rack;             // "" = DefaultRack

  // Room. By disk type; a count of 0 is no statement.
  std::map<std::string, std::uint32_t> max_volume_counts;
  std::map<std::string, std::uint64_t> disk_total_bytes;
  std::map<std::string, std::uint64_t> disk_free_bytes;

  // Volumes. `full`: `volumes` is all there is (upstream: volumes non-empty, or has_no_volumes). Otherwise silence about
  // a volume means nothing. `added` come from new_volumes, which upstream sends in short form (no sizes).
  bool full = false;
  std::vector<VolumeInfo> volumes;
  std::vector<VolumeInfo> changed;
  std::vector<VolumeInfo> added;
  std::vector<VolumeId> removed;
  // The digest of all it holds, and the hashes of `volumes` and `changed` (volume_digest.h). Only of upstream's servers.
  std::optional<std::uint64_t> digest;
  std::vector<std::pair<VolumeId, std::uint64_t>> hashes;
  // Shards of erasure-coded volumes, one entry for each disk of a volume. `ec_full`: `ec_shards` is all there is. Those
  // added and removed carry the bits that changed.
  bool ec_full = false;
  std::vector<EcShardsInfo> ec_shards;
  std::vector<EcShardsInfo> ec_added;
  std::vector<EcShardsInfo> ec_removed;
  NeedleId max_file_key;                         // over all its volumes; 0: not told

  // Whether it takes changes at all; nothing: as before.
  std::optional<bool> in_maintenance;

  // Folders, by their vol_dir.uuid as text.
  std::vector<std::string> location_uuids;

  // Ours. All absent in reports of upstream's volume servers.
  std::optional<Uuid> process;       // differs with every start; inside `server` it is the master's own
  ClusterId cluster_id;              // whose volumes these were when last told; empty: never in a cluster of ours
  Generation generation;
  std::uint32_t feature_level = 0;
  std::optional<Duration> pulse;     // the next report follows this soon
  bool leaving = false;              // the last report: write no more to it
  bool pulses_by_datagram = false;   // it can, where it is told to

  bool is_ours() const { return process.has_value(); }
};

}  // namespace holdfast::topology
