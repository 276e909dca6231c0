#include "storage/volume/replica_state.h"

#include <gtest/gtest.h>

#include "io/sim/clock.h"
#include "io/sim/disk.h"

namespace holdfast::volume {
namespace {

class ReplicaStateTest : public testing::Test {
 protected:
  ReplicaStateTest() { EXPECT_TRUE(disk.make_folder("/d").ok()); }
  std::uint64_t on_disk() {
    ReplicaState state(disk, clock, "/d/7.hfe");
    EXPECT_TRUE(state.load().ok());
    return state.epoch();
  }

  io::sim::SimDisk disk{1};
  io::sim::ManualClock clock;
  ReplicaState state{disk, clock, "/d/7.hfe"};
};

TEST_F(ReplicaStateTest, AWriteCountsForTheEpochItWasMadeFor) {
  ASSERT_TRUE(state.load().ok());
  EXPECT_EQ(state.epoch(), 0u);
  EXPECT_TRUE(state.may_write(0).ok());
  EXPECT_TRUE(state.may_write(std::nullopt).ok());
  EXPECT_EQ(state.may_write(1).error().code(), Code::stale);
  ASSERT_TRUE(state.adopt(std::nullopt, 0, 1).ok());
  EXPECT_EQ(state.may_write(0).error().code(), Code::stale);
  EXPECT_TRUE(state.may_write(1).ok());
  EXPECT_EQ(on_disk(), 1u);
}

TEST_F(ReplicaStateTest, NothingIsWrittenWhileFrozen) {
  ASSERT_TRUE(state.freeze(5, 10s).ok());
  EXPECT_EQ(state.may_write(0).error().code(), Code::busy);
  EXPECT_EQ(state.may_write(std::nullopt).error().code(), Code::busy);
  clock.advance(9s);
  ASSERT_TRUE(state.extend(5, 10s).ok());
  clock.advance(9s);
  EXPECT_FALSE(state.may_write(0).ok());
  state.thaw(6);  // another one's
  EXPECT_FALSE(state.may_write(0).ok());
  state.thaw(5);
  EXPECT_TRUE(state.may_write(0).ok());
}

TEST_F(ReplicaStateTest, AFreezeThatIsOverIsNeitherExtendedNorAdoptedBy) {
  ASSERT_TRUE(state.freeze(5, 10s).ok());
  clock.advance(10s);
  EXPECT_TRUE(state.may_write(0).ok());  // and something may have been written
  EXPECT_EQ(state.extend(5, 10s).error().code(), Code::stale);
  EXPECT_EQ(state.adopt(5, 0, 1).error().code(), Code::stale);
  EXPECT_EQ(state.epoch(), 0u);
  // Nor by the token of another freeze.
  ASSERT_TRUE(state.freeze(6, 10s).ok());
  EXPECT_EQ(state.adopt(5, 0, 1).error().code(), Code::stale);
  EXPECT_EQ(state.adopt(6, 2, 3).error().code(), Code::stale);
  EXPECT_EQ(state.adopt(6, 0, 0).error().code(), Code::stale);
  ASSERT_TRUE(state.adopt(6, 0, 1).ok());
  EXPECT_EQ(state.adopt(6, 0, 1).error().code(), Code::stale);  // the freeze has ended with it
  EXPECT_TRUE(state.may_write(1).ok());
}

TEST_F(ReplicaStateTest, AFreezeIsGoneAfterARestartAndAnEpochIsNot) {
  ASSERT_TRUE(state.adopt(std::nullopt, 0, 3).ok());
  ASSERT_TRUE(state.freeze(5, 10s).ok());
  ReplicaState again(disk, clock, "/d/7.hfe");
  ASSERT_TRUE(again.load().ok());
  EXPECT_EQ(again.epoch(), 3u);
  EXPECT_TRUE(again.may_write(3).ok());
  EXPECT_EQ(again.adopt(5, 3, 4).error().code(), Code::stale);
}

TEST_F(ReplicaStateTest, AnOutdatedCopyStaysOne) {
  ASSERT_TRUE(state.outdate(2).ok());
  EXPECT_EQ(state.may_write(0).error().code(), Code::read_only);
  EXPECT_EQ(state.may_write(std::nullopt).error().code(), Code::read_only);
  EXPECT_FALSE(state.freeze(1, 10s).ok());
  EXPECT_FALSE(state.adopt(std::nullopt, 0, 2).ok());
  ReplicaState again(disk, clock, "/d/7.hfe");
  ASSERT_TRUE(again.load().ok());
  EXPECT_EQ(again.outdated_by(), 2u);
  EXPECT_EQ(again.epoch(), 0u);
  ReplicaState newer(disk, clock, "/d/8.hfe");
  ASSERT_TRUE(newer.adopt(std::nullopt, 0, 2).ok());
  EXPECT_EQ(newer.outdate(2).error().code(), Code::stale);  // it has gone on to that epoch itself
  EXPECT_TRUE(newer.may_write(2).ok());
}

TEST_F(ReplicaStateTest, AFileThatCannotBeReadIsNoEpochAtAll) {
  for (const char* text : {"", "{", "[]", "{\"format\": 1}", "{\"format\": 1, \"epoch\": -1, \"outdated_by\": 0}"}) {
    ASSERT_TRUE(disk.replace_file("/d/7.hfe", text).ok());
    EXPECT_EQ(state.load().error().code(), Code::corrupt) << text;
  }
  ASSERT_TRUE(disk.replace_file("/d/7.hfe", "{\"format\": 2}").ok());
  EXPECT_EQ(state.load().error().code(), Code::unsupported);
}

TEST_F(ReplicaStateTest, WhenTheDiskFailsTheVolumeStaysFrozenAndWhereItWas) {
  io::sim::SimDisk broken{2};  // its folder is missing: nothing can be written
  ReplicaState one(broken, clock, "/none/7.hfe");
  ASSERT_TRUE(one.freeze(5, 10s).ok());
  EXPECT_FALSE(one.adopt(5, 0, 1).ok());
  EXPECT_EQ(one.epoch(), 0u);
  EXPECT_FALSE(one.may_write(0).ok());
  clock.advance(10s);
  EXPECT_TRUE(one.may_write(0).ok());
}

}  // namespace
}  // namespace holdfast::volume
