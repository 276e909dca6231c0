// EcStore: the erasure-coded volumes of one volume server, in all its folders.
//
// At start sweep() puts in order what crashes, copies and upstream left (spec/volume-format 8 rules 2 to 4, and 13),
// before the normal volumes are loaded; then load() mounts every shard that is there:
//   empty .dat beside an encoded set                 removed with its .idx: the set is the volume
//   .ecx and a filled .dat, no shards or short ones  the encoding was not finished: its files are removed, the .dat is
//                                                    the volume
//   .ecx and a filled .dat, whole shards             the set is the volume; the .dat stays and is not loaded
//   filled .dat and shards, .ecx nowhere             left by a crash: the shards are removed
//   shards without .ecx and without .dat             they stay and are not mounted
//   .ecx, .ecj, .vif missing beside shards           copied from the folder that has them
//   shards without a byte                            passed over; removed when older than an hour
//   *.ec*.rebuilding, *.ec*.tmp                      removed
//
// Orders (generate to decode) may come on any thread and wait for the disk; those on one volume run one after the other.
// Thread-safe. The table's lock is never held across I/O.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/uuid.h"
#include "storage/ec/ec_volume.h"
#include "storage/volume/volume.h"

namespace holdfast::ec {

class EcStore {
 public:
  static constexpr std::chrono::hours kEmptyShardAge{1};

  struct Folder {
    std::string data;
    std::string index;  // may be the same
    std::string disk_type;
    std::uint32_t disk_id = 0;
  };

  EcStore(const volume::Surroundings& around, std::vector<Folder> folders);

  // --- start ---
  void sweep();
  // Whether the .dat there is to be left alone because the volume is an encoded one; as sweep() found it.
  bool takes_the_place_of(const std::string& dat) const { return superseded_.contains(dat); }
  std::size_t load();  // shards mounted

  // --- the table ---
  std::shared_ptr<EcVolume> find(VolumeId id) const;
  std::vector<std::shared_ptr<EcVolume>> volumes() const;  // ascending ids
  std::vector<EcShardsInfo> infos() const;                 // what is to be reported, one for each folder of a volume

  // --- orders ---
  // The shards of a volume, beside it. `scheme` unset: the one its .vif names, else 10+4. The volume stays and is served
  // on; what is written to it after this began is not in the shards.
  Status generate(volume::Volume& volume, std::optional<Scheme> scheme, const Uuid& encode_uuid,
                  std::uint64_t bytes_per_second);

  // Makes the missing shards out of those in all folders, and folds the journal. The ids made.
  Result<std::vector<ShardId>> rebuild(VolumeId id, const std::string& collection, bool ignore_checksums);

  Status mount(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards);
  std::size_t mount_orphans();  // whatever shards lie in the folders and are not mounted
  // `encode_ts_ns` not 0: only those of that encoding. Shards that are not mounted are fine.
  Status unmount(VolumeId id, const std::vector<ShardId>& shards, std::int64_t encode_ts_ns);
  // Unmounts and removes shards; with the last one of a folder its index too. `all`: whatever there is of the volume.
  Status remove(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards, bool all,
                std::int64_t encode_ts_ns);

  // Makes .dat and .idx in the folder of the index; the caller mounts the volume. The shards stay.
  // stale "... has no live entries"; not_found "ec volume N not found".
  Status to_volume(VolumeId id, const std::string& collection);

  // Removes what its encoder said expires by now. The ids removed.
  std::vector<VolumeId> tend(std::uint64_t now_seconds);
  std::vector<VolumeId> remove_collection(const std::string& collection, const std::function<bool(VolumeId)>& may);

  // --- for those who copy them ---
  // Every folder's files of a volume, those with an index first.
  std::vector<EcFiles> files_of(VolumeId id, const std::string& collection) const;
  // Where copies of a volume's shards should go: where some are already, else the folder of `disk_id` - 1 when that is
  // not 0, else the one with the most free space.
  Result<EcFiles> place_for_copies(VolumeId id, const std::string& collection, std::uint32_t disk_id) const;
  // Before files of the encoding `run` (0: not known) come. Where an index comes too, what is left here of another encoding, without
  // a shard, goes, so that its deletions delete nothing in this one. stale "... belongs to a different encode run": another one is here.
  Status make_room(VolumeId id, const std::string& collection, std::int64_t run, bool with_index);
  // Files that are deleted, as another server knows: added to those that `here` knows, mounted or not.
  Status add_deletions(const EcFiles& here, const std::vector<NeedleId>& keys);
  // The file `incoming` takes the name `path`. A journal or index of what lies here is added to instead, as above; an index of another
  // encoding takes the journal away, which says nothing of it.
  Status take_over(VolumeId id, const std::string& collection, const std::string& incoming, const std::string& path);

 private:
  class Claim;

  std::vector<VolumePlace> places(VolumeId id, const std::string& collection) const;
  static std::map<ShardId, std::string> shard_paths(const std::vector<EcFiles>& all);
  void sweep_folder(const Folder& folder);
  void sweep_base(const VolumePlace& place, const std::set<std::string>& exts);
  void mirror_index(const EcFiles& files);
  Status mount_claimed(VolumeId id, const std::string& collection, const std::vector<ShardId>& shards);
  void drop_shards(VolumeId id, const std::vector<ShardId>& shards);
  std::map<std::pair<std::uint32_t, std::string>, std::vector<ShardId>> shards_on_disk() const;

  const volume::Surroundings around_;
  const std::vector<Folder> folders_;
  std::set<std::string> superseded_;  // paths of .dat; constant after sweep()

  mutable Mutex mutex_;  // leaf
  std::map<std::uint32_t, std::shared_ptr<EcVolume>> volumes_ HOLDFAST_GUARDED_BY(mutex_);
  std::set<std::uint32_t> claimed_ HOLDFAST_GUARDED_BY(mutex_);
  Condition claim_given_back_;
};

// "pics_7" -> collection and id, as upstream splits names; nothing unless it is exactly such a name.
std::optional<VolumePlace> place_of_base(std::string_view base);

}  // namespace holdfast::ec
