#include "service/master/key_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "service/master/fakes.h"

namespace holdfast::master {
namespace {

using ::testing::HasSubstr;

class KeyValuesTest : public ::testing::Test {
 protected:
  explicit KeyValuesTest(int masters = 3) : group(masters) {
    Options options;
    options.feature_level = kv::kFeatureLevel;
    options.leader_wait = 200ms;
    for (int i = 0; i < masters; ++i) {
      group.set_feature_level(i, kv::kFeatureLevel);
      masters_.push_back(Master::create(options, clock, random));
      group.attach(i, masters_.back()->state_machine());
      masters_.back()->start(group.consensus(i), orders);
    }
  }
  ~KeyValuesTest() override {
    for (auto& master : masters_) master->stop();
  }

  KeyValues& at(int i) { return masters_[static_cast<std::size_t>(i)]->key_values(); }
  Master& master(int i) { return *masters_[static_cast<std::size_t>(i)]; }

  // The clock is moved by hand; what waits for it must go on meanwhile.
  template <typename T>
  T wait(std::future<T> future) {
    while (future.wait_for(1ms) != std::future_status::ready) clock.advance(1ms);
    return future.get();
  }
  std::optional<Refusal> when_open(int i) {
    std::promise<std::optional<Refusal>> answer;
    at(i).when_open([&](std::optional<Refusal> refusal) { answer.set_value(std::move(refusal)); });
    return wait(answer.get_future());
  }
  OrRefusal<kv::Answer> write(int i, kv::Command command) {
    std::promise<OrRefusal<kv::Answer>> answer;
    at(i).write(std::move(command), [&](OrRefusal<kv::Answer> a) { answer.set_value(std::move(a)); });
    return wait(answer.get_future());
  }
  kv::Answer put(int i, const std::string& key, const std::string& value, Duration ttl = {}) {
    auto answer = write(i, kv::Put{key, value, ttl, {}, {}});
    if (const auto* refusal = std::get_if<Refusal>(&answer)) ADD_FAILURE() << refusal->text;
    return std::holds_alternative<kv::Answer>(answer) ? std::get<kv::Answer>(answer) : kv::Answer{};
  }
  OrRefusal<KvRecord> get(int i, const std::string& key, bool stale = false) {
    std::promise<OrRefusal<KvRecord>> answer;
    at(i).get(key, stale, [&](OrRefusal<KvRecord> a) { answer.set_value(std::move(a)); });
    return wait(answer.get_future());
  }
  bool has(int i, const std::string& key) {
    const auto record = get(i, key, true);
    return std::get<KvRecord>(record).item.has_value();
  }
  std::future<OrRefusal<kv::Changes>> watch(int i, KvWatch watch) {
    auto answer = std::make_shared<std::promise<OrRefusal<kv::Changes>>>();
    at(i).watch(std::move(watch), [answer](OrRefusal<kv::Changes> a) { answer->set_value(std::move(a)); });
    return answer->get_future();
  }
  template <typename Condition>
  bool eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
  // Gives the loops some turns without moving the clock.
  void settle() { std::this_thread::sleep_for(150ms); }

  FakeClock clock;
  FakeRandom random{7};
  FakeGroup group;
  FakeOrders orders;

 private:
  std::vector<std::unique_ptr<Master>> masters_;
};

TEST_F(KeyValuesTest, WhatTheLeaderWroteIsReadAtEveryMaster) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  EXPECT_EQ(put(0, "a", "1").revision, kv::Revision(1));
  for (int i = 0; i < 3; ++i) {
    const auto record = get(i, "a");
    ASSERT_TRUE(std::holds_alternative<KvRecord>(record));
    EXPECT_EQ(*std::get<KvRecord>(record).item->value, "1");
  }
  const auto elsewhere = write(1, kv::Put{"a", "2", {}, {}, {}});
  EXPECT_EQ(std::get<Refusal>(elsewhere).kind, Refusal::Kind::not_leader);
  const auto wrong = write(0, kv::Put{"", "2", {}, {}, {}});
  EXPECT_EQ(std::get<Refusal>(wrong).kind, Refusal::Kind::bad_request);
}

TEST_F(KeyValuesTest, UntilAllMastersKnowTheSpaceWritesAreRefusedAndSayWhoseBuildIsOlder) {
  group.set_feature_level(2, 1);
  group.lead(0);
  for (const int i : {0, 1}) {
    const auto refusal = when_open(i);
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->kind, Refusal::Kind::unsupported);
    EXPECT_THAT(refusal->text, HasSubstr("not all masters know the key-value space yet: master localhost:9335 runs feature level 1"));
  }
  const auto refused = write(0, kv::Put{"a", "1", {}, {}, {}});
  EXPECT_EQ(std::get<Refusal>(refused).kind, Refusal::Kind::unsupported);
  // It was started anew with this build.
  group.set_feature_level(2, kv::kFeatureLevel);
  EXPECT_FALSE(when_open(1).has_value());
  EXPECT_FALSE(when_open(0).has_value());
  put(0, "a", "1");
}

TEST_F(KeyValuesTest, AReadThatNobodyConfirmsIsRefusedAndAStaleOneIsAnswered) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  put(0, "a", "1");
  group.lead(-1);
  const auto refused = get(1, "a");
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).kind, Refusal::Kind::unavailable);
  EXPECT_THAT(std::get<Refusal>(refused).text, HasSubstr("stale=true"));
  const auto stale = get(1, "a", true);
  EXPECT_EQ(*std::get<KvRecord>(stale).item->value, "1");
  EXPECT_GT(std::get<KvRecord>(stale).applied, Index(0));
}

TEST_F(KeyValuesTest, AWriteWhoseLeaderIsLostIsOfUnknownOutcome) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  group.set_quorum(false);
  std::promise<OrRefusal<kv::Answer>> answer;
  at(0).write(kv::Put{"a", "1", {}, {}, {}}, [&](OrRefusal<kv::Answer> a) { answer.set_value(std::move(a)); });
  group.lead(1);
  const auto outcome = answer.get_future().get();
  ASSERT_TRUE(std::holds_alternative<Refusal>(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).kind, Refusal::Kind::outcome_unknown);
  EXPECT_THAT(std::get<Refusal>(outcome).text, HasSubstr("same request id"));
}

TEST_F(KeyValuesTest, AKeyExpiresWhenItsTimeIsOverAndARenewedOneLivesOn) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  put(0, "a", "1", 10s);
  put(0, "b", "1", 10s);
  settle();
  clock.advance(6s);
  const auto renewed = write(0, kv::Renew{"b", {}, {}, {}});
  EXPECT_EQ(std::get<kv::Answer>(renewed).ttl, Duration(10s));
  settle();
  clock.advance(5s);
  EXPECT_TRUE(eventually([&] { return !has(1, "a"); }));
  settle();
  EXPECT_TRUE(has(1, "b"));
  clock.advance(6s);
  EXPECT_TRUE(eventually([&] { return !has(1, "b"); }));
}

TEST_F(KeyValuesTest, UnderANewLeaderAKeyHasItsFullTimeAgain) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  put(0, "a", "1", 10s);
  settle();
  clock.advance(9s);
  group.lead(1);
  settle();
  clock.advance(9s);
  settle();
  EXPECT_TRUE(has(0, "a"));
  // The same leader again, without having noticed that it lost its place in between.
  group.lead(0);
  group.lead(1);
  settle();
  clock.advance(9s);
  settle();
  EXPECT_TRUE(has(0, "a"));
  clock.advance(2s);
  EXPECT_TRUE(eventually([&] { return !has(0, "a"); }));
}

TEST_F(KeyValuesTest, AWatchAnswersWithTheFirstChangeAndElseWhenItsTimeIsOver) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  put(0, "a/1", "1");
  // From the past: at once, at any master.
  auto past = watch(2, {{"a/", true}, kv::Revision(0), 10s, 10}).get();
  ASSERT_EQ(std::get<kv::Changes>(past).changes.size(), 1u);
  EXPECT_EQ(std::get<kv::Changes>(past).until, kv::Revision(1));
  // From now on: not what does not match.
  auto waiting = watch(1, {{"a/", true}, std::nullopt, 10s, 10});
  auto other = watch(1, {{"b", false}, std::nullopt, 10s, 10});
  settle();
  put(0, "c", "1");
  put(0, "a/2", "2");
  const auto found = waiting.get();
  ASSERT_EQ(std::get<kv::Changes>(found).changes.size(), 1u);
  EXPECT_EQ(std::get<kv::Changes>(found).changes[0].key, "a/2");
  EXPECT_EQ(other.wait_for(50ms), std::future_status::timeout);
  clock.advance(11s);
  const auto nothing = other.get();
  EXPECT_TRUE(std::get<kv::Changes>(nothing).changes.empty());
  EXPECT_EQ(std::get<kv::Changes>(nothing).until, kv::Revision(3));
}

TEST_F(KeyValuesTest, AWatchThatWaitsIsAnsweredWhenTheMasterStops) {
  group.lead(0);
  ASSERT_FALSE(when_open(0).has_value());
  auto waiting = watch(1, {{"", true}, std::nullopt, 1000s, 10});
  settle();
  master(1).stop();
  const auto outcome = waiting.get();
  ASSERT_TRUE(std::holds_alternative<Refusal>(outcome));
  EXPECT_EQ(std::get<Refusal>(outcome).kind, Refusal::Kind::unavailable);
}

}  // namespace
}  // namespace holdfast::master
