// EcService: the erasure-coded volumes of one volume server as its fronts see them (spec/weed-grpc 6, 8).
//
// All calls but find-like ones wait for the disk, and some for other servers: make them within post(), which runs work
// on threads of its own. Reading a shard for another server is different: it goes through post_read(), whose threads
// never wait for another server, so two servers cannot wait for each other.
//
// Errors carry upstream's words.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/ec/scheme.h"
#include "model/address.h"
#include "model/ids.h"

namespace holdfast::volume {

class EcService {
 public:
  virtual ~EcService() = default;

  virtual bool post(std::function<void()> work) = 0;
  virtual bool post_read(std::function<void()> work) = 0;

  virtual Status generate(VolumeId id, const std::string& collection, std::optional<ec::Scheme> scheme) = 0;
  virtual Result<std::vector<ec::ShardId>> rebuild(VolumeId id, const std::string& collection, bool ignore_checksums) = 0;

  struct Copy {
    VolumeId id;
    std::string collection;
    std::vector<ec::ShardId> shards;
    bool index = false;      // .ecx
    bool journal = false;    // .ecj
    bool settings = false;   // .vif
    bool checksums = false;  // .ecsum
    Address source;
    std::uint32_t disk_id = 0;  // 0: any
    std::uint64_t bytes_per_second = 0;
  };
  virtual Status copy(const Copy& copy) = 0;

  struct Removal {
    VolumeId id;
    std::string collection;
    std::vector<ec::ShardId> shards;
    bool all = false;
    std::int64_t encode_ts_ns = 0;  // 0: of whatever encoding
  };
  virtual Status remove(const Removal& removal) = 0;

  // Volume 0: whatever lies in the folders. `fetch_index`: a missing index is fetched from a server that has it.
  virtual Status mount(VolumeId id, const std::string& collection, const std::vector<ec::ShardId>& shards,
                       bool fetch_index) = 0;
  virtual Status unmount(VolumeId id, const std::vector<ec::ShardId>& shards, std::int64_t encode_ts_ns) = 0;
  virtual Status to_volume(VolumeId id, const std::string& collection, bool from_staged) = 0;

  // A peer says that a file is deleted.
  virtual Status delete_blob(VolumeId id, NeedleId key) = 0;

  // A piece of a shard, in chunks of at most 2 MiB. `take` says whether to go on.
  struct Piece {
    std::string data;
    bool is_deleted = false;
    std::int64_t encode_ts_ns = 0;
  };
  struct PieceWish {
    VolumeId id;
    ec::ShardId shard = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    NeedleId key;                   // 0: not of a file
    std::int64_t encode_ts_ns = 0;  // 0: of whatever encoding
  };
  static constexpr std::size_t kChunkBytes = 2 << 20;
  // One chunk from the wish's offset on; empty where the shard ends.
  virtual Result<Piece> read_shard(const PieceWish& wish) = 0;

  struct Info {
    std::string collection;
    std::map<ec::ShardId, std::uint64_t> shards;  // mounted here, with their lengths
    std::uint64_t volume_bytes = 0;  // size fields of what is live
    std::uint64_t files = 0;
    std::uint64_t deleted = 0;
  };
  virtual Result<Info> info(VolumeId id) = 0;

  enum class ScrubMode { index, full, local, checksums };
  struct Scrubbed {
    std::uint64_t volumes = 0;
    std::uint64_t files = 0;
    struct Broken {
      VolumeId id;
      std::string collection;
      std::map<ec::ShardId, std::uint64_t> shards;
    };
    std::vector<Broken> broken;
    std::vector<std::string> details;
  };
  // Without ids: all volumes.
  virtual Result<Scrubbed> scrub(ScrubMode mode, const std::vector<VolumeId>& ids, bool with_deleted) = 0;
};

}  // namespace holdfast::volume
