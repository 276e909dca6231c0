#include "service/volume/ec_server.h"

#include <fmt/format.h>

#include <array>
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

constexpr std::uint64_t kJournalBytesMax = 1_GiB;
constexpr auto kAside = ".copying";  // behind the name of what another server has, until it is whole

Error stopping() { return Error(Code::unavailable, "the volume server stops"); }

Error missing(VolumeId id) { return Error(Code::not_found, "ec volume " + text(id) + " not found"); }

// The deletions of two journals, each once.
std::string united(const std::string& one, const std::string& other) {
  std::string out;
  std::set<std::uint64_t> known;
  for (const auto* journal : {&one, &other}) {
    for (const auto key : ec::parse_journal(bytes_of(*journal))) {
      if (known.insert(key.value()).second) ec::append_journal(out, key);
    }
  }
  return out;
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
  const auto source = client::VolumeSource::at(copy.source);
  Pacer pacer(world_.clock, copy.bytes_per_second);
  const auto pull = [&](const std::string& extension, const std::string& path, bool ignore_missing) -> Status {
    client::FileWish wish{.volume = copy.id,
                          .collection = copy.collection,
                          .extension = extension,
                          .is_ec_volume = true,
                          .ignore_missing = ignore_missing};
    // Under another name until it is whole; a shard that was mounted goes on being read as it was.
    auto copied = pull_file(*source, wish, world_.disk, path + kAside, {pacer, stopping_, {}});
    if (!copied) {
      (void)world_.disk.remove(path + kAside);
      return copied.error().at("copy " + extension + " of ec volume " + text(copy.id) + " from " + text(copy.source));
    }
    if (!copied->is_there) {
      if (ignore_missing) return {};
      return Error(Code::not_found, "copy " + extension + " of ec volume " + text(copy.id) + ": " + text(copy.source) +
                                        " does not have it");
    }
    return world_.disk.rename(path + kAside, path);
  };
  for (const auto shard : copy.shards) {
    if (shard >= ec::kShardsMax) return Error(Code::invalid, "there is no shard " + std::to_string(shard));
    if (auto pulled = pull(fmt::format(".ec{:02}", shard), place->shard(shard), false); !pulled) return pulled;
  }
  if (copy.journal) {
    if (auto pulled = pull(".ecj", place->journal(), true); !pulled) return pulled;
  }
  if (copy.settings) {
    if (auto pulled = pull(".vif", place->settings(), true); !pulled) return pulled;
  }
  if (copy.checksums) {
    if (auto pulled = pull(".ecsum", place->checksums(), true); !pulled) return pulled;
  }
  if (copy.index) {
    if (auto pulled = pull(".ecx", place->index(), false); !pulled) return pulled;
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
  // As it is there, under another name; whether it is there.
  const auto pull = [&](const std::string& path) -> Result<bool> {
    const client::FileWish wish{.volume = id,
                                .collection = here.place().collection,
                                .extension = path.substr(find_last(path, '.')),
                                .is_ec_volume = true,
                                .ignore_missing = true};
    auto copied = pull_file(*peer, wish, world_.disk, path + kAside, {pacer, stopping_, {}});
    if (copied) return copied->is_there;
    (void)world_.disk.remove(path + kAside);
    return copied.error().at("copy " + wish.extension + " of ec volume " + text(id) + " from " + text(source));
  };
  const auto adopt = [&](const std::string& path) { return world_.disk.rename(path + kAside, path); };

  const auto has_settings = pull(here.settings());
  if (!has_settings) return has_settings.error();
  if (*has_settings) {
    const auto own = here.read_settings();
    const auto content = world_.disk.read_file(here.settings() + kAside, 1_MiB);
    if (!content) return content.error();
    const auto theirs = VolumeSettings::parse(*content);
    const auto run = theirs ? ec::encode_ts_of(*theirs) : 0;
    const bool is_other = run != 0 && ec::encode_ts_of(own) != 0 && run != ec::encode_ts_of(own);
    const bool is_wanted = theirs && !is_other && !own.ec_shard_config;
    if (auto done = is_wanted ? adopt(here.settings()) : world_.disk.remove(here.settings() + kAside); !done) return done;
    if (is_other) {
      return Error(Code::stale, "the index of ec volume " + text(id) + " at " + text(source) +
                                    " belongs to a different encode run than the shards here");
    }
  }

  const auto has_journal = pull(here.journal());
  if (!has_journal) return has_journal.error();
  if (*has_journal) {
    const auto own = world_.disk.read_file(here.journal(), kJournalBytesMax);
    if (!own && own.error().code() != Code::not_found) return own.error();
    const auto theirs = world_.disk.read_file(here.journal() + kAside, kJournalBytesMax);
    if (!theirs) return theirs.error();
    const auto both = united(own ? *own : std::string(), *theirs);
    if (auto replaced = world_.disk.replace_file(here.journal(), both); !replaced) return replaced;
    if (auto removed = world_.disk.remove(here.journal() + kAside); !removed) return removed;
  }

  if (!world_.disk.info(here.checksums()).ok()) {
    const auto has_checksums = pull(here.checksums());
    if (!has_checksums) return has_checksums.error();
    if (*has_checksums) {
      if (auto adopted = adopt(here.checksums()); !adopted) return adopted;
    }
  }

  // Last: with it the set is whole.
  const auto has_index = pull(here.index());
  if (!has_index) return has_index.error();
  if (!*has_index) return Error(Code::not_found, "the index of ec volume " + text(id) + " is not at " + text(source) + " either");
  if (auto adopted = adopt(here.index()); !adopted) return adopted;
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
