// EcStore's start: what crashes, copies and upstream left in the folders. See the table in ec_store.h.
#include <algorithm>

#include "base/log.h"
#include "base/strconv.h"
#include "core/ec/layout.h"
#include "storage/ec/ec_store.h"

namespace holdfast::ec {

std::optional<VolumePlace> place_of_base(std::string_view base) {
  VolumePlace place;
  const auto underscore = find_last(base, '_');
  auto digits = base;
  if (underscore != std::string_view::npos && underscore > 0) {
    place.collection = base.substr(0, underscore);
    digits = base.substr(underscore + 1);
  }
  const auto id = strconv::parse_uint(digits, 10, 64);
  if (!id) return {};
  place.id = VolumeId(static_cast<std::uint32_t>(*id));
  if (place.base_name() != base) return {};
  return place;
}

void EcStore::sweep() {
  for (const auto& folder : folders_) sweep_folder(folder);
}

void EcStore::sweep_folder(const Folder& folder) {
  std::map<std::string, std::set<std::string>, std::less<>> found;
  for (const auto& path : std::set<std::string>{folder.data, folder.index}) {
    const auto names = around_.disk.list(path);
    if (!names) {
      LOG_ERROR("{}", names.error().what());
      continue;
    }
    for (const auto& name : *names) {
      const bool unfinished = name.ends_with(".tmp") || name.ends_with(".rebuilding");
      if (unfinished && name.find(".ec") != std::string::npos) {
        LOG_INFO("{}: removed: it was not finished when the server ended", io::join(path, name));
        (void)around_.disk.remove(io::join(path, name));
        continue;
      }
      const auto [base, ext] = split_name(name);
      if (ext == ".ecx" || shard_of(ext)) found[std::string(base)].insert(std::string(ext));
    }
  }
  for (const auto& [base, exts] : found) {
    auto place = place_of_base(base);
    if (!place) continue;
    place->data_folder = folder.data;
    place->index_folder = folder.index;
    place->disk_type = folder.disk_type;
    place->disk_id = folder.disk_id;
    sweep_base(*place, exts);
  }
}

void EcStore::sweep_base(const VolumePlace& place, const std::set<std::string>& exts) {
  auto& disk = around_.disk;
  const EcFiles files(disk, place);
  const auto name = "ec volume " + text(place.id);
  const auto say = [&](Status done) {
    if (!done) LOG_ERROR("{}: {}", name, done.error().what());
  };
  for (const auto& ext : exts) {
    const auto id = shard_of(ext);
    if (!id) continue;
    const auto info = disk.info(files.shard(*id));
    if (!info || info->size > 0) continue;
    if (around_.clock.wall() - info->modified > kEmptyShardAge) say(files.remove_shards({*id}));
  }
  const auto shards = files.shards();
  const auto settings = files.read_settings();
  const auto dat = disk.info(files.dat());
  if (dat && dat->size <= volume::kSuperblockBytes && settings.ec_shard_config && files.has_index()) {
    LOG_INFO("{}: its empty .dat is removed: the shards are the volume", name);
    const auto idx = disk.info(io::join(place.data_folder, place.base_name() + ".idx")).ok()
                         ? io::join(place.data_folder, place.base_name() + ".idx")
                         : place.idx();
    for (const auto& path : {files.dat(), idx}) {
      const auto removed = disk.remove(path);
      if (!removed && removed.error().code() != Code::not_found) LOG_ERROR("{}", removed.error().what());
    }
    say(files.sync_names());
  }
  const bool filled = dat && dat->size > volume::kSuperblockBytes;
  bool index_anywhere = files.has_index();
  for (const auto& other : places(place.id, place.collection)) {
    index_anywhere = index_anywhere || EcFiles(disk, other).has_index();
  }
  if (filled && !index_anywhere) {
    if (shards.empty()) return;
    LOG_WARNING("{}: {} shards without an index beside the volume's .dat are removed: its encoding was not finished",
                name, shards.size());
    say(files.remove_all());
    return;
  }
  if (filled && files.has_index()) {
    const auto scheme = scheme_of(settings);
    const auto wanted = scheme.is_valid() ? shard_bytes(scheme, dat->size) : UINT64_MAX;
    const bool is_short = std::any_of(shards.begin(), shards.end(), [&](const auto& s) { return s.second < wanted; });
    const bool elsewhere = shards.empty() && !shard_paths(files_of(place.id, place.collection)).empty();
    if ((shards.empty() && !elsewhere) || is_short) {
      LOG_WARNING("{}: its encoding was not finished: its files are removed and the volume is served", name);
      say(files.remove_all());
      return;
    }
    LOG_WARNING("{}: its shards are served and {} is left alone: if the encoding was finished, delete that file",
                name, files.dat());
    superseded_.insert(files.dat());
    return;
  }
  if (!shards.empty() && !files.has_index()) mirror_index(files);
}

// The .ecx last: a folder that has it has the others too.
void EcStore::mirror_index(const EcFiles& files) {
  auto& disk = around_.disk;
  for (const auto& other : files_of(files.place().id, files.place().collection)) {
    if (!other.has_index() || other.place().data_folder == files.place().data_folder) continue;
    if (other.index() == files.index()) return;
    const std::pair<std::string, std::string> copies[] = {{other.settings(), files.settings()},
                                                          {other.checksums(), files.checksums()},
                                                          {other.journal(), files.journal()},
                                                          {other.index(), files.index()}};
    for (const auto& [from, to] : copies) {
      if (disk.info(to).ok()) continue;
      const auto content = disk.read_file(from, 1_GiB);
      if (!content && content.error().code() == Code::not_found) continue;
      const auto copied = content ? disk.replace_file(to, *content) : Status(content.error());
      if (!copied) {
        LOG_ERROR("{}", copied.error().what());
        return;
      }
    }
    LOG_INFO("ec volume {}: its index was copied from {} to {}", text(files.place().id), other.index_folder(),
             files.index_folder());
    return;
  }
}

std::map<std::pair<std::uint32_t, std::string>, std::vector<ShardId>> EcStore::shards_on_disk() const {
  std::map<std::pair<std::uint32_t, std::string>, std::vector<ShardId>> out;
  for (const auto& folder : folders_) {
    const auto names = around_.disk.list(folder.data);
    if (!names) continue;
    for (const auto& name : *names) {
      const auto [base, ext] = split_name(name);
      const auto shard = shard_of(ext);
      const auto place = place_of_base(base);
      if (!shard || !place) continue;
      const auto info = around_.disk.info(io::join(folder.data, name));
      if (info && info->size > 0) out[{place->id.value(), place->collection}].push_back(*shard);
    }
  }
  return out;
}

std::size_t EcStore::mount_orphans() {
  std::size_t mounted = 0;
  for (const auto& [volume, shards] : shards_on_disk()) {
    const VolumeId id(volume.first);
    const auto all = files_of(id, volume.second);
    if (all.empty() || !all.front().has_index()) {
      LOG_WARNING("ec volume {}: {} shards are not mounted: no .ecx is in any folder; copy it from a server that has "
                  "it", text(id), shards.size());
      continue;
    }
    const auto there = find(id);
    for (const auto shard : shards) {
      if (there && (there->bits() >> shard & 1) != 0) continue;
      if (auto done = mount(id, volume.second, {shard}); !done) {
        LOG_ERROR("{}: not mounted; the files stay as they are", done.error().what());
      } else {
        mounted++;
      }
    }
  }
  return mounted;
}

std::size_t EcStore::load() { return mount_orphans(); }

}  // namespace holdfast::ec
