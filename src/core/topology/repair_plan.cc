#include "core/topology/repair_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace holdfast::topology {
namespace {

struct Copy {
  std::size_t server;
  VolumeInfo info;
};

ReplicaPlacement placement_of(const std::vector<Copy>& copies) {
  std::map<ReplicaPlacement, int> votes;
  for (const auto& copy : copies) ++votes[copy.info.replica_placement];
  return std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
           return std::tuple(a.second, a.first.copies(), a.first) < std::tuple(b.second, b.first.copies(), b.first);
         })->first;
}

// What a copy holds: files that are live, then bytes, then what was written last.
auto fullness(const VolumeInfo& info) {
  return std::tuple(info.file_count - std::min(info.file_count, info.delete_count), info.size, info.modified_at_second);
}

std::string counted(std::size_t have, int wanted) {
  return std::to_string(have) + " of " + std::to_string(wanted) + " copies";
}

}  // namespace

const PictureServer* best_target(const Picture& picture, const VolumeInfo& volume, const ReplicaPlacement& placement,
                                 const std::vector<const PictureServer*>& keep,
                                 const std::vector<const PictureServer*>& beside) {
  std::set<std::string> taken, hosts;
  std::vector<Place> places;
  for (const auto* server : keep) {
    places.push_back(place_of(*server));
    taken.insert(server->id);
    hosts.insert(server->address.host);
  }
  for (const auto* server : beside) taken.insert(server->id);
  const PictureServer* best = nullptr;
  const auto order = [&](const PictureServer& server) {
    const auto& disk = server.disks.at(volume.disk_type);
    const double share = static_cast<double>(disk.free) / static_cast<double>(std::max<std::int64_t>(disk.max, 1));
    return std::tuple(!hosts.contains(server.address.host), share, disk.free);
  };
  for (const auto& server : picture.servers) {
    if (!server.takes_volumes || taken.contains(server.id) || server.free_slots(volume.disk_type) <= 0) continue;
    if (server.shard_bits(volume.id) != 0) continue;  // its files would carry the same names
    places.push_back(place_of(server));
    const bool fits = fits_placement(placement, places);
    places.pop_back();
    if (!fits) continue;
    if (best == nullptr || order(server) > order(*best) || (order(server) == order(*best) && server.id < best->id)) {
      best = &server;
    }
  }
  return best;
}

std::vector<VolumeRepair> plan_repairs(Picture picture, const RepairWish& wish) {
  std::map<VolumeId, std::vector<Copy>> volumes;
  for (std::size_t i = 0; i < picture.servers.size(); ++i) {
    for (const auto& info : picture.servers[i].volumes) {
      if (!wish.wanted || wish.wanted(info)) volumes[info.id].push_back({i, info});
    }
  }
  std::vector<VolumeRepair> out;
  for (auto& [id, copies] : volumes) {
    if (std::any_of(copies.begin(), copies.end(), [](const Copy& copy) { return copy.info.is_remote(); })) continue;
    std::stable_sort(copies.begin(), copies.end(), [&](const Copy& a, const Copy& b) {
      if (fullness(a.info) != fullness(b.info)) return fullness(a.info) > fullness(b.info);
      return picture.servers[a.server].id < picture.servers[b.server].id;
    });
    VolumeRepair repair{.volume = id, .collection = copies.front().info.collection, .placement = placement_of(copies)};
    std::vector<Place> places;
    for (const auto& copy : copies) {
      const auto& server = picture.servers[copy.server];
      repair.holders.push_back(server.id);
      places.push_back(place_of(server));
    }
    const auto fitting = largest_fitting(repair.placement, places);
    std::vector<const PictureServer*> keep, others;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      const bool is_kept = std::find(fitting.begin(), fitting.end(), i) != fitting.end();
      (is_kept ? keep : others).push_back(&picture.servers[copies[i].server]);
    }
    for (const auto* server : keep) repair.keep.push_back(server->id);
    repair.source = repair.holders.front();
    const int wanted = repair.placement.copies();
    auto info = copies.front().info;
    while (static_cast<int>(keep.size()) < wanted) {
      const auto* target = best_target(picture, info, repair.placement, keep, others);
      if (target == nullptr) break;
      repair.targets.push_back(target->id);
      keep.push_back(target);
      const auto at = static_cast<std::size_t>(target - picture.servers.data());
      --picture.servers[at].disks[info.disk_type].free;
    }
    repair.missing = wanted - static_cast<int>(keep.size());
    if (repair.targets.empty() && repair.missing == 0) {
      for (const auto* server : others) repair.surplus.push_back(server->id);
    }
    if (static_cast<int>(copies.size()) < wanted) {
      repair.why = "under-replicated: " + counted(copies.size(), wanted);
    } else if (static_cast<int>(copies.size()) > wanted && repair.targets.empty() && repair.missing == 0) {
      repair.why = "over-replicated: " + counted(copies.size(), wanted);
    } else {
      repair.why = "misplaced: " + counted(fitting.size(), wanted) + " stand as " + text(repair.placement) + " asks";
    }
    if (repair.is_needed()) out.push_back(std::move(repair));
  }
  return out;
}

}  // namespace holdfast::topology
