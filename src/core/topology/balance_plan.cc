#include "core/topology/balance_plan.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

namespace holdfast::topology {
namespace {

// One disk type of a server.
struct Side {
  PictureServer* server;
  double load = 0;      // slots used, or bytes
  double capacity = 1;  // slots, or bytes
  double density() const { return load / capacity; }
};

// Whether a copy may go from one server to another as far as the other copies are concerned.
bool may_move(const Picture& picture, const VolumeInfo& volume, const PictureServer& from, const PictureServer& to) {
  if (to.find(volume.id) != nullptr || to.shard_bits(volume.id) != 0) return false;
  std::vector<Place> before, after;
  for (const auto* holder : picture.holders(volume.id)) {
    before.push_back(place_of(*holder));
    after.push_back(place_of(holder->id == from.id ? to : *holder));
  }
  if (fits_placement(volume.replica_placement, after)) return true;
  // It stands wrongly already: then at least its racks stay what they are.
  return !fits_placement(volume.replica_placement, before) && from.data_center == to.data_center && from.rack == to.rack;
}

void carry_out(PictureServer& from, PictureServer& to, VolumeId volume) {
  const auto at = std::find_if(from.volumes.begin(), from.volumes.end(), [&](const auto& v) { return v.id == volume; });
  auto& source = from.disks[at->disk_type];
  auto& target = to.disks[at->disk_type];
  ++source.free;
  --target.free;
  source.free_bytes = std::min(std::max(source.total_bytes, source.free_bytes), source.free_bytes + at->size);
  target.free_bytes -= std::min(target.free_bytes, at->size);
  to.volumes.push_back(*at);
  from.volumes.erase(at);
}

VolumeMove move_of(const VolumeInfo& volume, const PictureServer& from, const PictureServer& to) {
  return {volume.id, volume.collection, volume.disk_type, from.id, to.id, volume.size};
}

class Balancer {
 public:
  Balancer(Picture& picture, const BalanceWish& wish, std::string disk_type)
      : picture_(picture), wish_(wish), disk_type_(std::move(disk_type)) {
    for (auto& server : picture_.servers) {
      if (wish_.takes_part && !wish_.takes_part(server)) continue;
      const auto disk = server.disks.find(disk_type_);
      if (disk == server.disks.end()) continue;
      Side side{.server = &server};
      if (wish_.by_bytes) {
        if (disk->second.total_bytes == 0) continue;  // nobody knows how full it is
        side.capacity = static_cast<double>(disk->second.total_bytes);
        side.load = side.capacity - static_cast<double>(disk->second.free_bytes);
      } else {
        side.capacity = static_cast<double>(std::max<std::int64_t>(disk->second.max, 1));
        for (const auto& volume : server.volumes) side.load += is_wanted(volume) ? 1 : 0;
      }
      sides_.push_back(side);
    }
  }

  std::optional<VolumeMove> next() {
    std::stable_sort(sides_.begin(), sides_.end(), [](const Side& a, const Side& b) {
      return std::tuple(-a.density(), a.server->id) < std::tuple(-b.density(), b.server->id);
    });
    for (auto& from : sides_) {
      for (auto to = sides_.rbegin(); to != sides_.rend(); ++to) {
        if (to->server == from.server) break;
        if (const auto move = between(from, *to)) return move;
      }
    }
    return {};
  }

 private:
  bool is_wanted(const VolumeInfo& volume) const {
    return volume.disk_type == disk_type_ && !volume.is_remote() && (!wish_.wanted || wish_.wanted(volume));
  }

  std::optional<VolumeMove> between(Side& from, Side& to) {
    if (!to.server->takes_volumes || to.server->free_slots(disk_type_) <= 0) return {};
    // By slots the smallest volume is the cheapest to move; by bytes the largest that helps needs the fewest moves.
    std::vector<const VolumeInfo*> volumes;
    for (const auto& volume : from.server->volumes) {
      if (is_wanted(volume)) volumes.push_back(&volume);
    }
    std::sort(volumes.begin(), volumes.end(), [&](const auto* a, const auto* b) {
      if (a->size != b->size) return wish_.by_bytes ? a->size > b->size : a->size < b->size;
      return a->id < b->id;
    });
    for (const auto* volume : volumes) {
      const double weight = wish_.by_bytes ? static_cast<double>(volume->size) : 1;
      if (weight <= 0 || !(helps(from, to, weight)) || !has_room(*to.server, *volume)) continue;
      if (!may_move(picture_, *volume, *from.server, *to.server)) continue;
      const auto move = move_of(*volume, *from.server, *to.server);
      carry_out(*from.server, *to.server, volume->id);
      from.load -= weight;
      to.load += weight;
      return move;
    }
    return {};
  }

  // The sum of load^2 / capacity gets smaller.
  static bool helps(const Side& from, const Side& to, double weight) {
    return (2 * to.load + weight) / to.capacity < (2 * from.load - weight) / from.capacity * (1 - 1e-9);
  }

  bool has_room(const PictureServer& server, const VolumeInfo& volume) const {
    const auto& disk = server.disks.at(disk_type_);
    if (disk.total_bytes == 0) return true;
    if (disk.free_bytes < volume.size) return false;
    const double used = static_cast<double>(disk.total_bytes) - static_cast<double>(disk.free_bytes) + static_cast<double>(volume.size);
    return used * 100 <= wish_.disk_percent_max * static_cast<double>(disk.total_bytes);
  }

  Picture& picture_;
  const BalanceWish& wish_;
  const std::string disk_type_;
  std::vector<Side> sides_;
};

}  // namespace

std::vector<VolumeMove> plan_balance(Picture picture, const BalanceWish& wish) {
  std::set<std::string> types;
  for (const auto& server : picture.servers) {
    for (const auto& [type, disk] : server.disks) types.insert(type);
  }
  std::vector<VolumeMove> out;
  for (const auto& type : types) {
    Balancer balancer(picture, wish, type);
    while (wish.moves_max == 0 || out.size() < wish.moves_max) {
      const auto move = balancer.next();
      if (!move) break;
      out.push_back(*move);
    }
  }
  return out;
}

EvacuationPlan plan_evacuation(Picture picture, const std::string& server, const std::vector<std::string>& targets) {
  EvacuationPlan out;
  const auto from = std::find_if(picture.servers.begin(), picture.servers.end(), [&](const auto& s) { return s.id == server; });
  if (from == picture.servers.end()) return out;
  auto volumes = from->volumes;
  // The largest first: what is left for the last ones is easier to place.
  std::sort(volumes.begin(), volumes.end(), [](const auto& a, const auto& b) {
    return std::tuple(b.size, a.id) < std::tuple(a.size, b.id);
  });
  for (const auto& volume : volumes) {
    PictureServer* best = nullptr;
    const auto share = [&](const PictureServer& s) {
      const auto& disk = s.disks.at(volume.disk_type);
      return static_cast<double>(disk.free) / static_cast<double>(std::max<std::int64_t>(disk.max, 1));
    };
    for (auto& to : picture.servers) {
      if (volume.is_remote()) break;
      if (&to == &*from || !to.takes_volumes || to.free_slots(volume.disk_type) <= 0) continue;
      if (!targets.empty() && std::find(targets.begin(), targets.end(), to.id) == targets.end()) continue;
      const auto& disk = to.disks.at(volume.disk_type);
      if (disk.total_bytes != 0 && disk.free_bytes < volume.size) continue;
      if (!may_move(picture, volume, *from, to)) continue;
      if (best == nullptr || share(to) > share(*best)) best = &to;
    }
    if (best == nullptr) {
      out.stuck.push_back(volume.id);
      continue;
    }
    out.moves.push_back(move_of(volume, *from, *best));
    carry_out(*from, *best, volume.id);
  }
  return out;
}

}  // namespace holdfast::topology
