// Where shards of erasure-coded volumes lie, by reports whole and in changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/topology/topology.h"

namespace holdfast::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Uuid kFolder1 = folder_uuid("f1");
const Uuid kFolder2 = folder_uuid("f2");

class TopologyEcTest : public ::testing::Test {
 protected:
  TopologyEcTest() : topology({}) {
    RegistryState state;
    state.cluster_id = ClusterId(Uuid{1, 1});
    state.max_volume_id = VolumeId(100);
    topology.set_registry(state, now);
  }
  Report report(std::uint32_t n) {
    Report r;
    r.ip = "10.0.0." + std::to_string(n);
    r.port = 8080;
    r.full = true;
    r.process = Uuid{9, n};
    r.location_uuids = {"f" + std::to_string(n)};
    r.max_volume_counts[""] = 10;
    r.pulse = std::chrono::milliseconds(250);
    r.ec_full = true;
    return r;
  }
  static EcShardsInfo shards(std::uint32_t id, std::uint32_t bits, std::uint32_t disk = 0) {
    EcShardsInfo info{.id = VolumeId(id), .collection = "c", .bits = bits, .disk_id = disk};
    for (std::uint32_t bit = 0; bit < 32; bit++) {
      if ((bits >> bit & 1) != 0) info.shard_sizes.push_back(100 + bit);
    }
    return info;
  }
  void say(std::uint64_t session, const Report& r) { topology.report(SessionId(session), r, now); }
  std::vector<std::string> holders(std::uint32_t shard) {
    std::vector<std::string> out;
    const auto all = topology.ec_locations(VolumeId(7));
    const auto it = all.find(shard);
    if (it == all.end()) return out;
    for (const auto& place : it->second) out.push_back(place.url);
    std::sort(out.begin(), out.end());
    return out;
  }

  Instant now = kDistantPast + std::chrono::hours(24);
  Topology topology;
};

TEST_F(TopologyEcTest, ShardsAreFoundWhereTheyWereReported) {
  auto one = report(1);
  one.ec_shards = {shards(7, 0b0011), shards(7, 0b0100, 1)};
  say(1, one);
  auto two = report(2);
  two.ec_shards = {shards(7, 0b1001)};
  say(2, two);
  EXPECT_THAT(holders(0), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  EXPECT_THAT(holders(2), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(holders(3), ElementsAre("10.0.0.2:8080"));
  EXPECT_THAT(holders(4), IsEmpty());
  EXPECT_EQ(topology.ec_index().find(VolumeId(7))->places.size(), 2u);
  EXPECT_EQ(topology.ec_index().find(VolumeId(7))->collection, "c");
  EXPECT_EQ(topology.index().find(VolumeId(7)), nullptr);
  EXPECT_THAT(topology.ec_collections(), ElementsAre("c"));
  EXPECT_EQ(topology.collection_servers("c").size(), 2u);
  EXPECT_THAT(topology.collections(), IsEmpty());
}

TEST_F(TopologyEcTest, ChangesAddAndTakeAway) {
  say(1, report(1));
  (void)topology.take_events();
  Report more{.pulse = std::chrono::milliseconds(250)};
  more.ec_added = {shards(7, 0b0101)};
  say(1, more);
  auto events = topology.take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_THAT(events[0].ec_added, ElementsAre(VolumeId(7)));
  EXPECT_EQ(events[0].url, "10.0.0.1:8080");

  more.ec_added = {shards(7, 0b0010)};
  say(1, more);
  EXPECT_THAT(topology.take_events(), IsEmpty());  // the volume was there
  const auto status = topology.server_status("10.0.0.1:8080", true, now);
  EXPECT_EQ(status->ec_shards, 3u);
  ASSERT_EQ(status->ec_infos.size(), 1u);
  EXPECT_EQ(status->ec_infos[0].bits, 0b0111u);
  EXPECT_THAT(status->ec_infos[0].shard_sizes, ElementsAre(100, 101, 102));
  EXPECT_EQ(status->free, 9);  // ten shards, or a part of ten, take a slot

  Report less{.pulse = std::chrono::milliseconds(250)};
  less.ec_removed = {shards(7, 0b0011)};
  say(1, less);
  EXPECT_THAT(holders(0), IsEmpty());
  EXPECT_THAT(holders(2), ElementsAre("10.0.0.1:8080"));
  less.ec_removed = {shards(7, 0b0100)};
  say(1, less);
  events = topology.take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_THAT(events[0].ec_removed, ElementsAre(VolumeId(7)));
  EXPECT_EQ(topology.ec_index().find(VolumeId(7)), nullptr);
  EXPECT_TRUE(topology.ec_locations(VolumeId(7)).empty());
}

TEST_F(TopologyEcTest, SilenceAboutShardsKeepsThemAndAWholeListReplacesThem) {
  auto one = report(1);
  one.ec_shards = {shards(7, 0b1), shards(8, 0b1)};
  say(1, one);
  Report pulse{.pulse = std::chrono::milliseconds(250)};
  say(1, pulse);
  EXPECT_THAT(holders(0), ElementsAre("10.0.0.1:8080"));
  Report whole{.pulse = std::chrono::milliseconds(250)};
  whole.ec_full = true;
  whole.ec_shards = {shards(8, 0b11)};
  say(1, whole);
  EXPECT_THAT(holders(0), IsEmpty());
  EXPECT_NE(topology.ec_index().find(VolumeId(8)), nullptr);
}

TEST_F(TopologyEcTest, AServerThatIsGoneTakesItsShardsAlong) {
  auto one = report(1);
  one.ec_shards = {shards(7, 0b1)};
  say(1, one);
  EXPECT_THAT(topology.location_snapshot("10.0.0.1:8080")->ec_added, ElementsAre(VolumeId(7)));
  topology.session_ended(SessionId(1), now);
  EXPECT_THAT(holders(0), IsEmpty());  // it cannot be read from
  (void)topology.take_events();
  topology.sweep(now += std::chrono::seconds(6));
  const auto events = topology.take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_THAT(events[0].ec_removed, ElementsAre(VolumeId(7)));
  EXPECT_EQ(topology.ec_index().find(VolumeId(7)), nullptr);
}

TEST_F(TopologyEcTest, IdsAndKeysOfEncodedVolumesAreAdopted) {
  auto one = report(1);
  one.ec_shards = {shards(700, 0b1)};
  one.ec_shards[0].max_key = NeedleId(4711);
  say(1, one);
  const auto pending = topology.pending_adoptions(9);
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_TRUE(pending[0].has_volumes);
  EXPECT_EQ(pending[0].max_volume_id, VolumeId(700));
  EXPECT_EQ(pending[0].max_key, NeedleId(4711));
}

}  // namespace
}  // namespace holdfast::topology
