#include "client/http_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/task.h"
#include "client/scripted_server.h"

namespace holdfast::client {
namespace {

using ::testing::HasSubstr;

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

HttpRequest get(const std::string& authority, const std::string& target = "/") {
  HttpRequest request;
  request.authority = authority;
  request.target = target;
  return request;
}

HttpRequest post(const std::string& authority, std::vector<std::string_view> body) {
  auto request = get(authority);
  request.method = "POST";
  request.body = std::move(body);
  return request;
}

class HttpPoolTest : public ::testing::Test {
 protected:
  io::EventLoops loops_{1, "test"};
};

TEST_F(HttpPoolTest, KeepsItsConnection) {
  ScriptedServer server([](const std::string& request) { return ok(request.substr(0, request.find('\r'))); });
  HttpPool pool(loops_);
  for (int i = 0; i < 10; ++i) {
    auto answer = pool.send_and_wait(get(server.authority(), "/x?y=" + std::to_string(i)));
    ASSERT_TRUE(answer.ok()) << answer.error().what();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "GET /x?y=" + std::to_string(i) + " HTTP/1.1");
  }
  EXPECT_EQ(server.connections, 1);
}

TEST_F(HttpPoolTest, SendsABodyInPiecesAndHeaders) {
  ScriptedServer server([](const std::string& request) { return ok(request); });
  HttpPool pool(loops_);
  auto request = post(server.authority(), {"abc", "", "def"});
  request.headers = {{"X-A", "1\r\nX-Forged: 2"}};
  auto answer = pool.send_and_wait(std::move(request));
  ASSERT_TRUE(answer.ok());
  EXPECT_THAT(answer->body, HasSubstr("POST / HTTP/1.1\r\nHost: " + server.authority() + "\r\nX-A: 1  X-Forged: 2\r\nContent-Length: 6\r\n\r\nabcdef"));
}

TEST_F(HttpPoolTest, ReadsChunkedBodiesAndBodiesThatEndWithTheConnection) {
  std::atomic<int> turn{0};
  ScriptedServer server([&](const std::string&) -> std::string {
    switch (turn++) {
      case 0: return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
      case 1: return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
      case 2: return "HTTP/1.0 200 OK\r\n\r\nuntil the end";
      default: return "";
    }
  });
  HttpPool pool(loops_);
  EXPECT_EQ(pool.send_and_wait(get(server.authority()))->body, "abcde");
  EXPECT_EQ(pool.send_and_wait(get(server.authority()))->status, 204);
  std::thread closing([&] {
    while (server.requests < 3) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    server.hang_up();
  });
  EXPECT_EQ(pool.send_and_wait(get(server.authority()))->body, "until the end");
  closing.join();
}

TEST_F(HttpPoolTest, TriesEveryAddressOfAName) {
  ScriptedServer server([](const std::string&) { return ok("x"); });  // on 127.0.0.1 only; localhost may be ::1 first
  HttpPool pool(loops_);
  auto answer = pool.send_and_wait(get("localhost:" + server.authority().substr(10)));
  ASSERT_TRUE(answer.ok()) << answer.error().what();
  auto nowhere = pool.send_and_wait(get("no-such-host.invalid:80"));
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code(), Code::unavailable);
}

TEST_F(HttpPoolTest, SaysUnavailableWhenNobodyListens) {
  std::string authority;
  {
    ScriptedServer server([](const std::string&) { return ""; });
    authority = server.authority();
  }
  HttpPool pool(loops_);
  auto answer = pool.send_and_wait(post(authority, {"x"}));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::unavailable);
  EXPECT_THAT(answer.error().what(), HasSubstr("connect"));
}

TEST_F(HttpPoolTest, SaysOutcomeUnknownWhenTheServerDiesBeforeItAnswers) {
  ScriptedServer server([](const std::string&) { return ""; });
  HttpPool pool(loops_);
  auto answer = pool.send_and_wait(post(server.authority(), {"x"}));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::outcome_unknown);
}

TEST_F(HttpPoolTest, NoticesAtOnceThatAnIdleConnectionWasClosed) {
  ScriptedServer server([](const std::string&) { return ok("x"); });
  HttpPool pool(loops_);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(pool.send_and_wait(post(server.authority(), {"x"})).ok());
    server.hang_up();
    std::this_thread::sleep_for(5ms);  // the FIN's way through the loopback
  }
  EXPECT_EQ(server.requests, 5);
  EXPECT_EQ(server.connections, 5);
}

TEST_F(HttpPoolTest, RepeatsAGetOnceWhenItsReusedConnectionBreaks) {
  std::atomic<int> turn{0};
  ScriptedServer server([&](const std::string&) { return ++turn == 2 ? std::string() : ok("x"); });
  HttpPool pool(loops_);
  EXPECT_TRUE(pool.send_and_wait(get(server.authority())).ok());
  EXPECT_TRUE(pool.send_and_wait(get(server.authority())).ok());
  EXPECT_EQ(server.requests, 3);
}

TEST_F(HttpPoolTest, DoesNotRepeatAPost) {
  std::atomic<int> turn{0};
  ScriptedServer server([&](const std::string&) { return ++turn == 2 ? std::string() : ok("x"); });
  HttpPool pool(loops_);
  EXPECT_TRUE(pool.send_and_wait(post(server.authority(), {"x"})).ok());
  auto second = pool.send_and_wait(post(server.authority(), {"x"}));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::outcome_unknown);
  EXPECT_EQ(server.requests, 2);
}

TEST_F(HttpPoolTest, GivesUpASilentServer) {
  ScriptedServer server([](const std::string&) {
    std::this_thread::sleep_for(300ms);
    return "";
  });
  HttpPool pool(loops_);
  auto request = get(server.authority());
  request.silence_timeout = 50ms;
  auto answer = pool.send_and_wait(std::move(request));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::outcome_unknown);
}

TEST_F(HttpPoolTest, BreaksConnectionsToAServerKnownToBeLost) {
  std::promise<void> asked;
  ScriptedServer server([&](const std::string&) {
    asked.set_value();
    std::this_thread::sleep_for(200ms);
    return "";
  });
  HttpPool pool(loops_);
  std::promise<Result<HttpAnswer>> promise;
  auto answer = promise.get_future();
  pool.send(post(server.authority(), {"x"}), [&](Result<HttpAnswer> result) { promise.set_value(std::move(result)); });
  asked.get_future().wait();
  pool.break_connections(server.authority());
  const auto result = answer.get();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::outcome_unknown);
  EXPECT_THAT(result.error().what(), HasSubstr("given up as lost"));
}

TEST_F(HttpPoolTest, RefusesAnAnswerThatIsNotHttpOrTooLarge) {
  ScriptedServer noise([](const std::string&) { return "SSH-2.0-OpenSSH\r\n\r\n"; });
  ScriptedServer large([](const std::string&) { return ok(std::string(100, 'x')); });
  HttpPool pool(loops_);
  EXPECT_EQ(pool.send_and_wait(get(noise.authority())).error().code(), Code::invalid);
  auto request = get(large.authority());
  request.answer_bytes_max = 99;
  EXPECT_EQ(pool.send_and_wait(std::move(request)).error().code(), Code::no_space);
  EXPECT_EQ(pool.send_and_wait(get(large.authority()))->body.size(), 100u);
}

TEST_F(HttpPoolTest, DestructionEndsWhatIsUnderWay) {
  std::promise<void> asked;
  ScriptedServer server([&](const std::string&) {
    asked.set_value();
    std::this_thread::sleep_for(100ms);
    return "";
  });
  std::atomic<bool> done{false};
  {
    HttpPool pool(loops_);
    pool.send(get(server.authority()), [&](Result<HttpAnswer> result) {
      EXPECT_FALSE(result.ok());
      done = true;
    });
    asked.get_future().wait();
  }
  EXPECT_TRUE(done);
}

TEST_F(HttpPoolTest, RunsManyRequestsAtOnce) {
  ScriptedServer server([](const std::string& request) { return ok(request.substr(0, request.find('\r'))); });
  HttpPool pool(loops_);
  std::atomic<int> good{0};
  std::atomic<int> all{0};
  for (int i = 0; i < 200; ++i) {
    pool.send(get(server.authority(), "/" + std::to_string(i)), [&, i](Result<HttpAnswer> answer) {
      if (answer && answer->body == "GET /" + std::to_string(i) + " HTTP/1.1") ++good;
      ++all;
    });
  }
  while (all < 200) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(good, 200);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(pool.send_and_wait(get(server.authority())).ok());
  EXPECT_LE(server.connections, 200);
}

struct Streamed {
  Status written;
  Result<HttpAnswer> answer = HttpAnswer();
  std::string body;
};

Task stream(HttpPool& pool, io::EventLoop& loop, HttpRequest request, std::optional<std::uint64_t> bytes, int pieces,
            std::promise<Streamed>& promise) {
  Streamed result;
  auto call = pool.open(loop, std::move(request), bytes);
  const std::string piece(1 << 20, 'p');
  for (int i = 0; i < pieces && result.written; ++i) result.written = co_await call->write(piece);
  result.answer = co_await call->answer();
  while (result.answer) {
    auto part = co_await call->read();
    if (!part || part->empty()) break;
    result.body.append(text_of(*part));
  }
  call.reset();
  promise.set_value(std::move(result));
}

TEST_F(HttpPoolTest, StreamsABodyInPieces) {
  ScriptedServer server([](const std::string& request) { return ok(std::to_string(request.size() - request.find("\r\n\r\n") - 4)); });
  HttpPool pool(loops_);
  for (int i = 0; i < 2; ++i) {
    std::promise<Streamed> promise;
    loops_.at(0).post([&] { stream(pool, loops_.at(0), post(server.authority(), {}), 8 << 20, 8, promise); });
    auto result = promise.get_future().get();
    EXPECT_TRUE(result.written.ok());
    ASSERT_TRUE(result.answer.ok());
    EXPECT_EQ(result.body, std::to_string(8 << 20));
  }
  EXPECT_EQ(server.connections, 1);
}

TEST_F(HttpPoolTest, HearsARefusalBeforeItsBodyIsSent) {
  ScriptedServer server([](const std::string&) {
    return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
  });
  HttpPool pool(loops_);
  std::promise<Streamed> promise;
  loops_.at(0).post([&] { stream(pool, loops_.at(0), post(server.authority(), {}), 200 << 20, 200, promise); });
  auto result = promise.get_future().get();
  ASSERT_FALSE(result.written.ok());
  EXPECT_EQ(result.written.error().code(), Code::outcome_unknown);
  ASSERT_TRUE(result.answer.ok()) << result.answer.error().what();
  EXPECT_EQ(result.answer->status, 401);
  EXPECT_EQ(result.body, "no");
}

}  // namespace
}  // namespace holdfast::client
