#include "core/topology/topology.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "core/topology/picture.h"
#include "model/address.h"

namespace holdfast::topology {

namespace {

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

std::uint64_t fnv(std::string_view bytes, std::uint64_t h) {
  for (const char c : bytes) h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ull;
  return h;
}

}  // namespace

Uuid folder_uuid(std::string_view text) {
  if (const auto uuid = Uuid::parse(text)) return *uuid;
  return Uuid{fnv(text, 0xcbf29ce484222325ull), fnv(text, 0x84222325cbf29ce4ull)};
}

// ---- reports -------------------------------------------------------------------------------------------------------

Topology::Reported Topology::report(SessionId session, const Report& report, Instant now) {
  Reported answer;
  Server* server = find_by_session(session);
  bool new_stream = false;
  if (given_up_.contains(session)) {
    answer.displaced = true;
    return answer;
  }
  if (server == nullptr) {
    if (report.ip.empty() || report.port == 0) {
      answer.ignored = true;
      return answer;
    }
    const std::string url = host_port(report.ip, static_cast<std::uint16_t>(report.port));
    std::string id = trimmed(report.id);
    if (id.empty()) id = url;
    if (!may_join(report.cluster_id, report.full && report.volumes.empty() && report.ec_shards.empty())) {
      answer.refusal = "the folders of volume server " + url + " belong to cluster " + text(report.cluster_id) +
                       ", these masters are cluster " + text(registry_.cluster_id) +
                       ": start it with its own masters, or, to give its volumes to these, remove holdfast.json from "
                       "its folders";
      return answer;
    }
    answer.duplicated_uuids = folders_held_by_others(id, url, report);
    if (!answer.duplicated_uuids.empty()) return answer;
    server = &register_server(id, report);
    if (server->session) sessions_.erase(*server->session);  // a newer stream of the same server takes over
    server->session = session;
    sessions_[session] = server;
    new_stream = true;
  } else if (server->session != session) {
    answer.displaced = true;
    return answer;
  }

  server->heard = now;
  server->pulse = report.pulse.value_or(options_.foreign_pulse);
  if (report.process) server->process = report.process;
  if (report.feature_level > 0 || new_stream) server->feature_level = report.feature_level;
  if (report.cluster_id != ClusterId() && report.cluster_id != server->cluster_id) {
    server->cluster_id = report.cluster_id;
    server->generation = Generation();  // another cluster's says nothing here
  }
  server->generation = std::max(server->generation, report.generation);
  const bool had_writes = server->takes_writes();
  server->silent = false;
  server->suspected = false;
  server->leaving = report.leaving;
  server->in_maintenance = report.in_maintenance.value_or(server->in_maintenance);
  if (report.max_file_key > server->max_file_key) server->max_file_key = report.max_file_key;
  if (!report.location_uuids.empty() || new_stream) set_folders(*server, report.location_uuids);
  server->folders_adopted = check_folders(*server);
  server->keys_covered = check_keys(*server);
  const bool moved = update_place(*server, report);
  update_room(*server, report);
  update_liveness(*server);

  if (new_stream && !report.full) answer.resend_full = server->volumes.empty();
  apply_volumes(*server, report, now);
  if (!apply_digest(*server, report) && !report.full) answer.resend_full = true;
  apply_ec(*server, report);
  if (moved || new_stream || had_writes != server->takes_writes()) refresh_volumes(*server);
  answer.folders_pending = !server->folders_adopted;
  return answer;
}

Topology::Server* Topology::find_by_session(SessionId session) {
  const auto it = sessions_.find(session);
  return it == sessions_.end() ? nullptr : it->second;
}

Topology::Server* Topology::find_by_url(std::string_view url) {
  const auto it = by_url_.find(url);
  return it == by_url_.end() ? nullptr : it->second;
}

bool Topology::may_join(ClusterId cluster, bool is_empty) const {
  // Before the registry is known (a start, nothing applied yet) nobody is turned away; nothing is writable then.
  return is_empty || registry_.cluster_id == ClusterId() || registry_.may_adopt(cluster);
}

std::vector<std::string> Topology::folders_held_by_others(const std::string& id, const std::string& url,
                                                          const Report& report) {
  std::vector<std::string> held;
  std::set<std::string> gone;
  for (const std::string& uuid : report.location_uuids) {
    const auto it = folders_.find(uuid);
    if (it == folders_.end()) continue;
    const Server& holder = *it->second;
    // The same server at the same place is replaced in place; one whose stream has ended has let go of its folders.
    if (holder.id == id || holder.url == url) continue;
    if (!holder.session) {
      gone.insert(holder.id);
    } else {
      held.push_back(uuid);
    }
  }
  if (held.empty()) {
    for (const std::string& holder : gone) forget(holder, kDistantPast);
  }
  return held;
}

Topology::Server& Topology::register_server(const std::string& id, const Report& report) {
  const std::string url = host_port(report.ip, static_cast<std::uint16_t>(report.port));
  // The same address under another id (it was given a name, or lost it) is the same server.
  if (const Server* other = find_by_url(url); other != nullptr && other->id != id) forget(other->id, kDistantPast);
  auto& server = servers_[id];
  if (server == nullptr) {
    server = std::make_unique<Server>();
    server->id = id;
  }
  return *server;
}

bool Topology::update_place(Server& server, const Report& report) {
  if (report.ip.empty() || report.port == 0) return false;
  const auto or_else = [](const std::string& text, const char* otherwise) { return text.empty() ? otherwise : text; };
  const std::string url = host_port(report.ip, static_cast<std::uint16_t>(report.port));
  const std::string public_url = report.public_url.empty()
                                     ? (server.public_url.empty() || server.url != url ? url : server.public_url)
                                     : report.public_url;
  // A change told in between (upstream's new_volumes and deleted_volumes) names the server, but leaves out where its
  // gRPC port is, and may leave out the rest: only a full list says that a place is the default one.
  const bool is_known = !report.full && server.url == url;
  const std::string data_center =
      is_known && report.data_center.empty() ? server.data_center : or_else(report.data_center, kDefaultDataCenter);
  const std::string rack = is_known && report.rack.empty() ? server.rack : or_else(report.rack, kDefaultRack);
  const std::uint32_t grpc_port = report.grpc_port != 0           ? report.grpc_port
                                  : is_known && server.grpc_port != 0 ? server.grpc_port
                                                                      : report.port + kGrpcPortDistance;
  if (server.url == url && server.public_url == public_url && server.data_center == data_center &&
      server.rack == rack && server.grpc_port == grpc_port) {
    return false;
  }
  if (!server.url.empty() && holds_any(server)) {  // watchers know its volumes under the old address
    LocationEvent event = event_of(server);
    for (const auto& [key, info] : server.ec) event.ec_removed.push_back(key.first);
    for (const auto& [id, info] : server.volumes) event.removed.push_back(id);
    events_.push_back(std::move(event));
  }
  if (const auto it = by_url_.find(server.url); it != by_url_.end() && it->second == &server) by_url_.erase(it);
  server.ip = report.ip;
  server.port = report.port;
  server.url = url;
  server.public_url = public_url;
  server.data_center = data_center;
  server.rack = rack;
  server.grpc_port = grpc_port;
  by_url_[url] = &server;
  if (holds_any(server)) {
    LocationEvent event = event_of(server);
    for (const auto& [key, info] : server.ec) event.ec_added.push_back(key.first);
    for (const auto& [id, info] : server.volumes) event.added.push_back(id);
    events_.push_back(std::move(event));
  }
  return true;
}

void Topology::update_room(Server& server, const Report& report) {
  for (const auto& [type, max] : report.max_volume_counts) {
    if (max == 0) continue;
    std::int64_t& known = server.disks[canonical_disk_type(type)].max;
    if (known < max) ++room_version_;
    known = max;
  }
  for (const auto& [type, bytes] : report.disk_total_bytes) {
    server.disks[canonical_disk_type(type)].total_bytes = bytes;
  }
  for (const auto& [type, bytes] : report.disk_free_bytes) server.disks[canonical_disk_type(type)].free_bytes = bytes;
}

void Topology::set_folders(Server& server, const std::vector<std::string>& texts) {
  if (!server.dir_texts.empty() && server.dir_texts == texts) return;
  release_folders(server);
  server.dir_texts = texts;
  for (const std::string& folder : texts) {
    folders_[folder] = &server;
    server.dirs.push_back(folder_uuid(folder));
  }
  // A server that does not tell its folders is adopted as a whole.
  if (texts.empty()) server.dirs.push_back(folder_uuid("server " + server.id));
}

void Topology::release_folders(Server& server) {
  for (const std::string& folder : server.dir_texts) {
    if (const auto it = folders_.find(folder); it != folders_.end() && it->second == &server) folders_.erase(it);
  }
  server.dir_texts.clear();
  server.dirs.clear();
}

bool Topology::check_folders(const Server& server) const {
  if (registry_.cluster_id == ClusterId() || !registry_.may_adopt(server.cluster_id)) return false;
  // It has obeyed masters that these are not the successors of, yet: an adoption raises the generation first.
  const bool foreign = server.cluster_id != ClusterId() && server.cluster_id != registry_.cluster_id;
  if (server.generation > registry_.generation || (foreign && server.generation == registry_.generation)) return false;
  return std::all_of(server.dirs.begin(), server.dirs.end(), [this](const Uuid& d) { return registry_.has_dir(d); });
}

bool Topology::check_keys(const Server& server) const {
  return server.process.has_value() || server.max_file_key < registry_.next_key;
}

void Topology::update_liveness(Server& server) {
  const bool alive = server.session && !server.suspected && !server.leaving;
  server.liveness->set(alive ? server.heard + server.pulse * options_.missed_pulses_max : kDistantPast);
}

void Topology::session_ended(SessionId session, Instant now) {
  Server* server = find_by_session(session);
  sessions_.erase(session);
  given_up_.erase(session);
  if (server == nullptr || server->session != session) return;  // a newer stream has taken over
  server->session.reset();
  update_liveness(*server);
  if (server->leaving) {
    forget(server->id, now);
  } else {
    refresh_volumes(*server);
  }
}

void Topology::heard(SessionId session, Instant at) {
  Server* server = find_by_session(session);
  if (server == nullptr || at <= server->heard || at <= server->suspected_at) return;
  const bool had_writes = server->takes_writes();
  server->heard = at;
  server->silent = false;
  server->suspected = false;
  update_liveness(*server);
  if (had_writes != server->takes_writes()) refresh_volumes(*server);
}

std::optional<Topology::Life> Topology::life(SessionId session) const {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return std::nullopt;
  return Life{it->second->liveness, it->second->pulse * options_.missed_pulses_max};
}

Instant Topology::sweep(Instant now) {
  Instant next = kDistantFuture;
  std::vector<std::string> gone;
  for (auto& [id, server] : servers_) {
    if (!server->session) {
      if (now - server->heard >= options_.forget_after) gone.push_back(id);
      continue;
    }
    if (!server->silent && now - server->heard >= server->pulse * options_.missed_pulses_max) {
      server->silent = true;
      ++silences_;
      refresh_volumes(*server);
    }
    if (!server->silent) {
      next = std::min(next, server->heard + server->pulse * options_.missed_pulses_max);
      continue;
    }
    if (!server->process) continue;  // upstream's: while its stream is open it is there
    const Instant give_up =
        server->heard + std::max(options_.silent_stream_max, server->pulse * options_.missed_pulses_max);
    if (now >= give_up) {
      given_up_.insert(*server->session);
      gone.push_back(id);
    } else {
      next = std::min(next, give_up);
    }
  }
  for (const std::string& id : gone) forget(id, now);
  return next;
}

void Topology::suspect(const Uuid& process, Instant now) {
  for (auto& [id, server] : servers_) {
    if (server->process != process || server->suspected) continue;
    server->suspected = true;
    server->suspected_at = now;
    update_liveness(*server);
    refresh_volumes(*server);
  }
}

void Topology::doubt(std::string_view host) {
  for (auto& [id, server] : servers_) {
    if (server->ip == host) server->liveness->doubt();
  }
}

void Topology::set_registry(const RegistryState& state, Instant now) {
  const auto epochs_before = registry_.epochs;
  registry_ = state;
  if (epochs_before != registry_.epochs) compare_epochs(*epochs_before);
  std::vector<std::string> refused;
  for (auto& [id, server] : servers_) {
    if (!may_join(server->cluster_id, !holds_any(*server))) {
      refused.push_back(id);
      continue;
    }
    const bool had_writes = server->takes_writes();
    server->folders_adopted = check_folders(*server);
    server->keys_covered = check_keys(*server);
    if (had_writes != server->takes_writes()) refresh_volumes(*server);
  }
  for (const std::string& id : refused) forget(id, now);
  for (const VolumeId volume : std::set<VolumeId>(uncovered_)) refresh(volumes_.at(volume));
}

void Topology::forget(const std::string& id, Instant) {
  const auto it = servers_.find(id);
  if (it == servers_.end()) return;
  Server& server = *it->second;
  server.liveness->set(kDistantPast);
  set_ec(server, {});
  LocationEvent event = event_of(server);
  while (!server.volumes.empty()) {
    const VolumeId volume = server.volumes.begin()->first;
    event.removed.push_back(volume);
    drop(server, volume);
  }
  const std::vector<VolumeId> event_volumes = aside_.empty() ? std::vector<VolumeId>() : event.removed;
  if (!event.removed.empty()) events_.push_back(std::move(event));
  while (!server.aside.empty()) drop_aside(server, server.aside.begin()->first);
  for (const VolumeId volume : event_volumes) readmit(volume);
  release_folders(server);
  if (server.session) sessions_.erase(*server.session);
  if (const auto url = by_url_.find(server.url); url != by_url_.end() && url->second == &server) by_url_.erase(url);
  servers_.erase(it);
}

// ---- volumes of a report -------------------------------------------------------------------------------------------

void Topology::apply_volumes(Server& server, const Report& report, Instant now) {
  LocationEvent event = event_of(server);
  const auto put_one = [&](const VolumeInfo& info) {
    if (keep_aside(server, info, event)) return;
    if (put(server, info)) event.added.push_back(info.id);
    demote_older(info.id);
  };
  for (const VolumeInfo& info : report.volumes) put_one(info);
  for (const VolumeInfo& info : report.changed) put_one(info);
  for (const VolumeInfo& info : report.added) {
    if (!server.volumes.contains(info.id)) put_one(info);  // short form: what is known already is more
  }
  for (const VolumeId id : report.removed) {
    if (drop(server, id)) event.removed.push_back(id);
    drop_aside(server, id);
  }
  if (report.full) {
    std::unordered_set<VolumeId> present;
    for (const VolumeInfo& info : report.volumes) present.insert(info.id);
    std::vector<VolumeId> missing;
    for (const auto& [id, info] : server.volumes) {
      if (present.contains(id)) continue;
      const auto fresh = server.just_allocated.find(id);
      if (fresh == server.just_allocated.end() || fresh->second <= now) missing.push_back(id);
    }
    for (const VolumeId id : missing) {
      if (drop(server, id)) event.removed.push_back(id);
    }
    missing.clear();
    for (const auto& [id, info] : server.aside) {
      if (!present.contains(id)) missing.push_back(id);
    }
    for (const VolumeId id : missing) drop_aside(server, id);
  }
  const std::vector<VolumeId> gone = aside_.empty() ? std::vector<VolumeId>() : event.removed;
  std::erase_if(server.just_allocated, [&](const auto& entry) { return entry.second <= now; });
  if (!event.added.empty() || !event.removed.empty()) events_.push_back(std::move(event));
  for (const VolumeId id : gone) readmit(id);
}

bool Topology::apply_digest(Server& server, const Report& report) {
  const auto forget = [&](VolumeId id) {
    const auto it = server.hashes.find(id);
    if (it == server.hashes.end()) return;
    server.digest ^= it->second;
    server.hashes.erase(it);
  };
  if (report.full) {
    server.hashes.clear();
    server.digest = 0;
  }
  for (const VolumeId id : report.removed) forget(id);
  for (const auto& [id, hash] : report.hashes) {
    forget(id);
    server.hashes[id] = hash;
    server.digest ^= hash;
  }
  if (!report.digest) return true;
  // A volume that was taken off the server here, and is there all the same, is in the digests on both sides.
  return *report.digest == server.digest && server.hashes.size() <= server.volumes.size() + server.aside.size();
}

bool Topology::put(Server& server, VolumeInfo info) {
  info.disk_type = canonical_disk_type(info.disk_type);
  auto& known = server.volumes[info.id];
  if (known != nullptr && *known == info) return false;
  const bool fresh = known == nullptr;
  if (!fresh) --server.disks[known->disk_type].used;
  ++server.disks[info.disk_type].used;
  const VolumeId id = info.id;
  known = std::make_shared<const VolumeInfo>(std::move(info));

  Volume& volume = volumes_[id];
  volume.id = id;
  if (fresh) volume.replicas.push_back(&server);
  if (volume.replicas.front() == &server) set_layout(volume, &layout_of(*known));
  if (fresh) volume.locations = nullptr;
  refresh(volume);
  return fresh;
}

bool Topology::drop(Server& server, VolumeId id) {
  const auto known = server.volumes.find(id);
  if (known == server.volumes.end()) return false;
  --server.disks[known->second->disk_type].used;
  server.volumes.erase(known);
  ++room_version_;
  server.just_allocated.erase(id);

  Volume& volume = volumes_.at(id);
  std::erase(volume.replicas, &server);
  if (volume.replicas.empty()) {
    index_.set(id, nullptr);
    set_layout(volume, nullptr);
    uncovered_.erase(id);
    short_.erase(id);
    misplaced_.erase(id);
    over_.erase(id);
    volumes_.erase(id);
    return true;
  }
  set_layout(volume, &layout_of(*volume.replicas.front()->volumes.at(id)));
  volume.locations = nullptr;
  refresh(volume);
  return true;
}

Topology::LayoutInfo& Topology::layout_of(const VolumeInfo& info) {
  LayoutKey key{info.collection, info.replica_placement, info.ttl, info.disk_type};
  LayoutInfo& layout = layout_infos_[key];
  if (layout.layout == nullptr) {
    layout.layout = std::make_shared<Layout>(std::move(key), options_.volume_size_limit);
    layouts_.add(layout.layout);
  }
  return layout;
}

void Topology::set_layout(Volume& volume, LayoutInfo* layout) {
  LayoutInfo* old = volume.layout;
  if (old == layout) return;
  if (old != nullptr) {
    if (volume.writable) {
      old->layout->remove(volume.id);
      --old->writable;
      old->crowded -= volume.crowded ? 1 : 0;
    }
    volume.writable = volume.crowded = false;
    if (--old->volumes == 0) {
      const LayoutKey key = old->layout->key();
      layouts_.remove(key);
      layout_infos_.erase(key);
    }
  }
  volume.layout = layout;
  if (layout != nullptr) ++layout->volumes;
}

NeedleId Topology::largest_key(const Server& server, const VolumeInfo& info) const {
  // Upstream's servers tell only one key for all their volumes; check_keys looks at that.
  return server.process ? info.max_key : NeedleId();
}

bool Topology::takes_writes(Volume& volume) const {
  const VolumeInfo& first = *volume.replicas.front()->volumes.at(volume.id);
  const std::size_t copies = static_cast<std::size_t>(first.replica_placement.copies());
  bool good = options_.replication_as_minimum ? volume.replicas.size() >= copies : volume.replicas.size() == copies;
  std::uint64_t size = 0;
  volume.uncovered = volume.id > registry_.max_volume_id;
  for (const Server* server : volume.replicas) {
    const VolumeInfo& info = *server->volumes.at(volume.id);
    size = std::max(size, info.size);
    good = good && server->takes_writes() && !info.read_only && info.collection == first.collection &&
           info.replica_placement == first.replica_placement && info.ttl == first.ttl &&
           info.disk_type == first.disk_type;
    if (largest_key(*server, info) >= registry_.next_key) volume.uncovered = true;
  }
  const auto threshold = static_cast<std::uint64_t>(static_cast<double>(options_.volume_size_limit) *
                                                    options_.crowded_threshold);
  if (size >= options_.volume_size_limit) volume.full = true;
  if (volume.full && size <= threshold) volume.full = false;
  return good && !volume.full && !volume.uncovered && !held_.contains(volume.id);
}

void Topology::refresh(Volume& volume) {
  const bool moved = volume.locations == nullptr;
  if (moved) publish_locations(volume);
  if (moved || volume.placed_as != volume.layout->layout->key().replica_placement) look_at_places(volume);

  std::uint64_t size = 0;
  for (const Server* server : volume.replicas) size = std::max(size, server->volumes.at(volume.id)->size);
  volume.fill->reported(size);
  const bool complete = has_all_copies(volume);
  volume.was_complete = volume.was_complete || complete;
  const auto wanted = static_cast<std::size_t>(
      volume.replicas.front()->volumes.at(volume.id)->replica_placement.copies());
  const auto keep = [&](std::set<VolumeId>& ids, bool is_one) {
    if (is_one) {
      ids.insert(volume.id);
    } else {
      ids.erase(volume.id);
    }
  };
  // One whose data lies in a remote tier has one holder, who alone may delete it there.
  const bool is_remote = std::any_of(volume.replicas.begin(), volume.replicas.end(), [&](const Server* server) {
    return server->volumes.at(volume.id)->is_remote();
  });
  keep(short_, !complete && !is_remote);
  keep(over_, volume.replicas.size() > wanted && !is_remote);
  const auto threshold = static_cast<std::uint64_t>(static_cast<double>(options_.volume_size_limit) *
                                                    options_.crowded_threshold);
  LayoutInfo& layout = *volume.layout;
  const bool was_writable = volume.writable;
  const bool was_crowded = volume.crowded;
  volume.writable = takes_writes(volume);
  volume.crowded = volume.writable && size > threshold;
  if (volume.uncovered) {
    uncovered_.insert(volume.id);
  } else {
    uncovered_.erase(volume.id);
  }

  layout.writable += (volume.writable ? 1 : 0) - (was_writable ? 1 : 0);
  layout.crowded += (volume.crowded ? 1 : 0) - (was_crowded ? 1 : 0);
  if (volume.writable && (!was_writable || moved)) layout.layout->add({volume.locations, volume.fill});
  if (!volume.writable && was_writable) layout.layout->remove(volume.id);
}

void Topology::look_at_places(Volume& volume) {
  volume.placed_as = volume.layout->layout->key().replica_placement;
  std::vector<Place> places;
  for (const Server* server : volume.replicas) places.push_back({server->data_center, server->rack, server->id});
  if (fits_placement(volume.placed_as, places)) {
    misplaced_.erase(volume.id);
  } else {
    misplaced_.insert(volume.id);
  }
}

bool Topology::has_all_copies(const Volume& volume) const {
  const VolumeInfo& first = *volume.replicas.front()->volumes.at(volume.id);
  return volume.replicas.size() >= static_cast<std::size_t>(first.replica_placement.copies());
}

void Topology::publish_locations(Volume& volume) {
  auto locations = std::make_shared<Locations>();
  locations->volume = volume.id;
  const VolumeInfo& first = *volume.replicas.front()->volumes.at(volume.id);
  locations->collection = first.collection;
  locations->copies = static_cast<std::size_t>(first.replica_placement.copies());
  // Servers whose stream has ended are left out while another has the volume; the last places known are better than
  // none, for a moment (forget_after).
  const bool any_there = std::any_of(volume.replicas.begin(), volume.replicas.end(),
                                     [](const Server* s) { return s->session.has_value(); });
  for (const Server* server : volume.replicas) {
    if (any_there && !server->session) continue;
    locations->places.push_back({server->url, server->public_url, server->data_center, server->rack, server->id,
                                 server->grpc_port, server->liveness});
  }
  volume.locations = std::move(locations);
  index_.set(volume.id, volume.locations);
}

void Topology::refresh_volumes(Server& server) {
  ++room_version_;
  for (const auto& [id, info] : server.volumes) {
    Volume& volume = volumes_.at(id);
    volume.locations = nullptr;
    refresh(volume);
  }
  for (const auto& [key, info] : server.ec) publish_ec(key.first);
}

// ---- the leader's own acts -----------------------------------------------------------------------------------------

void Topology::allocated(const VolumeInfo& info, const std::vector<std::string>& servers, Instant now) {
  for (const std::string& id : servers) {
    const auto it = servers_.find(id);
    if (it == servers_.end()) continue;
    Server& server = *it->second;
    server.just_allocated[info.id] = now + options_.allocated_kept;
    if (server.volumes.contains(info.id)) continue;  // its own report was faster
    put(server, info);
    LocationEvent event = event_of(server);
    event.added.push_back(info.id);
    events_.push_back(std::move(event));
  }
}

void Topology::removed(VolumeId volume, const std::string& id, Instant) {
  const auto it = servers_.find(id);
  if (it == servers_.end() || !drop(*it->second, volume)) return;
  LocationEvent event = event_of(*it->second);
  event.removed.push_back(volume);
  events_.push_back(std::move(event));
}

bool Topology::mark_readonly(std::string_view server_url, VolumeId volume, bool read_only, Instant) {
  Server* server = find_by_url(server_url);
  if (server == nullptr) return false;
  const auto it = server->volumes.find(volume);
  if (it == server->volumes.end()) return false;
  VolumeInfo info = *it->second;
  info.read_only = read_only;
  put(*server, std::move(info));
  return true;
}

void Topology::reserve(const std::string& id, const std::string& disk_type, std::int64_t slots) {
  const auto it = servers_.find(id);
  if (it == servers_.end()) return;
  std::int64_t& reserved = it->second->disks[disk_type].reserved;
  // The server may have been forgotten and registered anew since: what was reserved on the old one is gone with it.
  reserved = std::max<std::int64_t>(0, reserved + slots);
  if (slots < 0) ++room_version_;
}

void Topology::hold(VolumeId volume, bool held) {
  if (held ? !held_.insert(volume).second : held_.erase(volume) == 0) return;
  if (const auto found = volumes_.find(volume); found != volumes_.end()) refresh(found->second);
}

std::vector<Topology::VacuumCandidate> Topology::vacuum_candidates(VacuumAmong among) const {
  std::vector<VacuumCandidate> out;
  for (const auto& [id, volume] : volumes_) {
    if (!has_all_copies(volume)) continue;
    bool good = true;
    bool all_are_ours = true;
    bool any_deletions = false;
    for (const Server* server : volume.replicas) {
      const auto& info = *server->volumes.at(id);
      good = good && server->takes_writes() && !info.read_only;
      all_are_ours = all_are_ours && server->process.has_value();
      any_deletions = any_deletions || info.delete_count > 0;
    }
    if (!good || (among == VacuumAmong::with_deletions && all_are_ours && !any_deletions)) continue;
    auto& candidate = out.emplace_back();
    candidate.volume = id;
    candidate.collection = volume.replicas.front()->volumes.at(id)->collection;
    candidate.all_are_ours = all_are_ours;
    for (const Server* server : volume.replicas) {
      candidate.servers.push_back(server->id);
      candidate.addresses.push_back(grpc_address(server->id));
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.volume < b.volume; });
  return out;
}

std::vector<LocationEvent> Topology::take_events() { return std::exchange(events_, {}); }

// ---- for proposals -------------------------------------------------------------------------------------------------

std::vector<AdoptDirs> Topology::pending_adoptions(std::size_t limit) const {
  std::vector<AdoptDirs> commands;
  for (const auto& [id, server] : servers_) {
    if (server->folders_adopted || !server->session || !may_join(server->cluster_id, !holds_any(*server))) {
      continue;
    }
    // An empty one of another cluster is done when its folders are: what it waits for is its own decision to leave that.
    const bool has_all = std::all_of(server->dirs.begin(), server->dirs.end(),
                                     [this](const Uuid& dir) { return registry_.has_dir(dir); });
    if (has_all && !registry_.may_adopt(server->cluster_id)) continue;
    AdoptDirs command{server->cluster_id, server->generation, false, NeedleId(), VolumeId(), {}};
    if (!server->process) command.max_key = server->max_file_key;  // it tells no key by volume
    for (const auto& [volume, info] : server->volumes) {
      // In the folders that were adopted before lie keys of ours alone, unless masters were lost since. (A server of
      // ours counts its disks as it lists its folders.)
      const bool is_told = server->process && info->disk_id < server->dirs.size();
      const bool is_same = server->cluster_id == registry_.cluster_id && server->generation <= registry_.generation;
      if (is_told && is_same && registry_.has_dir(server->dirs[info->disk_id])) continue;
      command.has_volumes = true;
      command.max_volume_id = std::max(command.max_volume_id, volume);
      // A key that is taken for corrupt must not hide the largest good one.
      if (info->max_key.value() <= kAdoptedKeyMax) command.max_key = std::max(command.max_key, info->max_key);
    }
    for (const auto& [key, info] : server->ec) {
      const bool is_told = server->process && info.disk_id < server->dirs.size();
      const bool is_same = server->cluster_id == registry_.cluster_id && server->generation <= registry_.generation;
      if (is_told && is_same && registry_.has_dir(server->dirs[info.disk_id])) continue;
      command.has_volumes = true;
      command.max_volume_id = std::max(command.max_volume_id, info.id);
      if (info.max_key.value() <= kAdoptedKeyMax) command.max_key = std::max(command.max_key, info.max_key);
    }
    // As in uncovered_key().
    const bool of_lost_masters = server->cluster_id != ClusterId() && server->cluster_id != registry_.cluster_id;
    if (command.has_volumes && of_lost_masters && command.max_key.value() <= kAdoptedKeyMax - kKeySkip) {
      command.max_key = command.max_key + kKeySkip;
    }
    command.dirs = server->dirs;
    commands.push_back(std::move(command));
    if (commands.size() >= limit) break;
  }
  return commands;
}

NeedleId Topology::uncovered_key() const {
  NeedleId largest;
  const auto consider = [&](NeedleId key) {
    if (key >= registry_.next_key && key.value() <= kAdoptedKeyMax) largest = std::max(largest, key);
  };
  for (const VolumeId volume : uncovered_) {
    for (const Server* server : volumes_.at(volume).replicas) {
      if (server->folders_adopted) consider(largest_key(*server, *server->volumes.at(volume)));
    }
  }
  for (const auto& [id, server] : servers_) {
    if (server->folders_adopted && !server->keys_covered) consider(server->max_file_key);
  }
  // Masters that were lost may have seen this key too, moved their counter past it by the usual step, and given out keys
  // from there that nobody has written yet.
  if (largest != NeedleId() && !registry_.adopted_clusters.empty() && largest.value() <= kAdoptedKeyMax - kKeySkip) {
    largest = largest + kKeySkip;
  }
  return largest;
}

VolumeId Topology::uncovered_volume_id() const {
  VolumeId largest;
  for (const VolumeId id : uncovered_) {
    if (id > registry_.max_volume_id && id.value() <= kAdoptedVolumeIdMax) largest = std::max(largest, id);
  }
  // An id that is erasure-coded is as taken as any other.
  for (const auto& [id, holders] : ec_volumes_) {
    if (id <= registry_.max_volume_id || id.value() > kAdoptedVolumeIdMax) continue;
    const bool adopted = std::any_of(holders.begin(), holders.end(), [](const auto& h) { return h.first->folders_adopted; });
    if (adopted) largest = std::max(largest, id);
  }
  return largest;
}

Topology::Unsettled Topology::unsettled() const {
  Unsettled out;
  for (const VolumeId id : *registry_.unsettled) {
    const auto found = volumes_.find(id);
    if (found == volumes_.end()) continue;
    const Volume& volume = found->second;
    if (volume.was_complete) {
      out.complete.push_back(id);
      continue;
    }
    const bool empty = std::all_of(volume.replicas.begin(), volume.replicas.end(), [&](const Server* server) {
      const VolumeInfo& info = *server->volumes.at(id);
      return server->process.has_value() && server->takes_writes() && info.file_count == 0 &&
             info.delete_count == 0 && info.max_key == NeedleId();
    });
    if (!empty) continue;
    HalfMade& one = out.half_made.emplace_back(HalfMade{id, {}});
    for (const Server* server : volume.replicas) one.servers.push_back(server->id);
  }
  return out;
}

// ---- views ---------------------------------------------------------------------------------------------------------

std::size_t Topology::silent_count() const {
  return static_cast<std::size_t>(std::count_if(servers_.begin(), servers_.end(),
                                                [](const auto& entry) { return !entry.second->reachable(); }));
}

bool Topology::has_data_center(std::string_view name) const {
  return std::any_of(servers_.begin(), servers_.end(),
                     [&](const auto& entry) { return entry.second->data_center == name; });
}

std::int64_t Topology::free_slots(const Server& server, const std::string& disk_type) const {
  const auto it = server.disks.find(disk_type);
  if (it == server.disks.end()) return 0;
  const std::int64_t ec_slots = (ec_shards_on(server, disk_type) + 9) / 10;
  return it->second.max - it->second.used - it->second.reserved - ec_slots;
}

std::vector<GrowthServer> Topology::growth_servers(const std::string& disk_type) const {
  std::vector<GrowthServer> servers;
  for (const auto& [id, server] : servers_) {
    if (!server->takes_writes()) continue;
    servers.push_back({id, server->url, server->ip, server->data_center, server->rack, free_slots(*server, disk_type)});
  }
  return servers;
}

bool Topology::has_fallen_silent(const std::string& id, Instant now) const {
  const auto it = servers_.find(id);
  return it == servers_.end() || now - it->second->heard >= it->second->pulse * options_.missed_pulses_max;
}

std::string Topology::grpc_address(const std::string& id) const {
  const auto it = servers_.find(id);
  if (it == servers_.end()) return {};
  return host_port(it->second->ip, static_cast<std::uint16_t>(it->second->grpc_port));
}

std::vector<std::string> Topology::server_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, server] : servers_) ids.push_back(id);
  return ids;
}

std::map<std::string, std::vector<VolumeId>> Topology::collection_servers(std::string_view collection) const {
  std::map<std::string, std::vector<VolumeId>> found;
  for (const auto& [id, server] : servers_) {
    for (const auto& [volume, info] : server->volumes) {
      if (info->collection == collection) found[id].push_back(volume);
    }
    // What was encoded goes with the same order, and is heard of by the server's report.
    for (const auto& [key, info] : server->ec) {
      if (info.collection == collection) found[id];
    }
  }
  return found;
}

std::vector<Topology::LayoutCount> Topology::layout_counts() const {
  std::vector<LayoutCount> counts;
  for (const auto& [key, info] : layout_infos_) {
    counts.push_back({info.layout, info.volumes, info.writable, info.crowded});
  }
  return counts;
}

std::map<LayoutKey, std::uint64_t> Topology::short_counts() const {
  std::map<const LayoutInfo*, std::uint64_t> counts;
  for (const VolumeId id : short_) {
    if (const auto it = volumes_.find(id); it != volumes_.end()) ++counts[it->second.layout];
  }
  std::map<LayoutKey, std::uint64_t> out;
  for (const auto& [layout, count] : counts) out[layout->layout->key()] += count;
  return out;
}

std::vector<MisplacedVolume> Topology::misplaced_volumes() const {
  std::vector<MisplacedVolume> out;
  for (const VolumeId id : misplaced_) out.push_back({volumes_.at(id).layout->layout->key().collection, id});
  return out;
}

std::string Topology::data_center_of(const std::string& id) const {
  const auto it = servers_.find(id);
  return it == servers_.end() ? std::string() : it->second->data_center;
}

std::string Topology::rack_of(const std::string& id) const {
  const auto it = servers_.find(id);
  return it == servers_.end() ? std::string() : it->second->rack;
}

std::optional<ServerStatus> Topology::server_status(const std::string& id, bool with_volumes, Instant now) const {
  const auto it = servers_.find(id);
  if (it == servers_.end()) return std::nullopt;
  const Server& server = *it->second;
  ServerStatus status;
  status.id = server.id;
  status.url = server.url;
  status.public_url = server.public_url;
  status.grpc_port = server.grpc_port;
  for (const auto& [key, info] : server.ec) {
    status.ec_shards += static_cast<std::uint32_t>(std::popcount(info.bits));
    if (with_volumes) status.ec_infos.push_back(info);
  }
  status.silent_for = now - server.heard;
  status.writable = server.takes_writes();
  status.leaving = server.leaving;
  status.in_maintenance = server.in_maintenance;
  status.state = !server.session            ? "disconnected"
                 : server.leaving           ? "leaving"
                 : server.suspected         ? "waiting to be heard again after its master was lost"
                 : server.silent            ? "silent"
                 : !server.folders_adopted  ? "its folders wait for adoption"
                 : server.in_maintenance    ? "in maintenance"
                 : !server.keys_covered     ? "its largest file key waits for the key counter"
                                            : "ok";
  for (const auto& [type, disk] : server.disks) {
    DiskStatus& out = status.disks[type];
    out.max = disk.max;
    out.volumes = disk.used;
    out.free = free_slots(server, type) + disk.reserved;
    out.total_bytes = disk.total_bytes;
    out.free_bytes = disk.free_bytes;
    status.max += out.max;
    status.free += out.free;
    status.volumes += out.volumes;
  }
  for (const auto& [volume, info] : server.volumes) {
    status.disks[info->disk_type].volume_ids.push_back(volume);
    status.used_bytes += info->size;
    if (with_volumes) status.volume_infos.push_back(info);
  }
  for (auto& [type, disk] : status.disks) std::sort(disk.volume_ids.begin(), disk.volume_ids.end());
  std::sort(status.volume_infos.begin(), status.volume_infos.end(),
            [](const VolumeInfoPtr& a, const VolumeInfoPtr& b) { return a->id < b->id; });
  return status;
}

std::vector<CollectionStatus> Topology::collection_details(std::string_view collection) const {
  std::map<const LayoutInfo*, CollectionStatus> by_layout;
  for (const auto& [key, info] : layout_infos_) {
    if (key.collection == collection) by_layout[&info].collection = key.collection;
  }
  if (by_layout.empty()) return {};
  for (const auto& [id, volume] : volumes_) {
    const auto it = by_layout.find(volume.layout);
    if (it == by_layout.end()) continue;
    CollectionStatus& status = it->second;
    std::uint64_t files = 0;
    for (const Server* server : volume.replicas) {
      const VolumeInfo& info = *server->volumes.at(id);
      files = std::max(files, info.file_count - std::min(info.file_count, info.delete_count));
    }
    const std::uint64_t size = volume.fill->reported();
    status.file_count += files;
    status.used_size += size;
    status.total_size += volume.writable ? options_.volume_size_limit : size;
    ++status.volumes;
  }
  std::vector<CollectionStatus> details;
  for (auto& [layout, status] : by_layout) {
    status.layouts = 1;
    details.push_back(std::move(status));
  }
  return details;
}

std::vector<std::string> Topology::collections() const {
  std::vector<std::string> names;
  for (const auto& [key, info] : layout_infos_) {
    if (names.empty() || names.back() != key.collection) names.push_back(key.collection);
  }
  return names;
}

LocationEvent Topology::event_of(const Server& server) const {
  return {server.url, server.public_url, server.data_center, server.grpc_port, {}, {}, {}, {}};
}

std::optional<LocationEvent> Topology::location_snapshot(const std::string& id) const {
  const auto it = servers_.find(id);
  if (it == servers_.end() || !holds_any(*it->second)) return std::nullopt;
  LocationEvent event = event_of(*it->second);
  for (const auto& [key, info] : it->second->ec) {
    if (event.ec_added.empty() || event.ec_added.back() != key.first) event.ec_added.push_back(key.first);
  }
  for (const auto& [volume, info] : it->second->volumes) event.added.push_back(volume);
  std::sort(event.added.begin(), event.added.end());
  return event;
}

}  // namespace holdfast::topology
