// HTTPS: the server and the pool of connections, over TLS, with each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "client/http_pool.h"
#include "front/http/server.h"
#include "front/http/test_client.h"
#include "io/test_certificates.h"
#include "io/tls.h"

namespace holdfast::http {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Echo : public Handler {
 public:
  void serve(Exchange& exchange) override {
    if (exchange.request().path == "/echo") {
      echo(exchange);
    } else if (exchange.request().path == "/large") {
      exchange.head(200);
      exchange.finish(std::string(3 << 20, 'x'));
    } else {
      exchange.respond({200, {}, "hello"});
    }
  }

 private:
  // When all of it has come: a client that is answered earlier sends no more.
  Task echo(Exchange& exchange) {
    std::string all;
    while (true) {
      auto piece = co_await exchange.read_body();
      if (!piece) {
        exchange.respond({400, {}, piece.error().what()});
        co_return;
      }
      if (piece->empty()) break;
      all.append(text_of(*piece));
    }
    exchange.head(200);
    exchange.begin(all.size());
    for (std::string_view rest = all; !rest.empty(); rest.remove_prefix(std::min<std::size_t>(rest.size(), 70'000))) {
      if (auto sent = co_await exchange.write(rest.substr(0, 70'000)); !sent) break;
    }
    exchange.end();
  }
};

class ServerTlsTest : public testing::Test {
 protected:
  ServerTlsTest() {
    certificates_.issue("server", "IP:127.0.0.1");
    ServerOptions options;
    options.head_timeout = 300ms;
    options.tls = *io::TlsContext::make(
        {.files = {.cert = certificates_.path("server.crt"), .key = certificates_.path("server.key"), .ca = ""}});
    server_ = std::make_unique<Server>(loops_, routes_, options);
    port_ = *server_->listen("127.0.0.1", 0);
    client::HttpPool::Options pool;
    pool.tls = *io::TlsContext::make({.files = {.cert = "", .key = "", .ca = certificates_.path("ca.crt")}, .is_server = false});
    pool_ = std::make_unique<client::HttpPool>(loops_, pool);
  }

  client::HttpRequest request(std::string method, std::string target) const {
    client::HttpRequest made;
    made.method = std::move(method);
    made.authority = "127.0.0.1:" + std::to_string(port_);
    made.target = std::move(target);
    return made;
  }

  io::TestCertificates certificates_;
  io::EventLoops loops_{2, "test"};
  Echo routes_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::unique_ptr<client::HttpPool> pool_;
};

TEST_F(ServerTlsTest, SmallAndLargeBodiesGoBothWaysOverKeptConnections) {
  EXPECT_EQ(pool_->scheme(), "https");
  for (const std::size_t bytes : {0, 1, 4096, 16384, 16385, 100'000, 5'000'000}) {
    std::string body(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) body[i] = static_cast<char>(i * 7 + i / 251);
    auto echo = request("POST", "/echo");
    echo.body = {body};
    const auto answer = pool_->send_and_wait(echo);
    ASSERT_TRUE(answer) << answer.error().what();
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(answer->body == body) << bytes;
  }
  const auto large = pool_->send_and_wait(request("GET", "/large"));
  ASSERT_TRUE(large) << large.error().what();
  EXPECT_EQ(large->body, std::string(3 << 20, 'x'));
  EXPECT_LE(server_->connections(), 2u);  // one per loop that was asked on
}

TEST_F(ServerTlsTest, ManyAtOnce) {
  std::vector<std::future<void>> all;
  for (int i = 0; i < 16; ++i) {
    all.push_back(std::async(std::launch::async, [&, i] {
      for (int k = 0; k < 10; ++k) {
        const std::string body(static_cast<std::size_t>(i * 5000 + k), static_cast<char>('a' + i));
        auto echo = request("POST", "/echo");
        echo.body = {body};
        const auto answer = pool_->send_and_wait(echo);
        ASSERT_TRUE(answer) << answer.error().what();
        EXPECT_TRUE(answer->body == body);
      }
    }));
  }
  for (auto& one : all) one.get();
}

TEST_F(ServerTlsTest, WhoForgotTlsIsToldSo) {
  test::Client client(port_);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto head = client.read_head();
  EXPECT_THAT(head, StartsWith("HTTP/1.0 400 "));
  client::HttpPool plain(loops_, {.tls = nullptr});
  EXPECT_EQ(plain.scheme(), "http");
  const auto answer = plain.send_and_wait(request("GET", "/"));
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_EQ(answer->status, 400);
  EXPECT_THAT(answer->body, HasSubstr("HTTPS"));
}

TEST_F(ServerTlsTest, AHandshakeThatStandsStillIsEnded) {
  test::Client client(port_);
  client.send("\x16\x03\x01");
  EXPECT_FALSE(client.read_some());  // closed, long before the client's patience ends
}

TEST_F(ServerTlsTest, AServerWithoutTlsIsNamedAsThat) {
  Server plain(loops_, routes_, {});
  const auto port = *plain.listen("127.0.0.1", 0);
  auto hello = request("GET", "/");
  hello.authority = "127.0.0.1:" + std::to_string(port);
  const auto answer = pool_->send_and_wait(hello);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::unavailable);
  EXPECT_THAT(answer.error().what(), HasSubstr("https.master."));
}

TEST_F(ServerTlsTest, AnotherHostsCertificateIsNotTaken) {
  certificates_.issue("other", "DNS:other.example");
  ServerOptions options;
  options.tls = *io::TlsContext::make(
      {.files = {.cert = certificates_.path("other.crt"), .key = certificates_.path("other.key"), .ca = ""}});
  Server other(loops_, routes_, options);
  const auto port = *other.listen("127.0.0.1", 0);
  auto hello = request("POST", "/echo");
  hello.authority = "127.0.0.1:" + std::to_string(port);
  const auto answer = pool_->send_and_wait(hello);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::unavailable);  // nothing was sent
  EXPECT_THAT(answer.error().what(), HasSubstr("certificate"));
}

}  // namespace
}  // namespace holdfast::http
