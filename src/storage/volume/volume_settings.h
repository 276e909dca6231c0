// VolumeSettings: a volume's .vif, upstream's JSON to the byte (spec/volume-format 7).
//
// Upstream refuses unknown keys, so nothing of ours ever goes in here. A file that does not parse is left as it is and
// counts as empty. Pure: text in, text out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::volume {

struct RemoteFile {
  std::string backend_type;
  std::string backend_id;
  std::string key;
  std::uint64_t offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t modified_time = 0;
  std::string extension;

  std::string backend_name() const;  // "s3.cold", as that of a TierBackend

  friend bool operator==(const RemoteFile&, const RemoteFile&) = default;
};

struct EcShardConfig {
  std::uint32_t data_shards = 0;
  std::uint32_t parity_shards = 0;
  std::int64_t encode_ts_ns = 0;

  friend bool operator==(const EcShardConfig&, const EcShardConfig&) = default;
};

struct VolumeSettings {
  std::vector<RemoteFile> files;  // not empty: the data lies in a remote tier
  std::uint32_t version = 3;
  std::string replication;  // overrides the superblock's when not empty
  std::uint32_t bytes_offset = 4;
  std::int64_t dat_file_size = 0;
  std::uint64_t expire_at_sec = 0;
  bool read_only = false;
  std::optional<EcShardConfig> ec_shard_config;
  bool read_only_can_delete = false;

  friend bool operator==(const VolumeSettings&, const VolumeSettings&) = default;

  std::string json() const;

  // Accepts lowerCamel and proto names, numbers as numbers or strings, and the old BytesOffset and DestroyTime.
  // Code::corrupt for anything else, unknown keys included.
  static Result<VolumeSettings> parse(std::string_view json);
};

}  // namespace holdfast::volume
