#include "core/volume/merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace holdfast::volume {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

MergeRecord put(std::uint64_t key, std::uint32_t content, double second) {
  return {NeedleId(key), 8, 100, Cookie(7), content, static_cast<std::uint64_t>(second * 1e9)};
}
MergeRecord deletion(std::uint64_t key, double second) {
  return {NeedleId(key), 8, kTombstoneSize, Cookie(7), 0, static_cast<std::uint64_t>(second * 1e9)};
}

// What the merged volume says of key 1: the content, -1 for a deletion, -2 when it has no word on it.
int merged(const std::vector<MergeCopy>& copies) {
  for (const auto& step : plan_merge(copies).steps) {
    if (step.record.key == NeedleId(1)) return step.record.is_deletion() ? -1 : static_cast<int>(step.record.crc);
  }
  return -2;
}

TEST(Merge, NothingOfNothing) {
  EXPECT_TRUE(plan_merge({}).steps.empty());
  EXPECT_TRUE(plan_merge({{}, {}}).steps.empty());
}

TEST(Merge, WhatOneCopyMissedComesFromTheOther) {
  const auto plan = plan_merge({{{put(1, 1, 10)}}, {{put(1, 1, 10), put(2, 2, 20)}}});
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_EQ(plan.steps[1].copy, 1u);
  EXPECT_EQ(plan.outdated, (std::vector<std::size_t>{1, 0}));
  EXPECT_TRUE(plan.unclear.empty());
  EXPECT_EQ(plan.files(), 2u);
}

TEST(Merge, ADeletionThatOneCopyMissedCounts) { EXPECT_EQ(merged({{{put(1, 1, 10), deletion(1, 20)}}, {{put(1, 1, 10)}}}), -1); }

TEST(Merge, ADeletionAloneStaysAsARecord) {
  const auto plan = plan_merge({{{put(2, 2, 5)}}, {{put(2, 2, 5), deletion(1, 20)}}});
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_TRUE(plan.steps[1].record.is_deletion());
  // A copy that knows nothing of the key has no other state for lack of the deletion.
  EXPECT_EQ(plan.outdated, (std::vector<std::size_t>{0, 0}));
}

TEST(Merge, AClockThatIsAheadBringsNoDeletedFileBack) {
  EXPECT_EQ(merged({{{put(1, 1, 10), deletion(1, 10.3)}}, {{put(1, 1, 10.5)}}}), -1);
  EXPECT_EQ(merged({{{put(1, 1, 10.5)}}, {{put(1, 1, 10), deletion(1, 10.3)}}}), -1);
}

TEST(Merge, AClockThatIsAheadKeepsNoOverwrittenFile) {
  EXPECT_EQ(merged({{{put(1, 1, 10), put(1, 2, 10.3)}}, {{put(1, 1, 10.5)}}}), 2);
}

TEST(Merge, AFileWrittenAgainLongAfterItsDeletionIsThere) {
  EXPECT_EQ(merged({{{put(1, 1, 10), deletion(1, 20)}}, {{put(1, 1, 10), put(1, 1, 3600)}}}), 1);
}

TEST(Merge, ADeletionAndAFileWrittenAgainByOneCopy) {
  EXPECT_EQ(merged({{{put(1, 1, 10), deletion(1, 20), put(1, 3, 30)}}, {{put(1, 1, 10), deletion(1, 20.5)}}}), 3);
}

TEST(Merge, TheNewerOfTwoWritesCountsWhateverItsCookie) {
  auto other = put(1, 2, 20);
  other.cookie = Cookie(8);
  const auto plan = plan_merge({{{put(1, 1, 10)}}, {{other}}});
  ASSERT_EQ(plan.steps.size(), 1u);
  EXPECT_EQ(plan.steps[0].record, other);
}

TEST(Merge, TimesDecideWhenEachCopyWentOnFromTheOther) {
  EXPECT_EQ(merged({{{put(1, 1, 10), put(1, 2, 11), put(1, 1, 30)}}, {{put(1, 1, 10), put(1, 2, 11)}}}), 1);
  EXPECT_EQ(merged({{{put(1, 1, 10), put(1, 2, 20)}}, {{put(1, 2, 20), put(1, 1, 10.5)}}}), 2);
}

TEST(Merge, WhatACompactedCopyDoesNotKnowIsUnclear) {
  const MergeCopy full{{put(1, 1, 10), put(2, 2, 20), put(3, 3, 30), deletion(3, 31)}};
  EXPECT_EQ(plan_merge({full, {{put(1, 1, 10)}, true}}).unclear, (std::vector<NeedleId>{NeedleId(2)}));
  EXPECT_TRUE(plan_merge({full, {{put(1, 1, 10)}, false}}).unclear.empty());
}

TEST(Merge, RecordsComeInTheOrderOfTheirTimes) {
  const auto plan = plan_merge({{{put(1, 1, 30), put(2, 2, 40)}}, {{put(4, 4, 10), put(3, 3, 30)}}});
  std::vector<std::uint64_t> keys;
  for (const auto& step : plan.steps) keys.push_back(step.record.key.value());
  EXPECT_EQ(keys, (std::vector<std::uint64_t>{4, 1, 3, 2}));
}

// Clients write and delete a few keys; each operation reaches some copies, at clocks that are up to two seconds apart, and at
// least one of them. Whatever happens, what the last operation on each key was is what the merged volume says of it, and
// merging again, with one copy the merged one, changes nothing.
TEST(Merge, TheLastOperationOnEachKeyCountsWhateverCopiesItReached) {
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t n) { return random() % n; };
    std::vector<MergeCopy> copies(2 + below(2));
    std::vector<std::uint64_t> ahead(copies.size());
    for (auto& clock : ahead) clock = below(2000) * (kSecond / 1000);
    std::map<NeedleId, int> last;
    std::uint64_t now = 1000 * kSecond;
    for (std::uint32_t i = 0, count = 1 + below(20); i < count; ++i) {
      now += 3 * kSecond + below(100) * kSecond;  // further apart than the clocks
      const NeedleId key(1 + below(4));
      const bool is_put = below(3) != 0;
      const auto reached = 1 + below((1u << copies.size()) - 1);
      for (std::size_t c = 0; c < copies.size(); ++c) {
        if ((reached >> c & 1) == 0) continue;
        auto record = is_put ? put(key.value(), i + 1, 0) : deletion(key.value(), 0);
        record.append_at_ns = now + ahead[c];
        copies[c].records.push_back(record);
      }
      last[key] = is_put ? static_cast<int>(i + 1) : -1;
    }
    const auto plan = plan_merge(copies);
    ASSERT_EQ(plan.steps.size(), last.size()) << "seed " << seed;
    MergeCopy whole{.is_compacted = true};
    for (const auto& step : plan.steps) {
      ASSERT_EQ(step.record.is_deletion() ? -1 : static_cast<int>(step.record.crc), last[step.record.key]) << "seed " << seed;
      ASSERT_TRUE(whole.records.empty() || whole.records.back().append_at_ns <= step.record.append_at_ns) << "seed " << seed;
      whole.records.push_back(step.record);
    }
    copies[0] = whole;
    const auto again = plan_merge(copies);
    ASSERT_EQ(again.outdated[0], 0u) << "seed " << seed;
    ASSERT_EQ(again.steps.size(), plan.steps.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace holdfast::volume
