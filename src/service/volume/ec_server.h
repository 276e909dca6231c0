// EcServer: the EcService over a store, the masters and the other volume servers; and reads and deletes of files in
// erasure-coded volumes for the volume server's own fronts.
//
// Where shards are is asked of any master and kept for kHoldersFor; a failed read forgets it, and a delete asks anew.
//
// A delete is told to every server that holds shards of the volume before it is written here, and fails when one of
// them cannot be told, or a shard is on no server that the masters hear: it would come undone when that one is back.
// It can be repeated.
//
// Threads: reads of files and orders run on a pool of this class; pieces of shards that others ask for on the disks'.
#pragma once

#include <memory>
#include <unordered_map>

#include "base/mutex.h"
#include "client/ec_client.h"
#include "io/random.h"
#include "service/volume/cancel.h"
#include "service/volume/ec_service.h"
#include "service/volume/volume_service.h"
#include "storage/ec/ec_store.h"
#include "storage/volume/store.h"
#include "storage/volume/work_pool.h"

namespace holdfast::volume {

class EcServer final : public EcService, private ec::RemoteShards {
 public:
  static constexpr Duration kHoldersFor = std::chrono::seconds(10);
  static constexpr int kThreads = 16;  // each may wait for other servers

  struct World {
    io::Disk& disk;
    io::Clock& clock;
    io::Random& random;
    WorkPool& disk_pool;
    Store& store;
    std::function<std::vector<Address>()> masters;
    std::string self;               // ip:port, as reported
    std::function<Status()> may_change;  // an error in maintenance: shards are read then, and neither made nor deleted
    std::function<void()> changed;  // shards came or went: tell the masters
  };

  explicit EcServer(World world);
  ~EcServer() override;

  // Ends what waits for other servers and joins.
  void stop();

  bool has(VolumeId id) const { return world_.store.ec().find(id) != nullptr; }

  // --- of files ---
  void read(const FileId& id, VolumeService::Done<Found> done);
  void remove(const RemoveRequest& request, VolumeService::Done<Removed> done);

  // --- EcService ---
  bool post(std::function<void()> work) override { return pool_.post(std::move(work)); }
  bool post_read(std::function<void()> work) override { return world_.disk_pool.post(std::move(work)); }
  Status generate(VolumeId id, const std::string& collection, std::optional<ec::Scheme> scheme) override;
  Result<std::vector<ec::ShardId>> rebuild(VolumeId id, const std::string& collection, bool ignore_checksums) override;
  Status copy(const Copy& copy) override;
  Status remove(const Removal& removal) override;
  Status mount(VolumeId id, const std::string& collection, const std::vector<ec::ShardId>& shards,
               bool fetch_index) override;
  Status unmount(VolumeId id, const std::vector<ec::ShardId>& shards, std::int64_t encode_ts_ns) override;
  Status to_volume(VolumeId id, const std::string& collection, bool from_staged) override;
  Status delete_blob(VolumeId id, NeedleId key) override;
  Result<Piece> read_shard(const PieceWish& wish) override;
  Result<Info> info(VolumeId id) override;
  Result<Scrubbed> scrub(ScrubMode mode, const std::vector<VolumeId>& ids, bool with_deleted) override;

 private:
  std::vector<Result<ec::RemoteRead>> read(VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
                                           const std::vector<ec::ShardRange>& ranges) override;
  Result<client::EcClient::Holders> holders(VolumeId id);
  void forget(VolumeId id);
  Result<Removed> remove_now(const RemoveRequest& request);
  Status adopt_staged(VolumeId id, const std::string& collection);
  // Into the folder of some shards, from any server that has it. Of another encoding it is refused (stale), deletions of which
  // only this server heard stay, and so do settings and checksums that are here.
  Status fetch_index(const ec::EcFiles& here);
  Status fetch_index_from(const Address& source, const ec::EcFiles& here);
  void changed() const {
    if (world_.changed) world_.changed();
  }

  const World world_;
  client::EcClient client_;
  Cancel stopping_;

  Mutex mutex_;  // leaf
  struct Known {
    Instant until;
    client::EcClient::Holders holders;
  };
  std::unordered_map<VolumeId, Known> known_ HOLDFAST_GUARDED_BY(mutex_);

  WorkPool pool_;
};

}  // namespace holdfast::volume
