#include "core/topology/growth.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace holdfast::topology {
namespace {

GrowthServer server(const std::string& dc, const std::string& rack, const std::string& id, std::int64_t free,
                    const std::string& host = "") {
  return {id, id + ":8080", host.empty() ? id : host, dc, rack, free};
}

TEST(GrowthPlan, WeighsServersByTheirFreeSlots) {
  PickRandom random(1);
  std::map<std::string, int> count;
  for (int i = 0; i < 4000; ++i) {
    const auto plan = plan_growth({server("d", "r", "a", 30), server("d", "r", "b", 10)}, {}, random);
    ++count[plan->volumes[0][0]];
  }
  EXPECT_NEAR(count["a"], 3000, 150);
}

TEST(GrowthPlan, SpreadsAFewVolumesOverServersThatAreAlike) {
  PickRandom random(1);
  int left_out = 0, crowded = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto plan = plan_growth({server("d", "r", "a", 8), server("d", "r", "b", 8), server("d", "r", "c", 8)},
                                  {.volumes = 7}, random);
    std::map<std::string, int> count;
    for (const auto& volume : plan->volumes) ++count[volume[0]];
    left_out += count.size() < 3 ? 1 : 0;
    for (const auto& [id, volumes] : count) crowded += volumes > 4 ? 1 : 0;
  }
  EXPECT_LE(left_out, 25);  // with single draws about 100
  EXPECT_LE(crowded, 10);   // about 60
}

TEST(GrowthPlan, NeighboursOnOtherHostsComeFirst) {
  PickRandom random(1);
  for (int i = 0; i < 200; ++i) {
    const auto plan = plan_growth({server("d", "r", "a1", 9, "A"), server("d", "r", "a2", 9, "A"),
                                   server("d", "r", "b1", 1, "B")},
                                  {.replica_placement = {0, 0, 1}}, random);
    const auto& chosen = plan->volumes[0];
    EXPECT_TRUE(chosen[0] == "b1" || chosen[1] == "b1");
  }
  // With one host only, the same host must do.
  EXPECT_TRUE(plan_growth({server("d", "r", "a1", 9, "A"), server("d", "r", "a2", 9, "A")},
                          {.replica_placement = {0, 0, 1}}, random).ok());
}

TEST(GrowthPlan, FindsTheWishedRackWhateverTheDataCentersWeigh) {
  PickRandom random(1);
  for (int i = 0; i < 100; ++i) {
    const auto plan = plan_growth({server("big", "r", "a", 1000), server("small", "wished", "b", 1)},
                                  {.wish = {.rack = "wished"}}, random);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->volumes[0][0], "b");
  }
}

TEST(GrowthPlan, StopsEarlyAndKeepsWhatFits) {
  PickRandom random(1);
  const auto plan = plan_growth({server("d", "r", "a", 2)}, {.volumes = 3}, random);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->volumes.size(), 2u);
  EXPECT_NE(plan->stopped, "");
}

TEST(GrowthPlan, SaysWhyInTheFormOfUpstream) {
  PickRandom random(1);
  const std::vector<GrowthServer> one{server("DefaultDataCenter", "DefaultRack", "localhost", 7)};
  const auto why = [&](GrowthRequest request) { return plan_growth(one, request, random).error().what(); };
  EXPECT_EQ(why({.wish = {.data_center = "X"}}),
            "No matching data node found! \nDefaultDataCenter:Not matching preferred data center:X");
  EXPECT_EQ(why({.wish = {.rack = "X"}}),
            "No matching data node found! \nDefaultRack:Not matching preferred rack:X");
  EXPECT_EQ(why({.wish = {.server = "X"}}),
            "No matching data node found! \nlocalhost:Not matching preferred data node:X");
  EXPECT_EQ(why({.replica_placement = {0, 0, 1}}),
            "No matching data node found! \nDefaultDataCenter:Only has 0 racks with more than 2 free data nodes, "
            "not enough for 1.");
  EXPECT_EQ(why({.replica_placement = {1, 0, 0}}), "Not enough data nodes found!");
  EXPECT_EQ(plan_growth({}, {}, random).error().code(), Code::no_space);
  EXPECT_EQ(plan_growth({server("d", "r", "a", 0)}, {}, random).error().code(), Code::no_space);
}

// Whatever the cluster looks like: a plan obeys the code, the wish and the slots, and if there is none then an
// exhaustive look finds none either.
TEST(GrowthPlan, ObeysTheCodeOverRandomClusters) {
  std::mt19937_64 dice(5);
  int planned = 0, refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<GrowthServer> servers;
    std::map<std::string, GrowthServer> by_id;
    for (std::uint64_t n = dice() % 8; n > 0; --n) {
      const std::string id = "s" + std::to_string(n);
      servers.push_back(server("d" + std::to_string(dice() % 3), "r" + std::to_string(dice() % 3), id,
                               static_cast<std::int64_t>(dice() % 3), "h" + std::to_string(dice() % 4)));
      by_id[id] = servers.back();
    }
    const ReplicaPlacement code{static_cast<std::uint8_t>(dice() % 3), static_cast<std::uint8_t>(dice() % 3),
                                static_cast<std::uint8_t>(dice() % 3)};
    const std::string dc = dice() % 3 == 0 ? "d1" : "", rack = dice() % 3 == 0 ? "r1" : "";
    PickRandom random(dice());
    const auto plan = plan_growth(servers, {.volumes = 2, .replica_placement = code, .wish = {dc, rack, ""}}, random);

    // Is there any server that could be the first copy?
    bool possible = false;
    for (const auto& main : servers) {
      if (main.free < 1 || (!dc.empty() && main.data_center != dc) || (!rack.empty() && main.rack != rack)) continue;
      std::set<std::string> dcs, racks, neighbours;
      for (const auto& s : servers) {
        if (s.free < 1) continue;
        if (s.data_center != main.data_center) dcs.insert(s.data_center);
        if (s.data_center == main.data_center && s.rack != main.rack) racks.insert(s.rack);
        if (s.data_center == main.data_center && s.rack == main.rack && s.id != main.id) neighbours.insert(s.id);
      }
      possible = possible || (dcs.size() >= code.other_data_centers && racks.size() >= code.other_racks &&
                              neighbours.size() >= code.same_rack);
    }
    ASSERT_EQ(plan.ok(), possible) << "round " << round << (plan.ok() ? "" : plan.error().what());
    if (!plan.ok()) {
      ++refused;
      continue;
    }
    ++planned;
    std::map<std::string, std::int64_t> used;
    for (const auto& volume : plan->volumes) {
      ASSERT_EQ(volume.size(), static_cast<std::size_t>(code.copies()));
      const GrowthServer& main = by_id[volume[0]];
      EXPECT_TRUE(dc.empty() || main.data_center == dc);
      EXPECT_TRUE(rack.empty() || main.rack == rack);
      std::set<std::string> ids(volume.begin(), volume.end()), dcs, racks;
      EXPECT_EQ(ids.size(), volume.size());
      int neighbours = 0;
      for (const std::string& id : volume) {
        ++used[id];
        const GrowthServer& s = by_id[id];
        if (s.data_center != main.data_center) {
          dcs.insert(s.data_center);
        } else if (s.rack != main.rack) {
          racks.insert(s.rack);
        } else {
          ++neighbours;
        }
      }
      EXPECT_EQ(dcs.size(), code.other_data_centers);
      EXPECT_EQ(racks.size(), code.other_racks);
      EXPECT_EQ(neighbours, code.same_rack + 1);
    }
    for (const auto& [id, slots] : used) EXPECT_LE(slots, by_id[id].free);
  }
  EXPECT_GT(planned, 500);
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace holdfast::topology
