#include "core/raft/log.h"

#include <gtest/gtest.h>

namespace holdfast::raft {
namespace {

Log log_of(std::initializer_list<std::uint64_t> terms) {
  Log log({Term(0), Index(0)});
  for (const auto term : terms) {
    log.append(Entry{.term = Term(term), .index = log.last_index().next(), .data = "0123456789"});
  }
  return log;
}

TEST(Log, KnowsTheTermOfTheEntryBeforeItsFirst) {
  auto log = log_of({1, 1, 2, 3});
  log.trim(Index(2), 0);
  EXPECT_EQ(log.base(), (LogPosition{Term(1), Index(2)}));
  EXPECT_EQ(log.term_at(Index(2)), Term(1));
  EXPECT_EQ(log.term_at(Index(3)), Term(2));
  EXPECT_FALSE(log.term_at(Index(1)));
  EXPECT_FALSE(log.term_at(Index(5)));
}

TEST(Log, TrimmingStopsAtTheIndexItMayForget) {
  auto log = log_of({1, 1, 1, 1});
  log.trim(Index(3), 0);
  EXPECT_EQ(log.base().index, Index(3));
  EXPECT_EQ(log.last_index(), Index(4));
}

TEST(Log, ASliceHoldsAtLeastOneEntry) {
  const auto log = log_of({1, 1, 1});
  EXPECT_EQ(log.slice(Index(2), 10, 1).size(), 1u);
  EXPECT_EQ(log.slice(Index(1), 2, 1'000'000).size(), 2u);
  EXPECT_TRUE(log.slice(Index(4), 10, 10).empty());
}

TEST(Log, FindsWhereATermBeginsAndEnds) {
  const auto log = log_of({1, 2, 2, 2, 5});
  EXPECT_EQ(log.first_of_term(Index(4)), Index(2));
  EXPECT_EQ(log.last_of_term(Term(2), Index(1), Index(5)), Index(4));
  EXPECT_FALSE(log.last_of_term(Term(3), Index(1), Index(5)));
}

TEST(Log, CountsItsBytesThroughEveryChange) {
  auto log = log_of({1, 1, 1});
  const auto three = log.bytes();
  log.truncate_from(Index(3));
  EXPECT_EQ(log.bytes(), three / 3 * 2);
  log.reset({Term(4), Index(9)});
  EXPECT_EQ(log.bytes(), 0u);
  EXPECT_EQ(log.last(), (LogPosition{Term(4), Index(9)}));
}

}  // namespace
}  // namespace holdfast::raft
