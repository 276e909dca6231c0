#include "cmd/latency.h"

#include <gtest/gtest.h>

namespace holdfast::cmd {
namespace {

TEST(Latencies, KnowLeastMeanMostAndDeviation) {
  Latencies some;
  some.add(1ms);
  some.add(3ms);
  EXPECT_EQ(some.count(), 2u);
  EXPECT_DOUBLE_EQ(some.min_ms(), 1);
  EXPECT_DOUBLE_EQ(some.max_ms(), 3);
  EXPECT_DOUBLE_EQ(some.mean_ms(), 2);
  EXPECT_DOUBLE_EQ(some.deviation_ms(), 1);
}

TEST(Latencies, TheTableHasALineOnlyWhereTheBucketChanges) {
  Latencies some;
  for (int i = 0; i < 90; ++i) some.add(540us);
  for (int i = 0; i < 9; ++i) some.add(1250us);
  some.add(84300us);
  EXPECT_EQ(some.table(),
            "Percentage of the requests served within a certain time (ms)\n"
            "   50%      0.5 ms\n"
            "   95%      1.2 ms\n"
            "  100%     84.3 ms\n");
}

TEST(Latencies, AddedUpTheyAreAsIfCountedInOnePlace) {
  Latencies one, other, both;
  for (int i = 1; i <= 100; ++i) {
    (i % 2 == 0 ? one : other).add(Duration(1ms) * i);
    both.add(Duration(1ms) * i);
  }
  one.add(other);
  EXPECT_EQ(one.table(), both.table());
  EXPECT_EQ(one.min_ms(), both.min_ms());
  EXPECT_EQ(one.histogram("x"), both.histogram("x"));
}

TEST(Latencies, BeyondTenSecondsTheLongestBoundsTheLastBucket) {
  Latencies some;
  some.add(12s);
  EXPECT_EQ(some.histogram("write"), "write\t10000.0\t12000.0\t1\n");
  EXPECT_EQ(some.percentile_tenths(50), 120000u);
}

TEST(Latencies, OfNothingAreNothing) {
  const Latencies none;
  EXPECT_EQ(none.percentile_tenths(99), 0u);
  EXPECT_EQ(none.histogram("x"), "");
  EXPECT_EQ(none.mean_ms(), 0);
}

}  // namespace
}  // namespace holdfast::cmd
