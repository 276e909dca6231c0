#include "service/master/lease_events.h"

#include <gtest/gtest.h>

namespace holdfast::master {
namespace {

const NodeId kSelf(Uuid{0, 1}), kOther(Uuid{0, 2});
const io::WallTime kWall{std::chrono::sys_days(std::chrono::year(2026) / 11 / 21).time_since_epoch() + 80min + 1500us};

raft::CoreStatus leading(std::uint64_t term, Duration held_until, std::uint64_t epoch = 1) {
  raft::CoreStatus status;
  status.role = raft::Role::leader;
  status.term = Term(term);
  status.leader = kSelf;
  status.lease.asked = 80ms;
  status.lease.cap = 200ms;
  status.lease.epoch = epoch;
  status.lease.held = {.term = Term(term), .until = at(held_until)};
  return status;
}
raft::CoreStatus following(std::uint64_t term, std::optional<NodeId> leader) {
  raft::CoreStatus status;
  status.role = raft::Role::follower;
  status.term = Term(term);
  status.leader = leader;
  return status;
}

class LeaseObserverTest : public ::testing::Test {
 protected:
  // "grant 5 80ms; loss 5"
  std::string look(Duration now, const raft::CoreStatus& status) {
    std::string out;
    for (const auto& event : observer_.look(status, at(now), kWall, "why")) {
      if (!out.empty()) out += "; ";
      out += std::string(text(event.kind)) + " " + text(event.term) + (event.holder == kSelf ? "" : " other");
      if (event.length > Duration(0)) out += " " + std::to_string(milliseconds(event.length)) + "ms";
      EXPECT_EQ(event.at, at(now));
    }
    return out;
  }
  LeaseObserver observer_{kSelf};
};

TEST_F(LeaseObserverTest, ALeaseIsGrantedOnceAndRenewalsAreNoNews) {
  EXPECT_EQ(look(10ms, leading(5, -1s)), "");  // elected, nobody has answered yet
  EXPECT_EQ(look(20ms, leading(5, 100ms)), "grant 5 80ms");
  EXPECT_EQ(look(50ms, leading(5, 130ms)), "");
  EXPECT_EQ(look(90ms, leading(5, 170ms)), "");
}

TEST_F(LeaseObserverTest, ItRunsOutOnceAndIsEarnedAgain) {
  look(20ms, leading(5, 100ms));
  EXPECT_EQ(look(101ms, leading(5, 100ms)), "expiry 5");
  EXPECT_EQ(look(130ms, leading(5, 100ms)), "");
  EXPECT_EQ(look(140ms, leading(5, 220ms)), "grant 5 80ms");
  EXPECT_EQ(look(300ms, following(6, std::nullopt)), "expiry 5");  // a process that slept
}

TEST_F(LeaseObserverTest, AHandOverIsToldOfWhenTheLeaseIsGivenUp) {
  look(20ms, leading(5, 100ms));
  auto giving = leading(5, -1s, 2);
  giving.lease.asked = Duration(0);
  giving.transferring = true;
  EXPECT_EQ(look(30ms, giving), "hand-over 5");
  EXPECT_EQ(look(35ms, following(6, kOther)), "grant 6 other");
}

TEST_F(LeaseObserverTest, AHandOverThatFailsIsAGrantAnew) {
  look(20ms, leading(5, 100ms));
  auto giving = leading(5, -1s, 2);
  giving.transferring = true;
  EXPECT_EQ(look(30ms, giving), "hand-over 5");
  EXPECT_EQ(look(1s, leading(5, 1080ms, 2)), "grant 5 80ms");
}

TEST_F(LeaseObserverTest, ALaterTermTakesItAway) {
  look(20ms, leading(5, 100ms));
  EXPECT_EQ(look(40ms, following(6, std::nullopt)), "loss 5");
}

TEST_F(LeaseObserverTest, WithoutLeasesWhoLeadsIsToldOf) {
  auto status = leading(5, -1s);
  status.lease.asked = status.lease.cap = Duration(0);
  EXPECT_EQ(look(20ms, status), "grant 5");
  EXPECT_EQ(look(40ms, status), "");
  status.transferring = true;
  EXPECT_EQ(look(50ms, status), "");
  EXPECT_EQ(look(60ms, following(6, kOther)), "hand-over 5; grant 6 other");
}

TEST_F(LeaseObserverTest, AFollowerTellsWhomItFollowsAndThatNobodyCame) {
  EXPECT_EQ(look(10ms, following(5, kOther)), "grant 5 other");
  EXPECT_EQ(look(20ms, following(6, std::nullopt)), "");
  EXPECT_EQ(look(100ms, following(6, kOther)), "grant 6 other");  // a hand-over and back
  EXPECT_EQ(look(200ms, following(6, std::nullopt)), "");
  EXPECT_EQ(look(450ms, following(7, std::nullopt)), "expiry 6 other");
  EXPECT_EQ(look(900ms, following(8, std::nullopt)), "");
}

TEST_F(LeaseObserverTest, AWaitForAnEarlierLeaseIsAConflict) {
  auto status = leading(5, 100ms);
  status.counters.waits = 1;
  status.lease.wait_left = 60ms;
  EXPECT_EQ(look(20ms, status), "grant 5 80ms; conflict 5");
  EXPECT_EQ(look(25ms, status), "");
}

TEST_F(LeaseObserverTest, ALeaderOfATermThatIsOverIsToldOfOnce) {
  look(20ms, following(6, kSelf));
  EXPECT_FALSE(observer_.spoke(kOther, Term(6), at(30ms), kWall));
  const auto event = observer_.spoke(kOther, Term(5), at(30ms), kWall);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, LeaseEventKind::conflict);
  EXPECT_EQ(event->holder, kOther);
  EXPECT_FALSE(observer_.spoke(kOther, Term(5), at(40ms), kWall));
}

TEST_F(LeaseObserverTest, AStopIsALossUnlessItWasGivenUp) {
  EXPECT_FALSE(observer_.ended(at(10ms), kWall));
  look(20ms, leading(5, 100ms));
  EXPECT_EQ(observer_.ended(at(30ms), kWall)->kind, LeaseEventKind::loss);
  EXPECT_FALSE(observer_.ended(at(30ms), kWall));
}

TEST(LeaseLine, ComesBackAsItWas) {
  const LeaseEvent event{.kind = LeaseEventKind::hand_over, .at = at(34567s + 123456us), .wall = kWall, .term = Term(5),
                         .holder = kOther, .length = 80ms, .cause = "\"quoted\"\nnull", .holder_address = "h:1", .seen_by = "g:2"};
  const auto line = lease_line(event);
  EXPECT_EQ(line.substr(0, 105), "{\"wall\":\"2026-11-21T01:20:00.001500Z\",\"boot\":34567.123456,\"event\":\"hand-over\",\"term\":5,\"holder\":\"h:1\",\"ho");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = parse_lease_line(line);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, event);
}

TEST(LeaseLine, WhatIsNoneIsRefused) {
  const auto whole = lease_line({.wall = kWall, .holder = kOther});
  EXPECT_TRUE(parse_lease_line(whole).ok());
  for (std::size_t cut = 0; cut < whole.size(); ++cut) EXPECT_FALSE(parse_lease_line(whole.substr(0, cut)).ok()) << cut;
  EXPECT_FALSE(parse_lease_line("{}").ok());
  EXPECT_FALSE(parse_lease_line(R"({"wall":"2026-13-41T01:20:00.001500Z","boot":1,"event":"grant","holderId":"x"})").ok());
}

}  // namespace
}  // namespace holdfast::master
