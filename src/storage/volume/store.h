// Store: all volumes of one volume server, in its folders (upstream: disk locations).
//
// open() takes each folder for this process alone, finishes or undoes what a vacuum had under way, and loads every
// volume, several at a time. A volume that cannot be loaded is named in the log and left as it is; the others are
// served.
//
// Thread-safe. The table of volumes is locked only to look a volume up or to change it, never across I/O.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "io/random.h"
#include "storage/volume/compaction.h"
#include "storage/volume/server_state.h"
#include "storage/volume/tier_switch.h"
#include "storage/volume/volume.h"

namespace holdfast::ec {
class EcStore;
}

namespace holdfast::volume {

struct FolderOptions {
  std::string path;
  std::string index_path;  // "": the same
  int volumes_max = 8;     // 0: as many as fit the free space
  std::string disk_type;
  double min_free_percent = 1.0;
  std::uint64_t min_free_bytes = 0;  // counts instead of the percentage when set
};

struct FolderStatus {
  std::string path;
  std::string index_path;
  std::string disk_type;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint32_t volumes_max = 0;  // as reported: what is there when space is low
  std::uint32_t volumes = 0;
  bool low_space = false;
  std::string error;  // why the space could not be read, "" otherwise
};

// Files are named by these two: nothing of them may lead to another folder.
Status check_file_name(const std::string& collection, const std::string& extension);

class Store {
 public:
  static constexpr std::size_t kLoadersMax = 4;

  static Result<std::unique_ptr<Store>> open(const Surroundings& around, io::Random& random,
                                             std::vector<FolderOptions> folders);
  ~Store();

  // The erasure-coded volumes in the same folders.
  ec::EcStore& ec() const { return *ec_; }

  std::shared_ptr<Volume> find(VolumeId id) const;
  std::vector<std::shared_ptr<Volume>> volumes() const;  // ascending ids

  struct Allocation {
    VolumeId id;
    std::string collection;
    std::string disk_type;
    Volume::Creation creation;
  };
  // already_exists "Volume Id N already exists!", no_space "No more free space left".
  Result<std::shared_ptr<Volume>> allocate(const Allocation& allocation);

  // not_found "volume N not found"; with only_empty and a live file: invalid "volume not empty".
  Result<std::shared_ptr<Volume>> remove(VolumeId id, bool only_empty);

  // The removed ones. Those that `may` says no to stay; it is asked under the store's lock and must not call it.
  std::vector<std::shared_ptr<Volume>> remove_collection(const std::string& collection,
                                                         const std::function<bool(VolumeId)>& may = {});

  // Commits a compaction of `volume`: its new volume takes the old one's place in the table. not_found when `volume` is
  // not the one that is served under its id any more.
  Result<std::shared_ptr<Volume>> replace(const std::shared_ptr<Volume>& volume, Compaction& compaction);

  // `change` switches `volume` with the function it is given, which puts what it becomes into the table. not_found as above.
  Result<std::shared_ptr<Volume>> switch_tier(
      const std::shared_ptr<Volume>& volume,
      const std::function<Result<std::shared_ptr<Volume>>(const TierSwitch::Publish&)>& change);

  // Loads a volume whose files are there, also beside its shards; one that is loaded already is no error.
  Result<std::shared_ptr<Volume>> mount(VolumeId id);
  // Closes it and leaves its files; null when it is not loaded.
  std::shared_ptr<Volume> unmount(VolumeId id);
  // Loads what has appeared in the folders since (SIGHUP); how many.
  std::size_t load_new();

  // --- copies from other servers (store_copies.cc) --- A copy lies under its final names beside a `.note`, which says
  // that it is not whole: such files are no volume, and after a crash they go.
  struct Incoming {
    VolumeId id;
    std::string collection;
    std::string disk_type;
    std::uint64_t bytes = 0;  // of all its files
    bool may_replace = true;  // an own volume of that id; else already_exists
  };
  // Finds a folder with a slot and room, deletes an own volume of that id, and writes the marker. busy: another copy of
  // it is under way here; no_space: "no space left for disk type ...".
  Result<VolumePlace> begin_copy(const Incoming& incoming);
  // The files are whole, synced and checked: opens them, takes the marker away and serves the volume. After an error
  // none of it is left.
  Result<std::shared_ptr<Volume>> end_copy(const VolumePlace& place);
  // Removes what there is of it.
  void drop_copy(const VolumePlace& place);

  // The path of <collection>_<id><ext> in any folder, for files that are no part of a loaded volume.
  std::optional<std::string> find_file(const std::string& collection, VolumeId id, const std::string& extension) const;

  // The folder for a file of an erasure-coded volume: that of `disk_id`, or for 0 the one where others of its files lie,
  // else of that disk type and with the most room.
  Result<std::string> shard_folder(const std::string& collection, VolumeId id, const std::string& extension,
                                   std::uint32_t disk_id, const std::string& disk_type) const;

  // Where the files of one server as a whole lie: state.pb.
  const std::string& state_folder() const { return folders_[0]->options.index_path; }

  // Measures the space, marks volumes writable or not by it, recomputes slots where volumes_max is 0, deletes volumes
  // whose ttl is over. Call every few seconds; may wait for the disk. Answers the volumes it deleted. A limit of 0 is
  // an unknown one: then no volume is deleted.
  std::vector<std::shared_ptr<Volume>> tend(std::uint64_t volume_size_limit);

  std::vector<FolderStatus> folders() const;
  std::vector<std::string> folder_uuids() const;

  // The newest state of all folders; save() writes one to each.
  const ServerState& state_at_open() const { return state_; }
  Status save(const ServerState& state);

  // A folder with room, for spools.
  const std::string& spool_folder() const { return folders_[0]->options.path; }

  // No more volumes: what is under way on them is finished, all are synced.
  void close();

 private:
  struct Folder {
    FolderOptions options;
    std::uint32_t disk_id = 0;
    std::string uuid;
    std::unique_ptr<io::FolderLock> lock;
    FolderStatus status;  // guarded by space_mutex_
  };
  struct Shard {
    mutable Mutex mutex;  // leaf
    std::unordered_map<std::uint32_t, std::shared_ptr<Volume>> volumes HOLDFAST_GUARDED_BY(mutex);
  };
  static constexpr std::size_t kShards = 64;

  explicit Store(const Surroundings& around);

  Status open_folder(io::Random& random, FolderOptions options);
  Status read_uuid(io::Random& random, Folder& folder);
  Status finish_vacuums(const Folder& folder);
  Status finish_vacuum(const Folder& folder, const std::string& base);
  bool is_marked_elsewhere(const Folder& folder, const std::string& base);
  Status remove_half_copies(const Folder& folder);  // and files that were to take another's place
  Status remove_copied(const VolumePlace& place);
  std::vector<VolumePlace> places_in(const Folder& folder);
  std::size_t load(const std::vector<VolumePlace>& places);
  bool is_for_later(const VolumePlace& place, const std::vector<std::string>& names) const;
  std::optional<VolumePlace> place_of(const Folder& folder, std::string_view base) const;
  Result<std::shared_ptr<Volume>> remove_one(VolumeId id, bool only_empty);
  bool insert(std::shared_ptr<Volume> volume);
  std::shared_ptr<Volume> take_out(VolumeId id);
  Shard& shard(VolumeId id) const { return shards_[id.value() % kShards]; }
  std::uint32_t free_slots(const Folder& folder) const;
  std::uint32_t volumes_in(std::uint32_t disk_id) const;
  std::uint32_t slots(const Folder& folder, std::uint32_t volumes, std::uint64_t free_bytes) const;
  void measure(Folder& folder, const std::vector<std::shared_ptr<Volume>>& volumes);

  const Surroundings around_;
  std::vector<std::unique_ptr<Folder>> folders_;  // constant after open, but for `status`
  ServerState state_;

  std::unique_ptr<ec::EcStore> ec_;  // set while opening

  mutable std::array<Shard, kShards> shards_;

  std::map<VolumeId, std::uint32_t> copies_;  // under way, with their disk; guarded by changes_mutex_
  Mutex changes_mutex_;  // held while volumes are made, loaded or removed: one at a time; across I/O
  mutable Mutex space_mutex_;  // leaf
  std::atomic<std::uint64_t> volume_size_limit_{30000_MiB};
};

}  // namespace holdfast::volume
