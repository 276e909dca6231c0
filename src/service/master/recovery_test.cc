#include "service/master/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/topology/registry.h"
#include "io/sim/disk.h"
#include "storage/raft/identity.h"
#include "storage/raft/raft_store.h"

namespace holdfast::master {
namespace {

using io::sim::SeededRandom;
using io::sim::SimDisk;
using ::testing::HasSubstr;

const ClusterId kLost{Uuid{1, 1}};
const NodeId kSelf{Uuid{2, 2}}, kB{Uuid{3, 3}}, kC{Uuid{4, 4}};
const std::string kFolder = "d/m9333";

RecoveryConfig config() { return {.folder = "d", .port = 9333, .segment_bytes = 4096}; }

storage::RaftStore::Options options(const storage::Identity& identity) {
  return {.cluster = identity.cluster, .voter = identity.node, .segment_bytes = 4096};
}

class RecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(disk.make_folders(kFolder).ok());
    identity = storage::new_identity(random);
    identity.node = kSelf;
    identity.cluster = kLost;
    identity.incarnation = Incarnation(4);
    identity.self = "localhost:9333";
    members = raft::Configuration({{.id = kSelf, .address = "localhost:9333", .voter = true},
                                   {.id = kB, .address = "localhost:9334", .voter = true},
                                   {.id = kC, .address = "localhost:9335", .voter = true}});
    identity.founding = members;
    identity.members = members.members();
    ASSERT_TRUE(storage::store_identity(disk, kFolder + "/identity.json", identity).ok());
    ASSERT_TRUE(storage::RaftStore::found(disk, random, kFolder, options(identity), members).ok());
    auto opened = storage::RaftStore::open(disk, random, kFolder, options(identity));
    ASSERT_TRUE(opened.ok());
    std::vector<Entry> entries;
    const auto add = [&](const topology::Command& command) {
      const std::uint64_t n = entries.size() + 1;
      entries.push_back({.term = Term(3),
                         .index = Index(n + 1),
                         .data = topology::encode_batch({{{Uuid{9, 9}, n}, 0, topology::encode(command)}})});
    };
    add(topology::InitCluster{kLost});
    add(topology::ReserveKeys{kB, Incarnation(1), Uuid{7, 7}, 1000});
    add(topology::AllocateVolumeIds{7});
    add(topology::AdoptDirs{kLost, Generation(1), false, {}, {}, {Uuid{5, 1}, Uuid{5, 2}}});
    ASSERT_TRUE(opened->store->write({}, raft::HardState{.term = Term(3), .vote = kB, .commit = Index(4)}, entries).ok());
    ASSERT_TRUE(opened->store->sync().ok());
    disk.kill_process();
  }

  static std::unique_ptr<Recovery> open(SimDisk& at, io::Random& dice) {
    auto recovery = Recovery::open(config(), at, dice);
    EXPECT_TRUE(recovery.ok()) << recovery.error().what();
    return recovery ? std::move(*recovery) : nullptr;
  }

  // That the folder now is that of the new cluster, and nothing else.
  void expect_recovered(SimDisk& at, const std::string& where) const {
    SeededRandom dice(3);
    const auto now = storage::load_identity(at, kFolder + "/identity.json");
    ASSERT_TRUE(now.ok()) << where;
    EXPECT_EQ(now->recovering, "") << where;
    EXPECT_NE(now->node, kSelf) << where;
    EXPECT_NE(now->cluster, kLost) << where;
    EXPECT_EQ(now->superseded, std::vector<ClusterId>{kLost}) << where;
    EXPECT_EQ(now->former, (std::vector<std::string>{"localhost:9334", "localhost:9335"})) << where;
    const auto opened = storage::RaftStore::open(at, dice, kFolder, options(*now));
    ASSERT_TRUE(opened.ok()) << where << ": " << opened.error().what();
    ASSERT_TRUE(opened->start.snapshot) << where;
    EXPECT_TRUE(opened->start.entries.empty()) << where;
    EXPECT_FALSE(opened->start.damage) << where;
    EXPECT_EQ(opened->start.hard_state.term, Term(3)) << where;
    EXPECT_EQ(opened->start.hard_state.vote, NodeId()) << where;
    const auto& meta = *opened->start.snapshot;
    ASSERT_EQ(meta.configuration.members().size(), 1u) << where;
    EXPECT_TRUE(meta.configuration.is_voter(now->node)) << where;
    EXPECT_EQ(meta.last, (raft::LogPosition{.term = Term(3), .index = Index(5)})) << where;
    auto files = opened->store->snapshots().load(meta.last);
    ASSERT_TRUE(files.ok()) << where;
    topology::Registry registry;
    ASSERT_TRUE(registry.restore({meta.last.index, meta.last.term, std::move(*files)}).ok()) << where;
    const auto& state = registry.state();
    EXPECT_EQ(state.cluster_id, now->cluster) << where;
    EXPECT_EQ(state.generation, Generation(2)) << where;
    EXPECT_EQ(state.next_key.value(), 1001 + topology::kKeySkipOfSuccessor) << where;
    EXPECT_EQ(state.max_volume_id.value(), 7 + topology::kVolumeIdSkipOfSuccessor) << where;
    EXPECT_TRUE(state.has_dir(Uuid{5, 1})) << where;
    EXPECT_TRUE(state.may_adopt(kLost)) << where;

    const auto old = storage::load_identity(at, kFolder + "/recovered-4/identity.json");
    ASSERT_TRUE(old.ok()) << where;
    EXPECT_EQ(*old, identity) << where;
    const auto kept = storage::RaftStore::open(at, dice, kFolder + "/recovered-4", options(*old));
    ASSERT_TRUE(kept.ok()) << where << ": " << kept.error().what();
    EXPECT_EQ(kept->start.entries.size(), 5u) << where;
  }

  // That it is refused as no member of its cluster, in these words among others.
  void expect_replaced(const std::vector<std::string>& words) {
    const auto replaced = Recovery::open(config(), disk, random);
    ASSERT_FALSE(replaced.ok());
    EXPECT_EQ(replaced.error().code(), Code::refused);
    EXPECT_THAT(replaced.error().what(), HasSubstr("no member of its cluster"));
    for (const auto& word : words) EXPECT_THAT(replaced.error().what(), HasSubstr(word));
  }

  SimDisk disk{1};
  SeededRandom random{1};
  storage::Identity identity;
  raft::Configuration members;
};

TEST_F(RecoveryTest, SaysWhatIsThere) {
  const auto recovery = open(disk, random);
  const auto& report = recovery->report();
  EXPECT_EQ(report.cluster, kLost);
  EXPECT_EQ(report.address, "localhost:9333");
  EXPECT_TRUE(report.voter);
  EXPECT_EQ(report.term, Term(3));
  EXPECT_EQ(report.last, (raft::LogPosition{.term = Term(3), .index = Index(5)}));
  EXPECT_EQ(report.commit, Index(4));
  EXPECT_EQ(report.configuration, members);
  EXPECT_EQ(report.next_key, 1001u);
  EXPECT_EQ(report.max_volume_id, VolumeId(7));
  EXPECT_EQ(report.folders, 2u);
  EXPECT_FALSE(report.interrupted);
}

TEST_F(RecoveryTest, PutsANewClusterInThePlaceOfTheOldAndKeepsTheFiles) {
  const auto aside = open(disk, random)->carry_out();
  ASSERT_TRUE(aside.ok()) << aside.error().what();
  EXPECT_EQ(*aside, kFolder + "/recovered-4");
  expect_recovered(disk, "whole");
  // Whoever needs no other voter needs no recovery.
  disk.kill_process();
  EXPECT_EQ(Recovery::open(config(), disk, random).error().code(), Code::refused);
}

// It may have been left behind long ago: those who took its place have what was acknowledged since.
TEST_F(RecoveryTest, RefusesAMasterThatWasReplacedAndNamesTheMembers) {
  const raft::Configuration without({{.id = kB, .address = "localhost:9334", .voter = true},
                                     {.id = NodeId(Uuid{6, 6}), .address = "localhost:9336", .voter = true}});
  auto opened = storage::RaftStore::open(disk, random, kFolder, options(identity));
  ASSERT_TRUE(opened.ok());
  const std::vector<Entry> entries{
      {.term = Term(3), .index = Index(6), .kind = EntryKind::configuration, .data = raft::encode(without)}};
  ASSERT_TRUE(opened->store->write({}, std::nullopt, entries).ok());
  ASSERT_TRUE(opened->store->sync().ok());
  disk.kill_process();
  expect_replaced({"localhost:9334, localhost:9336", "weed recover"});
}

TEST_F(RecoveryTest, RefusesAMasterThatWasToldOfItsRemovalThoughItsLogDoesNotHaveIt) {
  identity.removed = true;
  ASSERT_TRUE(storage::store_identity(disk, kFolder + "/identity.json", identity).ok());
  expect_replaced({"localhost:9334, localhost:9335"});
}

TEST_F(RecoveryTest, RefusesInWordsWhatCannotBeRecovered) {
  auto elsewhere = config();
  elsewhere.port = 9334;
  const auto missing = Recovery::open(elsewhere, disk, random);
  EXPECT_EQ(missing.error().code(), Code::not_found);
  EXPECT_NE(missing.error().what().find("-port=9333"), std::string::npos) << missing.error().what();
  {
    const auto lock = disk.lock(kFolder + "/lock");
    const auto running = Recovery::open(config(), disk, random);
    EXPECT_EQ(running.error().code(), Code::busy);
    EXPECT_NE(running.error().what().find("stop it first"), std::string::npos) << running.error().what();
  }
  disk.kill_process();
  auto fresh = storage::new_identity(random);
  ASSERT_TRUE(disk.make_folders("e/m9333").ok());
  ASSERT_TRUE(storage::store_identity(disk, "e/m9333/identity.json", fresh).ok());
  auto never = config();
  never.folder = "e";
  EXPECT_EQ(Recovery::open(never, disk, random).error().code(), Code::refused);
}

TEST_F(RecoveryTest, ACrashAnywhereLeavesTheOldMemberOrEndsInTheNewOne) {
  int untouched = 0, interrupted = 0, whole = 0;
  for (std::uint64_t stop = 0;; ++stop) {
    for (std::uint64_t mood = 0; mood < 4; ++mood) {
      const std::string where = "stopped at " + std::to_string(stop) + ", mood " + std::to_string(mood);
      auto at = disk.clone(stop * 4 + mood);
      SeededRandom dice(5);
      {
        const auto recovery = open(*at, dice);
        ASSERT_NE(recovery, nullptr) << where;
        at->fail_at(stop);
        if (recovery->carry_out().ok()) ++whole;
      }
      if (mood == 0) {
        at->kill_process();
      } else {
        at->crash();
      }
      const auto now = storage::load_identity(*at, kFolder + "/identity.json");
      ASSERT_TRUE(now.ok()) << where << ": " << now.error().what();
      if (now->cluster == kLost) {
        // As if nothing had been tried: the master may be started.
        ++untouched;
        EXPECT_EQ(*now, identity) << where;
        auto future = at->clone(1);
        const auto opened = storage::RaftStore::open(*future, dice, kFolder, options(*now));
        ASSERT_TRUE(opened.ok()) << where << ": " << opened.error().what();
        EXPECT_EQ(opened->start.entries.size(), 5u) << where;
      } else if (!now->recovering.empty()) {
        ++interrupted;
      }
      // A rename that was not made durable may be lost in a later crash: then it is done once more.
      if (now->cluster != kLost && now->recovering.empty()) at->crash();
      const auto later = storage::load_identity(*at, kFolder + "/identity.json");
      ASSERT_TRUE(later.ok()) << where;
      if (later->cluster == kLost || !later->recovering.empty()) {
        const auto again = open(*at, dice);
        ASSERT_NE(again, nullptr) << where;
        EXPECT_EQ(again->report().interrupted, later->cluster != kLost) << where;
        const auto done = again->carry_out();
        ASSERT_TRUE(done.ok()) << where << ": " << done.error().what();
      }
      at->crash();
      expect_recovered(*at, where);
      if (HasFailure()) return;
    }
    if (whole > 0) break;
  }
  EXPECT_GT(untouched, 10);
  EXPECT_GT(interrupted, 10);
}

}  // namespace
}  // namespace holdfast::master
