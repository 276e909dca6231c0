#include "service/master/vip_policy.h"

#include <gtest/gtest.h>

namespace holdfast::master {
namespace {

using Action = VipPolicy::Action;

LeadFacts leading(Duration elected, Duration answered) {
  return {.leads = true, .term = Term(7), .previous_term = Term(5), .elected = at(elected), .has_committed = true,
          .answered = at(answered), .revoked = false, .word = {}};
}

struct Story {
  VipPolicy policy;
  Action step(Duration now, const LeadFacts& facts) {
    const auto action = policy.look(at(now), facts);
    policy.done(action, at(now), facts);
    return action;
  }
};

TEST(VipPolicy, ANewLeaderWaitsForTheGrantBeforeItAndASecond) {
  Story story;
  EXPECT_EQ(story.step(10s, leading(10s, 10s)), Action::nothing);
  EXPECT_EQ(story.step(12999ms, leading(10s, 12990ms)), Action::nothing);
  EXPECT_EQ(story.step(13s, leading(10s, 12700ms)), Action::nothing) << "a majority has not answered for too long";
  EXPECT_EQ(story.step(13s, leading(10s, 12990ms)), Action::take);
  EXPECT_EQ(story.step(13400ms, leading(10s, 13390ms)), Action::nothing);
  EXPECT_EQ(story.step(13500ms, leading(10s, 13490ms)), Action::renew);
}

TEST(VipPolicy, WordOfTheLeaderBeforeFreesIt) {
  Story story;
  auto facts = leading(10s, 10s);
  facts.word = {Term(5), at(10100ms)};
  EXPECT_EQ(story.step(10050ms, facts), Action::nothing);
  facts.has_committed = false;
  EXPECT_EQ(story.step(10100ms, facts), Action::nothing) << "others may not know of this term yet";
  facts.has_committed = true;
  EXPECT_EQ(story.step(10100ms, facts), Action::take);
}

TEST(VipPolicy, WordOfAnEarlierLeaderThanTheLastDoesNotCount) {
  Story story;
  auto facts = leading(10s, 10s);
  facts.word = {Term(4), at(10s)};
  EXPECT_EQ(story.step(10100ms, facts), Action::nothing) << "that of term 5 may have it";
  facts.word = {Term(7), at(10s)};
  EXPECT_EQ(story.step(10100ms, facts), Action::nothing) << "said by a guardian of this very term";
}

TEST(VipPolicy, LetsGoWhenItLeadsNoMoreOrNobodyAnswersOrItIsRevoked) {
  for (int way = 0; way < 4; ++way) {
    Story story;
    ASSERT_EQ(story.step(13s, leading(10s, 13s)), Action::take);
    auto facts = leading(10s, 13100ms);
    if (way == 0) facts.leads = false;
    if (way == 1) facts.revoked = true;
    if (way == 2) facts.answered = at(11100ms);
    if (way == 3) facts.term = Term(8);
    EXPECT_EQ(story.step(13100ms, facts), Action::drop) << way;
    EXPECT_FALSE(story.policy.holds());
    EXPECT_EQ(story.step(13110ms, facts), way == 3 ? Action::take : Action::nothing) << way;
  }
}

TEST(VipPolicy, AGrantThatIsNoLongerYoungIsNotPassedOn) {
  Story story;
  ASSERT_EQ(story.step(13s, leading(10s, 13s)), Action::take);
  EXPECT_EQ(story.step(14s, leading(10s, 13700ms)), Action::nothing);
  EXPECT_EQ(story.step(14999ms, leading(10s, 13s)), Action::nothing);
  EXPECT_EQ(story.step(15s, leading(10s, 13s)), Action::drop);
}

}  // namespace
}  // namespace holdfast::master
