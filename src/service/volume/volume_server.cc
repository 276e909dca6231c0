#include "service/volume/volume_server.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/metrics.h"
#include "client/admin_client.h"
#include "client/http_pool.h"
#include "client/master_client.h"
#include "core/volume/needle.h"
#include "service/volume/ec_server.h"
#include "service/volume/fence_keeper.h"
#include "service/volume/healer.h"
#include "service/volume/locator.h"
#include "service/volume/replicator.h"
#include "service/volume/reporter.h"
#include "service/volume/tier_mover.h"
#include "service/volume/tiers.h"
#include "service/volume/upkeep.h"
#include "service/volume/vacuumer.h"
#include "storage/volume/store.h"

namespace holdfast::volume {
namespace {

constexpr Duration kTendEvery = 5s;             // space, ages, vanished files
constexpr Duration kLookupPatience = 5s;        // a write that needs its siblings' names waits for a master this long
constexpr Duration kMarkPatience = 2s;          // a leader hears of a mark within this, or by the next report
constexpr Duration kGoodbyePatience = 500ms;

// Counts what is on its way to siblings and masters, whose answers come back to the server: it must not go before.
class UnderWay {
 public:
  class Token {
   public:
    explicit Token(UnderWay& count) : count_(count) {
      Guard guard(count_.mutex_);
      count_.n_++;
    }
    ~Token() {
      Guard guard(count_.mutex_);
      if (--count_.n_ == 0) count_.none_.notify_all();
    }
    Token(const Token&) = delete;

   private:
    UnderWay& count_;
  };

  // Held by the callback; given back when the last copy of it is gone.
  std::shared_ptr<Token> take() { return std::make_shared<Token>(*this); }

  void wait_for_none() {
    Guard guard(mutex_);
    while (n_ > 0) none_.wait(mutex_);
  }

 private:
  Mutex mutex_;  // leaf
  Condition none_;
  std::size_t n_ HOLDFAST_GUARDED_BY(mutex_) = 0;
};

// A write under way: what its copies point to, and the two halves that are waited for.
struct WriteUnderWay {
  WriteRequest request;
  VolumeService::Done<Written> done;
  std::optional<Result<Put::Outcome>> local;
  std::optional<Status> copies;
  Mutex mutex;
  std::shared_ptr<UnderWay::Token> token;
};

Put put_of(const WriteRequest& request, bool fsync_always) {
  Put put;
  auto& needle = put.needle;
  needle.id = request.id.key;
  needle.cookie = request.id.cookie;
  needle.data = request.data;
  needle.name = request.name;
  needle.mime = request.mime;
  needle.pairs = request.pairs;
  needle.last_modified = request.last_modified;
  needle.ttl = request.ttl;
  needle.flags = kFlagLastModified;
  if (request.compressed) needle.flags |= kFlagCompressed;
  // Upstream stores these also when they are empty, and leaves them out when too long (spec/volume-format 3.1).
  if (request.name.size() <= kNameBytesMax) needle.flags |= kFlagName;
  if (request.mime.size() <= kMimeBytesMax) needle.flags |= kFlagMime;
  if (!request.ttl.is_none()) needle.flags |= kFlagTtl;
  if (!request.pairs.empty() && request.pairs.size() <= kPairsBytesMax) needle.flags |= kFlagPairs;
  if (request.chunk_manifest) needle.flags |= kFlagChunkManifest;
  put.spool = request.spool;
  put.fsync = request.fsync || fsync_always;
  return put;
}

FolderOptions folder_options(const VolumeConfig& config, const DirectoryConfig& directory) {
  return {.path = directory.path,
          .index_path = config.index_directory,
          .volumes_max = directory.volumes_max,
          .disk_type = directory.disk_type == "hdd" ? "" : directory.disk_type,
          .min_free_percent = directory.min_free_percent,
          .min_free_bytes = directory.min_free_bytes};
}

class Server final : public VolumeServer {
 public:
  Server(VolumeConfig config, World world)
      : config_(std::move(config)), world_(world), disk_pool_(std::max(1, config_.disk_threads)) {}

  ~Server() override { stop(); }

  Status open() {
    std::vector<FolderOptions> folders;
    for (const auto& directory : config_.directories) folders.push_back(folder_options(config_, directory));
    if (config_.index_cache_bytes > 0) index_caches_ = std::make_unique<IndexCaches>(config_.index_cache_bytes);
    auto store = Store::open({world_.disk, world_.clock, disk_pool_, index_caches_.get(), &tiers_}, world_.random, std::move(folders));
    if (!store) return store.error();
    store_ = std::move(*store);
    fences_ = std::make_unique<FenceKeeper>(store_->state_at_open(),
                                            [this](const ServerState& state) { return store_->save(state); });
    client::MasterClient::Options options;
    options.masters = config_.masters;
    for (const auto& known : fences_->state().masters) options.masters.push_back(known.address);
    if (options.masters.empty()) return Error(Code::invalid, "no master is named (-mserver) and none is remembered");
    options.patience = kLookupPatience;
    options.discovery_interval = config_.discovery_interval;
    master_client_ = std::make_unique<client::MasterClient>(std::move(options));
    locator_ = std::make_unique<Locator>(world_.clock, ask_masters(*master_client_));
    replicator_ = std::make_unique<Replicator>(world_.loops, world_.pool, disk_pool_);
    reporter_ = std::make_unique<Reporter>(
        config_, Reporter::World{.clock = world_.clock,
                                 .fences = *fences_,
                                 .holdings = [this] { return holdings(); },
                                 .folder_uuids = store_->folder_uuids(),
                                 .process = world_.process,
                                 .settings = [this](std::uint64_t limit) {
                                   // Folders without a fixed number of volumes count their slots by it.
                                   if (volume_size_limit_.exchange(limit) != limit) tend_wake_.notify_all();
                                 },
                                 .tiers = [this](const std::vector<TierBackend>& all) { tiers_.set(all); }});
    vacuumer_ = std::make_unique<Vacuumer>(world_.clock, *store_, config_.compaction_bytes_per_second,
                                           [this](const OrderFence& fence, VolumeId id) { return upkeep_->admit(fence, id); },
                                           [this] { reporter_->changed(); });
    upkeep_ = std::make_unique<Upkeep>(
        *store_, world_.disk, world_.clock,
        Upkeep::Options{.receiver = {.self = self(),
                                     .bytes_per_second = config_.maintenance_bytes_per_second,
                                     .changed = [this] { reporter_->changed(); }},
                        .scrub_bytes_per_second = config_.maintenance_bytes_per_second,
                        .admit = [this](const OrderFence& fence, VolumeId id) { return fences_->admit(fence, id); }});
    healer_ = std::make_unique<Healer>(Healer::World{.store = *store_,
                                                     .disk = world_.disk,
                                                     .clock = world_.clock,
                                                     .receiver = upkeep_->receiver(),
                                                     .bytes_per_second = config_.maintenance_bytes_per_second,
                                                     .changed = [this] { reporter_->changed(); }});
    tier_mover_ = std::make_unique<TierMover>(
        TierMover::World{.store = *store_,
                         .tier = tiers_,
                         .disk = world_.disk,
                         .clock = world_.clock,
                         .random = world_.random,
                         .admit = [this](const OrderFence& fence, VolumeId id) { return upkeep_->admit(fence, id); },
                         .changed = [this] { reporter_->changed(); }});
    ec_ = std::make_unique<EcServer>(EcServer::World{.disk = world_.disk,
                                                     .clock = world_.clock,
                                                     .random = world_.random,
                                                     .disk_pool = disk_pool_,
                                                     .store = *store_,
                                                     .masters = [this] { return reporter_->masters(); },
                                                     .self = self(),
                                                     .may_change = [this] { return upkeep_->maintenance().check(); },
                                                     .changed = [this] { reporter_->changed(); }});
    tender_ = std::thread([this] { tend(); });
    return {};
  }

  void start() override { reporter_->start(); }

  void leave() override {
    healthy_ = false;
    if (reporter_ && !reporter_->has_left()) reporter_->leave(kGoodbyePatience);
  }

  void stop() override {
    if (stopped_.exchange(true)) return;
    leave();
    {
      Guard guard(tend_mutex_);
      tend_stop_ = true;
    }
    tend_wake_.notify_all();
    if (tender_.joinable()) tender_.join();
    if (vacuumer_) vacuumer_->stop();
    under_way_.wait_for_none();
    if (ec_) ec_->stop();
    reporter_.reset();
    master_client_.reset();
    if (store_) store_->close();
    disk_pool_.stop();
    tiers_.stop();
  }

  // --- reading ---

  ReadNow read_now(const FileId& id, ReadOptions options, ReadBuffer& buffer, Found& out) override {
    const auto volume = serving(id.volume);
    // Pieces of an encoded file may have to come from other servers.
    if (!volume) return ec_->has(id.volume) ? ReadNow::would_block : ReadNow::no_volume;
    return volume->read_now(id.key, id.cookie, options, buffer, out);
  }

  void read(const FileId& id, ReadOptions options, Done<Found> done) override {
    auto volume = serving(id.volume);
    if (!volume && ec_->has(id.volume)) return ec_->read(id, std::move(done));
    if (!volume) return done(Error(Code::not_found, "volume " + text(id.volume) + " not found"));
    auto& pool = volume->pool();
    const bool posted = pool.post([volume = std::move(volume), id, options, done] {
      done(volume->read(id.key, id.cookie, options));
    });
    if (!posted) done(Error(Code::busy, "too many reads wait for the disks"));
  }

  bool has_volume(VolumeId id) const override { return serving(id) != nullptr || ec_->has(id); }

  EcService* ec() override { return ec_.get(); }

  // --- writing ---

  void write(WriteRequest request, Done<Written> done) override {
    if (auto may = upkeep_->maintenance().check(); !may) return done(may.error());
    auto volume = serving(request.id.volume);
    if (request.last_modified == 0) {
      request.last_modified = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(world_.clock.wall().time_since_epoch()).count());
    }
    if (!volume && ec_->has(request.id.volume)) {
      return done(Error(Code::read_only, "failed to write to local disk: volume " + text(request.id.volume) +
                                             " is read only: it is erasure-coded"));
    }
    if (!volume) return forward(std::move(request), std::move(done));
    if (request.is_replica || volume->replica_placement().copies() <= 1) {
      auto put = put_of(request, config_.fsync);
      if (request.is_replica) put.epoch = request.epoch;
      put.done = [done = std::move(done)](Result<Put::Outcome> outcome) { done(written(outcome)); };
      return volume->put(std::move(put), false);
    }
    if (volume->is_read_only()) {
      return done(Error(Code::read_only, "failed to write to local disk: volume " + text(volume->id()) + " is read only"));
    }
    const auto id = request.id.volume;
    // Before it is asked who the other holders are: the answer may be older than the epoch, and then they refuse.
    request.epoch = volume->replica().epoch();
    const auto under_way = std::make_shared<WriteUnderWay>();
    under_way->request = std::move(request);
    under_way->done = std::move(done);
    under_way->token = under_way_.take();
    locator_->locate(id, [this, volume, under_way](Result<std::vector<Location>> holders) {
      write_all(volume, under_way, std::move(holders));
    });
  }

  void remove(RemoveRequest request, Done<Removed> done) override {
    if (auto may = upkeep_->maintenance().check(); !may) return done(may.error());
    const auto volume = serving(request.id.volume);
    if (!volume && ec_->has(request.id.volume)) return ec_->remove(request, std::move(done));
    if (!volume) {
      // Whoever tells its siblings takes "not found" for done; what is not served here for now may have the file all the same.
      return done(Error(request.is_replica ? Code::unavailable : Code::not_found, "volume " + text(request.id.volume) + " not found"));
    }
    if (!request.is_replica) request.epoch = volume->replica().epoch();
    // Who goes to every copy itself may go by what it knew before one of them was made again elsewhere.
    const bool alone = request.is_replica || volume->replica_placement().copies() <= 1 || volume->remote() != nullptr ||
                       (request.is_for_each && request.epoch == 0);
    Remove remove{.id = request.id.key,
                  .cookie = request.id.cookie,
                  .check_cookie = !request.skip_cookie_check,
                  .fsync = request.fsync || config_.fsync};
    if (!request.is_for_each) remove.epoch = request.epoch;
    remove.done = [this, alone, request, done = std::move(done)](Result<std::int32_t> size) {
      if (!size) return done(size.error());
      if (alone) return done(Removed{*size});
      if (!request.is_for_each) return remove_copies(request, *size, done);
      // Not what the caller waits for: it hears from the other copies itself, if it knows them.
      remove_copies(request, *size, [id = request.id, size = *size, done](const Result<Removed>& removed) {
        if (!removed) LOG_WARNING("{}: deleted here, and at its other copies only as far as the caller does: {}", text(id), removed.error().what());
        done(Removed{size});
      });
    };
    volume->remove(std::move(remove), false);
  }

  Result<std::shared_ptr<Spool>> make_spool(VolumeId id) override {
    const auto volume = store_->find(id);
    return Spool::make(world_.disk, volume ? volume->place().data_folder : store_->spool_folder());
  }

  bool post(std::function<void()> work) override { return disk_pool_.post(std::move(work)); }
  bool post_remote(std::function<void()> work) override { return tiers_.pool().post(std::move(work)); }

  void locate(VolumeId id, Done<std::vector<Location>> done) override { locator_->locate(id, std::move(done)); }

  // --- telling ---

  bool is_healthy() const override { return healthy_; }

  std::vector<VolumeInfo> volumes() const override {
    std::vector<VolumeInfo> out;
    for (const auto& volume : store_->volumes()) out.push_back(volume->info());
    return out;
  }

  std::vector<DiskStatus> disks() const override {
    std::vector<DiskStatus> out;
    for (const auto& folder : store_->folders()) {
      DiskStatus disk{.directory = folder.path, .disk_type = folder.disk_type, .error = folder.error, .volumes_max = folder.volumes_max};
      disk.all = folder.total_bytes;
      disk.free = folder.free_bytes;
      disk.used = folder.total_bytes - folder.free_bytes;
      if (disk.all > 0) {
        disk.percent_free = 100.0 * static_cast<double>(disk.free) / static_cast<double>(disk.all);
        disk.percent_used = 100.0 * static_cast<double>(disk.used) / static_cast<double>(disk.all);
      }
      out.push_back(std::move(disk));
    }
    return out;
  }

  Result<VolumeFileStatus> volume_status(VolumeId id) const override {
    const auto volume = store_->find(id);
    if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
    VolumeFileStatus out;
    out.info = volume->info();
    // The index's first: so the .dat told of holds every record that the .idx told of points at.
    out.idx_bytes = volume->idx_bytes();
    out.dat_bytes = volume->dat_bytes();
    out.last_append_at_ns = volume->last_append_at_ns();
    const auto modified = [&](const std::string& path) -> std::uint64_t {
      const auto info = world_.disk.info(path);
      if (!info) return 0;
      return static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(info->modified.time_since_epoch()).count());
    };
    out.dat_modified_seconds = volume->remote() != nullptr ? volume->remote()->modified_time : modified(volume->place().dat());
    if (volume->remote() != nullptr) out.remote = *volume->remote();
    out.idx_modified_seconds = modified(volume->place().idx());
    return out;
  }

  std::string self() const override { return host_port(config_.ip, config_.port); }
  std::vector<Address> masters() const override { return reporter_ ? reporter_->masters() : std::vector<Address>(); }

  // --- orders ---

  Status allocate(const AllocateRequest& request, const OrderFence& fence) override {
    if (auto admitted = upkeep_->admit(fence, request.id); !admitted) return admitted;
    if (request.version < 1 || request.version > 3) {
      return Error(Code::invalid, "unsupported needle version " + std::to_string(request.version));
    }
    Store::Allocation allocation{.id = request.id, .collection = request.collection};
    allocation.disk_type = request.disk_type == "hdd" ? "" : request.disk_type;
    allocation.creation = {.replica_placement = request.replica_placement,
                           .ttl = request.ttl,
                           .version = static_cast<Version>(request.version),
                           .preallocate_bytes = request.preallocate_bytes};
    if (auto made = store_->allocate(allocation); !made) return made.error();
    LOG_INFO("volume {}: made{}{}, copies {}", text(request.id), request.collection.empty() ? "" : " in collection ",
             request.collection, text(request.replica_placement));
    reporter_->changed();
    return {};
  }

  Status delete_volume(VolumeId id, const Deletion& how, const OrderFence& fence) override {
    if (auto admitted = upkeep_->admit(fence, id); !admitted) return admitted;
    const auto removed = store_->remove(id, how.only_empty);
    if (!removed) return removed.error();
    const auto* remote = (*removed)->remote();
    if (remote != nullptr && !how.keep_remote) tier_mover_->remove_object(id, *remote);
    LOG_INFO("volume {}: deleted by order", text(id));
    reporter_->changed();
    return {};
  }

  Status delete_collection(const std::string& collection, const OrderFence& fence) override {
    if (auto may = upkeep_->maintenance().check(); !may) return may;
    if (auto admitted = fences_->admit(fence, std::nullopt); !admitted) return admitted;
    // Each volume by itself: an order that was overtaken deletes nothing that was made after it was given.
    const auto removed = store_->remove_collection(collection, [&](VolumeId id) {
      const auto admitted = fences_->admit(fence, id);
      if (!admitted) LOG_WARNING("collection {}: volume {} stays: {}", collection, text(id), admitted.error().what());
      return admitted.ok();
    });
    for (const auto& volume : removed) {
      if (volume->remote() != nullptr) tier_mover_->remove_object(volume->id(), *volume->remote());
    }
    const auto encoded = store_->ec().remove_collection(collection, [&](VolumeId id) { return fences_->admit(fence, id).ok(); });
    LOG_INFO("collection {}: {} volumes deleted by order, {} of them erasure-coded", collection,
             removed.size() + encoded.size(), encoded.size());
    reporter_->changed();
    return {};
  }

  Status mark_read_only(VolumeId id, bool persist, bool can_delete, const OrderFence& fence) override {
    if (auto admitted = upkeep_->admit(fence, id); !admitted) return admitted;
    const auto volume = store_->find(id);
    if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
    // Before, so that no more writes come; and after, since a report may have left in between.
    const bool told = tell_mark(*volume, true);
    auto marked = volume->mark_read_only(persist, can_delete);
    if (told) tell_mark(*volume, true);
    reporter_->changed();
    return marked;
  }

  Status mark_writable(VolumeId id, const OrderFence& fence) override {
    if (auto admitted = upkeep_->admit(fence, id); !admitted) return admitted;
    const auto volume = store_->find(id);
    if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
    auto marked = volume->mark_writable();
    if (marked) tell_mark(*volume, false);
    reporter_->changed();
    return marked;
  }

  Status mount(VolumeId id, const OrderFence& fence) override {
    if (auto admitted = fences_->admit(fence, id); !admitted) return admitted;
    auto mounted = store_->mount(id);
    if (!mounted) return mounted.error();
    reporter_->changed();
    return {};
  }

  Status unmount(VolumeId id, const OrderFence& fence) override {
    if (auto admitted = fences_->admit(fence, id); !admitted) return admitted;
    if (store_->unmount(id)) reporter_->changed();
    return {};
  }

  VacuumService* vacuum() override { return vacuumer_.get(); }
  Upkeep* upkeep() override { return upkeep_.get(); }
  Healer* healer() override { return healer_.get(); }
  TierMover* tier_mover() override { return tier_mover_.get(); }

  ClusterId cluster() const override { return fences_->state().cluster_id; }

  std::size_t load_new_volumes() override {
    const auto loaded = store_->load_new();
    if (loaded > 0) reporter_->changed();
    return loaded;
  }

 private:
  // Not a copy that others have taken the place of: what was deleted since lives on in it.
  std::shared_ptr<Volume> serving(VolumeId id) const {
    auto volume = store_->find(id);
    if (volume && volume->replica().outdated_by() != 0) return nullptr;
    return volume;
  }

  // A master that cannot be told is told by the reports.
  bool tell_mark(const Volume& volume, bool is_read_only) {
    const auto info = volume.info();
    client::AdminClient admin(*master_client_, kMarkPatience);
    const auto told = admin.mark_volume({.ip = config_.ip,
                                         .port = config_.port,
                                         .volume = info.id,
                                         .collection = info.collection,
                                         .replica_placement = info.replica_placement.byte(),
                                         .version = info.version,
                                         .ttl = info.ttl.wire(),
                                         .disk_type = info.disk_type,
                                         .is_read_only = is_read_only});
    if (!told) LOG_WARNING("volume {}: the leading master was not told that it is {}: {}", text(info.id),
                           is_read_only ? "read-only" : "writable", told.error().what());
    return told.ok();
  }

  static Result<Written> written(const Result<Put::Outcome>& outcome) {
    if (!outcome) return outcome.error().at("failed to write to local disk");
    return Written{.unchanged = outcome->unchanged, .etag = outcome->crc, .size = outcome->size};
  }

  // The other holders; an error in upstream's words when there are too few.
  Result<std::vector<std::string>> siblings(const Volume& volume, const Result<std::vector<Location>>& holders) {
    if (!holders) return holders.error().at("lookup of volume " + text(volume.id()));
    const auto copies = volume.replica_placement().copies();
    if (holders->size() < static_cast<std::size_t>(copies)) {
      locator_->forget(volume.id());
      return Error(Code::unavailable, fmt::format("replicating operations [{}] is less than volume {} replication copy "
                                                  "count [{}]", holders->size(), text(volume.id()), copies));
    }
    std::vector<std::string> out;
    for (const auto& holder : *holders) {
      if (holder.url != self()) out.push_back(holder.url);
    }
    if (volume.replica().epoch() > 0 && out.size() == holders->size()) {
      locator_->forget(volume.id());
      return Error(Code::unavailable, "this copy of volume " + text(volume.id()) + " is not among those that count now");
    }
    return out;
  }

  // The copies are sent, then the local append is made while they are on their way.
  void write_all(const std::shared_ptr<Volume>& volume, const std::shared_ptr<WriteUnderWay>& under_way,
                 Result<std::vector<Location>> holders) {
    const auto others = siblings(*volume, holders);
    if (!others) return under_way->done(others.error());
    const auto id = volume->id();
    replicator_->write(under_way->request, *others, [this, id, under_way](Status copies) {
      if (!copies) {
        locator_->forget(id);
        copies = Error(copies.error().code(), "failed to write to replicas for volume " + text(id) + ": " +
                                                  copies.error().what());
      }
      settle(under_way, {}, std::move(copies));
    });
    auto put = put_of(under_way->request, config_.fsync);
    put.epoch = under_way->request.epoch;
    put.done = [under_way](Result<Put::Outcome> outcome) { settle(under_way, std::move(outcome), {}); };
    volume->put(std::move(put), false);
  }

  // Called twice, once for each half; the second one answers. A local failure is told before the siblings'.
  static void settle(const std::shared_ptr<WriteUnderWay>& under_way, std::optional<Result<Put::Outcome>> local,
                     std::optional<Status> copies) {
    {
      Guard guard(under_way->mutex);
      if (local) under_way->local = std::move(local);
      if (copies) under_way->copies = std::move(copies);
      if (!under_way->local || !under_way->copies) return;
    }
    if (!under_way->local->ok()) return under_way->done(written(*under_way->local));
    if (!under_way->copies->ok()) return under_way->done(under_way->copies->error());
    under_way->done(written(*under_way->local));
  }

  // A write for a volume that lies elsewhere: to all its holders, and an error when there is none (upstream answers 201
  // and stores nothing).
  // To one that holds the volume, which knows how many copies there must be and makes them all.
  void forward(WriteRequest request, Done<Written> done) {
    const auto id = request.id.volume;
    const Error nowhere(Code::not_found, "volume " + text(id) + " not found");
    if (request.is_replica || request.was_passed_on) return done(nowhere);
    const auto under_way = std::make_shared<WriteUnderWay>();
    under_way->request = std::move(request);
    under_way->done = std::move(done);
    under_way->token = under_way_.take();
    locator_->locate(id, [this, id, under_way, nowhere](Result<std::vector<Location>> holders) {
      if (!holders) {
        return under_way->done(holders.error().code() == Code::not_found
                                   ? Error(Code::not_found, "volume " + text(id) + " is not held by any server")
                                   : holders.error());
      }
      const auto holder = std::find_if(holders->begin(), holders->end(), [&](const Location& one) { return one.url != self(); });
      if (holder == holders->end()) {
        locator_->forget(id);
        return under_way->done(nowhere);
      }
      under_way->request.pass_on = true;
      replicator_->write(under_way->request, {holder->url}, [this, id, under_way](Status copies) {
        if (!copies) {
          locator_->forget(id);
          return under_way->done(Error(copies.error().code(), "failed to write to replicas for volume " + text(id) +
                                                                  ": " + copies.error().what()));
        }
        const auto& request = under_way->request;
        const auto crc = request.spool ? request.spool->crc() : crc32c(request.data);
        under_way->done(Written{.unchanged = false, .etag = crc, .size = 0});
      });
    });
  }

  void remove_copies(const RemoveRequest& request, std::int32_t size, const Done<Removed>& done) {
    const auto volume = store_->find(request.id.volume);
    if (!volume) return done(Removed{size});  // deleted as a whole meanwhile
    locator_->locate(request.id.volume, [this, volume, request, size, done, token = under_way_.take()](Result<std::vector<Location>> holders) {
      const auto others = siblings(*volume, holders);
      if (!others) return done(others.error());
      replicator_->remove(request, *others, [this, id = request.id.volume, size, done, token](Status copies) {
        if (copies) return done(Removed{size});
        locator_->forget(id);
        done(copies.error());
      });
    });
  }

  Holdings holdings() {
    Holdings out;
    std::set<VolumeId> vanished;
    {
      Guard guard(tend_mutex_);
      vanished = vanished_;
    }
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(world_.clock.wall().time_since_epoch()).count();
    for (const auto& volume : store_->volumes()) {
      if (volume->is_quarantined() || vanished.contains(volume->id())) continue;
      // Between its end and its deletion nobody is sent to it any more (spec/weed-cluster 5.3).
      if (volume_size_limit_ > 0 && volume->is_expired(static_cast<std::uint64_t>(now), false)) continue;
      out.volumes.push_back(volume->info());
    }
    out.ec_shards = store_->ec().infos();
    out.state = upkeep_->maintenance().state();
    for (const auto& folder : store_->folders()) {
      // Slots with no volume yet are slots all the same; a count of 0 would be no statement.
      out.slots[folder.disk_type] += folder.volumes_max;
      out.total_bytes[folder.disk_type] += folder.total_bytes;
      out.free_bytes[folder.disk_type] += folder.free_bytes;
    }
    return out;
  }

  void tend() {
    while (true) {
      {
        Guard guard(tend_mutex_);
        // Woken early it only looks early.
        if (!tend_stop_) tend_wake_.wait_for(tend_mutex_, kTendEvery);
        if (tend_stop_) return;
      }
      vacuumer_->tend();
      healer_->tend();
      bool news = !store_->tend(volume_size_limit_).empty();
      const auto now = std::chrono::duration_cast<std::chrono::seconds>(world_.clock.wall().time_since_epoch()).count();
      news = !store_->ec().tend(static_cast<std::uint64_t>(now)).empty() || news;
      std::set<VolumeId> vanished;
      for (const auto& volume : store_->volumes()) {
        if (volume->has_vanished()) vanished.insert(volume->id());
      }
      {
        Guard guard(tend_mutex_);
        for (const auto id : vanished) {
          if (!vanished_.contains(id)) LOG_ERROR("volume {}: its .dat was removed behind our back", text(id));
        }
        news = news || vanished != vanished_;
        vanished_ = std::move(vanished);
      }
      if (news) reporter_->changed();
    }
  }

  const VolumeConfig config_;
  const World world_;
  WorkPool disk_pool_;
  Tiers tiers_;
  std::unique_ptr<IndexCaches> index_caches_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<FenceKeeper> fences_;
  std::unique_ptr<client::MasterClient> master_client_;
  std::unique_ptr<Locator> locator_;
  std::unique_ptr<Replicator> replicator_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Vacuumer> vacuumer_;
  std::unique_ptr<Upkeep> upkeep_;
  std::unique_ptr<Healer> healer_;
  std::unique_ptr<TierMover> tier_mover_;
  std::unique_ptr<EcServer> ec_;

  UnderWay under_way_;
  std::atomic<bool> healthy_{true};
  std::atomic<bool> stopped_{false};
  std::atomic<std::uint64_t> volume_size_limit_{0};  // 0 until a master tells it

  Mutex tend_mutex_;  // leaf
  Condition tend_wake_;
  bool tend_stop_ HOLDFAST_GUARDED_BY(tend_mutex_) = false;
  std::set<VolumeId> vanished_ HOLDFAST_GUARDED_BY(tend_mutex_);
  std::thread tender_;
};

}  // namespace

Result<std::unique_ptr<VolumeServer>> VolumeServer::open(VolumeConfig config, World world) {
  auto server = std::make_unique<Server>(std::move(config), world);
  if (auto opened = server->open(); !opened) return opened.error();
  return std::unique_ptr<VolumeServer>(std::move(server));
}

}  // namespace holdfast::volume
