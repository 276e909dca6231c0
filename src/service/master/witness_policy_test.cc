#include "service/master/witness_policy.h"

#include <gtest/gtest.h>

#include "api/raft.pb.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{5, n}); }

// A leader of some masters, and volume servers that may be asked.
class APolicy : public ::testing::Test {
 protected:
  void masters(std::uint64_t count) {
    std::vector<raft::Member> members;
    view_.members.clear();
    for (std::uint64_t n = 1; n <= count; ++n) {
      members.push_back({.id = node(n), .address = "m" + std::to_string(n) + ":9333", .voter = true});
      view_.members.push_back({.id = node(n), .http = members.back().address});
    }
    configuration_ = raft::Configuration(members);
  }
  void look(Duration later) {
    now_ += later;
    policy_.look(now_, view_, configuration_);
  }
  void settle() {
    look(0s);
    look(WitnessPolicy::kSettle);
  }

  Instant now_ = at(100s);
  View view_;
  raft::Configuration configuration_;
  std::optional<bool> wanted_ = true;
  std::vector<Address> servers_{{"m1", 8080, 18080}, {"v1", 8080, 18080}, {"v2", 8080, 18080}};
  std::vector<std::string> asked_;
  RaftPhase phase_ = RAFT_PHASE_WITNESS;
  NodeId named_ = node(9);
  std::vector<raft::Change> changes_;
  Status changed_;
  WitnessPolicy policy_{{.wanted = [this] { return wanted_; },
                         .volume_servers = [this] { return servers_; },
                         .meet =
                             [this](const std::string& address, const std::function<void(Result<RaftGreeting>)>& done) {
                               asked_.push_back(address);
                               RaftGreeting answer;
                               answer.set_phase(phase_);
                               answer.set_address(address);
                               if (!named_.value().empty()) answer.set_node(uuid_bytes(named_.value()));
                               done(answer);
                             },
                         .change =
                             [this](raft::Change change, const std::function<void(Status)>& done) {
                               changes_.push_back(std::move(change));
                               done(changed_);
                             }}};
};

TEST_F(APolicy, AsksAServerOnAMachineWithoutAMasterOnceTwoMastersHaveSettled) {
  masters(2);
  look(0s);
  look(WitnessPolicy::kSettle - 1ms);
  EXPECT_TRUE(asked_.empty());
  look(1ms);
  EXPECT_EQ(asked_, std::vector<std::string>{"v1:8080"});
  ASSERT_EQ(changes_.size(), 1u);
  const auto& member = std::get<raft::AddMember>(changes_[0]).member;
  EXPECT_TRUE(member.witness);
  EXPECT_EQ(member.id, node(9));
}

TEST_F(APolicy, AsksTheNextOneWhenOneCannot) {
  masters(2);
  phase_ = RAFT_PHASE_MEMBER;
  settle();
  look(1s);
  look(1s);
  look(1s);
  EXPECT_EQ(asked_, (std::vector<std::string>{"v1:8080", "v2:8080", "m1:8080"}));
  EXPECT_TRUE(changes_.empty());
  look(WitnessPolicy::kNotAgainFor);
  EXPECT_EQ(asked_.back(), "v1:8080");
}

TEST_F(APolicy, AsksTheSameAgainWhileItMakesItselfAName) {
  masters(2);
  named_ = NodeId();
  settle();
  named_ = node(9);
  look(1s);
  EXPECT_EQ(asked_, (std::vector<std::string>{"v1:8080", "v1:8080"}));
  EXPECT_EQ(changes_.size(), 1u);
}

TEST_F(APolicy, WantsNoneBesideThreeOrWhenNotAllUnderstandOrNever) {
  masters(3);
  settle();
  masters(2);
  wanted_ = std::nullopt;
  settle();
  wanted_ = false;
  settle();
  EXPECT_TRUE(asked_.empty());
}

TEST_F(APolicy, LetsTheWitnessGoThatIsNotHeardOrNotOfUse) {
  masters(2);
  configuration_ = configuration_.with({.id = node(9), .address = "v1:8080", .voter = true, .witness = true});
  view_.members.push_back({.id = node(9), .witness = true, .silent_for = 1s});
  settle();
  EXPECT_TRUE(changes_.empty());
  view_.members.back().silent_for = WitnessPolicy::kGone;
  look(WitnessPolicy::kGone);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(std::get<raft::RemoveMember>(changes_[0]).id, node(9));
  view_.members.back().silent_for = 1s;
  wanted_ = false;
  look(1s);
  EXPECT_EQ(changes_.size(), 2u);
}

}  // namespace
}  // namespace holdfast::master
