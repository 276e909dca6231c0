#include "service/master/change_feed.h"

#include <gtest/gtest.h>

#include "core/topology/registry.h"
#include "io/sim/clock.h"

namespace holdfast::master {
namespace {

using Kind = ChangeFeed::Reading::Kind;

const ClusterId kCluster(Uuid{1, 2});

// The first names the cluster, each later one gives out a volume id.
Entry entry(std::uint64_t index) {
  const topology::Command command = index == 1 ? topology::Command(topology::InitCluster{kCluster})
                                               : topology::Command(topology::AllocateVolumeIds{1});
  return {.term = Term(1 + index / 50), .index = Index(index),
          .data = topology::encode_batch({{.id = {.session = Uuid{5, 5}, .sequence = index}, .command = encode(command)}})};
}

raft::LogPosition position(std::uint64_t index) { return {.term = entry(index).term, .index = Index(index)}; }

struct Feed {
  io::sim::ManualClock clock;
  std::map<Index, ChangeFeed::Files> snapshots;
  ChangeFeed feed;

  explicit Feed(ChangeFeedLimits limits = {}) : feed(clock, 1, limits) {
    feed.begin(kCluster, std::nullopt, Index(), [this](raft::LogPosition at) -> Result<ChangeFeed::Files> {
      const auto found = snapshots.find(at.index);
      if (found == snapshots.end()) return Error{Code::not_found, "dropped"};
      return found->second;
    });
  }
  ~Feed() { feed.end(); }
  void commit(std::uint64_t first, std::uint64_t last) {
    std::vector<Entry> entries;
    for (auto i = first; i <= last; ++i) entries.push_back(entry(i));
    feed.committed(entries);
  }
  void snapshot(std::uint64_t index) {
    topology::Registry state(1);
    for (std::uint64_t i = 1; i <= index; ++i) ASSERT_TRUE(state.apply(Index(i), entry(i).term, bytes_of(entry(i).data.view())).ok());
    snapshots[Index(index)] = state.checkpoint().files;
    feed.snapshot_stored(Index(index));
  }
  VolumeId volumes_in_image() {
    const auto image = feed.make_image();
    EXPECT_TRUE(image.ok()) << image.error().what();
    if (!image.ok()) return {};
    EXPECT_EQ(image->head.last, feed.last());
    EXPECT_EQ(image->head.cluster, kCluster);
    topology::Registry state(1);
    EXPECT_TRUE(state.restore({.applied = image->head.last.index, .term = image->head.last.term, .files = image->files}).ok());
    return state.state().max_volume_id;
  }
};

TEST(ChangeFeed, AReaderGoesOnFromWhereItStands) {
  Feed at;
  at.commit(1, 20);
  const auto reading = at.feed.read(position(12), backup::check_of(entry(12)), 1 << 20);
  ASSERT_EQ(reading.kind, Kind::changes);
  ASSERT_EQ(reading.changes.size(), 8u);
  EXPECT_EQ(reading.changes[0].entry, entry(13));
  EXPECT_TRUE(at.feed.read(position(20), 0, 1 << 20).changes.empty());
  EXPECT_EQ(at.feed.read(position(20), 0, 1 << 20).kind, Kind::changes);
  EXPECT_EQ(at.feed.read({}, 0, 1).changes.size(), 1u);  // one at least, however long
}

TEST(ChangeFeed, OneThatIsAheadOrOfAnotherHistoryIsToldSo) {
  Feed at;
  at.commit(1, 20);
  EXPECT_EQ(at.feed.read(position(21), 0, 100).kind, Kind::ahead);
  EXPECT_EQ(at.feed.read({.term = Term(9), .index = Index(12)}, 0, 100).kind, Kind::other_history);
  EXPECT_EQ(at.feed.read(position(12), backup::check_of(entry(13)), 100).kind, Kind::other_history);
}

TEST(ChangeFeed, AnImageCanBeMadeAtAnyMoment) {
  Feed at;
  at.commit(1, 5);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(4));
  at.snapshot(5);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(4));
  at.commit(6, 30);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(29));
  at.snapshot(20);
  at.snapshots.erase(Index(5));
  EXPECT_EQ(at.volumes_in_image(), VolumeId(29));
}

TEST(ChangeFeed, WhatIsBehindTheSnapshotStaysAndSomeBefore) {
  Feed at({.bytes_late = 1 << 20, .entries_late = 10, .bytes_max = 1 << 20});
  at.commit(1, 100);
  EXPECT_EQ(at.feed.read({}, 0, 100).kind, Kind::changes);
  at.snapshot(60);
  EXPECT_EQ(at.feed.read(position(59), 0, 100).kind, Kind::too_old);
  EXPECT_EQ(at.feed.read(position(60), 0, 1 << 20).changes.size(), 40u);
  at.snapshot(99);
  EXPECT_EQ(at.feed.read(position(89), 0, 100).kind, Kind::too_old);
  EXPECT_EQ(at.feed.read(position(90), 0, 1 << 20).changes.size(), 10u);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(99));
}

TEST(ChangeFeed, BeyondItsBoundImagesWaitForTheNextSnapshot) {
  Feed at({.bytes_late = 100, .entries_late = 10, .bytes_max = 2000});
  at.commit(1, 100);
  EXPECT_EQ(at.feed.make_image().error().code(), Code::busy);
  at.snapshot(100);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(99));
}

TEST(ChangeFeed, AnotherMastersStateTakesThePlaceOfAll) {
  Feed at;
  at.commit(1, 10);
  at.snapshot(10);
  topology::Registry state(1);
  for (std::uint64_t i = 1; i <= 70; ++i) ASSERT_TRUE(state.apply(Index(i), entry(i).term, bytes_of(entry(i).data.view())).ok());
  at.snapshots[Index(70)] = state.checkpoint().files;
  at.feed.restored({.last = position(70)});
  EXPECT_EQ(at.feed.read(position(10), 0, 100).kind, Kind::too_old);
  EXPECT_EQ(at.feed.read(position(70), 0, 100).kind, Kind::changes);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(69));
  at.commit(71, 75);
  EXPECT_EQ(at.volumes_in_image(), VolumeId(74));
}

}  // namespace
}  // namespace holdfast::master
