// Topology's erasure-coded volumes: which shards lie where.
#include <algorithm>
#include <bit>

#include "core/topology/topology.h"

namespace holdfast::topology {
namespace {

// The sizes of an info by shard.
std::map<std::uint32_t, std::int64_t> sizes_of(const EcShardsInfo& info) {
  std::map<std::uint32_t, std::int64_t> out;
  std::size_t at = 0;
  for (std::uint32_t bit = 0; bit < 32; bit++) {
    if ((info.bits >> bit & 1) == 0) continue;
    out[bit] = at < info.shard_sizes.size() ? info.shard_sizes[at] : 0;
    at++;
  }
  return out;
}

void set_sizes(EcShardsInfo& info, const std::map<std::uint32_t, std::int64_t>& sizes) {
  info.bits = 0;
  info.shard_sizes.clear();
  for (const auto& [bit, bytes] : sizes) {
    info.bits |= 1u << bit;
    info.shard_sizes.push_back(bytes);
  }
}

}  // namespace

std::uint32_t Topology::ec_shards_on(const Server& server, const std::string& disk_type) {
  std::uint32_t count = 0;
  for (const auto& [key, info] : server.ec) {
    if (info.disk_type == disk_type) count += static_cast<std::uint32_t>(std::popcount(info.bits));
  }
  return count;
}

void Topology::apply_ec(Server& server, const Report& report) {
  if (!report.ec_full && report.ec_added.empty() && report.ec_removed.empty()) return;
  auto ec = server.ec;
  for (auto info : report.ec_added) {
    info.disk_type = canonical_disk_type(info.disk_type);
    auto& known = ec[{info.id, info.disk_id}];
    auto sizes = sizes_of(known);
    for (const auto& [bit, bytes] : sizes_of(info)) sizes[bit] = bytes;
    known = std::move(info);
    set_sizes(known, sizes);
  }
  for (const auto& info : report.ec_removed) {
    const auto known = ec.find({info.id, info.disk_id});
    if (known == ec.end()) continue;
    auto sizes = sizes_of(known->second);
    for (const auto& [bit, bytes] : sizes_of(info)) sizes.erase(bit);
    set_sizes(known->second, sizes);
    if (sizes.empty()) ec.erase(known);
  }
  if (report.ec_full) {
    ec.clear();
    for (auto info : report.ec_shards) {
      if (info.bits == 0) continue;
      info.disk_type = canonical_disk_type(info.disk_type);
      ec[{info.id, info.disk_id}] = std::move(info);
    }
  }
  set_ec(server, std::move(ec));
}

void Topology::set_ec(Server& server, std::map<EcKey, EcShardsInfo> ec) {
  std::map<VolumeId, std::pair<std::uint32_t, std::uint32_t>> bits;  // before and after, over all disks
  for (const auto& [key, info] : server.ec) bits[key.first].first |= info.bits;
  for (const auto& [key, info] : ec) bits[key.first].second |= info.bits;
  const bool room_changed = ec.size() != server.ec.size();
  server.ec = std::move(ec);
  LocationEvent event = event_of(server);
  for (const auto& [id, change] : bits) {
    const auto& [before, after] = change;
    if (before == after) continue;
    ++room_version_;
    auto& holders = ec_volumes_[id];
    if (after != 0) {
      holders[&server] = after;
    } else {
      holders.erase(&server);
    }
    if (before == 0) event.ec_added.push_back(id);
    if (after == 0) event.ec_removed.push_back(id);
    publish_ec(id);
  }
  if (room_changed) ++room_version_;
  if (!event.ec_added.empty() || !event.ec_removed.empty()) events_.push_back(std::move(event));
}

void Topology::publish_ec(VolumeId id) {
  const auto it = ec_volumes_.find(id);
  if (it == ec_volumes_.end()) return;
  if (it->second.empty()) {
    ec_volumes_.erase(it);
    ec_index_.set(id, nullptr);
    return;
  }
  auto locations = std::make_shared<Locations>();
  locations->volume = id;
  const bool any_there = std::any_of(it->second.begin(), it->second.end(),
                                     [](const auto& holder) { return holder.first->session.has_value(); });
  for (const auto& [server, bits] : it->second) {
    for (const auto& [key, info] : server->ec) {
      if (key.first == id) locations->collection = info.collection;
    }
    if (any_there && !server->session) continue;
    locations->places.push_back({server->url, server->public_url, server->data_center, server->rack, server->id,
                                 server->grpc_port, server->liveness});
  }
  ec_index_.set(id, std::move(locations));
}

std::map<std::uint32_t, std::vector<Location>> Topology::ec_locations(VolumeId id) const {
  std::map<std::uint32_t, std::vector<Location>> out;
  const auto it = ec_volumes_.find(id);
  if (it == ec_volumes_.end()) return out;
  for (const auto& [server, bits] : it->second) {
    // One that is gone for a moment cannot be read from.
    if (!server->session) continue;
    for (std::uint32_t shard = 0; shard < 32; shard++) {
      if ((bits >> shard & 1) == 0) continue;
      out[shard].push_back({server->url, server->public_url, server->data_center, server->rack, server->id,
                            server->grpc_port, server->liveness});
    }
  }
  return out;
}

std::vector<std::string> Topology::ec_collections() const {
  std::set<std::string> names;
  for (const auto& [id, server] : servers_) {
    for (const auto& [key, info] : server->ec) names.insert(info.collection);
  }
  return {names.begin(), names.end()};
}

}  // namespace holdfast::topology
