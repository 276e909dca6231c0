#include "service/volume/ec_server.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "client/volume_source.h"
#include "service/volume/file_pull.h"
#include "service/volume/pacer.h"
#include "storage/ec/ec_scrub.h"

namespace holdfast::volume {
namespace {

static_assert(static_cast<int>(EcService::ScrubMode::index) == static_cast<int>(ec::ScrubMode::index) &&
              static_cast<int>(EcService::ScrubMode::full) == static_cast<int>(ec::ScrubMode::full) &&
              static_cast<int>(EcService::ScrubMode::local) == static_cast<int>(ec::ScrubMode::local) &&
              static_cast<int>(EcService::ScrubMode::checksums) == static_cast<int>(ec::ScrubMode::checksums));

constexpr auto kAside = ".copying";  // behind the name of what another server has, until it is whole

Error stopping() { return Error(Code::unavailable, "the volume server stops"); }

Error missing(VolumeId id) { return Error(Code::not_found, "ec volume " + text(id) + " not found"); }

// Files that another server has of an erasure-coded volume, each under another name until it takes its own; those that never do
// are gone with this.
class Aside {
 public:
  // All but `wish` outlive this. What `wish` names is of no account but for volume and collection.
  Aside(io::Disk& disk, client::VolumeSource& source, std::string source_name, client::FileWish wish, PullOptions options)
      : disk_(disk), source_(source), source_name_(std::move(source_name)), wish_(std::move(wish)), options_(std::move(options)) {
    wish_.is_ec_volume = true;
    wish_.ignore_missing = true;
  }
  ~Aside() {
    for (const auto& path : there_) (void)disk_.remove(path + kAside);
  }
  Aside(const Aside&) = delete;

  // What is to be at `path`; whether the other server has it.
  Result<bool> pull(const std::string& path) {
    wish_.extension = path.substr(find_last(path, '.'));
    there_.insert(path);
    auto copied = pull_file(source_, wish_, disk_, path + kAside, options_);
    if (!copied) return copied.error().at(name());
    if (!copied->is_there) there_.erase(path);
    return copied->is_there;
  }
  Status must_pull(const std::string& path) {
    const auto pulled = pull(path);
    if (!pulled) return pulled.error();
    return *pulled ? Status() : Error(Code::not_found, name() + ": it is not there");
  }
  Result<std::string> content(const std::string& path, std::uint64_t bytes_max) { return disk_.read_file(path + kAside, bytes_max); }
  // It takes its name, in place of what has it; nothing where the other server has none.
  Status adopt(const std::string& path) {
    if (there_.erase(path) == 0) return {};
    return disk_.rename(path + kAside, path);
  }
  // Of what was pulled last.
  std::string name() const {
    return "copy " + wish_.extension + " of ec volume " + text(wish_.volume) + " from " + source_name_;
  }

 private:

  io::Disk& disk_;
  client::VolumeSource& source_;
  const std::string source_name_;
  client::FileWish wish_;
  const PullOptions options_;
  std::set<std::string> there_;
};

// Those that the other server has; nothing: it has none, or what it has is damaged and is not to come here.
Result<std::optional<VolumeSettings>> pull_settings(Aside& aside, const std::string& path) {
  const auto pulled = aside.pull(path);
  if (!pulled) return pulled.error();
  if (!*pulled) return std::optional<VolumeSettings>();
  const auto content = aside.content(path, 1_MiB);
  auto settings = content ? VolumeSettings::parse(*content) : Result<VolumeSettings>(content.error());
  if (settings) return std::optional(std::move(*settings));
  LOG_WARNING("{}: left there: {}", aside.name(), settings.error().what());
  return std::optional<VolumeSettings>();
}
std::int64_t run_of(const std::optional<VolumeSettings>& settings) { return settings ? ec::encode_ts_of(*settings) : 0; }

// What was deleted there is deleted here too; what only this server has heard of stays deleted.
Status take_deletions(Aside& aside, ec::EcStore& store, const ec::EcFiles& here) {
  const auto has_journal = aside.pull(here.journal());
  if (!has_journal) return has_journal.error();
  if (!*has_journal) return {};
  const auto journal = aside.content(here.journal(), ec::kJournalBytesMax);
  if (!journal) return journal.error();
  return store.add_deletions(here, ec::parse_journal(bytes_of(*journal)));
}

}  // namespace

EcServer::EcServer(World world) : world_(std::move(world)), pool_(kThreads) {}
EcServer::~EcServer() { stop(); }

void EcServer::stop() {
  stopping_.set();
  pool_.stop();
}

// --- other servers ---

Result<client::EcClient::Holders> EcServer::holders(VolumeId id) {
  const auto now = world_.clock.now();
  {
    const Guard guard(mutex_);
    const auto it = known_.find(id);
    if (it != known_.end() && it->second.until > now) return it->second.holders;
  }
  auto found = client_.lookup(world_.masters(), id);
  if (!found) return found;
  const Guard guard(mutex_);
  known_[id] = Known{now + kHoldersFor, *found};
  return found;
}

void EcServer::forget(VolumeId id) {
  const Guard guard(mutex_);
  known_.erase(id);
}

std::vector<Result<ec::RemoteRead>> EcServer::read(VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
                                                   const std::vector<ec::ShardRange>& ranges) {
  std::vector<Result<ec::RemoteRead>> out(ranges.size(), Error(Code::unavailable, "no server is known to have it"));
  const auto known = holders(volume);
  if (!known) {
    for (auto& one : out) one = known.error();
    return out;
  }
  bool failed = false;
  // Each range of its first holder, then what is still missing of its second, and so on.
  for (std::size_t turn = 0;; turn++) {
    std::vector<client::EcClient::Read> reads;
    std::vector<std::size_t> of;
    for (std::size_t i = 0; i < ranges.size(); i++) {
      if (out[i].ok()) continue;
      const auto it = known->find(ranges[i].shard);
      if (it == known->end()) continue;
      std::size_t nth = 0;
      for (const auto& holder : it->second) {
        if (holder.url == world_.self || nth++ != turn) continue;
        reads.push_back({holder.grpc, ranges[i].shard, ranges[i].offset, ranges[i].out});
        of.push_back(i);
        break;
      }
    }
    if (reads.empty()) break;
    const auto read = client_.read(volume, encode_ts_ns, key, reads);
    for (std::size_t i = 0; i < read.size(); i++) {
      failed = failed || !read[i].ok();
      out[of[i]] = read[i] ? Result<ec::RemoteRead>(*read[i] ? ec::RemoteRead::filled : ec::RemoteRead::deleted)
                           : Result<ec::RemoteRead>(read[i].error());
    }
  }
  if (failed) forget(volume);
  return out;
}

// --- of files ---

void EcServer::read(const FileId& id, VolumeService::Done<Found> done) {
  const bool posted = pool_.post([this, id, done] {
    const auto volume = world_.store.ec().find(id.volume);
    done(volume ? volume->read(id.key, id.cookie, this) : Result<Found>(Error(Code::not_found, "not found")));
  });
  if (!posted) done(stopping());
}

void EcServer::remove(const RemoveRequest& request, VolumeService::Done<Removed> done) {
  const bool posted = pool_.post([this, request, done] { done(remove_now(request)); });
  if (!posted) done(stopping());
}

Result<Removed> EcServer::remove_now(const RemoveRequest& request) {
  const auto volume = world_.store.ec().find(request.id.volume);
  if (!volume) return Error(Code::not_found, "volume " + text(request.id.volume) + " not found");
  const auto key = request.id.key;
  const auto row = volume->find(key);
  if (!row && row.error().code() == Code::not_found) {
    return Error(Code::internal, "locate in local ec volume: FindNeedleFromEcx: needle not found");
  }
  if (!row) return row.error();
  if (row->size < 0) {
    if (request.skip_cookie_check) return Removed{0};
    return Error(Code::internal, "already deleted");
  }
  if (!request.skip_cookie_check) {
    const auto found = volume->read(key, request.id.cookie, this);
    if (!found && found.error().code() == Code::not_found) {
      return Error(Code::internal, fmt::format("unexpected cookie {:x}", request.id.cookie.value()));
    }
    if (!found) return found.error();
  }
  // Asked anew: a server that took a shard over a moment ago must be told, too, or the file comes back there; and one that
  // gave its last one away cannot be.
  forget(volume->id());
  const auto known = holders(volume->id());
  // With no master to ask, or none that knows the volume, nobody else can be told: then a delete would come undone.
  if (!known) return known.error().at("lookup of ec volume " + text(volume->id()));
  // Whoever is away with a shard would not know of the delete when it comes back.
  std::string away;
  for (ec::ShardId shard = 0; shard < volume->scheme().total(); shard++) {
    const auto it = known->find(shard);
    const bool is_here = (volume->bits() >> shard & 1) != 0;
    if (!is_here && (it == known->end() || it->second.empty())) away += (away.empty() ? "" : ", ") + std::to_string(shard);
  }
  if (!away.empty()) {
    return Error(Code::unavailable, fmt::format("ec volume {}: shards {} are on no server that is heard: bring it back or rebuild them "
                                                "(ec.rebuild), and delete again", text(volume->id()), away));
  }
  std::set<std::string> others;
  for (const auto& [shard, servers] : *known) {
    for (const auto& server : servers) {
      if (server.url != world_.self) others.insert(server.grpc);
    }
  }
  const auto told = client_.delete_blob({others.begin(), others.end()}, volume->id(), volume->collection(), key, 3);
  if (!told) {
    forget(volume->id());
    return Error(Code::unavailable, "ec volume " + text(volume->id()) + ": " + told.error().what());
  }
  if (auto removed = volume->remove(key); !removed) return removed.error();
  changed();
  return Removed{static_cast<std::int32_t>(std::min<std::uint64_t>(volume->record_bytes(*row), INT32_MAX))};
}

Status EcServer::delete_blob(VolumeId id, NeedleId key) {
  if (auto may = world_.may_change(); !may) return may;
  const auto volume = world_.store.ec().find(id);
  if (!volume) return missing(id);
  if (auto removed = volume->remove(key); !removed) {
    if (removed.error().code() != Code::not_found) return removed;
    return Error(Code::not_found, "locate in local ec volume: FindNeedleFromEcx: needle not found");
  }
  changed();
  return {};
}

Result<EcService::Piece> EcServer::read_shard(const PieceWish& wish) {
  const auto volume = world_.store.ec().find(wish.id);
  if (!volume) return Error(Code::not_found, "ec volume " + text(wish.id) + " not found");
  if (wish.encode_ts_ns != 0 && volume->encode_ts_ns() != wish.encode_ts_ns) {
    return Error(Code::stale, fmt::format("ec shard {}.{} belongs to a different encode run", text(wish.id), wish.shard));
  }
  Piece out{.encode_ts_ns = volume->encode_ts_ns()};
  if (wish.key != NeedleId() && volume->is_deleted(wish.key)) {
    out.is_deleted = true;
    return out;
  }
  out.data.resize(std::min<std::uint64_t>(wish.bytes, kChunkBytes));
  const auto got = volume->read_shard(wish.shard, wish.offset,
                                      {reinterpret_cast<std::uint8_t*>(out.data.data()), out.data.size()});
  if (!got) return got.error();
  out.data.resize(*got);
  return out;
}

// --- orders ---

Status EcServer::generate(VolumeId id, const std::string& collection, std::optional<ec::Scheme> scheme) {
  if (auto may = world_.may_change(); !may) return may;
  const auto volume = world_.store.find(id);
  if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
  if (volume->place().collection != collection) {
    return Error(Code::invalid, fmt::format("existing collection:{} unexpected input: {}", volume->place().collection,
                                            collection));
  }
  if (scheme && !scheme->is_valid()) return Error(Code::invalid, "there are no " + ec::text(*scheme) + " shards");
  return world_.store.ec().generate(*volume, scheme, world_.random.uuid(), 0);
}

Result<std::vector<ec::ShardId>> EcServer::rebuild(VolumeId id, const std::string& collection, bool ignore_checksums) {
  if (auto may = world_.may_change(); !may) return may.error();
  auto& registry = metrics::process();
  const auto begun = world_.clock.now();
  auto made = world_.store.ec().rebuild(id, collection, ignore_checksums);
  registry.histogram("SeaweedFS_volumeServer_ec_rebuild_seconds", "What making lost shards anew takes.").observe(world_.clock.now() - begun);
  registry.counter("SeaweedFS_volumeServer_ec_rebuild_total", "Rebuilds of lost shards.", {{"result", made ? "success" : "failure"}}).add();
  if (made) changed();
  return made;
}

Status EcServer::remove(const Removal& removal) {
  if (auto may = world_.may_change(); !may) return may;
  auto removed = world_.store.ec().remove(removal.id, removal.collection, removal.shards, removal.all, removal.encode_ts_ns);
  changed();
  return removed;
}

Status EcServer::mount(VolumeId id, const std::string& collection, const std::vector<ec::ShardId>& shards,
                       bool fetch) {
  if (id == VolumeId(0)) {
    world_.store.ec().mount_orphans();
    changed();
    return {};
  }
  const auto all = world_.store.ec().files_of(id, collection);
  if (fetch && !all.empty() && !all.front().has_index()) {
    if (auto fetched = fetch_index(all.front()); !fetched) return fetched;
  }
  auto mounted = world_.store.ec().mount(id, collection, shards);
  changed();
  return mounted;
}

Status EcServer::unmount(VolumeId id, const std::vector<ec::ShardId>& shards, std::int64_t encode_ts_ns) {
  auto unmounted = world_.store.ec().unmount(id, shards, encode_ts_ns);
  changed();
  return unmounted;
}

Status EcServer::to_volume(VolumeId id, const std::string& collection, bool from_staged) {
  if (auto may = world_.may_change(); !may) return may;
  if (world_.store.find(id)) return Error(Code::already_exists, "volume " + text(id) + " is mounted here already");
  return from_staged ? adopt_staged(id, collection) : world_.store.ec().to_volume(id, collection);
}

// What ReceiveFile laid down beside the volumes takes its names, the .dat last.
Status EcServer::adopt_staged(VolumeId id, const std::string& collection) {
  for (const auto& folder : world_.store.folders()) {
    const auto name = collection.empty() ? text(id) : collection + "_" + text(id);
    if (!world_.disk.info(io::join(folder.path, name + ".dat.copying")).ok()) continue;
    for (const auto* ext : {".vif", ".hfe", ".idx", ".dat"}) {
      const auto path = io::join(ext == std::string_view(".idx") ? folder.index_path : folder.path, name + ext);
      if (!world_.disk.info(path + ".copying").ok()) continue;
      if (auto named = world_.disk.rename(path + ".copying", path); !named) return named;
      if (auto synced = world_.disk.sync_dir(io::folder_of(path)); !synced) return synced;
    }
    return {};
  }
  return Error(Code::not_found, "volume " + text(id) + ": nothing was staged");
}

Status EcServer::copy(const Copy& copy) {
  if (auto may = world_.may_change(); !may) return may;
  const auto place = world_.store.ec().place_for_copies(copy.id, copy.collection, copy.disk_id);
  if (!place) return place.error();
  for (const auto shard : copy.shards) {
    if (shard >= ec::kShardsMax) return Error(Code::invalid, "there is no shard " + std::to_string(shard));
  }
  const auto source = client::VolumeSource::at(copy.source);
  Pacer pacer(world_.clock, copy.bytes_per_second);
  Aside aside(world_.disk, *source, text(copy.source), {.volume = copy.id, .collection = copy.collection}, {pacer, stopping_, {}});

  // What comes must be of the encoding that is here, if one is; so the settings are asked for also where they are not to be copied.
  const auto theirs = pull_settings(aside, place->settings());
  if (!theirs) return theirs.error();
  const auto run = run_of(*theirs);
  const auto other = text(copy.source) + " has other shards than those here, which must be deleted first";
  if (auto fits = world_.store.ec().make_room(copy.id, copy.collection, run, copy.index); !fits) return fits.error().at(other);
  const bool had_shards = !place->shards().empty();
  std::optional<std::vector<NeedleId>> folded;  // deletions that the other index knows; nothing: it is going to be the one here
  if (copy.index) {
    if (auto pulled = aside.must_pull(place->index()); !pulled) return pulled;
    if (place->has_index()) {
      auto deleted = ec::deletions_in(world_.disk, place->index() + kAside, place->index());
      const bool is_left = !deleted && deleted.error().code() == Code::stale && !had_shards;
      if (!deleted && !is_left) return deleted.error().at(other);
      if (deleted) folded = std::move(*deleted);
      if (auto gone = is_left ? place->remove_journal() : Status(); !gone) return gone;
    }
  }

  // A shard that is mounted goes on being read as it was.
  for (const auto shard : copy.shards) {
    if (auto pulled = aside.must_pull(place->shard(shard)); !pulled) return pulled;
    if (auto adopted = aside.adopt(place->shard(shard)); !adopted) return adopted;
  }
  if (copy.journal) {
    if (auto taken = take_deletions(aside, world_.store.ec(), *place); !taken) return taken;
  }
  if (copy.settings && *theirs) {
    const auto own = place->read_settings();
    const bool stays = own.ec_shard_config && (had_shards || ec::encode_ts_of(own) == run);
    if (auto adopted = stays ? Status() : aside.adopt(place->settings()); !adopted) return adopted;
  }
  if (copy.checksums) {
    if (const auto pulled = aside.pull(place->checksums()); !pulled) return pulled.error();
    if (auto adopted = aside.adopt(place->checksums()); !adopted) return adopted;
  }
  if (copy.index) {
    if (auto done = folded ? world_.store.ec().add_deletions(*place, *folded) : aside.adopt(place->index()); !done) return done;
  }
  return place->sync_names();
}

Status EcServer::fetch_index(const ec::EcFiles& here) {
  const auto id = here.place().id;
  forget(id);  // who took shards over a moment ago may be the only one to have it
  const auto known = holders(id);
  if (!known) return known.error();
  Error last = missing(id);
  std::set<std::string> asked{world_.self};
  for (const auto& [shard, servers] : *known) {
    for (const auto& server : servers) {
      if (!asked.insert(server.url).second) continue;
      const auto colon = find_last(server.grpc, ':');
      auto address = Address::parse(server.url);
      if (!address || colon == std::string::npos) continue;
      address->grpc_port = static_cast<std::uint16_t>(std::atoi(server.grpc.c_str() + colon + 1));
      const auto fetched = fetch_index_from(*address, here);
      if (fetched) return {};
      last = fetched.error();
    }
  }
  return last;
}

Status EcServer::fetch_index_from(const Address& source, const ec::EcFiles& here) {
  const auto id = here.place().id;
  const auto peer = client::VolumeSource::at(source);
  Pacer pacer(world_.clock, 0);
  Aside aside(world_.disk, *peer, text(source), {.volume = id, .collection = here.place().collection}, {pacer, stopping_, {}});

  const auto theirs = pull_settings(aside, here.settings());
  if (!theirs) return theirs.error();
  const auto own = here.read_settings();
  const auto run = run_of(*theirs);
  if (run != 0 && ec::encode_ts_of(own) != 0 && run != ec::encode_ts_of(own)) {
    return Error(Code::stale, "the index of ec volume " + text(id) + " at " + text(source) +
                                  " belongs to a different encode run than the shards here");
  }
  if (*theirs && !own.ec_shard_config) {
    if (auto adopted = aside.adopt(here.settings()); !adopted) return adopted;
  }
  if (auto taken = take_deletions(aside, world_.store.ec(), here); !taken) return taken;
  if (!world_.disk.info(here.checksums()).ok()) {
    if (const auto pulled = aside.pull(here.checksums()); !pulled) return pulled.error();
    if (auto adopted = aside.adopt(here.checksums()); !adopted) return adopted;
  }
  // Last: with it the set is whole.
  const auto has_index = aside.pull(here.index());
  if (!has_index) return has_index.error();
  if (!*has_index) return Error(Code::not_found, "the index of ec volume " + text(id) + " is not at " + text(source) + " either");
  if (auto adopted = aside.adopt(here.index()); !adopted) return adopted;
  return here.sync_names();
}

// --- telling ---

Result<EcService::Info> EcServer::info(VolumeId id) {
  const auto volume = world_.store.ec().find(id);
  if (!volume) return Error(Code::not_found, "VolumeEcShardsInfo: ec volume " + text(id) + " not found");
  Info out{.collection = volume->collection(), .shards = volume->shard_sizes()};
  const auto rows = volume->rows();
  if (!rows) return rows.error();
  for (const auto& row : *rows) {
    out.files++;
    if (row.size < 0) {
      out.deleted++;
    } else {
      out.volume_bytes += static_cast<std::uint64_t>(row.size);
    }
  }
  return out;
}

Result<EcService::Scrubbed> EcServer::scrub(ScrubMode mode, const std::vector<VolumeId>& ids, bool with_deleted) {
  std::vector<std::shared_ptr<ec::EcVolume>> volumes;
  if (ids.empty()) volumes = world_.store.ec().volumes();
  for (const auto id : ids) {
    auto volume = world_.store.ec().find(id);
    if (!volume) return missing(id);
    volumes.push_back(std::move(volume));
  }
  static constexpr std::array kModes = {"index", "full", "local", "checksum"};
  auto& failures = metrics::process().counter("SeaweedFS_volumeServer_scrub_shard_failures", "Shards that a scrub found to be damaged.",
                                              {{"mode", kModes[static_cast<std::size_t>(mode)]}});
  Scrubbed out;
  for (const auto& volume : volumes) {
    if (stopping_.is_set()) return stopping();
    const auto result = ec::scrub(world_.disk, *volume, static_cast<ec::ScrubMode>(mode), with_deleted, this);
    out.volumes++;
    out.files += result.files;
    if (result.details.empty()) continue;
    Scrubbed::Broken broken{.id = volume->id(), .collection = volume->collection()};
    failures.add(result.broken.size());
    const auto sizes = volume->shard_sizes();
    for (const auto shard : result.broken) broken.shards[shard] = sizes.contains(shard) ? sizes.at(shard) : 0;
    out.broken.push_back(std::move(broken));
    out.details.insert(out.details.end(), result.details.begin(), result.details.end());
  }
  return out;
}

}  // namespace holdfast::volume
