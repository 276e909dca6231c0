// The parts of leases by themselves; what a cluster makes of them stands in leases_story_test.cc.
#include "core/raft/lease.h"

#include <gtest/gtest.h>

namespace holdfast::raft {
namespace {

constexpr double kDrift = 0.125;  // binary, so that lengths come out even

NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }
Lease lease(Duration length, std::uint64_t epoch = 1) { return {.epoch = epoch, .length = length}; }

TEST(LeaseTime, AHolderStopsEarlyAndAWaiterWaitsLonger) {
  EXPECT_EQ(usable(100ms, kDrift), 87500us);
  EXPECT_EQ(surely_over(100ms, kDrift), 112500us);
  EXPECT_EQ(surely_passed(112500us, kDrift), 100ms);
}

TEST(LeaseTime, EachSideTakesTheClockThatSpeaksAgainstIt) {
  const Time before(at(10s), at(500s));
  const Time after(at(11s), at(503s));
  EXPECT_EQ(passed_longer(before, after), 3s);
  EXPECT_EQ(passed_shorter(before, after), 1s);
}

TEST(Grants, ReportWhatIsLeftInTrueTimeAtMost) {
  Grants grants(at(0s), Duration(0), kDrift);
  grants.add(Term(3), node(1), Incarnation(7), lease(100ms, 5), at(1s));
  const auto reports = grants.report(Term(4), at(1s + 56250us));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].term, Term(3));
  EXPECT_EQ(reports[0].epoch, 5u);
  EXPECT_EQ(reports[0].holder, node(1));
  EXPECT_EQ(reports[0].incarnation, Incarnation(7));
  EXPECT_EQ(reports[0].left, 50ms);
  EXPECT_TRUE(grants.report(Term(4), at(1s + 112500us)).empty());
}

TEST(Grants, OnlyOfEarlierTerms) {
  Grants grants(at(0s), Duration(0), kDrift);
  grants.add(Term(3), node(1), Incarnation(1), lease(100ms), at(1s));
  EXPECT_TRUE(grants.report(Term(3), at(1s)).empty());
}

TEST(Grants, OfSeveralTermsAtOnce) {
  Grants grants(at(0s), Duration(0), kDrift);
  grants.add(Term(3), node(1), Incarnation(1), lease(100ms), at(1s));
  grants.add(Term(5), node(2), Incarnation(1), lease(60ms), at(1s + 10ms));
  EXPECT_EQ(grants.report(Term(6), at(1s + 20ms)).size(), 2u);
}

TEST(Grants, AShorterOneDoesNotEndALongerOne) {
  Grants grants(at(0s), Duration(0), kDrift);
  grants.add(Term(3), node(1), Incarnation(1), lease(1s), at(1s));
  grants.add(Term(3), node(1), Incarnation(1), lease(10ms, 2), at(1s + 100ms));
  const auto reports = grants.report(Term(4), at(1s + 110ms));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_GT(reports[0].left, 800ms);
  EXPECT_EQ(reports[0].epoch, 2u);  // what covers the newest covers the older, too
}

TEST(Grants, TheShorterOfTwoClocksCounts) {
  Grants grants(at(0s), Duration(0), kDrift);
  grants.add(Term(3), node(1), Incarnation(1), lease(100ms), Time(at(1s), at(1s)));
  EXPECT_EQ(grants.report(Term(4), Time(at(2s), at(1s + 11ms))).size(), 1u);
  EXPECT_EQ(grants.report(Term(4), Time(at(1s + 11ms), at(2s))).size(), 1u);
  EXPECT_TRUE(grants.report(Term(4), Time(at(2s), at(2s))).empty());
}

TEST(Grants, WhatAnEarlierProcessMayHaveGrantedIsReportedFromTheStartOn) {
  Grants grants(at(5s), 200ms, kDrift);
  const auto reports = grants.report(Term(4), at(5s + 112500us));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].term, Term(0));
  EXPECT_EQ(reports[0].left, 100ms);
  EXPECT_TRUE(grants.report(Term(4), at(5s + 225ms)).empty());
}

TEST(Grants, AreFewInAReportHoweverMany) {
  Grants grants(at(0s), Duration(0), kDrift);
  for (std::uint64_t t = 1; t <= 100; ++t) grants.add(Term(t), node(t), Incarnation(1), lease(1s), at(1s));
  const auto reports = grants.report(Term(101), at(1s));
  EXPECT_EQ(reports.size(), kLeaseReportsMax);
  EXPECT_EQ(reports[0].term, Term(0));  // those that were put together: nothing covers them
  EXPECT_EQ(reports[0].left, 1s);
}

LeaseReport report(Duration left, std::uint64_t epoch = 1) {
  return {.term = Term(3), .epoch = epoch, .left = left, .holder = node(1), .incarnation = Incarnation(7)};
}

TEST(Releases, CoverTheirEpochAndThoseBefore) {
  Releases known;
  known.add({Term(3), 2, node(1)});
  EXPECT_TRUE(known.cover(report(1s, 1)));
  EXPECT_TRUE(known.cover(report(1s, 2)));
  EXPECT_FALSE(known.cover(report(1s, 3)));
}

TEST(Releases, OfAnotherHolderOrTermCoverNothing) {
  Releases known;
  known.add({Term(3), kEveryEpoch, node(2)});
  known.add({Term(4), kEveryEpoch, node(1)});
  EXPECT_FALSE(known.cover(report(1s)));
}

TEST(Releases, ANewIncarnationOfTheHolderEndsWhatItsForerunnerHeld) {
  Releases known;
  known.heard(node(1), Incarnation(7));
  EXPECT_FALSE(known.cover(report(1s)));
  known.heard(node(1), Incarnation(8));
  EXPECT_TRUE(known.cover(report(1s)));
}

TEST(Releases, NothingCoversWhatWasForgotten) {
  Releases known;
  known.add({Term(0), kEveryEpoch, NodeId()});
  known.heard(NodeId(), Incarnation(9));
  EXPECT_FALSE(known.cover({.term = Term(0), .left = 1s}));
}

TEST(Releases, TellTheNewest) {
  Releases known;
  for (std::uint64_t t = 1; t <= 100; ++t) known.add({Term(t), 1, node(1)});
  const auto told = known.newest();
  ASSERT_EQ(told.size(), kReleasesMax);
  EXPECT_EQ(told[0].term, Term(100));
}

TEST(LeaseWait, IsAsLongAsTheLongestThatIsNotReleased) {
  LeaseWait wait;
  wait.add(report(100ms, 1), at(1s));
  wait.add({.term = Term(2), .epoch = 1, .left = 50ms, .holder = node(2), .incarnation = Incarnation(1)}, at(1s));
  Releases known;
  EXPECT_EQ(wait.left(known, at(1s), kDrift), 112500us);
  known.add({Term(3), 1, node(1)});
  EXPECT_EQ(wait.left(known, at(1s), kDrift), 56250us);
  EXPECT_EQ(wait.left(known, at(1s + 56ms), kDrift), 250us);
  EXPECT_EQ(wait.left(known, at(1s + 57ms), kDrift), 0ms);
}

TEST(LeaseWait, CountsOnTheSlowerClock) {
  LeaseWait wait;
  wait.add(report(100ms), Time(at(1s), at(1s)));
  EXPECT_EQ(wait.left({}, Time(at(9s), at(1s + 10ms)), kDrift), 102500us);
}

}  // namespace
}  // namespace holdfast::raft
