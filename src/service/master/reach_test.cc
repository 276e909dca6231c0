#include "service/master/reach.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>

namespace holdfast::master {
namespace {

const ClusterId kCluster(Uuid{7, 7});
NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }

// Masters with clocks of their own; links can be cut in one direction.
class Masters {
 public:
  explicit Masters(std::size_t count) {
    std::map<NodeId, bool> linked;
    for (std::size_t i = 0; i < count; ++i) linked[node(i)] = true;
    for (std::size_t i = 0; i < count; ++i) {
      all_.push_back({std::make_unique<Reach>(kCluster, node(i), Uuid{1, i}), 1.0, Duration(0)});
      all_.back().reach->members(linked);
    }
  }
  void run(Duration time) {
    for (const Duration end = now_ + time; now_ < end; now_ += kReachInterval) {
      for (std::size_t from = 0; from < all_.size(); ++from) {
        for (std::size_t to = 0; to < all_.size(); ++to) {
          if (from == to || cut.contains({from, to})) continue;
          const auto datagram = all_[from].reach->datagram_to(node(to), clock(from), calendar(from));
          EXPECT_LE(datagram.size(), kReachBytesMax);
          now_ += 1ms;
          EXPECT_TRUE(all_[to].reach->received(bytes_of(datagram), clock(to), calendar(to)));
        }
      }
    }
  }
  // As `at` sees it: "yes yes no / ..." from row by row.
  std::string matrix(std::size_t at) const {
    std::string out;
    for (const auto& line : all_[at].reach->matrix(clock(at)).cells) {
      for (const auto cell : line) out += cell == Reached::by_stream ? 's' : text(cell)[0];
      out += ' ';
    }
    return out;
  }
  void unlink(std::size_t a, std::size_t b) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      std::map<NodeId, bool> linked;
      for (std::size_t j = 0; j < all_.size(); ++j) linked[node(j)] = !((i == a && j == b) || (i == b && j == a));
      all_[i].reach->members(linked);
    }
  }
  void set_rate(std::size_t i, double rate) { all_[i].rate = rate; }
  void set_calendar(std::size_t i, Duration ahead) { all_[i].ahead = ahead; }
  Reach& operator[](std::size_t i) { return *all_[i].reach; }

  std::set<std::pair<std::size_t, std::size_t>> cut;

 private:
  struct One {
    std::unique_ptr<Reach> reach;
    double rate;
    Duration ahead;
  };
  Instant clock(std::size_t i) const {
    return at(Duration(static_cast<std::int64_t>(static_cast<double>(now_.count()) * all_[i].rate)) + i * 1000s);
  }
  io::WallTime calendar(std::size_t i) const { return io::WallTime(now_ + all_[i].ahead); }

  std::vector<One> all_;
  Duration now_ = 100s;
};

// docs/raft-transport.md
TEST(Reach, TheWorkedExampleOfTheDocumentIsExact) {
  const NodeId self(Uuid{1, 2}), other(Uuid{1, 3});
  Reach reach(ClusterId(Uuid{0x1122334455667788, 0x99aabbccddeeff00}), self, Uuid{5, 6});
  reach.members({{self, true}, {other, false}});
  EXPECT_EQ(hex(bytes_of(reach.datagram_to(other, at(1000ns), io::WallTime(2000ns)))),
            "48465231" "3d775a4f" "112233445566778899aabbccddeeff00" "00000000000000010000000000000002"
            "00000000000000050000000000000006" "00000000000003e8" "00000000000007d0" "0000000000000000" "0000000000000000"
            "02" "00000000000000010000000000000002" "00000000000000010000000000000003"
            "01" "00" "0000" "0000" "01" "ffff" "00");
}

TEST(Reach, AllHearAll) {
  Masters masters(3);
  masters.run(3s);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(masters.matrix(i), "yyy yyy yyy ");
  EXPECT_EQ(masters[0].clock_of(node(1))->round_trip, 2ms);
}

TEST(Reach, ACutInOneDirectionIsSeenByAll) {
  Masters masters(3);
  masters.run(3s);
  masters.cut = {{0, 1}};
  masters.unlink(0, 1);
  masters.run(4s);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(masters.matrix(i), "yny yyy yyy ") << i;
  masters.cut.clear();
  masters.run(1s);
  EXPECT_EQ(masters.matrix(2), "yyy yyy yyy ");
}

TEST(Reach, ANetworkWithoutDatagramsIsNoCut) {
  Masters masters(2);
  masters.run(3s);
  masters.cut = {{0, 1}};
  masters.run(4s);
  EXPECT_EQ(masters.matrix(1), "us uy ");  // what the other one hears it cannot tell any more
}

TEST(Reach, WhatNobodyTellsOfIsUnknown) {
  Masters masters(3);
  masters.run(3s);
  masters.cut = {{0, 1}, {0, 2}, {1, 0}, {2, 0}};
  masters.unlink(0, 1);
  masters.run(7s);
  EXPECT_EQ(masters.matrix(1).substr(4), "uyy uyy ");
}

TEST(Reach, AsManyAsAClusterMayHaveFit) {
  Masters masters(31);
  masters.run(4s);
  EXPECT_EQ(masters.matrix(3).find_first_not_of("yu "), std::string::npos);
  const auto matrix = masters.matrix(3);
  EXPECT_LT(std::count(matrix.begin(), matrix.end(), 'u'), 31);
}

TEST(Reach, AClockOfAnotherSpeedIsSeenAndAnotherOriginIsNot) {
  Masters masters(3);
  masters.set_rate(1, 1.02);
  masters.run(30s);
  const auto fast = masters[0].clock_of(node(1));
  ASSERT_TRUE(fast && fast->rate);
  EXPECT_NEAR(*fast->rate, 0.02, 0.002);
  EXPECT_LT(fast->rate_error, 0.001);
  EXPECT_NEAR(*masters[0].clock_of(node(2))->rate, 0, 0.0005);
}

// Masters do not send in step: an answer waits for up to half a second, which a fast clock measures as longer than the whole round.
TEST(Reach, AFastClockIsSeenWhereAnswersWait) {
  for (const double rate : {0.97, 1.001, 1.03, 1.3}) {
    Reach ours(kCluster, node(0), Uuid{1, 0});
    Reach theirs(kCluster, node(1), Uuid{1, 1});
    for (auto* one : {&ours, &theirs}) one->members({{node(0), true}, {node(1), true}});
    Duration time = 1000s;
    const auto our_clock = [&] { return Instant(time); };
    const auto their_clock = [&] { return Instant(Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) * rate))); };
    const io::WallTime wall(Duration(1s)), ahead(Duration(31s));
    for (int i = 0; i < 60; ++i) {
      const auto there = ours.datagram_to(node(1), our_clock(), wall);
      time += 100us;
      ASSERT_TRUE(theirs.received(bytes_of(there), their_clock(), ahead));
      time += 400ms;
      const auto back = theirs.datagram_to(node(0), their_clock(), ahead);
      time += 100us;
      ASSERT_TRUE(ours.received(bytes_of(back), our_clock(), wall));
      time += 100ms;
    }
    const auto seen = ours.clock_of(node(1));
    ASSERT_TRUE(seen && seen->rate) << rate;
    EXPECT_NEAR(*seen->rate, rate - 1, 0.002) << rate;
    EXPECT_LT(seen->rate_error, 0.005) << rate;
    EXPECT_NEAR(static_cast<double>(seen->calendar_ahead.count()), 30e9, 2e8) << rate;
  }
}

TEST(Reach, ACalendarThatIsOffIsSeen) {
  Masters masters(2);
  masters.set_calendar(1, 90s);
  masters.run(3s);
  EXPECT_NEAR(seconds(masters[0].clock_of(node(1))->calendar_ahead), 90, 0.01);
}

TEST(Reach, NothingButWholeDatagramsOfMembersCount) {
  Reach one(kCluster, node(0), Uuid{1, 0}), other(kCluster, node(1), Uuid{1, 1}), stranger(kCluster, node(9), Uuid{1, 9}),
      foreign(ClusterId(Uuid{8, 8}), node(1), Uuid{1, 1});
  const std::map<NodeId, bool> both{{node(0), true}, {node(1), true}};
  for (auto* reach : {&one, &other, &foreign}) reach->members(both);
  const auto whole = other.datagram_to(node(0), at(5s), {});
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    EXPECT_FALSE(one.received(bytes_of(whole).first(cut), at(1s), {})) << cut;
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    auto bent = whole;
    bent[random() % bent.size()] ^= static_cast<char>(1 << random() % 8);
    EXPECT_FALSE(one.received(bytes_of(bent), at(1s), {}));
  }
  EXPECT_FALSE(one.received(bytes_of(stranger.datagram_to(node(0), at(5s), {})), at(1s), {}));
  EXPECT_FALSE(one.received(bytes_of(foreign.datagram_to(node(0), at(5s), {})), at(1s), {}));
  EXPECT_TRUE(one.received(bytes_of(whole), at(1s), {}));
}

}  // namespace
}  // namespace holdfast::master
