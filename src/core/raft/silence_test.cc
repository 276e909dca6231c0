#include "core/raft/silence.h"

#include <gtest/gtest.h>

namespace holdfast::raft {
namespace {

Silence adaptive() { return Silence({.interval = 10ms, .initial = 100ms, .min = 60ms, .max = 2s, .fixed = false}); }

TEST(Silence, BeginsWithItsDefault) { EXPECT_EQ(adaptive().timeout(), 100ms); }

TEST(Silence, FallsToItsLowerBoundOnAQuietNetwork) {
  auto silence = adaptive();
  for (int i = 0; i < 1000; ++i) silence.observe_gap(10ms);
  EXPECT_EQ(silence.timeout(), 60ms);
}

TEST(Silence, OneLongGapCountsAtOnceAndFadesInSeconds) {
  auto silence = adaptive();
  silence.observe_gap(100ms);
  EXPECT_EQ(silence.timeout(), 400ms);
  for (int i = 0; i < 70; ++i) silence.observe_gap(10ms);  // about two seconds at 30 beats a second
  EXPECT_LT(silence.timeout(), 200ms);
  EXPECT_GT(silence.timeout(), 100ms);
}

TEST(Silence, FollowsLatenessAndNotTheInterval) {
  Silence silence({.interval = 33ms, .initial = 100ms, .min = 60ms, .max = 2s, .fixed = false});
  for (int i = 0; i < 1000; ++i) silence.observe_gap(34ms);
  EXPECT_EQ(silence.timeout(), 60ms);
  silence.observe_gap(33ms + 40ms);
  EXPECT_EQ(silence.timeout(), 200ms);
}

TEST(Silence, NeverLeavesItsBounds) {
  auto silence = adaptive();
  silence.observe_gap(10s);
  EXPECT_EQ(silence.timeout(), 2s);
}

TEST(Silence, MoreThanOneWrongSuspicionAnHourDoublesItAndAQuietHourHalvesIt) {
  auto silence = adaptive();
  silence.suspected_wrongly(at(1s));
  EXPECT_EQ(silence.timeout(), 100ms);
  silence.suspected_wrongly(at(2s));
  EXPECT_EQ(silence.timeout(), 200ms);
  silence.passed(at(3601s));
  EXPECT_EQ(silence.timeout(), 200ms);
  silence.passed(at(3602s));
  EXPECT_EQ(silence.timeout(), 100ms);
}

TEST(Silence, AFixedOneStays) {
  Silence silence({.interval = 10ms, .initial = 400ms, .min = 60ms, .max = 2s, .fixed = true});
  silence.observe_gap(1s);
  silence.suspected_wrongly(at(1s));
  silence.suspected_wrongly(at(2s));
  EXPECT_EQ(silence.timeout(), 400ms);
}

}  // namespace
}  // namespace holdfast::raft
