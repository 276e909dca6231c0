#include "storage/ec/ec_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "storage/ec/encode.h"
#include "storage/ec/sorted_index.h"

namespace holdfast::ec {

// One order at a time on a volume; waits for its turn.
class EcStore::Claim {
 public:
  Claim(EcStore& store, VolumeId id) : store_(store), id_(id.value()) {
    Guard guard(store_.mutex_);
    while (store_.claimed_.contains(id_)) store_.claim_given_back_.wait(store_.mutex_);
    store_.claimed_.insert(id_);
  }
  ~Claim() {
    Guard guard(store_.mutex_);
    store_.claimed_.erase(id_);
    store_.claim_given_back_.notify_all();
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  EcStore& store_;
  const std::uint32_t id_;
};

namespace {

Error different_run(VolumeId id) {
  return Error(Code::stale, "ec volume " + text(id) + " belongs to a different encode run");
}

Error missing(VolumeId id) { return Error(Code::not_found, "ec volume " + text(id) + " not found"); }

}  // namespace

EcStore::EcStore(const volume::Surroundings& around, std::vector<Folder> folders)
    : around_(around), folders_(std::move(folders)) {}

// --- the table ---

std::shared_ptr<EcVolume> EcStore::find(VolumeId id) const {
  Guard guard(mutex_);
  const auto it = volumes_.find(id.value());
  return it == volumes_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<EcVolume>> EcStore::volumes() const {
  std::vector<std::shared_ptr<EcVolume>> out;
  Guard guard(mutex_);
  for (const auto& [id, volume] : volumes_) out.push_back(volume);
  return out;
}

std::vector<EcShardsInfo> EcStore::infos() const {
  std::vector<EcShardsInfo> out;
  for (const auto& volume : volumes()) {
    for (auto& info : volume->infos()) out.push_back(std::move(info));
  }
  return out;
}

std::vector<VolumePlace> EcStore::places(VolumeId id, const std::string& collection) const {
  std::vector<VolumePlace> out;
  for (const auto& folder : folders_) {
    out.push_back({.id = id,
                   .collection = collection,
                   .data_folder = folder.data,
                   .index_folder = folder.index,
                   .disk_type = folder.disk_type,
                   .disk_id = folder.disk_id});
  }
  return out;
}

std::vector<EcFiles> EcStore::files_of(VolumeId id, const std::string& collection) const {
  std::vector<EcFiles> out;
  std::vector<EcFiles> without;
  for (const auto& place : places(id, collection)) {
    EcFiles files(around_.disk, place);
    const bool has_shards = !files.shards().empty();
    // An index folder that several data folders share does not make the volume lie in all of them.
    if (files.has_index() && (has_shards || files.index_folder() == place.data_folder || folders_.size() == 1)) {
      out.push_back(files);
    } else if (has_shards) {
      without.push_back(files);
    }
  }
  if (out.empty()) {
    for (const auto& place : places(id, collection)) {
      EcFiles files(around_.disk, place);
      if (files.has_index()) {
        out.push_back(files);
        break;
      }
    }
  }
  out.insert(out.end(), without.begin(), without.end());
  return out;
}

std::map<ShardId, std::string> EcStore::shard_paths(const std::vector<EcFiles>& all) {
  std::map<ShardId, std::string> out;
  for (const auto& files : all) {
    for (const auto& [id, bytes] : files.shards()) out.emplace(id, files.shard(id));
  }
  return out;
}

Result<EcFiles> EcStore::place_for_copies(VolumeId id, const std::string& collection, std::uint32_t disk_id) const {
  if (const auto there = files_of(id, collection); !there.empty() && disk_id == 0) return there.front();
  const auto all = places(id, collection);
  if (disk_id > all.size()) return Error(Code::invalid, "there is no disk " + std::to_string(disk_id));
  if (disk_id > 0) return EcFiles(around_.disk, all[disk_id - 1]);
  const VolumePlace* best = &all.front();
  std::uint64_t most = 0;
  for (const auto& place : all) {
    const auto space = around_.disk.space(place.data_folder);
    if (space && space->free > most) {
      most = space->free;
      best = &place;
    }
  }
  return EcFiles(around_.disk, *best);
}

Status EcStore::make_room(VolumeId id, const std::string& collection, std::int64_t run, bool with_index) {
  const Claim claim(*this, id);
  const bool has_shards = find(id) != nullptr || !shard_paths(files_of(id, collection)).empty();
  for (const auto& place : places(id, collection)) {
    const EcFiles files(around_.disk, place);
    const auto own = encode_ts_of(files.read_settings());
    const bool is_other = own != 0 && run != 0 && own != run;
    if (is_other && (!files.shards().empty() || (!with_index && files.has_index()))) return different_run(id);
    const bool is_left = is_other || (!files.has_index() && (own != run || run == 0));
    if (!with_index || has_shards || !is_left) continue;
    if (auto removed = files.remove_all(); !removed) return removed;
  }
  return {};
}

Status EcStore::add_deletions(const EcFiles& here, const std::vector<NeedleId>& keys) {
  const auto id = here.place().id;
  const Claim claim(*this, id);
  if (const auto volume = find(id); volume && here.has_index()) {
    for (const auto key : keys) {
      const auto removed = volume->remove(key);
      if (!removed && removed.error().code() != Code::not_found) return removed;
    }
    return {};
  }
  const auto own = around_.disk.read_file(here.journal(), kJournalBytesMax);
  if (!own && own.error().code() != Code::not_found) return own.error();
  std::string all;
  std::set<std::uint64_t> known;
  const auto add = [&](NeedleId key) {
    if (known.insert(key.value()).second) append_journal(all, key);
  };
  if (own) std::ranges::for_each(parse_journal(bytes_of(*own)), add);
  std::ranges::for_each(keys, add);
  return around_.disk.replace_file(here.journal(), all);
}

Status EcStore::take_over(VolumeId id, const std::string& collection, const std::string& incoming, const std::string& path) {
  auto& disk = around_.disk;
  for (const auto& here : files_of(id, collection)) {
    if (path == here.journal()) {
      const auto journal = disk.read_file(incoming, kJournalBytesMax);
      if (!journal) return journal.error();
      if (auto removed = disk.remove(incoming); !removed) return removed;  // first: its name may be wanted on the way
      return add_deletions(here, parse_journal(bytes_of(*journal)));
    }
    if (path == here.index() && here.has_index()) {
      const auto deleted = deletions_in(disk, incoming, path);
      if (deleted) {
        if (auto removed = disk.remove(incoming); !removed) return removed;
        return add_deletions(here, *deleted);
      }
      if (deleted.error().code() != Code::stale) return deleted.error();
      if (auto removed = here.remove_journal(); !removed) return removed;
    }
  }
  return disk.rename(incoming, path);
}

// --- orders ---

Status EcStore::generate(volume::Volume& volume, std::optional<Scheme> scheme, const Uuid& encode_uuid,
                         std::uint64_t bytes_per_second) {
  const Claim claim(*this, volume.id());
  if (find(volume.id())) {
    return Error(Code::busy, "ec volume " + text(volume.id()) + " is mounted here already: unmount its shards first");
  }
  if (auto on_disk = volume.check_on_disk(); !on_disk) return on_disk;
  if (auto synced = volume.sync(); !synced) return synced;
  const auto before = volume.info();
  const EcFiles files(around_.disk, volume.place());
  const auto settings = files.read_settings();
  EncodeJob job;
  if (scheme) {
    job.scheme = *scheme;
  } else if (scheme_of(settings).is_valid()) {
    job.scheme = scheme_of(settings);
  }
  // The index first: what it speaks of is in the .dat by then.
  job.idx_bytes = volume.idx_bytes();
  job.dat_bytes = volume.dat_bytes();
  job.version = static_cast<std::uint32_t>(volume.version());
  const auto now = around_.clock.wall().time_since_epoch();
  job.encode_ts_ns = std::max<std::int64_t>(now.count(), 1);
  if (const auto minutes = volume.ttl().minutes(); minutes > 0) {
    job.expire_at_sec =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()) + minutes * 60;
  }
  const auto uuid = uuid_bytes(encode_uuid);
  std::copy(uuid.begin(), uuid.end(), job.encode_uuid.begin());
  job.bytes_per_second = bytes_per_second;
  if (!volume.is_read_only()) {
    LOG_WARNING("volume {}: encoded while it takes writes: what is written from now on will not be in its shards",
                text(volume.id()));
  }
  volume.note_encoding({job.scheme.data, job.scheme.parity, job.encode_ts_ns}, job.dat_bytes);
  if (auto made = encode(around_.disk, volume.place(), job); !made) {
    return made.error().at("volume " + text(volume.id()) + ": encode");
  }
  // A vacuum may have put other files under the same names.
  std::uint8_t superblock[volume::kSuperblockBytes];
  const auto dat = around_.disk.open(files.dat(), {});
  const auto got = dat ? (*dat)->read(0, superblock) : Result<std::size_t>(dat.error());
  const auto now_there = got ? volume::Superblock::parse(BytesView(superblock, *got)) : Result<volume::Superblock>(got.error());
  if (!now_there || now_there->compact_revision != before.compact_revision) {
    if (auto removed = EcFiles(around_.disk, volume.place()).remove_all(); !removed) return removed;
    return Error(Code::stale, "volume " + text(volume.id()) + " was compacted while it was encoded: encode it again");
  }
  LOG_INFO("volume {}: encoded into {} shards of {} MiB", text(volume.id()), text(job.scheme),
           shard_bytes(job.scheme, job.dat_bytes) >> 20);
  return {};
}

Result<std::vector<ShardId>> EcStore::rebuild(VolumeId id, const std::string& collection, bool ignore_checksums) {
  const Claim claim(*this, id);
  const auto all = files_of(id, collection);
  if (all.empty() || !all.front().has_index()) return missing(id);
  const auto settings = all.front().read_settings();
  RebuildJob job{.scheme = scheme_of(settings), .paths = shard_paths(all), .target = all.front()};
  if (!job.scheme.is_valid()) return Error(Code::corrupt, "ec volume " + text(id) + ": its .vif names impossible shards");
  job.encode_ts_ns = encode_ts_of(settings);
  job.ignore_checksums = ignore_checksums;
  auto made = ec::rebuild(around_.disk, job);
  if (!made) return made.error().at("ec volume " + text(id) + ": rebuild");
  if (const auto volume = find(id)) {
    if (auto folded = volume->fold(); !folded) return folded.error();
    // One that was mounted and is made anew has another file behind its name now.
    std::vector<ShardId> again;
    for (const auto shard : *made) {
      if (volume->drop_shard(shard)) again.push_back(shard);
    }
    if (auto mounted = mount_claimed(id, collection, again); !mounted) return mounted.error();
  } else {
    for (const auto& files : all) {
      if (!files.has_index()) continue;
      if (auto folded = ec::fold(around_.disk, files); !folded) return folded.error();
    }
  }
  if (!made->empty()) LOG_INFO("ec volume {}: {} shards rebuilt", text(id), made->size());
  return made;
}

Status EcStore::mount(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards) {
  const Claim claim(*this, id);
  return mount_claimed(id, collection, shards);
}

Status EcStore::mount_claimed(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards) {
  const auto all = files_of(id, collection);
  for (const auto shard : shards) {
    const auto where = std::find_if(all.begin(), all.end(), [&](const EcFiles& files) { return files.shards().contains(shard); });
    if (where == all.end()) {
      return Error(Code::not_found, fmt::format("MountEcShards {}.{} not found on disk", text(id), shard));
    }
    auto volume = find(id);
    if (!volume) {
      const auto index = where->has_index() ? *where : all.front();
      if (!index.has_index()) {
        return Error(Code::not_found, fmt::format("MountEcShards {}.{}: cannot open ec volume index {}", text(id), shard,
                                                  where->index()));
      }
      auto opened = EcVolume::open(around_, index);
      if (!opened) return opened.error();
      volume = *opened;
    }
    if (auto added = volume->add_shard(*where, shard); !added) return added;
    Guard guard(mutex_);
    volumes_.emplace(id.value(), volume);
  }
  return {};
}

void EcStore::drop_shards(VolumeId id, const std::vector<ShardId>& shards) {
  const auto volume = find(id);
  if (!volume) return;
  for (const auto shard : shards) volume->drop_shard(shard);
  if (volume->bits() != 0) return;
  Guard guard(mutex_);
  volumes_.erase(id.value());
}

Status EcStore::unmount(VolumeId id, const std::vector<ShardId>& shards, std::int64_t encode_ts_ns) {
  const Claim claim(*this, id);
  const auto volume = find(id);
  if (!volume) return {};
  if (encode_ts_ns != 0 && volume->encode_ts_ns() != encode_ts_ns) return different_run(id);
  drop_shards(id, shards);
  return {};
}

Status EcStore::remove(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards, bool all,
                       std::int64_t encode_ts_ns) {
  const Claim claim(*this, id);
  for (const auto& files : files_of(id, collection)) {
    if (encode_ts_ns != 0 && encode_ts_of(files.read_settings()) != encode_ts_ns) return different_run(id);
  }
  std::vector<ShardId> every;
  for (ShardId shard = 0; shard < kShardsMax; shard++) every.push_back(shard);
  drop_shards(id, all ? every : shards);
  for (const auto& place : places(id, collection)) {
    const EcFiles files(around_.disk, place);
    const auto there = files.shards();
    if (all) {
      if (auto removed = files.remove_all(); !removed) return removed;
      continue;
    }
    // Empty ones too, which a crash leaves at the begin of an encoding and which count as none elsewhere.
    const bool named = std::any_of(shards.begin(), shards.end(), [&](const auto shard) { return around_.disk.info(files.shard(shard)).ok(); });
    if (there.empty() && !named && !files.has_index()) continue;
    if (auto removed = files.remove_shards(shards); !removed) return removed;
    // An index folder that is shared by data folders goes with the last shard of all of them.
    const bool last = files.shards().empty();
    const bool shared = folders_.size() > 1 && files.index_folder() != place.data_folder && !shard_paths(files_of(id, collection)).empty();
    if (last && !shared) {
      if (auto removed = files.remove_all(); !removed) return removed;
    }
  }
  return {};
}

Status EcStore::to_volume(VolumeId id, const std::string& collection) {
  const Claim claim(*this, id);
  const auto all = files_of(id, collection);
  if (all.empty() || !all.front().has_index()) return missing(id);
  const auto& home = all.front();
  const auto settings = home.read_settings();
  if (!scheme_of(settings).is_valid()) return Error(Code::corrupt, "ec volume " + text(id) + ": its .vif names impossible shards");
  if (const auto volume = find(id)) {
    if (auto folded = volume->fold(); !folded) return folded;
  } else {
    for (const auto& files : all) {
      if (!files.has_index()) continue;
      if (auto folded = ec::fold(around_.disk, files); !folded) return folded;
    }
  }
  DecodeJob job{.scheme = scheme_of(settings), .paths = shard_paths(all), .files = home, .target = home.place()};
  job.dat_bytes_encoded = static_cast<std::uint64_t>(std::max<std::int64_t>(settings.dat_file_size, 0));
  if (auto made = decode(around_.disk, job); !made) return made;
  LOG_INFO("ec volume {}: decoded into {}", text(id), home.dat());
  return {};
}

std::vector<VolumeId> EcStore::tend(std::uint64_t now_seconds) {
  std::vector<VolumeId> out;
  for (const auto& volume : volumes()) {
    if (volume->expire_at_sec() == 0 || now_seconds <= volume->expire_at_sec()) continue;
    LOG_INFO("ec volume {}: deleted: its ttl is over", text(volume->id()));
    if (auto removed = remove(volume->id(), volume->collection(), {}, true, 0); !removed) {
      LOG_ERROR("ec volume {}: {}", text(volume->id()), removed.error().what());
      continue;
    }
    out.push_back(volume->id());
  }
  return out;
}

std::vector<VolumeId> EcStore::remove_collection(const std::string& collection,
                                                 const std::function<bool(VolumeId)>& may) {
  std::set<std::uint32_t> ids;
  for (const auto& volume : volumes()) {
    if (volume->collection() == collection) ids.insert(volume->id().value());
  }
  // Also what is not mounted: it would come back with the next start.
  for (const auto& [volume, shards] : shards_on_disk()) {
    if (volume.second == collection) ids.insert(volume.first);
  }
  std::vector<VolumeId> out;
  for (const auto value : ids) {
    const VolumeId id(value);
    if (may && !may(id)) continue;
    if (auto removed = remove(id, collection, {}, true, 0); !removed) {
      LOG_ERROR("collection {}: ec volume {}: {}", collection, text(id), removed.error().what());
    } else {
      out.push_back(id);
    }
  }
  return out;
}

}  // namespace holdfast::ec
