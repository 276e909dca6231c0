#include "storage/ec/ec_files.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/strconv.h"

namespace holdfast::ec {

std::optional<ShardId> shard_of(std::string_view ext) {
  if (!ext.starts_with(".ec") || ext.size() < 5 || ext.size() > 6) return {};
  const auto id = strconv::parse_uint(ext.substr(3), 10, 32);
  if (!id || *id >= kShardsMax) return {};
  for (const char c : ext.substr(3)) {
    if (c < '0' || c > '9') return {};
  }
  return static_cast<ShardId>(*id);
}

std::pair<std::string_view, std::string_view> split_name(std::string_view name) {
  const auto dot = find_last(name, '.');
  if (dot == std::string_view::npos || dot == 0) return {name, {}};
  return {name.substr(0, dot), name.substr(dot)};
}

Scheme scheme_of(const VolumeSettings& settings) {
  const auto& config = settings.ec_shard_config;
  if (!config || (config->data_shards == 0 && config->parity_shards == 0)) return {};
  return {config->data_shards, config->parity_shards};
}

std::int64_t encode_ts_of(const VolumeSettings& settings) {
  return settings.ec_shard_config ? settings.ec_shard_config->encode_ts_ns : 0;
}

EcFiles::EcFiles(io::Disk& disk, const VolumePlace& place)
    : disk_(&disk), place_(place), index_folder_(place.index_folder) {
  const auto beside = data(".ecx");
  if (place.index_folder != place.data_folder && !has_index() && disk.info(beside).ok()) {
    index_folder_ = place.data_folder;
  }
}

std::string EcFiles::shard(ShardId id) const {
  return io::join(place_.data_folder, fmt::format("{}.ec{:02}", place_.base_name(), id));
}

std::map<ShardId, std::uint64_t> EcFiles::shards() const {
  std::map<ShardId, std::uint64_t> out;
  for (ShardId id = 0; id < kShardsMax; id++) {
    if (const auto info = disk_->info(shard(id)); info && info->size > 0) out[id] = info->size;
  }
  return out;
}

VolumeSettings EcFiles::read_settings() const {
  VolumeSettings none;
  none.bytes_offset = 0;
  const auto content = disk_->read_file(settings(), 1_MiB);
  if (!content || content->empty()) return none;
  auto parsed = VolumeSettings::parse(*content);
  if (!parsed) {
    LOG_WARNING("{}: {}: it counts as empty", settings(), parsed.error().what());
    return none;
  }
  return *parsed;
}

Status EcFiles::drop(const std::string& path) const {
  const auto removed = disk_->remove(path);
  if (!removed && removed.error().code() != Code::not_found) return removed;
  return {};
}

Status EcFiles::sync_names() const {
  if (auto synced = disk_->sync_dir(place_.data_folder); !synced) return synced;
  return index_folder_ == place_.data_folder ? Status() : disk_->sync_dir(index_folder_);
}

Status EcFiles::remove_shards(const std::vector<ShardId>& ids) const {
  for (const auto id : ids) {
    if (auto dropped = drop(shard(id)); !dropped) return dropped;
  }
  return disk_->sync_dir(place_.data_folder);
}

Status EcFiles::remove_all() const {
  if (auto dropped = drop(index()); !dropped) return dropped;
  if (auto dropped = drop(journal()); !dropped) return dropped;
  if (auto synced = sync_names(); !synced) return synced;
  for (ShardId id = 0; id < kShardsMax; id++) {
    for (const auto* ext : {"", ".rebuilding"}) {
      if (auto dropped = drop(shard(id) + ext); !dropped) return dropped;
    }
  }
  if (auto dropped = drop(checksums()); !dropped) return dropped;
  // Those of other generations, which only SeaweedFS writes and reads: left behind they would judge the next shards.
  const auto names = disk_->list(place_.data_folder);
  if (!names) return names.error();
  const auto prefix = place_.base_name() + ".ecsum.v";
  for (const auto& name : *names) {
    const bool is_generation = name.size() > prefix.size() && name.starts_with(prefix) &&
                               name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
    if (!is_generation) continue;
    if (auto dropped = drop(io::join(place_.data_folder, name)); !dropped) return dropped;
  }
  if (!disk_->info(dat()).ok()) {
    if (auto dropped = drop(settings()); !dropped) return dropped;
  }
  return disk_->sync_dir(place_.data_folder);
}

}  // namespace holdfast::ec
