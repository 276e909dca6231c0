#include "service/master/alarms.h"

#include <gtest/gtest.h>

namespace holdfast::master {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }

class AlarmsTest : public ::testing::Test {
 protected:
  AlarmsTest() {
    seen_.takes_part = seen_.has_leader = true;
    seen_.name = [](NodeId id) { return std::string(1, static_cast<char>('a' + id.value().low)); };
    matrix_ = {.members = {node(0), node(1), node(2)},
               .cells = std::vector<std::vector<Reached>>(3, std::vector<Reached>(3, Reached::yes))};
    seen_.matrix = &matrix_;
  }
  // "+cut what a ..." and "-cut ..." for begun and passed.
  std::string look(Duration now) {
    seen_.now = at(now);
    const auto news = alarms_.look(seen_);
    std::string out;
    for (const auto& alarm : news.begun) out += "+" + std::string(text(alarm.kind)) + " " + alarm.text + "\n";
    for (const auto& alarm : news.passed) out += "-" + std::string(text(alarm.kind)) + "\n";
    return out;
  }
  void grant(Duration now, std::uint64_t term) {
    alarms_.happened({.kind = LeaseEventKind::grant, .at = at(now), .term = Term(term), .holder = node(0)});
  }
  Alarms alarms_;
  Alarms::Seen seen_;
  ReachMatrix matrix_;
};

TEST_F(AlarmsTest, NothingIsWrongWithACalmCluster) {
  grant(0s, 1);
  grant(10s, 1);
  for (int i = 1; i < 100; ++i) EXPECT_EQ(look(i * 1s), "");
}

TEST_F(AlarmsTest, ManyChangesAreToldOfOnce) {
  for (int i = 1; i <= 4; ++i) grant(i * 1s, static_cast<std::uint64_t>(i));
  EXPECT_EQ(look(5s), "");
  grant(6s, 5);
  EXPECT_EQ(look(6s), "+changes leadership changed 4 times within a minute; last: \n");
  for (int i = 7; i <= 75; ++i) EXPECT_EQ(look(i * 1s), "") << i;
  EXPECT_EQ(look(78s), "-changes\n");
}

TEST_F(AlarmsTest, ALeaderThatNobodyFollowsIsToldOf) {
  seen_.has_leader = false;
  seen_.last_change = "nothing heard from a";
  EXPECT_EQ(look(1s), "");
  EXPECT_EQ(look(1500ms), "");
  EXPECT_EQ(look(2s), "+no_leader no master leads, nobody has followed the last one: nothing heard from a\n");
  seen_.has_leader = true;
  EXPECT_EQ(look(3s), "");
  EXPECT_EQ(look(20s), "-no_leader\n");
}

TEST_F(AlarmsTest, ACutInOneDirectionIsToldOf) {
  matrix_.cells[0][1] = Reached::no;
  EXPECT_EQ(look(-1s), "");
  EXPECT_EQ(look(1s), "+cut what a sends does not reach b, though the other way is open\n");
  EXPECT_EQ(look(2s), "");
  matrix_.cells[0][1] = Reached::yes;
  EXPECT_EQ(look(3s), "");
  matrix_.cells[0][1] = Reached::no;
  EXPECT_EQ(look(5s), "");
  EXPECT_EQ(look(7s), "");  // comes and goes: no flood
  EXPECT_TRUE(alarms_.all().at(0).is_on);
  matrix_.cells[0][1] = Reached::yes;
  EXPECT_EQ(look(8s), "");
  EXPECT_FALSE(alarms_.all().at(0).is_on);
  EXPECT_EQ(look(22s), "-cut\n");
}

TEST_F(AlarmsTest, AMasterThatIsDownIsNoCut) {
  for (int i = 0; i < 3; ++i) {
    if (i != 1) matrix_.cells[1][static_cast<std::size_t>(i)] = Reached::no;
    matrix_.cells[static_cast<std::size_t>(i)][1] = Reached::unknown;
  }
  EXPECT_EQ(look(1s), "");
}

TEST_F(AlarmsTest, AConflictIsShownForAMinute) {
  alarms_.happened({.kind = LeaseEventKind::conflict, .at = at(1s), .term = Term(4), .holder = node(2), .cause = "calls itself leader"});
  EXPECT_EQ(look(1s), "+conflict two terms overlapped: c, term 4, calls itself leader\n");
  EXPECT_EQ(look(50s), "");
  EXPECT_EQ(look(62s), "-conflict\n");
}

TEST_F(AlarmsTest, ClocksAreToldOfBeyondWhatTheNetworkMayBe) {
  seen_.clocks[node(1)] = {.round_trip = 1ms, .rate = 0.012, .rate_error = 0.003};
  EXPECT_EQ(look(1s), "");
  seen_.clocks[node(1)].rate = -0.02;
  EXPECT_EQ(look(2s), "+clock the clock of b runs 2.0 % slower than this master's: leases allow for 0.5 % each\n");
  seen_.clocks[node(1)] = {.calendar_ahead = 90s, .round_trip = 1ms};
  EXPECT_EQ(look(3s), "+clock the calendar of b is 90 s ahead of this master's\n");
  seen_.clocks_apart = true;
  EXPECT_EQ(look(4s), "+clock the two clocks of this machine differ in speed\n");
}

}  // namespace
}  // namespace holdfast::master
