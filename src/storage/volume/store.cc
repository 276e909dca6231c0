#include "storage/volume/store.h"

#include <algorithm>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/strconv.h"
#include "model/collection_name.h"
#include "storage/ec/ec_store.h"
#include "storage/volume/volume_settings.h"

namespace holdfast::volume {
namespace {

constexpr const char* kUuidFile = "vol_dir.uuid";
constexpr const char* kLockFile = "holdfast.lock";

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::binary_search(names.begin(), names.end(), name);
}

// "pics_7.idx" -> "pics_7"; nothing unless it ends so.
std::optional<std::string_view> base_of(std::string_view name, std::string_view ext) {
  if (!name.ends_with(ext) || name.size() == ext.size()) return {};
  return name.substr(0, name.size() - ext.size());
}

}  // namespace

Store::Store(const Surroundings& around) : around_(around) {}

Result<std::unique_ptr<Store>> Store::open(const Surroundings& around, io::Random& random,
                                           std::vector<FolderOptions> folders) {
  auto store = std::unique_ptr<Store>(new Store(around));
  if (folders.empty()) return Error(Code::invalid, "no folder for volumes");
  for (auto& options : folders) {
    if (options.index_path.empty()) options.index_path = options.path;
    if (auto opened = store->open_folder(random, std::move(options)); !opened) return opened.error();
  }
  std::vector<ec::EcStore::Folder> ec_folders;
  for (const auto& folder : store->folders_) {
    const auto& options = folder->options;
    ec_folders.push_back({options.path, options.index_path, options.disk_type, folder->disk_id});
  }
  store->ec_ = std::make_unique<ec::EcStore>(around, std::move(ec_folders));
  for (const auto& folder : store->folders_) {
    if (auto removed = store->remove_half_copies(*folder); !removed) return removed.error();
    if (auto finished = store->finish_vacuums(*folder); !finished) return finished.error();
  }
  store->ec_->sweep();
  std::vector<VolumePlace> places;
  for (const auto& folder : store->folders_) {
    for (auto& place : store->places_in(*folder)) {
      if (!store->ec_->takes_the_place_of(place.dat())) places.push_back(std::move(place));
    }
  }
  store->load(places);
  store->ec_->load();
  store->tend(0);
  return store;
}

Store::~Store() { close(); }

Status Store::open_folder(io::Random& random, FolderOptions options) {
  auto& disk = around_.disk;
  const auto info = disk.info(options.path);
  if (!info || !info->is_folder) {
    return Error(Code::not_found, "Check Data Folder(-dir) Writable " + options.path + " : " +
                                      (info ? "not a folder" : "stat " + options.path + ": no such file or directory"));
  }
  auto folder = std::make_unique<Folder>();
  folder->options = std::move(options);
  folder->disk_id = static_cast<std::uint32_t>(folders_.size());
  const auto& path = folder->options.path;
  auto lock = disk.lock(io::join(path, kLockFile));
  if (!lock) return lock.error().at("folder " + path);
  folder->lock = std::move(*lock);
  if (auto read = read_uuid(random, *folder); !read) return read;
  const auto state = ServerState::load(disk, path);
  if (!state && state.error().code() == Code::unsupported) return state.error();
  if (!state) {
    // Without memory the masters take the folder for one that comes from elsewhere: safe, only slower.
    LOG_WARNING("{}: it counts as empty", state.error().what());
  } else if (state->is_newer_than(state_)) {
    state_ = *state;
  }
  folders_.push_back(std::move(folder));
  return {};
}

Status Store::read_uuid(io::Random& random, Folder& folder) {
  const auto path = io::join(folder.options.path, kUuidFile);
  const auto content = around_.disk.read_file(path, 4_KiB);
  if (!content && content.error().code() != Code::not_found) return content.error();
  if (content && !content->empty()) {
    folder.uuid = content->substr(0, content->find_first_of(" \r\n"));
    return {};
  }
  folder.uuid = text(random.uuid());
  return around_.disk.replace_file(path, folder.uuid);
}

// spec/volume-format 8, row 1: a marker says that the new files are complete and only their names were to change.
// Not of volumes that are loaded: theirs may be under way.
Status Store::finish_vacuums(const Folder& folder) {
  std::set<std::string> bases;
  for (const auto& path : std::set<std::string>{folder.options.path, folder.options.index_path}) {
    const auto names = around_.disk.list(path);
    if (!names) return names.error();
    for (const auto& name : *names) {
      for (const auto* ext : {".cpc", ".cpd", ".cpx"}) {
        if (const auto base = base_of(name, ext)) bases.insert(std::string(*base));
      }
    }
  }
  for (const auto& base : bases) {
    const auto place = place_of(folder, base);
    if (!place || place->base_name() != base) continue;  // somebody else's file
    const auto loaded = find(place->id);
    if (loaded && loaded->place().base_name() == base) continue;
    if (auto finished = finish_vacuum(folder, base); !finished) return finished;
  }
  return {};
}

// Folders may share one for their indexes: what lies there may belong to a volume of another.
bool Store::is_marked_elsewhere(const Folder& folder, const std::string& base) {
  return std::any_of(folders_.begin(), folders_.end(), [&](const auto& other) {
    return other.get() != &folder && other->options.index_path == folder.options.index_path &&
           around_.disk.info(io::join(other->options.path, base + ".cpc")).ok();
  });
}

Status Store::finish_vacuum(const Folder& folder, const std::string& base) {
  auto& disk = around_.disk;
  const auto& data = folder.options.path;
  const auto& index = folder.options.index_path;
  const auto marker = io::join(data, base + ".cpc");
  const bool is_complete = disk.info(marker).ok();
  const auto finish = [&](const std::string& path, const char* made, const char* final) -> Status {
    const auto from = io::join(path, base + made);
    if (!disk.info(from).ok()) return {};
    if (is_complete) {
      LOG_INFO("{}: takes the place of the {}: its vacuum was complete", from, final);
      return disk.rename(from, io::join(path, base + final));
    }
    if (path != data && is_marked_elsewhere(folder, base)) return {};
    LOG_INFO("{}: removed: its vacuum was not complete", from);
    return disk.remove(from);
  };
  if (auto done = finish(data, ".cpd", ".dat"); !done) return done;
  for (const auto& path : std::set<std::string>{data, index}) {
    if (auto done = finish(path, ".cpx", ".idx"); !done) return done;
    // Indexes of upstream's that were made of the old .dat, or of a part of the new one.
    for (const auto* ext : {".cpldb", ".ldb", ".rdb"}) {
      const bool stale = is_complete || std::string_view(ext) == ".cpldb";
      const auto name = io::join(path, base + ext);
      if (!stale || !disk.info(name).ok()) continue;
      if (auto removed = disk.remove_all(name); !removed) return removed;
    }
    if (auto synced = disk.sync_dir(path); !synced) return synced;
  }
  if (!is_complete) return {};
  // Last: until all the rest is durable it is what a start goes by.
  if (auto removed = disk.remove(marker); !removed) return removed;
  return disk.sync_dir(data);
}

std::optional<VolumePlace> Store::place_of(const Folder& folder, std::string_view base) const {
  VolumePlace place;
  const auto underscore = base.rfind('_');
  auto digits = base;
  if (underscore != std::string_view::npos && underscore > 0) {
    place.collection = base.substr(0, underscore);
    digits = base.substr(underscore + 1);
  }
  const auto id = strconv::parse_uint(digits, 10, 64);
  if (!id) return {};
  place.id = VolumeId(static_cast<std::uint32_t>(*id));
  place.data_folder = folder.options.path;
  place.index_folder = folder.options.index_path;
  place.disk_type = folder.options.disk_type;
  place.disk_id = folder.disk_id;
  // An index beside its data wins over the index folder.
  if (around_.disk.info(io::join(place.data_folder, std::string(base) + ".idx")).ok()) {
    place.index_folder = place.data_folder;
  }
  return place;
}

// What is a volume's but not whole yet, or is none: told, and its files stay.
bool Store::is_for_later(const VolumePlace& place, const std::vector<std::string>& names) const {
  const auto base = place.base_name();
  if (has(names, base + ".note")) {
    if (!copies_.contains(place.id)) {
      LOG_WARNING("volume {}: not loaded: a copy of it was under way when the server ended ({}.note); copy it again or "
                  "remove its files", text(place.id), base);
    }
    return true;
  }
  if (!has(names, base + ".dat")) {
    if (has(names, base + ".vif") && !ec::EcFiles(around_.disk, place).read_settings().files.empty()) return false;
    if (!ec::EcFiles(around_.disk, place).has_index()) {
      LOG_INFO("volume {}: not loaded: no {}.dat", text(place.id), base);
    }
    return true;
  }
  const auto dat = around_.disk.info(place.dat());
  if (dat.ok() && dat->size > kSuperblockBytes) return false;
  const ec::EcFiles encoded(around_.disk, place);
  if (!encoded.has_index() && !encoded.read_settings().ec_shard_config) return false;
  LOG_WARNING("volume {}: not loaded: its empty .dat is what is left of an erasure-coded volume", text(place.id));
  return true;
}

std::vector<VolumePlace> Store::places_in(const Folder& folder) {
  std::vector<VolumePlace> out;
  if (auto finished = finish_vacuums(folder); !finished) {
    // Its volumes are not what their files say.
    LOG_ERROR("{}: no volume is loaded from {}", finished.error().what(), folder.options.path);
    return out;
  }
  const auto names = around_.disk.list(folder.options.path);
  if (!names) {
    LOG_ERROR("{}", names.error().what());
    return out;
  }
  std::set<std::string> bases;
  // A .dat alone counts too: its index may have been lost.
  for (const auto& name : *names) {
    for (const auto* ext : {".idx", ".vif", ".dat"}) {
      if (const auto base = base_of(name, ext)) bases.insert(std::string(*base));
    }
  }
  for (const auto& base : bases) {
    const auto place = place_of(folder, base);
    if (place && place->base_name() == base && !is_for_later(*place, *names)) out.push_back(*place);
  }
  return out;
}

std::size_t Store::load(const std::vector<VolumePlace>& places) {
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> loaded{0};
  const auto work = [&] {
    for (auto i = next++; i < places.size(); i = next++) {
      const auto& place = places[i];
      auto volume = Volume::open(around_, place);
      if (!volume) {
        LOG_ERROR("{}: not loaded; its files under {} stay as they are", volume.error().what(), place.data_folder);
      } else if (insert(*volume)) {
        loaded++;
      } else {
        LOG_ERROR("volume {}: found in two folders; the one in {} is not loaded", text(place.id), place.data_folder);
      }
    }
  };
  std::vector<std::thread> loaders;
  for (std::size_t i = 1; i < std::min(kLoadersMax, places.size()); i++) loaders.emplace_back(work);
  work();
  for (auto& loader : loaders) loader.join();
  return loaded;
}

// --- the table ---

std::shared_ptr<Volume> Store::find(VolumeId id) const {
  auto& place = shard(id);
  Guard guard(place.mutex);
  const auto it = place.volumes.find(id.value());
  return it == place.volumes.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<Volume>> Store::volumes() const {
  std::vector<std::shared_ptr<Volume>> out;
  for (auto& place : shards_) {
    Guard guard(place.mutex);
    for (const auto& [id, volume] : place.volumes) out.push_back(volume);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->id() < b->id(); });
  return out;
}

bool Store::insert(std::shared_ptr<Volume> volume) {
  auto& place = shard(volume->id());
  Guard guard(place.mutex);
  return place.volumes.emplace(volume->id().value(), std::move(volume)).second;
}

std::shared_ptr<Volume> Store::take_out(VolumeId id) {
  auto& place = shard(id);
  Guard guard(place.mutex);
  const auto it = place.volumes.find(id.value());
  if (it == place.volumes.end()) return nullptr;
  auto out = std::move(it->second);
  place.volumes.erase(it);
  return out;
}

std::uint32_t Store::volumes_in(std::uint32_t disk_id) const {
  std::uint32_t count = 0;
  for (auto& place : shards_) {
    Guard guard(place.mutex);
    for (const auto& [id, volume] : place.volumes) count += volume->place().disk_id == disk_id;
  }
  return count;
}

// --- changes ---

std::uint32_t Store::free_slots(const Folder& folder) const {
  auto count = volumes_in(folder.disk_id);
  for (const auto& [id, disk] : copies_) count += disk == folder.disk_id;
  Guard guard(space_mutex_);
  const auto max = folder.status.low_space ? 0 : folder.status.volumes_max;
  return max <= count ? 0 : max - count;
}

Result<std::shared_ptr<Volume>> Store::allocate(const Allocation& allocation) {
  if (auto named = check_collection_name(allocation.collection); !named) return named.error();
  Guard changes(changes_mutex_);
  if (find(allocation.id) || copies_.contains(allocation.id)) {
    return Error(Code::already_exists, "Volume Id " + text(allocation.id) + " already exists!");
  }
  const Folder* best = nullptr;
  std::uint32_t best_free = 0;
  for (const auto& folder : folders_) {
    if (folder->options.disk_type != allocation.disk_type) continue;
    const auto free = free_slots(*folder);
    if (free > best_free) {
      best = folder.get();
      best_free = free;
    }
  }
  if (best == nullptr) return Error(Code::no_space, "No more free space left");
  VolumePlace place{.id = allocation.id,
                    .collection = allocation.collection,
                    .data_folder = best->options.path,
                    .index_folder = best->options.index_path,
                    .disk_type = best->options.disk_type,
                    .disk_id = best->disk_id};
  auto volume = Volume::create(around_, place, allocation.creation);
  if (!volume) return volume;
  insert(*volume);
  return volume;
}

Result<std::shared_ptr<Volume>> Store::remove(VolumeId id, bool only_empty) {
  Guard changes(changes_mutex_);
  return remove_one(id, only_empty);
}

Result<std::shared_ptr<Volume>> Store::remove_one(VolumeId id, bool only_empty) {
  const auto volume = find(id);
  if (!volume) return Error(Code::not_found, "volume " + text(id) + " not found");
  const Error not_empty(Code::invalid, "volume not empty");
  if (only_empty && volume->live_needles() > 0) return not_empty;
  take_out(id);
  volume->retire();
  if (only_empty && volume->live_needles() > 0) {
    // A write slipped in before it was retired: it is opened again rather than lost.
    auto again = Volume::open(around_, volume->place());
    if (again) insert(*again);
    return not_empty;
  }
  if (auto removed = volume->remove_files(); !removed) return removed.error();
  return volume;
}

std::vector<std::shared_ptr<Volume>> Store::remove_collection(const std::string& collection,
                                                              const std::function<bool(VolumeId)>& may) {
  Guard changes(changes_mutex_);
  std::vector<std::shared_ptr<Volume>> out;
  for (const auto& volume : volumes()) {
    if (volume->place().collection != collection || (may && !may(volume->id()))) continue;
    if (auto removed = remove_one(volume->id(), false)) {
      out.push_back(volume);
    } else {
      LOG_ERROR("collection {}: volume {}: {}", collection, text(volume->id()), removed.error().what());
    }
  }
  return out;
}

Result<std::shared_ptr<Volume>> Store::replace(const std::shared_ptr<Volume>& volume, Compaction& compaction) {
  Guard changes(changes_mutex_);
  const auto id = volume->id();
  if (find(id) != volume) return Error(Code::not_found, "volume " + text(id) + " is not the one that was compacted");
  return compaction.commit([&](const std::shared_ptr<Volume>& successor) {
    auto& place = shard(id);
    Guard guard(place.mutex);
    place.volumes[id.value()] = successor;
  });
}

Result<std::shared_ptr<Volume>> Store::switch_tier(
    const std::shared_ptr<Volume>& volume, const std::function<Result<std::shared_ptr<Volume>>(const TierSwitch::Publish&)>& change) {
  Guard changes(changes_mutex_);
  const auto id = volume->id();
  if (find(id) != volume) return Error(Code::not_found, "volume " + text(id) + " is not the one that was moved");
  return change([&](const std::shared_ptr<Volume>& successor) {
    auto& place = shard(id);
    Guard guard(place.mutex);
    place.volumes[id.value()] = successor;
  });
}

Result<std::shared_ptr<Volume>> Store::mount(VolumeId id) {
  Guard changes(changes_mutex_);
  if (auto loaded = find(id)) return loaded;
  for (const auto& folder : folders_) {
    for (const auto& place : places_in(*folder)) {
      if (place.id != id) continue;
      auto volume = Volume::open(around_, place);
      if (volume) insert(*volume);
      return volume;
    }
  }
  return Error(Code::not_found, "volume " + text(id) + " not found on disk");
}

std::shared_ptr<Volume> Store::unmount(VolumeId id) {
  Guard changes(changes_mutex_);
  auto volume = take_out(id);
  if (volume) {
    volume->retire();
    if (auto synced = volume->sync(); !synced) LOG_ERROR("{}", synced.error().what());
  }
  return volume;
}

std::size_t Store::load_new() {
  Guard changes(changes_mutex_);
  std::vector<VolumePlace> places;
  for (const auto& folder : folders_) {
    for (auto& place : places_in(*folder)) {
      if (!find(place.id) && !ec_->find(place.id)) places.push_back(std::move(place));
    }
  }
  return load(places);
}

// --- space and age ---

// spec/weed-cluster 5.6: what there is, and what the free space, less what the present volumes may still claim, holds.
std::uint32_t Store::slots(const Folder& folder, std::uint32_t volumes, std::uint64_t free_bytes) const {
  if (folder.options.volumes_max > 0) return static_cast<std::uint32_t>(folder.options.volumes_max);
  const auto limit = volume_size_limit_.load();
  std::uint64_t claimed = 0;
  for (const auto& volume : this->volumes()) {
    if (volume->place().disk_id != folder.disk_id || volume->is_read_only()) continue;
    claimed += limit - std::min(limit, volume->dat_bytes());
  }
  const auto unclaimed = free_bytes - std::min(free_bytes, claimed);
  return std::max<std::uint32_t>(1, volumes + static_cast<std::uint32_t>(unclaimed / limit));
}

void Store::measure(Folder& folder, const std::vector<std::shared_ptr<Volume>>& volumes) {
  const auto& options = folder.options;
  FolderStatus status{.path = options.path, .index_path = options.index_path, .disk_type = options.disk_type};
  status.volumes = volumes_in(folder.disk_id);
  const auto space = around_.disk.space(options.path);
  if (!space) {
    status.error = space.error().what();
    status.volumes_max = status.volumes;
    LOG_ERROR("{}", status.error);
  } else {
    status.total_bytes = space->total;
    status.free_bytes = space->free;
    const auto percent =
        space->total == 0 ? 100.0 : 100.0 * static_cast<double>(space->free) / static_cast<double>(space->total);
    status.low_space =
        options.min_free_bytes > 0 ? space->free < options.min_free_bytes : percent < options.min_free_percent;
    // A disk low on space reports as many slots as it uses, so that no master wants to grow there.
    status.volumes_max = status.low_space ? status.volumes : slots(folder, status.volumes, space->free);
  }
  for (const auto& volume : volumes) {
    if (volume->place().disk_id == folder.disk_id) volume->set_low_space(status.low_space);
  }
  Guard guard(space_mutex_);
  if (status.low_space != folder.status.low_space) {
    if (status.low_space) {
      LOG_WARNING("{}: only {} MiB free: its volumes take no more writes", options.path, status.free_bytes >> 20);
    } else {
      LOG_INFO("{}: space again: its volumes take writes", options.path);
    }
  }
  folder.status = std::move(status);
}

std::vector<std::shared_ptr<Volume>> Store::tend(std::uint64_t volume_size_limit) {
  if (volume_size_limit > 0) volume_size_limit_ = volume_size_limit;
  const auto all = volumes();
  std::vector<std::shared_ptr<Volume>> removed;
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(around_.clock.wall().time_since_epoch()).count();
  for (const auto& volume : all) {
    if (volume_size_limit == 0 || !volume->is_expired(static_cast<std::uint64_t>(now), true)) continue;
    LOG_INFO("volume {}: deleted: its ttl of {} is over", text(volume->id()), text(volume->ttl()));
    if (remove(volume->id(), false)) removed.push_back(volume);
  }
  for (const auto& folder : folders_) measure(*folder, all);
  for (const auto& volume : all) volume->tend_index();
  return removed;
}

std::vector<FolderStatus> Store::folders() const {
  std::vector<FolderStatus> out;
  Guard guard(space_mutex_);
  for (const auto& folder : folders_) out.push_back(folder->status);
  return out;
}

std::vector<std::string> Store::folder_uuids() const {
  std::vector<std::string> out;
  for (const auto& folder : folders_) out.push_back(folder->uuid);
  return out;
}

Status Store::save(const ServerState& state) {
  Status worst;
  for (const auto& folder : folders_) {
    if (auto saved = state.save(around_.disk, folder->options.path); !saved) worst = saved;
  }
  return worst;
}

void Store::close() {
  Guard changes(changes_mutex_);
  for (const auto& volume : volumes()) {
    take_out(volume->id());
    volume->retire();
    if (auto synced = volume->sync(); !synced) LOG_ERROR("{}", synced.error().what());
  }
}

}  // namespace holdfast::volume
