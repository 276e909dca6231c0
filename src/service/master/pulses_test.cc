#include "service/master/pulses.h"

#include <gtest/gtest.h>

#include "api/pulse.h"
#include "io/sim/random.h"

namespace holdfast::master {
namespace {

constexpr Instant kStart{1000s};
const topology::SessionId kSession(7);

class PulsesTest : public testing::Test {
 protected:
  PulsesTest() { liveness->set(kStart + 750ms); }

  Pulses::Terms open(topology::SessionId session = kSession) {
    return pulses.open(session, {liveness, 750ms}, [this](bool heard) { told.push_back(heard); });
  }
  bool say(const Pulses::Terms& terms, std::uint64_t number, Instant now) {
    return pulses.received(bytes_of(api::encode_pulse({terms.line, number}, terms.key)), now);
  }

  io::sim::SeededRandom random{1};
  int woken = 0;
  std::vector<bool> told;
  topology::LivenessPtr liveness = std::make_shared<topology::Liveness>();
  Pulses pulses{random, [this] { ++woken; }};
};

TEST_F(PulsesTest, EachPulseMakesTheServerLiveLonger) {
  const auto terms = open();
  EXPECT_FALSE(terms.heard);
  EXPECT_EQ(terms.key.size(), api::kPulseKeyBytes);
  EXPECT_TRUE(say(terms, 1, kStart + 500ms));
  EXPECT_TRUE(liveness->alive(kStart + 1249ms));
  EXPECT_FALSE(liveness->alive(kStart + 1250ms));
  EXPECT_EQ(woken, 1);  // so that the server is told at once that it is heard
}

TEST_F(PulsesTest, TheServerIsToldOnceThatItIsHeardAndOnceThatItIsNoMore) {
  const auto terms = open();
  EXPECT_TRUE(pulses.look(kStart).heard.empty());
  EXPECT_TRUE(told.empty());
  ASSERT_TRUE(say(terms, 1, kStart));
  auto look = pulses.look(kStart + 1ms);
  ASSERT_EQ(look.heard.size(), 1u);
  EXPECT_EQ(look.heard[0].session, kSession);
  EXPECT_EQ(look.heard[0].at, kStart);
  EXPECT_EQ(look.next, kStart + 500ms);
  EXPECT_EQ(told, std::vector<bool>{true});
  EXPECT_TRUE(open().heard);

  look = pulses.look(kStart + 499ms);
  EXPECT_TRUE(look.heard.empty());
  EXPECT_EQ(told, std::vector<bool>{true});
  look = pulses.look(kStart + 500ms);  // a third before it would count as silent
  EXPECT_EQ(told, (std::vector<bool>{true, false}));
  EXPECT_EQ(look.next, kDistantFuture);

  ASSERT_TRUE(say(terms, 2, kStart + 600ms));
  (void)pulses.look(kStart + 600ms);
  EXPECT_EQ(told, (std::vector<bool>{true, false, true}));
}

TEST_F(PulsesTest, OnlyWhatIsGenuineAndNewCounts) {
  const auto terms = open();
  EXPECT_FALSE(pulses.received(bytes_of(api::encode_pulse({terms.line, 1}, "another key 1234")), kStart));
  EXPECT_FALSE(pulses.received(bytes_of(api::encode_pulse({terms.line + 1, 1}, terms.key)), kStart));
  EXPECT_FALSE(pulses.received(bytes_of("HFP1"), kStart));
  ASSERT_TRUE(say(terms, 5, kStart));
  EXPECT_FALSE(say(terms, 5, kStart + 10s));  // recorded, and said again
  EXPECT_FALSE(say(terms, 4, kStart + 10s));
  EXPECT_FALSE(liveness->alive(kStart + 10s));
  EXPECT_TRUE(say(terms, 6, kStart + 10s));
}

TEST_F(PulsesTest, KeysDiffer) {
  const auto a = open();
  const auto b = open(topology::SessionId(8));
  EXPECT_NE(a.key, b.key);
  EXPECT_EQ(open().key, a.key);
}

TEST_F(PulsesTest, AnEndedStreamsPulsesAreNothing) {
  const auto terms = open();
  ASSERT_TRUE(say(terms, 1, kStart));
  pulses.close(kSession);
  EXPECT_FALSE(say(terms, 2, kStart));
  const auto look = pulses.look(kStart);
  EXPECT_TRUE(look.heard.empty());
  EXPECT_TRUE(told.empty());
}

TEST_F(PulsesTest, OneThatIsTakenForDeadIsOnlyRevivedByTheLoop) {
  const auto terms = open();
  ASSERT_TRUE(say(terms, 1, kStart));
  (void)pulses.look(kStart);
  woken = 0;
  liveness->set(kDistantPast);  // suspected, or its stream has just ended
  EXPECT_TRUE(say(terms, 2, kStart + 1ms));
  EXPECT_FALSE(liveness->alive(kStart + 1ms));
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(pulses.look(kStart + 2ms).heard.size(), 1u);
  EXPECT_TRUE(say(terms, 3, kStart + 3ms));
}

}  // namespace
}  // namespace holdfast::master
