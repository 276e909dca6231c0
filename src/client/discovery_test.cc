#include "client/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <semaphore>
#include <thread>

#include "base/mutex.h"

namespace holdfast::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A name server: what it says can be changed, it can fail, and it can keep everybody waiting.
class NameServer {
 public:
  std::function<Result<std::vector<std::string>>(const std::string&)> resolver() {
    return [state = state_](const std::string& host) -> Result<std::vector<std::string>> {
      const Guard guard(state->mutex);
      ++state->asked;
      while (state->is_stuck) (void)state->changed.wait_for(state->mutex, 10ms);
      const auto found = state->records.find(host);
      if (state->is_down || found == state->records.end()) return Error(Code::unavailable, "no such name");
      return found->second;
    };
  }

  void say(const std::string& host, std::vector<std::string> records) {
    const Guard guard(state_->mutex);
    state_->records[host] = std::move(records);
  }
  void forget(const std::string& host) {
    const Guard guard(state_->mutex);
    state_->records.erase(host);
  }
  void go_down(bool down) {
    const Guard guard(state_->mutex);
    state_->is_down = down;
  }
  void get_stuck(bool stuck) {
    const Guard guard(state_->mutex);
    state_->is_stuck = stuck;
    state_->changed.notify_all();
  }
  int asked() const {
    const Guard guard(state_->mutex);
    return state_->asked;
  }
  void wait_for_questions(int count) const {
    const int until = asked() + count;
    while (asked() < until) std::this_thread::sleep_for(1ms);
  }

 private:
  struct State {
    mutable Mutex mutex;
    Condition changed;
    std::map<std::string, std::vector<std::string>> records HOLDFAST_GUARDED_BY(mutex);
    bool is_down HOLDFAST_GUARDED_BY(mutex) = false;
    bool is_stuck HOLDFAST_GUARDED_BY(mutex) = false;
    int asked HOLDFAST_GUARDED_BY(mutex) = 0;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();  // shared with threads that outlive a test
};

constexpr Duration kQuick = 2ms;

std::vector<std::string> texts(const std::vector<Address>& addresses) {
  std::vector<std::string> out;
  for (const auto& address : addresses) out.push_back(text(address));
  return out;
}

TEST(Discovery, AddressesAreNotLookedUp) {
  NameServer names;
  Discovery discovery({.places = {{"10.0.0.1", 9333}, {"::1", 9333}}, .interval = kQuick, .resolve = names.resolver()},
                      [](const auto&) { FAIL(); });
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.1:9333", "[::1]:9333"));
  std::this_thread::sleep_for(10ms);
  EXPECT_EQ(names.asked(), 0);
}

TEST(Discovery, ANameWithSeveralRecordsStandsForAllOfThem) {
  NameServer names;
  names.say("mfsmaster", {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
  Discovery discovery({.places = {{"mfsmaster", 9421, 9420}}, .resolve = names.resolver()}, nullptr);
  discovery.wait_until_known(10s);
  EXPECT_THAT(texts(discovery.found()),
              ElementsAre("10.0.0.1:9421.9420", "10.0.0.2:9421.9420", "10.0.0.3:9421.9420"));
}

// So localhost, and a host that has both an IPv4 and an IPv6 address, stay what they are.
TEST(Discovery, ANameWithOneRecordOfEachFamilyIsOneHost) {
  NameServer names;
  names.say("localhost", {"127.0.0.1", "::1"});
  names.say("one", {"10.0.0.1"});
  Discovery discovery({.places = {{"localhost", 9333}, {"one", 9334}}, .resolve = names.resolver()}, nullptr);
  discovery.wait_until_known(10s);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("localhost:9333", "one:9334"));
}

TEST(Discovery, SeveralRecordsOfOneFamilyAndOneOfTheOtherAreAllServers) {
  NameServer names;
  names.say("m", {"10.0.0.1", "10.0.0.2", "fd00::3"});
  Discovery discovery({.places = {{"m", 1}}, .resolve = names.resolver()}, nullptr);
  discovery.wait_until_known(10s);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.1:1", "10.0.0.2:1", "[fd00::3]:1"));
}

TEST(Discovery, ANameThatIsNotFoundStandsForNobodyYet) {
  NameServer names;
  Discovery discovery({.places = {{"m", 1}, {"10.0.0.9", 1}}, .interval = kQuick, .resolve = names.resolver()}, nullptr);
  names.wait_for_questions(3);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.9:1"));
  EXPECT_FALSE(discovery.places()[0].is_known);
  EXPECT_EQ(discovery.places()[0].trouble, "no such name");
  names.say("m", {"10.0.0.1"});
  discovery.wait_until_known(10s);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("m:1", "10.0.0.9:1"));
}

TEST(Discovery, RecordsThatComeAndGoAreNoticed) {
  NameServer names;
  names.say("m", {"10.0.0.1"});
  std::counting_semaphore<1000> changes{0};
  Discovery discovery({.places = {{"m", 1}}, .interval = kQuick, .resolve = names.resolver()}, [&](const auto&) { changes.release(); });
  ASSERT_TRUE(changes.try_acquire_for(10s));
  EXPECT_THAT(texts(discovery.found()), ElementsAre("m:1"));
  names.say("m", {"10.0.0.1", "10.0.0.2"});
  ASSERT_TRUE(changes.try_acquire_for(10s));
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.1:1", "10.0.0.2:1"));
  names.say("m", {"10.0.0.2", "10.0.0.3"});
  ASSERT_TRUE(changes.try_acquire_for(10s));
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.2:1", "10.0.0.3:1"));
  names.wait_for_questions(5);
  EXPECT_FALSE(changes.try_acquire());  // the same answer is no news
}

TEST(Discovery, TheLastAnswerStaysWhenTheResolverFails) {
  NameServer names;
  names.say("m", {"10.0.0.1", "10.0.0.2"});
  std::atomic<int> changes{0};
  Discovery discovery({.places = {{"m", 1}}, .interval = kQuick, .resolve = names.resolver()}, [&](const auto&) { ++changes; });
  discovery.wait_until_known(10s);
  names.go_down(true);
  names.wait_for_questions(3);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.1:1", "10.0.0.2:1"));
  EXPECT_EQ(discovery.places()[0].trouble, "no such name");
  names.go_down(false);
  names.forget("m");
  names.wait_for_questions(3);
  EXPECT_THAT(texts(discovery.found()), ElementsAre("10.0.0.1:1", "10.0.0.2:1"));
  EXPECT_EQ(changes, 1);
}

TEST(Discovery, StopDoesNotWaitForAResolverThatIsStuck) {
  NameServer names;
  names.get_stuck(true);
  const auto begin = std::chrono::steady_clock::now();
  {
    Discovery discovery({.places = {{"m", 1}}, .interval = kQuick, .resolve = names.resolver()}, [](const auto&) { FAIL(); });
    while (names.asked() == 0) std::this_thread::sleep_for(1ms);
    discovery.wait_until_known(20ms);
    EXPECT_THAT(discovery.found(), IsEmpty());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  names.say("m", {"10.0.0.1"});
  names.get_stuck(false);
}

TEST(Discovery, ANameOfThisMachineIsResolvedByTheSystem) {
  const auto found = resolve_host("localhost");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->empty());
  EXPECT_FALSE(resolve_host("no-such-name.invalid"));
}

TEST(Discovery, AddressesAreToldFromNames) {
  for (const char* host : {"10.0.0.1", "::1", "fe80::1%eth0"}) EXPECT_TRUE(is_numeric(host)) << host;
  for (const char* host : {"localhost", "10.0.0", "mfsmaster", "a.b"}) EXPECT_FALSE(is_numeric(host)) << host;
}

}  // namespace
}  // namespace holdfast::client
