#include "service/volume/locator.h"

#include <gtest/gtest.h>

#include "io/sim/clock.h"

namespace holdfast::volume {
namespace {

class LocatorTest : public ::testing::Test {
 protected:
  std::string locate(std::uint32_t id) {
    std::string out = "(waiting)";
    locator_.locate(VolumeId(id), [&](Result<std::vector<Location>> r) { out = r.ok() ? (*r)[0].url : r.error().what(); });
    return out;
  }

  io::sim::ManualClock clock_;
  int asked_ = 0;
  Result<std::vector<Location>> answer_ = std::vector<Location>{{"a:1", "a:1", 0}};
  std::vector<Locator::Done> held_;
  bool hold_ = false;
  Locator locator_{clock_, [this](VolumeId, Locator::Done done) {
                     asked_++;
                     if (hold_) return held_.push_back(std::move(done));
                     done(answer_);
                   }};
};

TEST_F(LocatorTest, KeepsAnAnswerForAWhile) {
  EXPECT_EQ(locate(1), "a:1");
  EXPECT_EQ(locate(1), "a:1");
  EXPECT_EQ(asked_, 1);
  clock_.advance(Locator::kFreshFor);
  EXPECT_EQ(locate(1), "a:1");
  EXPECT_EQ(asked_, 2);
}

TEST_F(LocatorTest, AsksAgainForWhatWasForgotten) {
  EXPECT_EQ(locate(1), "a:1");
  locator_.forget(VolumeId(1));
  answer_ = std::vector<Location>{{"b:1", "b:1", 0}};
  EXPECT_EQ(locate(1), "b:1");
}

TEST_F(LocatorTest, AnErrorIsNotKept) {
  answer_ = Error(Code::unavailable, "no master answers");
  EXPECT_EQ(locate(1), "no master answers");
  EXPECT_EQ(locate(1), "no master answers");
  EXPECT_EQ(asked_, 2);
}

TEST_F(LocatorTest, ThatNobodyHoldsItIsKeptBriefly) {
  answer_ = Error(Code::not_found, "x");
  EXPECT_EQ(locate(1), "x");
  EXPECT_EQ(locate(1), "volume id 1 not found");
  clock_.advance(Locator::kAbsentFor);
  EXPECT_EQ(locate(1), "x");
  EXPECT_EQ(asked_, 2);
}

TEST_F(LocatorTest, ManyThatAskAtOnceShareOneQuestion) {
  hold_ = true;
  int answered = 0;
  for (int i = 0; i < 5; i++) locator_.locate(VolumeId(1), [&](Result<std::vector<Location>>) { answered++; });
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(answered, 0);
  held_[0](answer_);
  EXPECT_EQ(answered, 5);
}

}  // namespace
}  // namespace holdfast::volume
