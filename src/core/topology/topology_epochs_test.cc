#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "core/topology/topology.h"

namespace holdfast::topology {
namespace {

RegistryState registry(const EpochMap& epochs = {}) {
  RegistryState state;
  state.cluster_id = ClusterId(Uuid{1, 1});
  state.next_key = NeedleId(1'000'000);
  state.max_volume_id = VolumeId(1000);
  DirSet dirs;
  for (std::uint64_t n = 0; n < 10; ++n) dirs.insert(Uuid{6, n});
  state.dirs = std::make_shared<const DirSet>(dirs);
  state.epochs = std::make_shared<const EpochMap>(epochs);
  return state;
}

VolumeInfo volume(std::uint32_t id, std::uint64_t epoch = 0, const std::string& replication = "001") {
  VolumeInfo info;
  info.id = VolumeId(id);
  info.size = 8;
  info.replica_placement = *ReplicaPlacement::parse(replication);
  info.replica_epoch = epoch;
  return info;
}

Report report(std::uint64_t n, std::vector<VolumeInfo> volumes = {}) {
  Report r;
  r.ip = "10.0.0." + std::to_string(n);
  r.port = 8080;
  r.max_volume_counts[""] = 10;
  r.full = true;
  r.volumes = std::move(volumes);
  r.process = Uuid{5, n};
  r.feature_level = kHealingServerLevel;
  r.pulse = 250ms;
  r.location_uuids = {text(Uuid{6, n})};
  return r;
}

VolumeInfo outdated(VolumeInfo info) {
  info.replica_outdated = true;
  return info;
}

class EpochsTest : public ::testing::Test {
 protected:
  EpochsTest() { topology.set_registry(registry(), now); }
  void say(std::uint64_t n, std::vector<VolumeInfo> volumes) {
    (void)topology.report(SessionId(n), report(n, std::move(volumes)), now);
  }
  void gone(std::uint64_t n) {
    topology.session_ended(SessionId(n), now);
    now += 10s;
    for (std::uint64_t other = 1; other < 10; ++other) {
      if (other == n) continue;
      Report r;
      r.process = Uuid{5, other};
      r.pulse = 250ms;
      (void)topology.report(SessionId(other), r, now);
    }
    topology.sweep(now);
  }
  std::set<std::string> holders(std::uint32_t id) const {
    std::set<std::string> out;
    if (const auto found = topology.index().find(VolumeId(id))) {
      for (const auto& p : found->places) out.insert(p.url.substr(7, 1));
    }
    return out;
  }
  bool writable(std::uint32_t id) const {
    for (const auto& count : topology.layout_counts()) {
      for (const VolumeId v : count.layout->volumes()) {
        if (v == VolumeId(id)) return true;
      }
    }
    return false;
  }
  using Names = std::set<std::string>;

  Instant now = at(1h);
  Topology topology{{}};
};

TEST_F(EpochsTest, AVolumeInARemoteTierHasOneHolderAndLacksNone) {
  auto remote = volume(7);
  remote.remote_storage_name = "s3.cold";
  remote.read_only = true;
  say(1, {volume(7)});
  EXPECT_EQ(topology.heal_view().short_of_copies, std::vector<VolumeId>{VolumeId(7)});
  say(1, {remote});
  EXPECT_TRUE(topology.heal_view().short_of_copies.empty());
  EXPECT_EQ(topology.heal_view().copies_missing, 0u);
  EXPECT_EQ(holders(7), Names{"1"});
  EXPECT_FALSE(writable(7));
  // Copies from before, that are about to go, are none too many.
  say(2, {volume(7)});
  say(3, {volume(7)});
  EXPECT_TRUE(topology.heal_view().with_surplus.empty());
  // Back on the disk it is a volume like any other.
  say(1, {volume(7)});
  EXPECT_EQ(topology.heal_view().with_surplus, std::vector<VolumeId>{VolumeId(7)});
}

TEST_F(EpochsTest, ACopyThatServesNothingAnyMoreIsNamedByNobodyThoughItIsOfTheSameEpoch) {
  say(1, {volume(7)});
  say(2, {volume(7)});
  say(3, {volume(7)});
  EXPECT_EQ(holders(7), (std::set<std::string>{"1", "2", "3"}));
  EXPECT_FALSE(writable(7));  // one too many
  EXPECT_EQ(topology.heal_view().with_surplus, std::vector<VolumeId>{VolumeId(7)});
  say(3, {outdated(volume(7))});
  EXPECT_EQ(holders(7), (std::set<std::string>{"1", "2"}));
  EXPECT_TRUE(writable(7));
  EXPECT_TRUE(topology.heal_view().with_surplus.empty());
  ASSERT_EQ(topology.heal_view().with_aside.size(), 1u);
  EXPECT_TRUE(topology.heal_view().with_aside[0].aside.at(0).is_outdated);
  // And does not count again when the others are gone: what it has is of before.
  gone(1);
  gone(2);
  EXPECT_EQ(holders(7), std::set<std::string>());
}

TEST_F(EpochsTest, ACopyOfAnOlderEpochIsNamedByNoLookup) {
  say(1, {volume(7)});
  say(2, {volume(7)});
  EXPECT_EQ(holders(7), (Names{"1", "2"}));
  EXPECT_TRUE(writable(7));
  say(1, {volume(7, 1)});
  EXPECT_EQ(holders(7), Names{"1"});
  EXPECT_FALSE(writable(7));
  say(3, {volume(7, 1)});
  EXPECT_EQ(holders(7), (Names{"1", "3"}));
  EXPECT_TRUE(writable(7));
  say(2, {volume(7)});  // again, and again later
  EXPECT_EQ(holders(7), (Names{"1", "3"}));
  EXPECT_TRUE(writable(7));
  const auto view = topology.heal_view();
  ASSERT_EQ(view.with_aside.size(), 1u);
  ASSERT_EQ(view.with_aside[0].aside.size(), 1u);
  EXPECT_EQ(view.with_aside[0].aside[0].place.id, "10.0.0.2:8080");
  EXPECT_EQ(topology.server_status("10.0.0.2:8080", false, now)->free, 9);  // it takes up room
  say(2, {});
  EXPECT_TRUE(topology.heal_view().with_aside.empty());
  EXPECT_EQ(topology.server_status("10.0.0.2:8080", false, now)->free, 10);
}

TEST_F(EpochsTest, WhatTheMastersAgreedOnCountsAlsoWhenNobodyTellsIt) {
  topology.set_registry(registry({{VolumeId(7), 2}}), now);
  say(1, {volume(7, 1)});
  EXPECT_EQ(holders(7), Names{});
  say(2, {volume(7, 2)});
  EXPECT_EQ(holders(7), Names{"2"});
  gone(2);
  EXPECT_EQ(holders(7), Names{});  // never the old one again
  EXPECT_EQ(topology.heal_view().only_aside, std::vector{VolumeId(7)});
  say(1, {volume(7, 1)});
  EXPECT_EQ(holders(7), Names{});
}

TEST_F(EpochsTest, AnAgreementSetsOlderCopiesAside) {
  say(1, {volume(7), volume(8)});
  say(2, {volume(7), volume(8)});
  topology.set_registry(registry({{VolumeId(7), 1}}), now);
  EXPECT_EQ(holders(7), Names{});
  EXPECT_EQ(holders(8), (Names{"1", "2"}));
  say(1, {volume(7, 1), volume(8)});
  EXPECT_EQ(holders(7), Names{"1"});
}

TEST_F(EpochsTest, ACopyThatIsAheadCountsAsLongAsItIsThere) {
  say(1, {volume(7, 1)});
  say(2, {volume(7)});
  EXPECT_EQ(holders(7), Names{"1"});
  gone(1);  // nothing was agreed on, so nothing was ever written to it alone
  EXPECT_EQ(holders(7), Names{"2"});
}

TEST_F(EpochsTest, TellsWhatIsMissingAndWhoCouldTakeIt) {
  say(1, {volume(7)});
  say(2, {});
  say(3, {});
  auto view = topology.heal_view();
  ASSERT_EQ(view.short_of_copies.size(), 1u);
  const auto one = topology.heal_volume(VolumeId(7));
  ASSERT_EQ(one->copies.size(), 1u);
  EXPECT_TRUE(one->copies[0].can_take_part);
  EXPECT_EQ(one->copies[0].source, "10.0.0.1:8080.18080");
  EXPECT_EQ(view.copies_missing, 1u);
  EXPECT_EQ(view.copies_there, 1u);
  const LayoutKey layout{.collection = "", .replica_placement = *ReplicaPlacement::parse("001"), .ttl = {}, .disk_type = ""};
  EXPECT_EQ(topology.short_counts(), (std::map<LayoutKey, std::uint64_t>{{layout, 1}}));
  EXPECT_EQ(topology.heal_targets(VolumeId(7), "").size(), 2u);
  auto old = report(3);
  old.feature_level = 1;  // knows no epochs
  (void)topology.report(SessionId(33), old, now);
  EXPECT_EQ(topology.heal_targets(VolumeId(7), "").size(), 1u);
  say(2, {volume(7)});
  EXPECT_TRUE(topology.heal_view().short_of_copies.empty());
  EXPECT_TRUE(topology.short_counts().empty());
}

TEST_F(EpochsTest, TellsWhoseCopiesAreHeldAgainstEachOther) {
  auto single = volume(5);
  single.replica_placement = {};
  auto read_only = volume(6);
  read_only.read_only = true;
  say(1, {single, read_only, volume(7), volume(8), volume(9)});
  say(2, {volume(6), volume(7), volume(8)});
  EXPECT_EQ(topology.volumes_to_compare(), (std::vector{VolumeId(7), VolumeId(8), VolumeId(9)}));  // 9: the other one may come back
  gone(2);
  EXPECT_EQ(topology.volumes_to_compare(), (std::vector{VolumeId(7), VolumeId(8), VolumeId(9)}));
  auto theirs = report(2);
  theirs.process.reset();  // SeaweedFS's
  theirs.volumes = {volume(8)};
  (void)topology.report(SessionId(22), theirs, now);
  EXPECT_EQ(topology.volumes_to_compare(), (std::vector{VolumeId(7), VolumeId(9)}));
}

// Whatever is said in whatever order: those that are named are the newest that are there and at least what was agreed on.
TEST_F(EpochsTest, OnlyTheNewestAreEverNamed) {
  std::mt19937_64 draw(11);
  std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>> truth;  // server -> volume -> epoch
  EpochMap agreed;
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t n = 1 + draw() % 5;
    switch (draw() % 8) {
      case 0:
        truth.erase(n);
        gone(n);
        break;
      case 1: {
        const VolumeId id(static_cast<std::uint32_t>(1 + draw() % 3));
        agreed[id] = std::max(agreed[id], draw() % 6);
        topology.set_registry(registry(agreed), now);
        break;
      }
      default: {
        auto& held = truth[n];
        const auto id = static_cast<std::uint32_t>(1 + draw() % 3);
        if (draw() % 4 == 0) {
          held.erase(id);
        } else {
          held[id] = std::max(held[id], draw() % 6);
        }
        std::vector<VolumeInfo> all;
        for (const auto& [volume_id, epoch] : held) all.push_back(volume(volume_id, epoch));
        say(n, all);
      }
    }
    for (std::uint32_t id = 1; id <= 3; ++id) {
      std::uint64_t newest = agreed[VolumeId(id)];
      for (const auto& [server, held] : truth) {
        if (held.contains(id)) newest = std::max(newest, held.at(id));
      }
      Names expected;
      for (const auto& [server, held] : truth) {
        if (held.contains(id) && held.at(id) == newest) expected.insert(std::to_string(server));
      }
      ASSERT_EQ(holders(id), expected) << "step " << step << " volume " << id;
    }
  }
}

}  // namespace
}  // namespace holdfast::topology
