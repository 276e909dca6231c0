// The simulator's own tests: that it repeats, and that its judges would notice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>

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

TEST(Sim, AHistoryIsWrittenOfARunAndChangesNothingInIt) {
  const auto path = testing::TempDir() + "history-" + std::to_string(getpid());
  const WorldOptions options{.seed = 3, .steps = 3000, .within_model = true};
  auto told = options;
  told.history = path;
  const auto with = World(told).run();
  EXPECT_EQ(World(options).run().digest, with.digest);
  EXPECT_FALSE(with.failure) << *with.failure;
  std::ifstream file(path);
  std::string first, line;
  ASSERT_TRUE(std::getline(file, first));
  EXPECT_TRUE(first.starts_with("{\"what\":\"begin\",\"masters\":3,")) << first;
  std::map<std::string, int> kinds;
  while (std::getline(file, line)) {
    EXPECT_EQ(line.substr(0, 6), "{\"at\":");
    EXPECT_EQ(line.back(), '}');
    const auto at = line.find("\"what\":\"") + 8;
    ++kinds[line.substr(at, line.find('"', at) - at)];
  }
  for (const char* kind : {"restart", "campaign", "vote", "said", "count", "lead", "write", "take", "ack", "commit", "read"}) {
    EXPECT_GT(kinds[kind], 0) << kind;
  }
  std::remove(path.c_str());
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
