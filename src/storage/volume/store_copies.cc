// The part of Store that takes copies of volumes in, and clears away what is left of those that broke off.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "model/collection_name.h"
#include "storage/volume/store.h"

namespace holdfast::volume {
namespace {

constexpr const char* kNote = ".note";
constexpr std::string_view kNoteText = "holdfast: a copy of this volume is under way\n";

std::string note_of(const VolumePlace& place) { return io::join(place.data_folder, place.base_name() + kNote); }

}  // namespace

Status check_file_name(const std::string& collection, const std::string& extension) {
  const auto is_plain = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (extension.size() < 2 || extension[0] != '.' || !std::all_of(extension.begin() + 1, extension.end(), is_plain)) {
    return Error(Code::invalid, "invalid file extension " + extension);
  }
  return check_collection_name(collection);
}

Result<VolumePlace> Store::begin_copy(const Incoming& incoming) {
  if (auto named = check_collection_name(incoming.collection); !named) return named.error();
  Guard changes(changes_mutex_);
  if (copies_.contains(incoming.id)) {
    return Error(Code::busy, "volume " + text(incoming.id) + " is being copied to this server already");
  }
  // An own replica gives way, and its slot and room count as free.
  const auto own = find(incoming.id);
  if (own) {
    if (auto on_disk = own->check_on_disk(); !on_disk) return on_disk.error();  // its object would belong to nobody
  }
  const Folder* best = nullptr;
  std::uint32_t best_free = 0;
  for (const auto& folder : folders_) {
    if (folder->options.disk_type != incoming.disk_type) continue;
    const bool is_own = own && own->place().disk_id == folder->disk_id;
    const auto free = free_slots(*folder) + (is_own ? 1 : 0);
    const auto space = around_.disk.space(folder->options.path);
    const auto room = (space ? space->free : 0) + (is_own ? own->dat_bytes() + own->idx_bytes() : 0);
    if (free > best_free && room > incoming.bytes) {
      best = folder.get();
      best_free = free;
    }
  }
  if (best == nullptr) {
    return Error(Code::no_space, "no space left for disk type " +
                                     (incoming.disk_type.empty() ? std::string("hdd") : incoming.disk_type));
  }
  if (own && !incoming.may_replace) {
    return Error(Code::already_exists, "volume " + text(incoming.id) + " is here already");
  }
  if (own) {
    LOG_INFO("volume {}: deleted: a copy of it comes in its place", text(incoming.id));
    if (auto removed = remove_one(incoming.id, false); !removed) return removed.error();
  }
  VolumePlace place{.id = incoming.id,
                    .collection = incoming.collection,
                    .data_folder = best->options.path,
                    .index_folder = best->options.index_path,
                    .disk_type = best->options.disk_type,
                    .disk_id = best->disk_id};
  for (const auto& path : {place.dat(), place.idx()}) {
    if (around_.disk.info(path).ok()) {
      return Error(Code::already_exists, path + " is there and not loaded: mount or remove it first");
    }
  }
  (void)around_.disk.remove(place.hfe());  // of a volume of that id that was here once
  (void)around_.disk.remove_all(place.hfidx());
  if (auto marked = around_.disk.replace_file(note_of(place), kNoteText); !marked) {
    return marked.error();
  }
  copies_[place.id] = place.disk_id;
  return place;
}

Result<std::shared_ptr<Volume>> Store::end_copy(const VolumePlace& place) {
  Guard changes(changes_mutex_);
  const auto failed = [&](const Error& error) {
    if (auto removed = remove_copied(place); !removed) LOG_ERROR("{}", removed.error().what());
    copies_.erase(place.id);
    return error;
  };
  for (const auto& folder : std::set<std::string>{place.data_folder, place.index_folder}) {
    if (auto synced = around_.disk.sync_dir(folder); !synced) return failed(synced.error());
  }
  auto volume = Volume::open(around_, place);
  if (!volume) return failed(volume.error());
  if (auto removed = around_.disk.remove(note_of(place)); !removed) return failed(removed.error());
  if (auto synced = around_.disk.sync_dir(place.data_folder); !synced) return failed(synced.error());
  copies_.erase(place.id);
  insert(*volume);
  return volume;
}

void Store::drop_copy(const VolumePlace& place) {
  Guard changes(changes_mutex_);
  if (auto removed = remove_copied(place); !removed) LOG_ERROR("{}", removed.error().what());
  copies_.erase(place.id);
}

// The marker goes last, and only when nothing is left that would be taken for a volume without it.
Status Store::remove_copied(const VolumePlace& place) {
  auto& disk = around_.disk;
  Status worst;
  const auto drop = [&](const std::string& path) {
    const auto removed = disk.remove(path);
    if (!removed && removed.error().code() != Code::not_found) worst = removed;
  };
  const auto base = place.base_name();
  // The settings beside an erasure-coded volume are its own.
  const bool is_coded = find_file(place.collection, place.id, ".ecx").has_value();
  for (const auto& folder : std::set<std::string>{place.data_folder, place.index_folder}) {
    for (const auto* ext : {".dat", ".idx", ".sdx"}) drop(io::join(folder, base + ext));
  }
  if (!is_coded) drop(place.vif());
  drop(place.hfe());
  if (auto removed = disk.remove_all(place.hfidx()); !removed) worst = removed;
  if (!worst) return worst;
  for (const auto& folder : std::set<std::string>{place.data_folder, place.index_folder}) {
    if (auto synced = disk.sync_dir(folder); !synced) return synced;
  }
  drop(note_of(place));
  return worst;
}

// spec/volume-format 8, row 5: what a copy of ours left when the process died halfway; its source is whole. Files beside a
// marker that somebody else wrote may be all there is: they are not loaded, and stay.
Status Store::remove_half_copies(const Folder& folder) {
  const auto names = around_.disk.list(folder.options.path);
  if (!names) return names.error();
  for (const auto& name : *names) {
    // Files that were to take another's place: nothing refers to them yet, and nobody writes at the start.
    for (const auto* ext : {".note.tmp", ".vif.tmp", ".dat.tmp", ".idx.tmp"}) {
      if (!name.ends_with(ext)) continue;
      const auto base = name.substr(0, name.size() - std::string_view(ext).size());
      const auto place = place_of(folder, base);
      if (!place || place->base_name() != base) continue;
      const auto path = io::join(folder.options.path, name);
      LOG_INFO("{}: removed: it was not finished when the server ended", path);
      if (auto removed = around_.disk.remove(path); !removed) return removed;
    }
    if (!name.ends_with(kNote)) continue;
    const auto base = name.substr(0, name.size() - std::string_view(kNote).size());
    auto place = place_of(folder, base);
    if (!place || place->base_name() != base) continue;
    const auto note = around_.disk.read_file(note_of(*place), 4_KiB);
    if (!note || *note != kNoteText) continue;
    LOG_WARNING("volume {}: a copy of it was under way when the server ended: what there is of it is removed", text(place->id));
    place->index_folder = folder.options.index_path;
    if (auto removed = remove_copied(*place); !removed) return removed;
  }
  return {};
}

std::optional<std::string> Store::find_file(const std::string& collection, VolumeId id,
                                            const std::string& extension) const {
  const auto name = VolumePlace{.id = id, .collection = collection}.base_name() + extension;
  for (const auto& folder : folders_) {
    for (const auto& path : {folder->options.path, folder->options.index_path}) {
      auto found = io::join(path, name);
      if (around_.disk.info(found).ok()) return found;
    }
  }
  return {};
}

Result<std::string> Store::shard_folder(const std::string& collection, VolumeId id, const std::string& extension,
                                        std::uint32_t disk_id, const std::string& disk_type) const {
  const Folder* chosen = nullptr;
  if (disk_id > 0) {
    if (disk_id >= folders_.size()) return Error(Code::invalid, "there is no disk " + std::to_string(disk_id));
    chosen = folders_[disk_id].get();
  }
  const auto base = VolumePlace{.id = id, .collection = collection}.base_name();
  const auto belongs = [&](const std::string& name) {  // a shard, or a part of a volume that is laid down piece by piece
    return name.starts_with(base + ".ec") || (name.starts_with(base + ".") && name.ends_with(".copying"));
  };
  std::uint64_t best_free = 0;
  for (const auto& folder : folders_) {
    if (disk_id > 0) break;
    const auto names = around_.disk.list(folder->options.path);
    if (names && std::any_of(names->begin(), names->end(), belongs)) {
      chosen = folder.get();
      break;
    }
    if (!disk_type.empty() && folder->options.disk_type != disk_type) continue;
    const auto space = around_.disk.space(folder->options.path);
    if (space && space->free > best_free) {
      chosen = folder.get();
      best_free = space->free;
    }
  }
  if (chosen == nullptr) return Error(Code::no_space, "no space left for disk type " + (disk_type.empty() ? "hdd" : disk_type));
  const bool is_index = extension == ".ecx" || extension == ".ecj" || extension == ".idx";
  return is_index ? chosen->options.index_path : chosen->options.path;
}

}  // namespace holdfast::volume
