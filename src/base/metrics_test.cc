#include "base/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace holdfast::metrics {
namespace {

TEST(Metrics, ACounterSumsWhatAllThreadsAdded) {
  Registry registry;
  auto& counter = registry.counter("a_total", "a");
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) counter.add();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 12000u);
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameCounter) {
  Registry registry;
  EXPECT_EQ(&registry.counter("a", "", {{"x", "1"}}), &registry.counter("a", "other", {{"x", "1"}}));
  EXPECT_NE(&registry.counter("a", "", {{"x", "1"}}), &registry.counter("a", "", {{"x", "2"}}));
}

TEST(Metrics, AHistogramsBoundsAreInclusive) {
  Histogram histogram(100us);
  histogram.observe(0us);
  histogram.observe(100us);
  histogram.observe(100us + 1ns);
  histogram.observe(200us);
  histogram.observe(200us + 1ns);
  histogram.observe(std::chrono::hours(24));
  const auto seen = histogram.snapshot();
  EXPECT_EQ(seen.counts[0], 2u);
  EXPECT_EQ(seen.counts[1], 2u);
  EXPECT_EQ(seen.counts[2], 1u);
  EXPECT_EQ(seen.counts[Histogram::kBounds], 1u);
  EXPECT_EQ(seen.count, 6u);
  EXPECT_DOUBLE_EQ(seen.bounds[0], 0.0001);
  EXPECT_DOUBLE_EQ(seen.bounds[1], 0.0002);
  EXPECT_NEAR(seen.sum, 86400.0006, 1e-5);
}

TEST(Metrics, ACollectorIsAskedUntilItsHandleGoes) {
  Registry registry;
  int asked = 0;
  {
    const auto handle = registry.collector([&](std::vector<Family>& out) {
      ++asked;
      out.push_back({"z", "late", Family::Kind::gauge, {Sample{.labels = {}, .value = 7, .histogram = {}}}});
    });
    registry.gauge("a", "").set(1);
    const auto families = registry.collect();
    ASSERT_EQ(families.size(), 2u);
    EXPECT_EQ(families[1].name, "z");
    EXPECT_EQ(families[1].samples[0].value, 7);
  }
  EXPECT_EQ(registry.collect().size(), 1u);
  EXPECT_EQ(asked, 1);
}

TEST(Metrics, FamiliesOfOneNameFromTwoCollectorsAreOneAndNoSampleComesTwice) {
  Registry registry;
  const auto collect = [](const char* label) {
    return [label](std::vector<Family>& out) {
      out.push_back({"z", "", Family::Kind::gauge, {Sample{.labels = {}, .value = 1, .histogram = {}},
                                                    Sample{.labels = {{"of", label}}, .value = 1, .histogram = {}}}});
    };
  };
  const auto a = registry.collector(collect("a"));
  const auto b = registry.collector(collect("a"));
  const auto families = registry.collect();
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].samples.size(), 2u);
}

}  // namespace
}  // namespace holdfast::metrics
