// What a volume server is told at start: flags become this struct in cmd/, nothing below reads flags or environment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/address.h"

namespace holdfast::volume {

// One -dir with what belongs to it.
struct DirectoryConfig {
  std::string path;
  int volumes_max = 8;    // -max; 0: as many as fit the free space (spec/weed-cluster 5.6)
  std::string disk_type;  // -disk; "" is hdd
  std::vector<std::string> tags;

  // Below either bound every volume here is read-only. min_free_bytes wins when set.
  double min_free_percent = 1.0;
  std::uint64_t min_free_bytes = 0;
};

struct VolumeConfig {
  // How others reach this server.
  std::string ip;           // -ip, or detected
  std::uint16_t port = 8080;
  std::uint16_t grpc_port = 0;  // 0: port + 10000
  std::string public_url;   // "": ip:port
  std::string id;           // -id; "": ip:port
  std::string data_center;
  std::string rack;

  std::vector<DirectoryConfig> directories;
  std::string index_directory;  // -dir.idx; "": beside the data
  std::uint64_t index_cache_bytes = 0;  // -index: indexes lie on disk, and their caches take so much; 0: in memory

  // Seeds; the others are learned and kept in holdfast.json. A name with several addresses stands for as many masters
  // (client/discovery.h), and is looked up this often.
  std::vector<Address> masters;
  Duration discovery_interval = std::chrono::seconds(5);

  bool fsync = false;        // every write is on disk before it is acknowledged
  bool preallocate = false;  // until a master says otherwise
  std::uint64_t file_bytes_max = std::uint64_t{256} << 20;  // -fileSizeLimitMB; the front refuses beyond it
  Duration pre_stop = 10s;   // -preStopSeconds: between the last heartbeat and the stop
  std::uint64_t compaction_bytes_per_second = 0;  // -compactionMBps: of each vacuum; 0: no bound
  std::uint64_t maintenance_bytes_per_second = 0;  // -maintenanceMBps: of copies and scrubs; 0: no bound
  int disk_threads = 4;      // for what may block: reads beyond the page cache, synced writes
};

}  // namespace holdfast::volume
