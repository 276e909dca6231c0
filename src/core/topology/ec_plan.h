// EcPlan: where the shards of erasure-coded volumes go: those of a new one, what evens out the places of all, and who
// makes lost ones anew.
//
// Shards of one volume are spread over racks first, over servers second, and where that is even, to servers with fewer
// shards in all. Each planned move makes the tuple (sum of squares per volume and rack, per volume and server, per
// server) smaller, so a plan ends and planning again after it gives nothing.
//
// Deterministic. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/topology/picture.h"

namespace holdfast::topology {

inline constexpr std::int64_t kShardsPerSlot = 10;  // of the usual 10+4: a shard is a tenth of its volume

struct ShardMove {
  VolumeId volume;
  std::string collection;
  std::uint32_t shard = 0;
  std::string source;  // server ids
  std::string target;
};

struct ShardCopy {  // one too many
  VolumeId volume;
  std::string collection;
  std::uint32_t shard = 0;
  std::string server;
};

// Server id -> shards 0..count-1 of a volume that has none yet. Code::no_space when the servers have not enough room.
Result<std::map<std::string, std::vector<std::uint32_t>>> plan_spread(const Picture& picture,
                                                                      const std::string& disk_type,
                                                                      std::uint32_t count);

// Which volumes and servers a plan is about.
struct ShardWish {
  std::function<bool(const EcShardsInfo& info)> wanted;         // empty: all
  std::function<bool(const PictureServer& server)> takes_part;  // empty: all servers
};

// Shards that more than one server has: those on the fullest servers go.
std::vector<ShardCopy> plan_deduplication(const Picture& picture, const ShardWish& wish = {});

// For a picture without such copies.
std::vector<ShardMove> plan_shard_balance(Picture picture, const ShardWish& wish = {});
// Away from `server`, which gets nothing.
std::vector<ShardMove> plan_shard_evacuation(Picture picture, const std::string& server,
                                             const std::vector<std::string>& targets = {});

struct ShardRebuild {
  VolumeId volume;
  std::string collection;
  std::vector<std::uint32_t> missing;
  std::string rebuilder;                                   // server id; empty: too few shards are left
  std::map<std::string, std::vector<std::uint32_t>> fetch;  // what it needs of others to have `data` of them
};
// `scheme(volume)` tells (data shards, all shards).
std::vector<ShardRebuild> plan_shard_rebuilds(
    const Picture& picture, const std::function<std::pair<std::uint32_t, std::uint32_t>(VolumeId)>& scheme,
    const ShardWish& wish = {});

}  // namespace holdfast::topology
