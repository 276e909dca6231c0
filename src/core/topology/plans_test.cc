#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <set>

#include "core/topology/balance_plan.h"
#include "core/topology/ec_plan.h"
#include "core/topology/repair_plan.h"
#include "core/topology/tier_plan.h"

namespace holdfast::topology {
namespace {

PictureServer server(const std::string& id, const std::string& center, const std::string& rack, std::int64_t max = 10) {
  PictureServer out{.id = id, .address = *Address::parse(id + ":8080"), .data_center = center, .rack = rack};
  out.disks[""] = {.max = max, .free = max};
  return out;
}

void put(PictureServer& server, std::uint32_t id, ReplicaPlacement placement, std::uint64_t size = 100,
         std::uint64_t files = 1) {
  server.volumes.push_back(
      {.id = VolumeId(id), .replica_placement = placement, .size = size, .file_count = files});
  --server.disks[""].free;
}

void put_shards(PictureServer& server, std::uint32_t id, std::uint32_t bits) {
  server.shards.push_back({.id = VolumeId(id), .bits = bits});
}

std::vector<Place> places_of(const Picture& picture, VolumeId volume) {
  std::vector<Place> out;
  for (const auto* holder : picture.holders(volume)) out.push_back(place_of(*holder));
  return out;
}

TEST(Placement, PartsOfAFullSetFitAndNothingElse) {
  const Place a1{"a", "r1", "1"}, a2{"a", "r1", "2"}, a3{"a", "r2", "3"}, b1{"b", "r1", "4"}, c1{"c", "r1", "5"};
  EXPECT_TRUE(fits_placement({0, 0, 0}, {}));
  EXPECT_TRUE(fits_placement({0, 0, 0}, {a1}));
  EXPECT_FALSE(fits_placement({0, 0, 0}, {a1, a2}));
  EXPECT_TRUE(satisfies_placement({0, 0, 1}, {a1, a2}));
  EXPECT_FALSE(fits_placement({0, 0, 1}, {a1, a3}));
  EXPECT_FALSE(fits_placement({0, 0, 1}, {a1, a1})) << "twice on one server";
  EXPECT_TRUE(satisfies_placement({0, 1, 0}, {a1, a3}));
  EXPECT_FALSE(fits_placement({0, 1, 0}, {a1, a2}));
  EXPECT_TRUE(satisfies_placement({1, 0, 0}, {a1, b1}));
  EXPECT_FALSE(fits_placement({1, 0, 0}, {a1, a3}));
  EXPECT_TRUE(satisfies_placement({2, 0, 0}, {a1, b1, c1}));
  EXPECT_TRUE(satisfies_placement({1, 0, 1}, {b1, a1, a2}));
  EXPECT_FALSE(fits_placement({1, 0, 1}, {a1, b1, c1}));
  EXPECT_TRUE(satisfies_placement({1, 1, 0}, {a1, a3, b1}));
  EXPECT_FALSE(satisfies_placement({1, 1, 0}, {a1, a3}));
  EXPECT_EQ(largest_fitting({0, 0, 1}, {a1, a3, a2}), (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(largest_fitting({0, 0, 0}, {a1, a2}), (std::vector<std::size_t>{0}));
}

TEST(RepairPlan, NothingToDoForWhatStandsRight) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  put(picture.servers[0], 7, {0, 0, 1});
  put(picture.servers[1], 7, {0, 0, 1});
  EXPECT_TRUE(plan_repairs(picture).empty());
}

TEST(RepairPlan, AMissingCopyIsMadeWhereItFits) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "q"), server("3", "a", "r"), server("4", "b", "r")}};
  put(picture.servers[0], 7, {0, 1, 0});
  const auto plan = plan_repairs(picture);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].targets, std::vector<std::string>{"2"});
  EXPECT_EQ(plan[0].source, "1");
  EXPECT_TRUE(plan[0].surplus.empty());
  picture.servers[1].takes_volumes = false;
  const auto none = plan_repairs(picture);
  ASSERT_EQ(none.size(), 1u);
  EXPECT_TRUE(none[0].targets.empty());
  EXPECT_EQ(none[0].missing, 1);
}

TEST(RepairPlan, TheCopyWithLeastInItIsTheSurplusOne) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  put(picture.servers[0], 7, {0, 0, 1}, 100, 3);
  put(picture.servers[1], 7, {0, 0, 1}, 100, 5);
  put(picture.servers[2], 7, {0, 0, 1}, 100, 4);
  const auto plan = plan_repairs(picture);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].surplus, std::vector<std::string>{"1"});
  EXPECT_EQ(plan[0].keep, (std::vector<std::string>{"2", "3"}));
}

TEST(RepairPlan, AMisplacedCopyStaysUntilTheRightOneIsThere) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "q")}};
  put(picture.servers[0], 7, {0, 1, 0});
  put(picture.servers[1], 7, {0, 1, 0});
  auto plan = plan_repairs(picture);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].targets, std::vector<std::string>{"3"});
  EXPECT_TRUE(plan[0].surplus.empty());
  put(picture.servers[2], 7, {0, 1, 0});
  plan = plan_repairs(picture);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_TRUE(plan[0].targets.empty());
  EXPECT_EQ(plan[0].surplus.size(), 1u);
  EXPECT_NE(plan[0].surplus[0], "3");
}

Picture random_picture(std::mt19937& draw) {
  const ReplicaPlacement kinds[] = {{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {0, 1, 1}, {1, 1, 0}};
  Picture picture;
  const int servers = 2 + static_cast<int>(draw() % 9);
  for (int i = 0; i < servers; ++i) {
    picture.servers.push_back(server(std::to_string(i), std::string(1, static_cast<char>('a' + draw() % 2)),
                                     "r" + std::to_string(draw() % 3), 5 + draw() % 60));
    picture.servers.back().disks[""].total_bytes = 100'000;
    picture.servers.back().disks[""].free_bytes = 100'000;
  }
  for (std::uint32_t id = 1; id <= 40; ++id) {
    const auto placement = kinds[draw() % std::size(kinds)];
    const auto copies = 1 + draw() % static_cast<std::uint32_t>(placement.copies() + 1);
    for (std::uint32_t i = 0; i < copies; ++i) {
      auto& at = picture.servers[draw() % picture.servers.size()];
      if (at.find(VolumeId(id)) == nullptr && at.free_slots("") > 0) put(at, id, placement, 1 + draw() % 500, draw() % 9);
    }
  }
  return picture;
}

void apply(Picture& picture, const VolumeMove& move) {
  auto at = [&](const std::string& id) -> PictureServer& {
    for (auto& server : picture.servers) {
      if (server.id == id) return server;
    }
    ADD_FAILURE() << "no server " << id;
    return picture.servers[0];
  };
  auto& from = at(move.source);
  auto& to = at(move.target);
  const auto* volume = from.find(move.volume);
  ASSERT_NE(volume, nullptr);
  ASSERT_EQ(to.find(move.volume), nullptr) << "two copies on one server";
  ASSERT_GT(to.free_slots(""), 0);
  to.volumes.push_back(*volume);
  std::erase_if(from.volumes, [&](const auto& v) { return v.id == move.volume; });
  ++from.disks[""].free;
  --to.disks[""].free;
}

double unevenness(const Picture& picture) {
  double sum = 0;
  for (const auto& server : picture.servers) {
    const auto load = static_cast<double>(server.volumes.size());
    sum += load * load / static_cast<double>(server.disks.at("").max);
  }
  return sum;
}

TEST(BalancePlan, EachMoveHelpsAndKeepsPlacements) {
  std::mt19937 draw(1);
  int moves = 0;
  for (int round = 0; round < 300; ++round) {
    auto picture = random_picture(draw);
    const auto plan = plan_balance(picture);
    for (const auto& move : plan) {
      const auto placement = picture.find(move.source)->find(move.volume)->replica_placement;
      const bool fitted = fits_placement(placement, places_of(picture, move.volume));
      const double before = unevenness(picture);
      apply(picture, move);
      if (HasFatalFailure()) return;
      EXPECT_LT(unevenness(picture), before);
      if (fitted) {
        EXPECT_TRUE(fits_placement(placement, places_of(picture, move.volume)));
      }
      ++moves;
    }
    EXPECT_TRUE(plan_balance(picture).empty()) << "a plan carried out leaves nothing to do";
  }
  EXPECT_GT(moves, 500);
}

TEST(BalancePlan, FreshServersAreFilledToTheirShare) {
  Picture picture{.servers = {server("1", "a", "r", 30), server("2", "a", "r", 30), server("3", "a", "r", 60)}};
  for (std::uint32_t id = 1; id <= 20; ++id) put(picture.servers[0], id, {});
  for (const auto& move : plan_balance(picture)) apply(picture, move);
  EXPECT_EQ(picture.servers[0].volumes.size(), 5u);
  EXPECT_EQ(picture.servers[1].volumes.size(), 5u);
  EXPECT_EQ(picture.servers[2].volumes.size(), 10u);
}

TEST(BalancePlan, ByBytesItEndsAndRespectsTheBound) {
  std::mt19937 draw(2);
  for (int round = 0; round < 100; ++round) {
    auto picture = random_picture(draw);
    for (auto& server : picture.servers) {
      for (const auto& volume : server.volumes) server.disks[""].free_bytes -= volume.size;
    }
    for (const auto& move : plan_balance(picture, {.by_bytes = true, .disk_percent_max = 50})) apply(picture, move);
  }
}

TEST(EvacuationPlan, EmptiesAServerOrSaysWhatIsStuck) {
  std::mt19937 draw(3);
  for (int round = 0; round < 200; ++round) {
    auto picture = random_picture(draw);
    const auto held = picture.servers[0].volumes.size();
    const auto plan = plan_evacuation(picture, "0");
    EXPECT_EQ(plan.moves.size() + plan.stuck.size(), held);
    for (const auto& move : plan.moves) apply(picture, move);
    EXPECT_EQ(picture.servers[0].volumes.size(), plan.stuck.size());
  }
}

TEST(RepairPlan, CarriedOutItLeavesOnlyWhatCannotBeDone) {
  std::mt19937 draw(4);
  for (int round = 0; round < 300; ++round) {
    auto picture = random_picture(draw);
    bool changes = true;  // what a removal makes room for is done by the next pass
    for (int pass = 0; pass < 20 && changes; ++pass) {
      changes = false;
      for (const auto& repair : plan_repairs(picture)) {
        changes = changes || !repair.targets.empty() || !repair.surplus.empty();
        const auto info = *picture.find(repair.source)->find(repair.volume);
        for (auto& server : picture.servers) {
          if (std::find(repair.targets.begin(), repair.targets.end(), server.id) != repair.targets.end()) {
            ASSERT_GT(server.free_slots(""), 0);
            put(server, repair.volume.value(), info.replica_placement);
          }
          if (std::find(repair.surplus.begin(), repair.surplus.end(), server.id) != repair.surplus.end()) {
            std::erase_if(server.volumes, [&](const auto& v) { return v.id == repair.volume; });
            ++server.disks[""].free;
          }
        }
        if (!repair.surplus.empty()) {
          EXPECT_TRUE(satisfies_placement(repair.placement, places_of(picture, repair.volume)));
        }
      }
    }
    for (const auto& repair : plan_repairs(picture)) {
      EXPECT_TRUE(repair.surplus.empty() && repair.targets.empty());
      EXPECT_GT(repair.missing, 0);
    }
  }
}

// ---- shards

std::map<std::uint32_t, int> shard_counts(const Picture& picture, VolumeId volume) {
  std::map<std::uint32_t, int> out;
  for (const auto& server : picture.servers) {
    for (std::uint32_t shard = 0; shard < 32; ++shard) {
      if ((server.shard_bits(volume) >> shard & 1) != 0) ++out[shard];
    }
  }
  return out;
}

TEST(EcPlan, ANewVolumeIsSpreadOverRacksAndServers) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "q"), server("4", "b", "r")}};
  const auto plan = plan_spread(picture, "", 14);
  ASSERT_TRUE(plan.ok());
  std::set<std::uint32_t> all;
  for (const auto& [id, shards] : *plan) {
    EXPECT_GE(shards.size(), 2u);
    EXPECT_LE(shards.size(), 5u);
    all.insert(shards.begin(), shards.end());
  }
  EXPECT_EQ(plan->size(), 4u);
  EXPECT_EQ(all.size(), 14u);
  for (auto& one : picture.servers) one.disks[""].free = 0;
  EXPECT_EQ(plan_spread(picture, "", 14).error().code(), Code::no_space);
}

TEST(EcPlan, BalanceEndsAndLosesNothing) {
  std::mt19937 draw(5);
  for (int round = 0; round < 100; ++round) {
    Picture picture;
    const int servers = 2 + static_cast<int>(draw() % 12);
    for (int i = 0; i < servers; ++i) {
      picture.servers.push_back(server(std::to_string(i), "a", "r" + std::to_string(draw() % 4)));
    }
    for (std::uint32_t id = 1; id <= 6; ++id) {
      std::map<std::size_t, std::uint32_t> bits;
      for (std::uint32_t shard = 0; shard < 14; ++shard) bits[draw() % std::min<std::size_t>(3, picture.servers.size())] |= 1u << shard;
      for (const auto& [at, mask] : bits) put_shards(picture.servers[at], id, mask);
    }
    EXPECT_TRUE(plan_deduplication(picture).empty());
    const auto plan = plan_shard_balance(picture);
    for (const auto& move : plan) {
      for (auto& one : picture.servers) {
        if (one.id == move.source) {
          for (auto& info : one.shards) {
            if (info.id == move.volume) info.bits &= ~(1u << move.shard);
          }
        }
        if (one.id == move.target) {
          EXPECT_EQ(one.shard_bits(move.volume) >> move.shard & 1, 0u);
          put_shards(one, move.volume.value(), 1u << move.shard);
        }
      }
    }
    for (std::uint32_t id = 1; id <= 6; ++id) {
      const auto counts = shard_counts(picture, VolumeId(id));
      EXPECT_EQ(counts.size(), 14u);
      for (const auto& [shard, count] : counts) EXPECT_EQ(count, 1);
      std::map<std::string, int> racks;
      for (const auto& one : picture.servers) racks[one.rack] += std::popcount(one.shard_bits(VolumeId(id)));
      int least = 99, most = 0;
      for (const auto& [rack, count] : racks) {
        least = std::min(least, count);
        most = std::max(most, count);
      }
      EXPECT_LE(most - least, 1);
    }
    EXPECT_TRUE(plan_shard_balance(picture).empty());
  }
}

TEST(EcPlan, DoubledShardsGoOnceEach) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  put_shards(picture.servers[0], 7, 0b1111);
  put_shards(picture.servers[1], 7, 0b0011);
  put_shards(picture.servers[2], 7, 0b0001);
  const auto plan = plan_deduplication(picture);
  EXPECT_EQ(plan.size(), 3u);
  std::map<std::uint32_t, int> gone;
  for (const auto& copy : plan) ++gone[copy.shard];
  EXPECT_EQ(gone, (std::map<std::uint32_t, int>{{0, 2}, {1, 1}}));
}

TEST(EcPlan, RebuildFetchesJustEnough) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  put_shards(picture.servers[0], 7, 0b00000000011111);
  put_shards(picture.servers[1], 7, 0b00011111100000);
  const auto scheme = [](VolumeId) { return std::pair<std::uint32_t, std::uint32_t>(10, 14); };
  const auto plan = plan_shard_rebuilds(picture, scheme);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].missing, (std::vector<std::uint32_t>{11, 12, 13}));
  EXPECT_EQ(plan[0].rebuilder, "2");
  EXPECT_EQ(plan[0].fetch.at("1").size(), 4u);
  picture.servers[1].shards.clear();
  EXPECT_EQ(plan_shard_rebuilds(picture, scheme)[0].rebuilder, "");
}

TEST(EcPlan, EvacuationPutsNoShardTwice) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  put_shards(picture.servers[0], 7, 0b0111);
  put_shards(picture.servers[1], 7, 0b1000);
  const auto plan = plan_shard_evacuation(picture, "1");
  EXPECT_EQ(plan.size(), 3u);
  for (const auto& move : plan) EXPECT_NE(move.target, "1");
}

// ---- volumes in a remote tier

TEST(RemoteVolumes, AreNeitherRepairedNorMovedNorEvacuated) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), server("3", "a", "r")}};
  for (std::uint32_t id = 1; id <= 4; ++id) put(picture.servers[0], id, {0, 0, 1});
  ASSERT_EQ(plan_repairs(picture).size(), 4u);
  ASSERT_FALSE(plan_balance(picture).empty());
  ASSERT_TRUE(plan_evacuation(picture, "1").stuck.empty());
  for (auto& volume : picture.servers[0].volumes) volume.remote_storage_name = "s3.cold";
  EXPECT_TRUE(plan_repairs(picture).empty());
  EXPECT_TRUE(plan_balance(picture).empty());
  const auto evacuation = plan_evacuation(picture, "1");
  EXPECT_TRUE(evacuation.moves.empty());
  EXPECT_EQ(evacuation.stuck.size(), 4u);
}

// ---- disk types

PictureServer with_ssd(PictureServer server, std::int64_t slots = 10) {
  server.disks["ssd"] = {.max = slots, .free = slots};
  return server;
}

const TierWish kToSsd{.from = "", .to = "ssd"};

TEST(TierPlan, AllCopiesGoToTheOtherDisksAsTheirPlacementAsks) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "q"), with_ssd(server("3", "a", "r")),
                              with_ssd(server("4", "a", "r")), with_ssd(server("5", "a", "q"))}};
  put(picture.servers[0], 7, {0, 1, 0});
  put(picture.servers[1], 7, {0, 1, 0});
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, (std::vector<std::string>{"3", "5"}));
  EXPECT_EQ(plan.moves[0].holders, (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(plan.moves[0].stay.empty());
  EXPECT_TRUE(plan.stuck.empty());
}

TEST(TierPlan, WhatFitsNowhereStaysWithAllItsCopies) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "q"), with_ssd(server("3", "a", "r"), 1),
                              with_ssd(server("4", "a", "r"), 1)}};
  put(picture.servers[0], 7, {0, 1, 0});
  put(picture.servers[1], 7, {0, 1, 0});
  put(picture.servers[0], 8, {0, 0, 0});
  put(picture.servers[0], 9, {0, 0, 0});
  put(picture.servers[0], 10, {0, 0, 0});
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 2u) << "slots are counted as they fill";
  EXPECT_EQ(plan.moves[0].volume, VolumeId(8));
  EXPECT_EQ(plan.moves[1].volume, VolumeId(9));
  EXPECT_EQ(plan.stuck, (std::vector<VolumeId>{VolumeId(7), VolumeId(10)}));
}

TEST(TierPlan, AServerWithAnOldCopyGetsTheNewOneLast) {
  Picture picture{.servers = {with_ssd(server("1", "a", "r")), with_ssd(server("2", "a", "r")), with_ssd(server("3", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1});
  put(picture.servers[1], 7, {0, 0, 1});
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, (std::vector<std::string>{"3", "1"}));
  picture.servers.pop_back();
  EXPECT_EQ(plan_tier(picture, kToSsd).stuck, std::vector<VolumeId>{VolumeId(7)})
      << "without a third server one would have to give up its copy first";
}

TEST(TierPlan, ABestFirstPlaceThatLeavesNoneForTheSecondIsNotTaken) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), with_ssd(server("3", "a", "q"), 90),
                              with_ssd(server("4", "a", "r")), with_ssd(server("5", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1});
  put(picture.servers[1], 7, {0, 0, 1});
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, (std::vector<std::string>{"4", "5"}));
}

TEST(TierPlan, AMoveThatBrokeOffIsFinished) {
  Picture picture{.servers = {server("1", "a", "r"), with_ssd(server("2", "a", "r")), with_ssd(server("3", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1});
  put(picture.servers[1], 7, {0, 0, 1});
  picture.servers[1].volumes[0].disk_type = "ssd";
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].stay, std::vector<std::string>{"2"});
  EXPECT_EQ(plan.moves[0].targets, std::vector<std::string>{"3"});
}

TEST(TierPlan, AnotherPlacementMayHaveMoreCopiesOrFewer) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), with_ssd(server("3", "a", "r")),
                              with_ssd(server("4", "b", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1});
  put(picture.servers[1], 7, {0, 0, 1});
  auto wish = kToSsd;
  wish.placement = ReplicaPlacement{0, 0, 0};
  auto plan = plan_tier(picture, wish);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, std::vector<std::string>{"3"});
  EXPECT_EQ(plan.moves[0].placement, (ReplicaPlacement{0, 0, 0}));
  wish.placement = ReplicaPlacement{1, 0, 0};
  plan = plan_tier(picture, wish);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, (std::vector<std::string>{"3", "4"}));
}

TEST(TierPlan, OneCopyThatIsNotWantedKeepsItsVolumeWhereItIs) {
  Picture picture{.servers = {server("1", "a", "r"), server("2", "a", "r"), with_ssd(server("3", "a", "r")),
                              with_ssd(server("4", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1}, 100);
  put(picture.servers[1], 7, {0, 0, 1}, 99);
  auto wish = kToSsd;
  wish.wanted = [](const VolumeInfo& volume) { return volume.size >= 100; };
  const auto plan = plan_tier(picture, wish);
  EXPECT_TRUE(plan.moves.empty());
  EXPECT_TRUE(plan.stuck.empty());
}

TEST(TierPlan, AVolumeThatLacksACopyIsNotMoved) {
  Picture picture{.servers = {server("1", "a", "r"), with_ssd(server("3", "a", "r")), with_ssd(server("4", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 1});
  const auto plan = plan_tier(picture, kToSsd);
  EXPECT_TRUE(plan.moves.empty());
  EXPECT_EQ(plan.short_of, std::vector<VolumeId>{VolumeId(7)});
}

TEST(TierPlan, ADiskWithoutRoomForTheBytesIsNoTarget) {
  Picture picture{.servers = {server("1", "a", "r"), with_ssd(server("3", "a", "r")), with_ssd(server("4", "a", "r"))}};
  put(picture.servers[0], 7, {0, 0, 0}, 500);
  picture.servers[1].disks["ssd"].total_bytes = picture.servers[2].disks["ssd"].total_bytes = 1000;
  picture.servers[1].disks["ssd"].free_bytes = 499;
  picture.servers[2].disks["ssd"].free_bytes = 500;
  const auto plan = plan_tier(picture, kToSsd);
  ASSERT_EQ(plan.moves.size(), 1u);
  EXPECT_EQ(plan.moves[0].targets, std::vector<std::string>{"4"});
}

}  // namespace
}  // namespace holdfast::topology
