#include "core/raft/witness.h"

#include <gtest/gtest.h>

#include "core/raft/mutation.h"

namespace holdfast::raft {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }
const NodeId kA = node(1);
const NodeId kB = node(2);
const NodeId kWitness = node(3);

// A witness with a disk, told one message after the other.
class AWitness : public ::testing::Test {
 protected:
  void restart() {
    Witness::Options options;
    options.self = kWitness;
    options.mutation = mutation_;
    options.incarnation = incarnation_ = incarnation_.next();
    witness_.emplace(options, disk_, now_);
  }
  void SetUp() override { restart(); }

  // What it answers once all of it is on disk.
  std::vector<Message> tell(NodeId from, std::uint64_t term, Body body) {
    const Message message{from, kWitness, Term(term), Incarnation(1), std::move(body)};
    auto out = witness_->step(now_, {&message, 1});
    said_at_once_ = out.now;
    if (out.state) disk_ = *out.state;
    if (out.sequence != 0) witness_->persisted(out.sequence);
    removed_ = removed_ || out.removed;
    auto all = out.now;
    all.insert(all.end(), out.after_sync.begin(), out.after_sync.end());
    return all;
  }
  VoteReply vote(NodeId candidate, std::uint64_t term, bool pre = false) {
    const auto said = tell(candidate, term, VoteRequest{.pre = pre});
    EXPECT_EQ(said.size(), 1u);
    return std::get<VoteReply>(said.at(0).body);
  }
  bool registers(NodeId leader, std::uint64_t term, std::uint64_t number, std::vector<NodeId> members) {
    const InSync record{Term(term), number, std::move(members)};
    const auto said = tell(leader, term, RegisterRequest{record});
    const auto* reply = said.empty() ? nullptr : std::get_if<RegisterReply>(&said[0].body);
    return reply != nullptr && reply->record == record;
  }
  Lease beat(NodeId leader, std::uint64_t term, Duration length = {}) {
    const auto said = tell(leader, term, Beat{.lease = {.epoch = length > Duration(0) ? 1u : 0u, .length = length}});
    const auto* reply = said.empty() ? nullptr : std::get_if<BeatReply>(&said[0].body);
    return reply != nullptr ? reply->lease : Lease{};
  }

  Instant now_ = at(1s);
  Mutation mutation_{};
  WitnessState disk_;
  Incarnation incarnation_{0};
  std::optional<Witness> witness_;
  std::vector<Message> said_at_once_;
  bool removed_ = false;
};

TEST_F(AWitness, VotesOncePerTermAlsoAcrossARestart) {
  EXPECT_TRUE(vote(kA, 2).granted);
  EXPECT_FALSE(vote(kB, 2).granted);
  restart();
  EXPECT_FALSE(vote(kB, 2).granted);
  EXPECT_TRUE(vote(kA, 2).granted);  // the same vote, once more
  EXPECT_TRUE(vote(kB, 3).granted);
  mutation_ = Mutation::witness_forgets_vote;
  restart();
  EXPECT_TRUE(vote(kA, 3).granted) << "this test is blind";
}

TEST_F(AWitness, SaysNoVoteBeforeItIsOnDisk) {
  EXPECT_TRUE(vote(kA, 2).granted);
  EXPECT_TRUE(said_at_once_.empty());
  EXPECT_EQ(disk_.vote, kA);
}

TEST_F(AWitness, VotesOnlyForThoseThatItsRecordNames) {
  ASSERT_TRUE(registers(kA, 2, 1, {kA}));
  restart();
  const auto refused = vote(kB, 3);
  EXPECT_FALSE(refused.granted);
  ASSERT_TRUE(refused.in_sync);
  EXPECT_EQ(refused.in_sync->members, std::vector<NodeId>{kA});
  EXPECT_FALSE(vote(kB, 4, true).granted);
  EXPECT_TRUE(vote(kA, 5).granted);
}

TEST_F(AWitness, TellsItsRecordWithItsVote) {
  ASSERT_TRUE(registers(kA, 2, 1, {kA, kB}));
  const auto granted = vote(kB, 3);
  ASSERT_TRUE(granted.granted && granted.in_sync);
  EXPECT_EQ(*granted.in_sync, (InSync{Term(2), 1, {kA, kB}}));
}

TEST_F(AWitness, TakesNoRecordOfALeaderOfThePast) {
  EXPECT_TRUE(vote(kB, 3).granted);
  EXPECT_FALSE(registers(kA, 2, 7, {kA}));
  EXPECT_TRUE(disk_.in_sync.members.empty());
}

TEST_F(AWitness, TakesNoRecordThatWasOvertaken) {
  ASSERT_TRUE(registers(kA, 2, 2, {kA}));
  EXPECT_FALSE(registers(kA, 2, 1, {kA, kB}));
  EXPECT_TRUE(registers(kA, 2, 2, {kA}));  // said again, since the answer may have been lost
  EXPECT_EQ(disk_.in_sync.number, 2u);
}

TEST_F(AWitness, GrantsNoLeaseThatARestartWouldNotReport) {
  EXPECT_EQ(beat(kA, 2, 80ms).epoch, 0u);  // the first question has the length written down
  EXPECT_EQ(disk_.lease, Duration(80ms));
  EXPECT_EQ(beat(kA, 2, 80ms).length, Duration(80ms));
  restart();
  const auto granted = vote(kB, 3);
  ASSERT_EQ(granted.reports.size(), 1u);
  EXPECT_EQ(granted.reports[0].term, Term(0));  // whatever it was
  EXPECT_EQ(granted.reports[0].left, Duration(80ms));
}

TEST_F(AWitness, ReportsWhatItGrantedToTheLeaderBefore) {
  beat(kA, 2, 80ms);
  beat(kA, 2, 80ms);
  now_ += 30ms;
  const auto granted = vote(kB, 3);
  ASSERT_EQ(granted.reports.size(), 1u);
  EXPECT_EQ(granted.reports[0].holder, kA);
  EXPECT_LT(granted.reports[0].left, Duration(51ms));
}

TEST_F(AWitness, DoesNotDisturbALeaderThatItHears) {
  beat(kA, 2);
  now_ += 20ms;
  EXPECT_FALSE(vote(kB, 3, true).granted);
  now_ += 60ms;
  EXPECT_TRUE(vote(kB, 3, true).granted);
  EXPECT_EQ(disk_.term, Term(2));  // a question changes nothing
}

TEST_F(AWitness, NeverSpeaksAgainOnceRemoved) {
  EXPECT_TRUE(witness_->virgin());
  beat(kA, 2);
  EXPECT_FALSE(witness_->virgin());
  tell(kA, 2, Notice{.kind = NoticeKind::removed});
  EXPECT_TRUE(removed_);
  EXPECT_TRUE(tell(kA, 3, VoteRequest{}).empty());
}

}  // namespace
}  // namespace holdfast::raft
