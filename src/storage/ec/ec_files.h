// The files of an erasure-coded volume in one folder, and how they are named (spec/volume-format 1, 13).
//
//   <base>.ec00 ...  the shards        data folder
//   <base>.ecsum     their checksums   data folder
//   <base>.vif       k, m, the .dat's length, which encoding   data folder
//   <base>.ecx .ecj  index, deletions  index folder, or beside the shards
//
// An .ecx is what makes a set: it takes its name last when a volume is encoded and loses it first when one is removed,
// so shards without one, beside a .dat, are what a crash left of an encoding.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/ec/scheme.h"
#include "io/disk.h"
#include "storage/volume/volume.h"
#include "storage/volume/volume_settings.h"

namespace holdfast::ec {

using volume::VolumePlace;
using volume::VolumeSettings;

class EcFiles {
 public:
  EcFiles(io::Disk& disk, const VolumePlace& place);

  const VolumePlace& place() const { return place_; }
  std::string shard(ShardId id) const;  // .../7.ec03
  std::string checksums() const { return data(".ecsum"); }
  std::string settings() const { return data(".vif"); }
  std::string dat() const { return data(".dat"); }
  // In the folder where the .ecx is; without one, in the index folder.
  std::string index() const { return io::join(index_folder_, place_.base_name() + ".ecx"); }
  std::string journal() const { return io::join(index_folder_, place_.base_name() + ".ecj"); }
  std::string index_folder() const { return index_folder_; }

  bool has_index() const { return disk_->info(index()).ok(); }
  // Shards with bytes in them, and their lengths.
  std::map<ShardId, std::uint64_t> shards() const;
  // The .vif as it stands; a missing, empty or unparsable one counts as 10+4 of unknown length.
  VolumeSettings read_settings() const;

  // --- removing --- all durable when they return ok; what is not there is no error
  Status remove_shards(const std::vector<ShardId>& ids) const;
  Status remove_journal() const { return drop(journal()); }
  // The index first. Everything but the .dat and .idx; the .vif too unless a .dat needs it.
  Status remove_all() const;

  // Makes `folder`'s names durable, and the index folder's when that is another.
  Status sync_names() const;

 private:
  std::string data(const char* ext) const { return io::join(place_.data_folder, place_.base_name() + ext); }
  Status drop(const std::string& path) const;

  io::Disk* disk_;
  VolumePlace place_;
  std::string index_folder_;
};

// ".ec07" -> 7; nothing for other extensions and for shards that cannot be.
std::optional<ShardId> shard_of(std::string_view ext);

// "pics_7.ec03" -> ("pics_7", ".ec03"), split at the last dot.
std::pair<std::string_view, std::string_view> split_name(std::string_view name);

Scheme scheme_of(const VolumeSettings& settings);
std::int64_t encode_ts_of(const VolumeSettings& settings);

}  // namespace holdfast::ec
