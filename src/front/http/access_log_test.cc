#include "front/http/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "front/http/test_client.h"
#include "io/posix/clock.h"

namespace holdfast::front {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string line(const AccessEntry& entry) {
  std::string out;
  append_access_line(out, entry);
  return out;
}

TEST(AccessLine, IsTheCombinedFormAndFourFieldsMore) {
  EXPECT_EQ(line({.peer_ip = "10.0.0.7",
                  .unix_seconds = 1700000000,
                  .method = "GET",
                  .target = "/3,01637037d6?width=20",
                  .status = 206,
                  .bytes = 1024,
                  .referer = "http://a/",
                  .agent = "curl/7.88.1",
                  .took = 1234us,
                  .request_id = "18A2B3C4D5E6F70801234567",
                  .given_id = "abc"}),
            "10.0.0.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /3,01637037d6?width=20 HTTP/1.1\" 206 1024 \"http://a/\" \"curl/7.88.1\" 0.001234 "
            "18A2B3C4D5E6F70801234567 abc\n");
  EXPECT_EQ(line({.peer_ip = "::1", .method = "PUT", .target = "/", .protocol = "HTTP/1.0", .status = 400}),
            "::1 - - [01/Jan/1970:00:00:00 +0000] \"PUT / HTTP/1.0\" 400 0 \"-\" \"-\" 0.000000 - -\n");
}

TEST(AccessLine, HoldsNoTokenAndCannotBeForged) {
  const auto text = line({.peer_ip = "::1", .method = "GET", .target = "/3,01?a=b&jwt=secret&c=jwt=x&j%77t=secret&&d", .agent = "x\" 200\n1.2.3.4 - -",
                          .given_id = "a b\nc"});
  EXPECT_THAT(text, HasSubstr("/3,01?a=b&jwt=...&c=jwt=x&jwt=...&&d HTTP"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
  EXPECT_THAT(text, HasSubstr("\"x\\x22 200\\x0a1.2.3.4 - -\""));
  EXPECT_THAT(text, HasSubstr(" a_b\\x0ac\n"));
  EXPECT_EQ(line({.method = "GET", .target = "/" + std::string(100'000, 'x')}).size() < 2200, true);
}

class Counted : public http::Observer {
 public:
  void finished(const http::Exchange&, int, Duration, std::size_t) override { ++count; }
  std::atomic<int> count{0};
};

class Hello : public http::Handler {
 public:
  void serve(http::Exchange& exchange) override {
    if (exchange.request().path == "/stream") {
      stream(exchange);
      return;
    }
    exchange.head(200).add("X-Amz-Request-Id", "18A2B3C4D5E6F70801234567");
    if (exchange.request().path == "/large") return exchange.finish(std::string(64 << 20, 'x'));
    exchange.finish("hello");
  }

 private:
  Task stream(http::Exchange& exchange) {
    exchange.head(200);
    exchange.begin(std::nullopt);
    const std::string_view piece = "a piece";
    co_await exchange.write(piece);
    co_await exchange.write(piece);
    exchange.end();
  }
};

TEST(Observer, HearsOfARequestWhoseClientGoesWhileTheAnswerWaits) {
  Counted counted;
  io::EventLoops loops(1, "test");
  Hello hello;
  http::Server server(loops, hello, {.observer = &counted});
  const auto port = *server.listen("127.0.0.1", 0);
  {
    http::test::Client client(port, false, 4096);
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_head();  // it waits for more room now
    EXPECT_EQ(counted.count, 0);
  }
  for (int i = 0; i < 500 && counted.count == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(counted.count, 1);
  server.stop();
}

TEST(AccessLog, WritesALineForEachRequestAndFollowsAMovedFile) {
  std::string pattern = std::filesystem::temp_directory_path() / "access_log_XXXXXX";
  const std::string folder = ::mkdtemp(pattern.data());
  const auto path = folder + "/access.log";
  const auto content = [&](const std::string& file, std::size_t lines) {
    for (int i = 0; i < 500; ++i) {
      std::stringstream text;
      text << std::ifstream(file).rdbuf();
      const auto all = text.str();
      if (static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n')) >= lines) return all;
      std::this_thread::sleep_for(10ms);
    }
    return std::string();
  };
  io::posix::SystemClock clock;
  metrics::Registry registry;
  Counted counted;
  EXPECT_FALSE(AccessLog::open(folder + "/none/access.log", counted, clock, registry).ok());
  {
    auto log = AccessLog::open(path, counted, clock, registry);
    ASSERT_TRUE(log.ok());
    io::EventLoops loops(1, "test");
    Hello hello;
    http::Server server(loops, hello, {.observer = log->get()});
    const auto port = *server.listen("127.0.0.1", 0);
    const auto ask = [&](const std::string& request) {
      http::test::Client client(port);
      client.send(request + " HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\nX-Amz-Request-Id: given\r\nConnection: close\r\n\r\n");
      return client.read_to_end();
    };
    ask("GET /one");
    ask("HEAD /two");
    ask("GET /stream");
    const auto before = content(path, 3);
    EXPECT_THAT(before, StartsWith("127.0.0.1 - - ["));
    EXPECT_THAT(before, HasSubstr("\"GET /one HTTP/1.1\" 200 5 \"-\" \"me\" 0.0"));
    EXPECT_THAT(before, HasSubstr(" 18A2B3C4D5E6F70801234567 given\n"));
    EXPECT_THAT(before, HasSubstr("\"HEAD /two HTTP/1.1\" 200 0 "));
    EXPECT_THAT(before, HasSubstr("\"GET /stream HTTP/1.1\" 200 14 "));
    EXPECT_THAT(before, HasSubstr(" - given\n"));  // it answered no id
    std::filesystem::rename(path, path + ".1");
    (*log)->reopen();
    for (int i = 0; i < 500 && !std::filesystem::exists(path); ++i) std::this_thread::sleep_for(10ms);
    ask("GET /four");
    EXPECT_THAT(content(path, 1), HasSubstr("/four"));
    EXPECT_EQ(content(path + ".1", 3), before);
    ask("GET /five");
    server.stop();
  }
  EXPECT_THAT(content(path, 2), HasSubstr("/five"));  // written at the end
  EXPECT_EQ(counted.count, 5);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace holdfast::front
