#include "service/volume/fence_keeper.h"

#include <gtest/gtest.h>

namespace holdfast::volume {
namespace {

const ClusterId kOurs(Uuid{1, 1});
const ClusterId kOther(Uuid{2, 2});

Fence fence(std::uint64_t generation, std::uint64_t term, std::uint64_t sequence, ClusterId cluster = kOurs) {
  return {cluster, Generation(generation), Term(term), sequence};
}

class FenceKeeperTest : public ::testing::Test {
 protected:
  Code admit(const Fence& f, std::optional<std::uint32_t> volume = 1) {
    const auto answer = keeper_.admit(f, volume ? std::optional(VolumeId(*volume)) : std::nullopt);
    return answer.ok() ? Code::internal : answer.error().code();
  }
  static constexpr Code kObeyed = Code::internal;

  std::vector<ServerState> saved_;
  bool disk_works_ = true;
  FenceKeeper keeper_{ServerState(), [this](const ServerState& s) -> Status {
                        if (!disk_works_) return Error(Code::io, "broken");
                        saved_.push_back(s);
                        return {};
                      }};
};

TEST_F(FenceKeeperTest, AnOlderLeaderIsRefused) {
  EXPECT_EQ(admit(fence(1, 5, 1)), kObeyed);
  EXPECT_EQ(admit(fence(1, 4, 9)), Code::refused);
  EXPECT_EQ(admit(fence(1, 6, 1)), kObeyed);
  EXPECT_EQ(admit(fence(2, 1, 1)), kObeyed);
  EXPECT_EQ(admit(fence(1, 99, 1)), Code::refused);
}

TEST_F(FenceKeeperTest, AnotherClusterIsRefused) {
  EXPECT_EQ(admit(fence(1, 5, 1)), kObeyed);
  EXPECT_EQ(admit(fence(9, 9, 9, kOther)), Code::refused);
}

TEST_F(FenceKeeperTest, ANewTermIsOnDiskBeforeItsFirstOrderIsObeyed) {
  EXPECT_EQ(admit(fence(1, 5, 1)), kObeyed);
  ASSERT_EQ(saved_.size(), 1u);
  EXPECT_EQ(saved_[0].term, Term(5));
  EXPECT_EQ(admit(fence(1, 5, 2)), kObeyed);
  EXPECT_EQ(saved_.size(), 1u);
  disk_works_ = false;
  EXPECT_EQ(admit(fence(1, 6, 1)), Code::io);
  EXPECT_EQ(admit(fence(1, 5, 3)), kObeyed);  // the term that was not written down is not in force
}

TEST_F(FenceKeeperTest, OrdersForDifferentVolumesMayOvertakeEachOther) {
  EXPECT_EQ(admit(fence(1, 5, 7), 1), kObeyed);
  EXPECT_EQ(admit(fence(1, 5, 6), 2), kObeyed);
  EXPECT_EQ(admit(fence(1, 5, 6), 1), Code::refused);
  EXPECT_EQ(admit(fence(1, 5, 7), 1), kObeyed);  // the same one sent twice
}

TEST_F(FenceKeeperTest, DeletingACollectionDelaysNoGrowthOfAnother) {
  EXPECT_EQ(admit(fence(1, 5, 7), {}), kObeyed);
  EXPECT_EQ(admit(fence(1, 5, 6), 1), kObeyed);
  EXPECT_EQ(admit(fence(1, 4, 99), {}), Code::refused);
}

TEST_F(FenceKeeperTest, UpstreamsOrdersPass) {
  EXPECT_EQ(admit(fence(1, 5, 1)), kObeyed);
  EXPECT_TRUE(keeper_.admit(std::nullopt, VolumeId(1)).ok());
}

TEST_F(FenceKeeperTest, ALeadersAnswerRaisesTheTermAndACandidatesDoesNot) {
  keeper_.join(kOurs);
  keeper_.learn(Generation(1), Term(9), false, {});
  EXPECT_EQ(admit(fence(1, 5, 1)), kObeyed);
  keeper_.learn(Generation(1), Term(9), true, {});
  EXPECT_EQ(admit(fence(1, 5, 2)), Code::refused);
}

TEST_F(FenceKeeperTest, MastersAreWrittenDownWhenTheyChange) {
  keeper_.join(kOurs);
  const std::vector<MasterMember> masters{{NodeId(Uuid{3, 3}), *Address::parse("a:9333"), true}};
  keeper_.learn({}, {}, false, masters);
  keeper_.learn({}, {}, false, masters);
  EXPECT_EQ(saved_.size(), 2u);
  EXPECT_EQ(saved_.back().masters, masters);
}

}  // namespace
}  // namespace holdfast::volume
