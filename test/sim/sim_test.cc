// The simulator's own tests: that it repeats, and that its judges would notice.
#include <gtest/gtest.h>

#include "test/sim/registers.h"
#include "test/sim/world.h"

namespace holdfast::sim {
namespace {

Instant ms(int n) { return at(std::chrono::milliseconds(n)); }

TEST(Sim, TheSameSeedGivesTheSameRunBitForBit) {
  for (std::uint64_t seed : {1, 2, 3, 4}) {
    const auto first = World({.seed = seed, .steps = 8000}).run();
    const auto second = World({.seed = seed, .steps = 8000}).run();
    EXPECT_EQ(first.digest, second.digest);
    EXPECT_EQ(first.events.counts, second.events.counts);
    EXPECT_FALSE(first.failure) << *first.failure;
  }
}

TEST(Sim, AnotherSeedGivesAnotherRun) {
  EXPECT_NE(World({.seed = 1, .steps = 3000}).run().digest, World({.seed = 2, .steps = 3000}).run().digest);
}

TEST(Registers, AReadMayOverlapItsWrite) {
  Registers r;
  r.wrote(1, 7, ms(10), ms(20));
  r.read(1, 7, ms(12), ms(14));
  r.read(1, 0, ms(5), ms(11));
  EXPECT_FALSE(r.contradiction());
}

TEST(Registers, AReadAfterAWriteMustSeeIt) {
  Registers r;
  r.wrote(1, 7, ms(10), ms(20));
  r.read(1, 0, ms(21), ms(22));
  EXPECT_TRUE(r.contradiction());
}

TEST(Registers, TwoReadsMustNotGoBack) {
  Registers r;
  r.wrote(1, 7, ms(10), ms(50));
  r.read(1, 7, ms(20), ms(21));
  r.read(1, 0, ms(22), ms(23));
  EXPECT_TRUE(r.contradiction());
}

TEST(Registers, AWriteOfUnknownOutcomeMayTakeEffectLateOrNever) {
  Registers r;
  r.wrote(1, 7, ms(10), std::nullopt);
  r.read(1, 0, ms(100), ms(101));
  r.wrote(1, 8, ms(200), ms(201));
  EXPECT_FALSE(r.contradiction());
  r.read(1, 7, ms(300), ms(301));
  EXPECT_FALSE(r.contradiction());
  r.read(1, 8, ms(400), ms(401));
  EXPECT_TRUE(r.contradiction());  // 8, then 7, then 8 again
}

TEST(Registers, AReadOfWhatNobodyWroteIsNoticed) {
  Registers r;
  r.read(1, 9, ms(1), ms(2));
  EXPECT_TRUE(r.contradiction());
}

TEST(Registers, AReadFromTheFutureIsNoticed) {
  Registers r;
  r.read(1, 7, ms(1), ms(2));
  r.wrote(1, 7, ms(10), ms(20));
  EXPECT_TRUE(r.contradiction());
}

TEST(Registers, AWriteWithinTheLifeOfAnotherValueIsNoticed) {
  Registers r;
  r.wrote(1, 7, ms(1), ms(2));
  r.wrote(1, 8, ms(10), ms(11));
  r.read(1, 7, ms(20), ms(21));
  EXPECT_TRUE(r.contradiction());
}

}  // namespace
}  // namespace holdfast::sim
