#include "core/topology/tier_plan.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace holdfast::topology {
namespace {

using Servers = std::vector<PictureServer*>;

bool has(const Servers& servers, const PictureServer* server) {
  return std::find(servers.begin(), servers.end(), server) != servers.end();
}

class Mover {
 public:
  Mover(Picture& picture, const TierWish& wish) : picture_(picture), wish_(wish) {}

  // nullopt: it is not wanted, or nothing is left to do.
  std::optional<TierMove> begin(VolumeId volume) {
    volume_ = volume;
    holders_.clear();
    bool is_there = false;
    for (auto& server : picture_.servers) {
      const auto* copy = server.find(volume);
      if (copy == nullptr) continue;
      if (wish_.wanted && !wish_.wanted(*copy)) return {};
      is_there |= copy->disk_type == wish_.from;
      holders_.push_back(&server);
    }
    if (!is_there) return {};
    const auto& copy = *holders_.front()->find(volume);
    TierMove move{.volume = volume,
                  .collection = copy.collection,
                  .placement = wish_.placement.value_or(copy.replica_placement)};
    for (const auto* holder : holders_) {
      move.bytes = std::max(move.bytes, holder->find(volume)->size);
      move.holders.push_back(holder->id);
    }
    bytes_ = move.bytes;
    placement_ = move.placement;
    return move;
  }

  bool is_short() const {
    return static_cast<int>(holders_.size()) < holders_.front()->find(volume_)->replica_placement.copies();
  }

  // False: there is no place for all copies.
  bool place(TierMove& move) {
    const auto stay = staying();
    Servers set;
    // What is best for the first copy may leave nothing for the last one.
    const auto firsts = stay.empty() ? candidates({}, /*new_ones=*/true) : Servers{nullptr};
    for (auto* first : firsts) {
      set = stay;
      if (first != nullptr) set.push_back(first);
      if (complete(set, stay.size())) break;
      set.clear();
    }
    if (set.empty()) return false;
    for (const auto* server : stay) move.stay.push_back(server->id);
    for (std::size_t i = stay.size(); i < set.size(); ++i) move.targets.push_back(set[i]->id);
    carry_out(set);
    return true;
  }

 private:
  // The copies on the new disks that fit together.
  Servers staying() const {
    Servers there;
    std::vector<Place> places;
    for (auto* holder : holders_) {
      if (holder->find(volume_)->disk_type != wish_.to) continue;
      there.push_back(holder);
      places.push_back(place_of(*holder));
    }
    Servers out;
    for (const auto i : largest_fitting(placement_, places)) out.push_back(there[i]);
    return out;
  }

  bool complete(Servers& set, std::size_t stay) const {
    while (static_cast<int>(set.size()) < placement_.copies()) {
      auto next = candidates(set, /*new_ones=*/true);
      if (next.empty() && set.size() > stay) next = candidates(set, /*new_ones=*/false);
      if (next.empty()) return false;
      set.push_back(next.front());
    }
    return true;
  }

  // Servers that fit beside those of `set`, the best one first: on another host, and with the largest share of free slots.
  Servers candidates(const Servers& set, bool new_ones) const {
    std::vector<Place> places;
    std::set<std::string> hosts;
    for (const auto* server : set) {
      places.push_back(place_of(*server));
      hosts.insert(server->address.host);
    }
    Servers out;
    for (auto& server : picture_.servers) {
      if (has(set, &server) || (new_ones && has(holders_, &server)) || !takes(server)) continue;
      places.push_back(place_of(server));
      if (fits_placement(placement_, places)) out.push_back(&server);
      places.pop_back();
    }
    const auto order = [&](const PictureServer* server) {
      const auto& disk = server->disks.at(wish_.to);
      const double share = static_cast<double>(disk.free) / static_cast<double>(std::max<std::int64_t>(disk.max, 1));
      return std::tuple(hosts.contains(server->address.host), -share, server->id);
    };
    std::sort(out.begin(), out.end(), [&](const auto* a, const auto* b) { return order(a) < order(b); });
    return out;
  }

  bool takes(const PictureServer& server) const {
    if (!server.takes_volumes || server.free_slots(wish_.to) <= 0) return false;
    if (server.shard_bits(volume_) != 0) return false;  // its files would carry the same names
    const auto& disk = server.disks.at(wish_.to);
    return disk.total_bytes == 0 || disk.free_bytes >= bytes_;
  }

  void carry_out(const Servers& set) {
    auto copy = *holders_.front()->find(volume_);
    copy.disk_type = wish_.to;
    copy.replica_placement = placement_;
    for (auto* holder : holders_) {
      const auto old = std::find_if(holder->volumes.begin(), holder->volumes.end(), [&](const auto& v) { return v.id == volume_; });
      auto& disk = holder->disks[old->disk_type];
      ++disk.free;
      disk.free_bytes += old->size;
      holder->volumes.erase(old);
    }
    for (auto* server : set) {
      auto& disk = server->disks[wish_.to];
      --disk.free;
      disk.free_bytes -= std::min(disk.free_bytes, bytes_);
      server->volumes.push_back(copy);
    }
  }

  Picture& picture_;
  const TierWish& wish_;
  // Of the volume at hand.
  VolumeId volume_{0};
  ReplicaPlacement placement_;
  std::uint64_t bytes_ = 0;
  Servers holders_;
};

}  // namespace

TierPlan plan_tier(Picture picture, const TierWish& wish) {
  std::set<VolumeId> volumes;
  for (const auto& server : picture.servers) {
    for (const auto& volume : server.volumes) {
      if (volume.disk_type == wish.from) volumes.insert(volume.id);
    }
  }
  TierPlan out;
  Mover mover(picture, wish);
  for (const auto volume : volumes) {
    auto move = mover.begin(volume);
    if (!move) continue;
    if (mover.is_short()) {
      out.short_of.push_back(volume);
    } else if (mover.place(*move)) {
      out.moves.push_back(std::move(*move));
    } else {
      out.stuck.push_back(volume);
    }
  }
  return out;
}

}  // namespace holdfast::topology
