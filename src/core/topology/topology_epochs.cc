// Which copies of a volume count, and what there is to mend. A volume's epoch is the registry's, or a later one that a copy
// tells: such a copy has refused every write of the older set since (docs/self-healing.md), so it has all that counts.
#include <algorithm>

#include "core/topology/topology.h"
#include "model/address.h"

namespace holdfast::topology {

std::uint64_t Topology::epoch_of(VolumeId id, const Server* besides) const {
  std::uint64_t epoch = registry_.epoch(id);
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) return epoch;
  for (const Server* server : found->second.replicas) {
    if (server != besides) epoch = std::max(epoch, server->volumes.at(id)->replica_epoch);
  }
  return epoch;
}

bool Topology::keep_aside(Server& server, const VolumeInfo& info, LocationEvent& event) {
  if (!info.replica_outdated && info.replica_epoch >= epoch_of(info.id, &server)) {
    drop_aside(server, info.id);
    return false;
  }
  if (drop(server, info.id)) event.removed.push_back(info.id);
  set_aside(server, std::make_shared<const VolumeInfo>(info));
  return true;
}

void Topology::set_aside(Server& server, VolumeInfoPtr info) {
  const VolumeId id = info->id;
  const std::string type = canonical_disk_type(info->disk_type);
  if (drop_aside(server, id); aside_[id].insert(&server).second) ++server.disks[type].used;
  server.aside[id] = std::move(info);
}

bool Topology::drop_aside(Server& server, VolumeId id) {
  const auto known = server.aside.find(id);
  if (known == server.aside.end()) return false;
  --server.disks[canonical_disk_type(known->second->disk_type)].used;
  server.aside.erase(known);
  const auto holders = aside_.find(id);
  holders->second.erase(&server);
  if (holders->second.empty()) aside_.erase(holders);
  return true;
}

void Topology::demote_older(VolumeId id) {
  const std::uint64_t epoch = epoch_of(id, nullptr);
  if (epoch == 0) return;
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) return;
  const std::vector<Server*> replicas = found->second.replicas;  // drop() changes them
  for (Server* server : replicas) {
    const VolumeInfoPtr info = server->volumes.at(id);
    if (info->replica_epoch >= epoch) continue;
    drop(*server, id);
    set_aside(*server, info);
    LocationEvent event = event_of(*server);
    event.removed.push_back(id);
    events_.push_back(std::move(event));
  }
}

void Topology::readmit(VolumeId id) {
  const auto holders = aside_.find(id);
  if (holders == aside_.end() || volumes_.contains(id)) return;  // those that are there are the newest
  std::uint64_t epoch = registry_.epoch(id);
  for (const Server* server : holders->second) epoch = std::max(epoch, server->aside.at(id)->replica_epoch);
  const std::set<Server*> servers = holders->second;  // drop_aside() changes them
  for (Server* server : servers) {
    const VolumeInfoPtr info = server->aside.at(id);
    if (info->replica_outdated || info->replica_epoch < epoch) continue;
    drop_aside(*server, id);
    if (!put(*server, *info)) continue;
    LocationEvent event = event_of(*server);
    event.added.push_back(id);
    events_.push_back(std::move(event));
  }
}

void Topology::compare_epochs(const EpochMap& before) {
  for (const auto& [id, epoch] : *registry_.epochs) {
    const auto known = before.find(id);
    if (known == before.end() || known->second != epoch) demote_older(id);
  }
}

// ---- what there is to mend -----------------------------------------------------------------------------------------

HealCopy Topology::heal_copy(const Server& server, const VolumeInfo& info) const {
  HealCopy copy;
  copy.place = {server.id, server.ip, server.data_center, server.rack, free_slots(server, info.disk_type)};
  copy.address = host_port(server.ip, static_cast<std::uint16_t>(server.grpc_port));
  copy.source = server.url + "." + std::to_string(server.grpc_port);
  copy.epoch = info.replica_epoch;
  copy.is_outdated = info.replica_outdated;
  copy.is_read_only = info.read_only;
  copy.can_take_part = server.process.has_value() && server.feature_level >= kHealingServerLevel && server.takes_writes();
  return copy;
}

HealVolume Topology::heal_volume(const Volume& volume) const {
  const VolumeInfo& first = *volume.replicas.front()->volumes.at(volume.id);
  HealVolume out{.id = volume.id,
                 .collection = first.collection,
                 .disk_type = first.disk_type,
                 .replica_placement = first.replica_placement,
                 .bytes = volume.fill->reported(),
                 .epoch = epoch_of(volume.id, nullptr),
                 .agreed_epoch = registry_.epoch(volume.id),
                 .busy = held_.contains(volume.id) || registry_.unsettled->contains(volume.id) ||
                         ec_volumes_.contains(volume.id),
                 .copies = {},
                 .aside = {}};
  for (const Server* server : volume.replicas) out.copies.push_back(heal_copy(*server, *server->volumes.at(volume.id)));
  if (const auto holders = aside_.find(volume.id); holders != aside_.end()) {
    for (const Server* server : holders->second) out.aside.push_back(heal_copy(*server, *server->aside.at(volume.id)));
  }
  return out;
}

std::optional<HealVolume> Topology::heal_volume(VolumeId id) const {
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) return std::nullopt;
  return heal_volume(found->second);
}

HealView Topology::heal_view() const {
  HealView view;
  for (const auto& [id, server] : servers_) {
    ++view.servers;
    if (!server->reachable()) ++view.servers_silent;
    view.copies_there += server->volumes.size();
  }
  view.short_count = short_.size();
  for (const VolumeId id : short_) {
    if (view.short_of_copies.size() >= HealView::kShortMax) break;
    const Volume& volume = volumes_.at(id);
    const auto copies = volume.replicas.front()->volumes.at(id)->replica_placement.copies();
    view.copies_missing += static_cast<std::size_t>(copies) - volume.replicas.size();
    view.short_of_copies.push_back(id);
  }
  view.copies_missing += view.short_count - view.short_of_copies.size();
  for (const VolumeId id : over_) {
    if (view.with_surplus.size() >= HealView::kSurplusMax) break;
    view.with_surplus.push_back(id);
  }
  for (const auto& [id, servers] : aside_) {
    if (view.with_aside.size() + view.only_aside.size() >= HealView::kAsideMax) break;
    const auto found = volumes_.find(id);
    if (found == volumes_.end()) {
      view.only_aside.push_back(id);
    } else {
      view.with_aside.push_back(heal_volume(found->second));
    }
  }
  return view;
}

std::vector<VolumeId> Topology::volumes_to_compare() const {
  std::vector<VolumeId> out;
  for (const auto& [id, volume] : volumes_) {
    const auto& replicas = volume.replicas;
    const auto info = [id = id](const Server* server) -> const VolumeInfo& { return *server->volumes.at(id); };
    if (replicas.empty() || (replicas.size() < 2 && info(replicas.front()).replica_placement.copies() < 2)) continue;
    const bool fits = std::all_of(replicas.begin(), replicas.end(), [&](const Server* server) {
      return server->process.has_value() && !info(server).read_only;
    });
    if (fits) out.push_back(id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<HealPlace> Topology::heal_targets(VolumeId volume, const std::string& disk_type) const {
  std::vector<HealPlace> places;
  const auto holders = aside_.find(volume);
  for (const auto& [id, server] : servers_) {
    if (!server->takes_writes() || !server->process || server->feature_level < kHealingServerLevel) continue;
    if (server->volumes.contains(volume)) continue;
    if (holders != aside_.end() && holders->second.contains(server.get())) continue;
    places.push_back({id, server->ip, server->data_center, server->rack, free_slots(*server, disk_type)});
  }
  return places;
}

}  // namespace holdfast::topology
