#include "core/topology/picture.h"

#include <algorithm>
#include <set>

namespace holdfast::topology {
namespace {

// Whether the racks of one data center, by their numbers of copies, fit one rack of at most z+1 and y others of one.
bool racks_fit(const std::map<std::string, int>& racks, int z, int y) {
  const int crowded = static_cast<int>(std::count_if(racks.begin(), racks.end(), [](const auto& r) { return r.second > 1; }));
  if (crowded > 1) return false;
  for (const auto& [rack, copies] : racks) {
    if (copies > z + 1) return false;
  }
  // One of them is the rack of z+1, whichever; each other one holds a copy of its own.
  return static_cast<int>(racks.size()) <= y + 1;
}

}  // namespace

const VolumeInfo* PictureServer::find(VolumeId volume) const {
  const auto found = std::find_if(volumes.begin(), volumes.end(), [&](const VolumeInfo& v) { return v.id == volume; });
  return found == volumes.end() ? nullptr : &*found;
}

std::uint32_t PictureServer::shard_bits(VolumeId volume) const {
  std::uint32_t bits = 0;
  for (const auto& info : shards) {
    if (info.id == volume) bits |= info.bits;
  }
  return bits;
}

std::int64_t PictureServer::free_slots(const std::string& disk_type) const {
  const auto disk = disks.find(disk_type);
  return disk == disks.end() ? 0 : disk->second.free;
}

const PictureServer* Picture::find(std::string_view server) const {
  for (const auto& one : servers) {
    if (one.id == server || one.address.http() == server || text(one.address) == server) return &one;
  }
  return nullptr;
}

std::vector<const PictureServer*> Picture::holders(VolumeId volume) const {
  std::vector<const PictureServer*> out;
  for (const auto& server : servers) {
    if (server.find(volume) != nullptr) out.push_back(&server);
  }
  return out;
}

std::vector<const PictureServer*> Picture::shard_holders(VolumeId volume) const {
  std::vector<const PictureServer*> out;
  for (const auto& server : servers) {
    if (server.shard_bits(volume) != 0) out.push_back(&server);
  }
  return out;
}

bool fits_placement(const ReplicaPlacement& placement, const std::vector<Place>& places) {
  std::map<std::string, std::map<std::string, int>> centers;
  std::map<std::string, int> in_center;
  std::set<std::string> servers;
  for (const auto& place : places) {
    if (!servers.insert(place.server).second) return false;
    ++centers[place.data_center][place.rack];
    ++in_center[place.data_center];
  }
  const int x = placement.other_data_centers, y = placement.other_racks, z = placement.same_rack;
  // Each data center in turn as the main one; or none of them: it is yet to get its copies.
  if (static_cast<int>(centers.size()) <= x &&
      std::all_of(in_center.begin(), in_center.end(), [](const auto& c) { return c.second == 1; })) {
    return true;
  }
  for (const auto& [main, racks] : centers) {
    if (static_cast<int>(centers.size()) > x + 1 || in_center.at(main) > y + z + 1) continue;
    const bool others_fit = std::all_of(in_center.begin(), in_center.end(),
                                        [&main = main](const auto& c) { return c.first == main || c.second == 1; });
    if (!others_fit) continue;
    // With every rack holding one copy, one of them counts as the main one only if it is not one too many.
    if (racks_fit(racks, z, y)) return true;
  }
  return false;
}

bool satisfies_placement(const ReplicaPlacement& placement, const std::vector<Place>& places) {
  return static_cast<int>(places.size()) == placement.copies() && fits_placement(placement, places);
}

std::vector<std::size_t> largest_fitting(const ReplicaPlacement& placement, const std::vector<Place>& places) {
  // A volume has few copies: all subsets of the first sixteen are few, and more is no sane cluster.
  const std::size_t count = std::min<std::size_t>(places.size(), 16);
  std::vector<std::size_t> best;
  for (std::uint32_t bits = 0; bits < (1u << count); ++bits) {
    std::vector<std::size_t> chosen;
    std::vector<Place> subset;
    for (std::size_t i = 0; i < count; ++i) {
      if ((bits >> i & 1) == 0) continue;
      chosen.push_back(i);
      subset.push_back(places[i]);
    }
    if (chosen.size() < best.size() || static_cast<int>(chosen.size()) > placement.copies()) continue;
    if (!fits_placement(placement, subset)) continue;
    if (chosen.size() > best.size() || chosen < best) best = std::move(chosen);
  }
  return best;
}

}  // namespace holdfast::topology
