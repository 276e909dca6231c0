#include "core/topology/ec_plan.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <set>
#include <tuple>

namespace holdfast::topology {
namespace {

std::string rack_of(const PictureServer& server) { return server.data_center + "\n" + server.rack; }

std::vector<std::uint32_t> shards_in(std::uint32_t bits) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t shard = 0; shard < 32; ++shard) {
    if ((bits >> shard & 1) != 0) out.push_back(shard);
  }
  return out;
}

// What a move of one shard changes in the three sums of squares; the first that is not zero decides.
using Change = std::tuple<std::int64_t, std::int64_t, std::int64_t>;
constexpr Change kNoChange{0, 0, 0};

// The servers while a plan is drawn.
class Board {
 public:
  struct Spot {
    const PictureServer* server;
    std::map<VolumeId, std::uint32_t> bits;
    std::map<std::string, std::int64_t> room;  // in shards, by disk type
    std::int64_t total = 0;
    bool takes = true;
  };

  Board(const Picture& picture, const ShardWish& wish) {
    for (const auto& server : picture.servers) {
      Spot spot{.server = &server};
      for (const auto& info : server.shards) {
        spot.bits[info.id] |= info.bits;
        spot.total += std::popcount(info.bits);
      }
      for (const auto& [type, disk] : server.disks) spot.room[type] = disk.free * kShardsPerSlot;
      spot.takes = server.takes_volumes && (!wish.takes_part || wish.takes_part(server));
      spots_.push_back(std::move(spot));
    }
  }

  std::vector<Spot>& spots() { return spots_; }

  static std::int64_t count(const Spot& spot, VolumeId volume) {
    const auto found = spot.bits.find(volume);
    return found == spot.bits.end() ? 0 : std::popcount(found->second);
  }
  std::int64_t in_rack(const std::string& rack, VolumeId volume) const {
    std::int64_t out = 0;
    for (const auto& spot : spots_) out += rack_of(*spot.server) == rack ? count(spot, volume) : 0;
    return out;
  }

  static bool can_take(const Spot& to, const EcShardsInfo& volume) {
    const auto room = to.room.find(volume.disk_type);
    return to.takes && room != to.room.end() && room->second > 0 && to.server->find(volume.id) == nullptr;
  }

  Change change(const Spot& from, const Spot& to, VolumeId volume) const {
    const auto square = [](std::int64_t out_of, std::int64_t into) { return 2 * (into - out_of) + 2; };
    const auto from_rack = rack_of(*from.server), to_rack = rack_of(*to.server);
    return {from_rack == to_rack ? 0 : square(in_rack(from_rack, volume), in_rack(to_rack, volume)),
            square(count(from, volume), count(to, volume)), square(from.total, to.total)};
  }

  // The shard that goes: the highest one the target lacks.
  static std::optional<std::uint32_t> shard_for(const Spot& from, const Spot& to, VolumeId volume) {
    const auto here = from.bits.find(volume);
    if (here == from.bits.end()) return {};
    const auto there = to.bits.find(volume);
    const auto bits = here->second & ~(there == to.bits.end() ? 0u : there->second);
    if (bits == 0) return {};
    return 31 - static_cast<std::uint32_t>(std::countl_zero(bits));
  }

  ShardMove carry_out(Spot& from, Spot& to, const EcShardsInfo& volume, std::uint32_t shard) {
    from.bits[volume.id] &= ~(1u << shard);
    to.bits[volume.id] |= 1u << shard;
    --from.total;
    ++to.total;
    ++from.room[volume.disk_type];
    --to.room[volume.disk_type];
    return {volume.id, volume.collection, shard, from.server->id, to.server->id};
  }

  // The best place for one more shard of a volume; null when there is none. Fewest of it in the rack, then on the server,
  // then in all, then most room.
  Spot* best_for(const EcShardsInfo& volume, std::uint32_t shard, const std::function<bool(const Spot&)>& allowed) {
    Spot* best = nullptr;
    const auto order = [&](const Spot& spot) {
      return std::tuple(in_rack(rack_of(*spot.server), volume.id), count(spot, volume.id), spot.total,
                        -spot.room.at(volume.disk_type), spot.server->id);
    };
    for (auto& spot : spots_) {
      if (!can_take(spot, volume) || (allowed && !allowed(spot))) continue;
      if (const auto bits = spot.bits.find(volume.id); bits != spot.bits.end() && (bits->second >> shard & 1) != 0) continue;
      if (best == nullptr || order(spot) < order(*best)) best = &spot;
    }
    return best;
  }

 private:
  std::vector<Spot> spots_;
};

std::map<VolumeId, EcShardsInfo> volumes_of(const Picture& picture, const ShardWish& wish) {
  std::map<VolumeId, EcShardsInfo> out;
  for (const auto& server : picture.servers) {
    for (const auto& info : server.shards) {
      if (wish.wanted && !wish.wanted(info)) continue;
      out.try_emplace(info.id, info).first->second.bits |= info.bits;
    }
  }
  return out;
}

std::optional<ShardMove> best_move(Board& board, const EcShardsInfo& volume) {
  Change best = kNoChange;
  Board::Spot* source = nullptr;
  Board::Spot* target = nullptr;
  for (auto& from : board.spots()) {
    if (Board::count(from, volume.id) == 0 || !from.takes) continue;
    for (auto& to : board.spots()) {
      if (&to == &from || !Board::can_take(to, volume) || !Board::shard_for(from, to, volume.id)) continue;
      const auto change = board.change(from, to, volume.id);
      if (change < best) {
        best = change;
        source = &from;
        target = &to;
      }
    }
  }
  if (source == nullptr) return {};
  return board.carry_out(*source, *target, volume, *Board::shard_for(*source, *target, volume.id));
}

}  // namespace

Result<std::map<std::string, std::vector<std::uint32_t>>> plan_spread(const Picture& picture,
                                                                      const std::string& disk_type,
                                                                      std::uint32_t count) {
  Board board(picture, {});
  const EcShardsInfo volume{.id = VolumeId(UINT32_MAX), .disk_type = disk_type};  // one that lies nowhere
  std::map<std::string, std::vector<std::uint32_t>> out;
  for (std::uint32_t shard = 0; shard < count; ++shard) {
    auto* best = board.best_for(volume, shard, {});
    if (best == nullptr) {
      return Error(Code::no_space, "there is room for " + std::to_string(shard) + " of " + std::to_string(count) +
                                       " shards: add volume servers or slots (-max)");
    }
    best->bits[volume.id] |= 1u << shard;
    ++best->total;
    --best->room[disk_type];
    out[best->server->id].push_back(shard);
  }
  return out;
}

std::vector<ShardCopy> plan_deduplication(const Picture& picture, const ShardWish& wish) {
  Board board(picture, wish);
  std::vector<ShardCopy> out;
  for (const auto& [id, volume] : volumes_of(picture, wish)) {
    for (const auto shard : shards_in(volume.bits)) {
      std::vector<Board::Spot*> holders;
      for (auto& spot : board.spots()) {
        if (const auto bits = spot.bits.find(id); bits != spot.bits.end() && (bits->second >> shard & 1) != 0) {
          holders.push_back(&spot);
        }
      }
      const auto order = [&, volume_id = id](const Board::Spot* spot) {
        return std::tuple(board.in_rack(rack_of(*spot->server), volume_id), Board::count(*spot, volume_id), spot->total,
                          spot->server->id);
      };
      while (holders.size() > 1) {
        const auto fullest = std::max_element(holders.begin(), holders.end(),
                                              [&](const auto* a, const auto* b) { return order(a) < order(b); });
        out.push_back({id, volume.collection, shard, (*fullest)->server->id});
        (*fullest)->bits[id] &= ~(1u << shard);
        --(*fullest)->total;
        holders.erase(fullest);
      }
    }
  }
  return out;
}

std::vector<ShardMove> plan_shard_balance(Picture picture, const ShardWish& wish) {
  Board board(picture, wish);
  const auto volumes = volumes_of(picture, wish);
  std::vector<ShardMove> out;
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& [id, volume] : volumes) {
      while (const auto move = best_move(board, volume)) {
        out.push_back(*move);
        moved = true;
      }
    }
  }
  return out;
}

std::vector<ShardMove> plan_shard_evacuation(Picture picture, const std::string& server,
                                             const std::vector<std::string>& targets) {
  Board board(picture, {});
  std::vector<ShardMove> out;
  for (const auto& [id, volume] : volumes_of(picture, {})) {
    for (auto& from : board.spots()) {
      if (from.server->id != server) continue;
      for (const auto shard : shards_in(from.bits[id])) {
        auto* to = board.best_for(volume, shard, [&](const Board::Spot& spot) {
          return spot.server->id != server &&
                 (targets.empty() || std::find(targets.begin(), targets.end(), spot.server->id) != targets.end());
        });
        if (to != nullptr) out.push_back(board.carry_out(from, *to, volume, shard));
      }
    }
  }
  return out;
}

std::vector<ShardRebuild> plan_shard_rebuilds(
    const Picture& picture, const std::function<std::pair<std::uint32_t, std::uint32_t>(VolumeId)>& scheme,
    const ShardWish& wish) {
  Board board(picture, wish);
  std::vector<ShardRebuild> out;
  for (const auto& [id, volume_of_id] : volumes_of(picture, wish)) {
    const auto& volume = volume_of_id;  // a lambda takes no structured binding with clang 14
    const auto [data, all] = scheme(id);
    ShardRebuild rebuild{.volume = id, .collection = volume.collection};
    for (std::uint32_t shard = 0; shard < all; ++shard) {
      if ((volume.bits >> shard & 1) == 0) rebuild.missing.push_back(shard);
    }
    if (rebuild.missing.empty()) continue;
    Board::Spot* best = nullptr;
    const auto order = [&, volume_id = id](const Board::Spot& spot) {
      return std::tuple(Board::count(spot, volume_id), spot.room.at(volume.disk_type), -spot.total);
    };
    if (static_cast<std::uint32_t>(std::popcount(volume.bits)) >= data) {
      for (auto& spot : board.spots()) {
        if (!spot.takes || spot.server->find(id) != nullptr) continue;
        const auto room = spot.room.find(volume.disk_type);
        // What is fetched lies there for a while, what is made stays.
        const auto needed = static_cast<std::int64_t>(rebuild.missing.size() + data) - Board::count(spot, id);
        if (room == spot.room.end() || room->second < needed) continue;
        if (best == nullptr || order(spot) > order(*best)) best = &spot;
      }
    }
    if (best != nullptr) {
      rebuild.rebuilder = best->server->id;
      auto have = best->bits[id];
      for (const auto& spot : board.spots()) {
        const auto bits = spot.bits.find(id);
        if (bits == spot.bits.end()) continue;
        for (const auto shard : shards_in(bits->second & ~have)) {
          if (static_cast<std::uint32_t>(std::popcount(have)) >= data) break;
          rebuild.fetch[spot.server->id].push_back(shard);
          have |= 1u << shard;
        }
      }
      best->room[volume.disk_type] -= static_cast<std::int64_t>(rebuild.missing.size());
    }
    out.push_back(std::move(rebuild));
  }
  return out;
}

}  // namespace holdfast::topology
