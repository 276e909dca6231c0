// KvClient against scripted masters; with real ones: test/cluster/kv_test.py.
#include "client/kv_client.h"

#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "client/scripted_server.h"

namespace holdfast::client {
namespace {

using ::testing::HasSubstr;

constexpr const char* kWritten =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"revision\":7}";
constexpr const char* kNoLeader = "HTTP/1.1 503 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

// Takes requests and says nothing, as a master that is stopped, until the end.
class Silence {
 public:
  std::string operator()(const std::string& request) {
    std::unique_lock lock(mutex_);
    request_ = request;
    over_.wait(lock, [this] { return is_over_; });
    return "";
  }
  void end() {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    over_.notify_all();
  }
  std::string request() {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::string request_;
};

class KvClients : public ::testing::Test {
 protected:
  KvClients() : pool(loops) {}

  std::unique_ptr<KvClient> client(const std::vector<const ScriptedServer*>& servers, Duration patience = 10s) {
    std::vector<Address> masters;
    // With a gRPC port, which nobody asks: without one it is 10000 further, where there may be no port any more.
    for (const auto* server : servers) masters.push_back(*Address::parse(server->authority() + ".1"));
    return std::make_unique<KvClient>(pool, KvClient::Options{.masters = [masters] { return masters; }, .patience = patience});
  }
  static Duration since(std::chrono::steady_clock::time_point begin) { return std::chrono::steady_clock::now() - begin; }

  io::EventLoops loops{1};
  HttpPool pool;
};

TEST_F(KvClients, AMasterThatStandsStillIsNotWaitedFor) {
  Silence silence;
  std::string asked;
  ScriptedServer stopped([&](const std::string& request) { return silence(request); });
  ScriptedServer alive([&](const std::string& request) {
    asked = request;
    return kWritten;
  });
  // Which one is asked first is drawn by lot.
  for (int turn = 0; turn < 64 && silence.request().empty(); ++turn) {
    const auto one = client({&stopped, &alive});
    const auto begin = std::chrono::steady_clock::now();
    const auto answer = one->write({.key = "a", .value = "1"});
    ASSERT_TRUE(answer.ok()) << answer.error().what();
    EXPECT_EQ(answer->status, 200);
    EXPECT_LT(since(begin), 1s);
  }
  EXPECT_EQ(asked.substr(0, asked.find("\r\n")), silence.request().substr(0, silence.request().find("\r\n")))
      << "the same request, by its id";
  EXPECT_THAT(asked, HasSubstr("requestId="));
  silence.end();
}

TEST_F(KvClients, WhenAllStandStillTheOutcomeOfAWriteIsUnknown) {
  Silence silence;
  ScriptedServer one([&](const std::string& request) { return silence(request); });
  ScriptedServer other([&](const std::string& request) { return silence(request); });
  const auto clients = client({&one, &other}, 700ms);
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = clients->write({.key = "a", .value = "1", .request_id = "mine"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::outcome_unknown);
  EXPECT_THAT(answer.error().what(), HasSubstr("request id mine"));
  EXPECT_LT(since(begin), 2s);
  EXPECT_EQ(one.requests + other.requests, 2) << "each by one request at a time";
  const auto read = clients->read("a");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::unavailable);
  silence.end();
}

TEST_F(KvClients, MastersThatAreKnownLaterAreAskedToo) {
  ScriptedServer server([](const std::string&) { return kWritten; });
  int turns = 0;
  KvClient late(pool, {.masters = [&]() -> std::vector<Address> {
                  if (++turns < 4) return {};
                  return {*Address::parse(server.authority() + ".1")};
                }, .patience = 10s});
  const auto answer = late.write({.key = "a", .value = "1"});
  ASSERT_TRUE(answer.ok()) << answer.error().what();
  EXPECT_EQ(turns, 4);
}

TEST_F(KvClients, OneThatKnowsNoLeaderIsAskedAgainAfterAPause) {
  std::atomic<int> left{4};
  const auto script = [&](const std::string&) { return std::string(left-- > 0 ? kNoLeader : kWritten); };
  ScriptedServer one(script), other(script);
  const auto answer = client({&one, &other})->write({.key = "a", .value = "1"});
  ASSERT_TRUE(answer.ok()) << answer.error().what();
  EXPECT_EQ(one.requests + other.requests, 5);
}

}  // namespace
}  // namespace holdfast::client
