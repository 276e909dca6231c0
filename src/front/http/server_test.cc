#include "front/http/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "front/http/test_client.h"

namespace holdfast::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Answers by path; what each does stands in serve().
class Routes : public Handler {
 public:
  void serve(Exchange& exchange) override {
    const auto path = exchange.request().path;
    if (path == "/hello") {
      exchange.head(200).add("X-Peer", exchange.request().peer_ip);
      exchange.finish("hello");
    } else if (path == "/empty") {
      exchange.head(200);
      exchange.finish();
    } else if (path == "/none") {
      exchange.head(204);
      exchange.finish();
    } else if (path == "/forge") {
      exchange.head(200).add("X-Evil", "a\r\nX-Forged: 1");
      exchange.finish();
    } else if (path == "/later") {
      std::thread([&exchange] {
        exchange.loop().post([&exchange] { exchange.respond({200, {{"X-Late", "yes"}}, "later"}); });
      }).detach();
    } else if (path == "/echo") {
      echo(exchange);
    } else if (path == "/form") {
      exchange.read_all(1000, [&exchange](Result<std::string> body) {
        if (!body) {
          exchange.respond({body.error().code() == Code::no_space ? 413 : 400, {}, body.error().what()});
        } else {
          exchange.respond({200, {}, "got " + *body});
        }
      });
    } else if (path == "/big") {
      big(exchange, 64 << 20);
    } else if (path == "/large") {
      exchange.head(200);
      exchange.finish(std::string(3 << 20, 'x'));
    } else if (path == "/short") {
      short_of(exchange);
    } else if (path == "/half") {
      exchange.head(200);
      half(exchange);
    } else {
      exchange.respond({404, {}, "no such page"});
    }
  }

  std::atomic<int> errors{0};
  std::atomic<std::uint64_t> received{0};

 private:
  Task echo(Exchange& exchange) {
    exchange.head(200);
    exchange.begin(exchange.request().body_bytes);
    while (true) {
      auto piece = co_await exchange.read_body();
      if (!piece) {
        ++errors;
        exchange.abort();
        co_return;
      }
      if (piece->empty()) break;
      received += piece->size();
      auto sent = co_await exchange.write(*piece);
      if (!sent) break;
    }
    exchange.end();
  }

  Task big(Exchange& exchange, std::uint64_t bytes) {
    const std::string piece(64 << 10, 'b');
    exchange.head(200);
    exchange.begin(bytes);
    for (std::uint64_t sent = 0; sent < bytes; sent += piece.size()) {
      auto status = co_await exchange.write(std::string_view(piece));
      if (!status) {
        ++errors;
        break;
      }
    }
    exchange.end();
  }

  Task short_of(Exchange& exchange) {
    exchange.head(200);
    exchange.begin(10);
    co_await exchange.write(std::string_view("12345"));
    exchange.end();
  }

  Task half(Exchange& exchange) {
    exchange.begin(std::nullopt);
    co_await exchange.write(std::string_view("first "));
    co_await exchange.write(std::string_view("second"));
    exchange.end();
  }
};

class HttpServer : public ::testing::Test {
 protected:
  explicit HttpServer(ServerOptions options = {}) : server_(loops_, routes_, options) {
    auto port = server_.listen("127.0.0.1", 0);
    EXPECT_TRUE(port.ok());
    port_ = *port;
  }

  std::string ask(const std::string& request) {
    test::Client client(port_);
    client.send(request);
    return client.read_answer();
  }

  io::EventLoops loops_{2, "test"};
  Routes routes_;
  Server server_;
  std::uint16_t port_ = 0;
};

constexpr const char* kHost = "Host: x\r\n";

TEST_F(HttpServer, AnswersWithLengthAndDateAndKeepsTheConnection) {
  test::Client client(port_);
  for (int i = 0; i < 3; ++i) {
    client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto answer = client.read_answer();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 5\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nDate: "));
    EXPECT_THAT(answer, HasSubstr("\r\nX-Peer: 127.0.0.1\r\n"));
    EXPECT_THAT(answer, EndsWith("\r\n\r\nhello"));
  }
}

TEST_F(HttpServer, AnswersPipelinedRequestsInOrder) {
  test::Client client(port_);
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    requests += "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\n";
    requests += "POST /form HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  }
  client.send(requests);
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(client.read_answer(), EndsWith("\r\n\r\nhello"));
    EXPECT_THAT(client.read_answer(), EndsWith("\r\n\r\nlater"));
    EXPECT_THAT(client.read_answer(), EndsWith("\r\n\r\ngot abc"));
  }
}

TEST_F(HttpServer, TakesAHeadThatArrivesByteByByte) {
  test::Client client(port_);
  for (char c : std::string("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")) client.send(std::string(1, c));
  EXPECT_THAT(client.read_answer(), EndsWith("hello"));
}

TEST_F(HttpServer, SendsNoBodyOnHead) {
  test::Client client(port_);
  client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\nHEAD /half HTTP/1.1\r\nHost: x\r\n\r\nGET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_head(), HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(client.read_head(), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(client.read_answer(), HasSubstr("Content-Length: 0\r\n"));
}

TEST_F(HttpServer, SendsNoLengthWith204) {
  EXPECT_THAT(ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n"), Not(HasSubstr("Content-Length")));
}

TEST_F(HttpServer, DoesNotLetAValueForgeAHeader) {
  EXPECT_THAT(ask("GET /forge HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("X-Evil: a  X-Forged: 1\r\n"));
}

TEST_F(HttpServer, SpeaksHttp10) {
  test::Client client(port_);
  client.send("GET /half HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.read_to_end(), EndsWith("\r\n\r\nfirst second"));
  test::Client keeping(port_);
  keeping.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(keeping.read_answer(), HasSubstr("Connection: keep-alive\r\n"));
  keeping.send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_THAT(keeping.read_to_end(), HasSubstr("Connection: close\r\n"));
}

TEST_F(HttpServer, StreamsChunkedBothWays) {
  const auto answer = ask(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_THAT(answer, EndsWith("hello world"));
}

TEST_F(HttpServer, StreamsALargeBodyThrough) {
  test::Client client(port_);
  const std::size_t bytes = 20 << 20;
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n");
  std::thread writer([&] {
    const std::string piece(1 << 20, 'p');
    for (int i = 0; i < 20; ++i) client.send(piece);
  });
  const auto answer = client.read_answer();
  writer.join();
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, bytes);
}

TEST_F(HttpServer, FinishesALargeAnswerThoughTheClientIsSlowToRead) {
  test::Client client(port_);
  client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, std::size_t{3 << 20});
  EXPECT_THAT(client.read_answer(), EndsWith("hello"));
}

TEST_F(HttpServer, Sends100ContinueWhenTheBodyIsRead) {
  test::Client client(port_);
  client.send("POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  EXPECT_THAT(client.read_answer(), EndsWith("got abc"));
}

TEST_F(HttpServer, ClosesWhenABodyThatWasToldToWaitIsNotWanted) {
  const auto answer = ask("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
}

TEST_F(HttpServer, DropsASmallBodyThatNobodyReadsAndGoesOn) {
  test::Client client(port_);
  client.send("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_THAT(client.read_answer(), EndsWith("hello"));
  client.send(std::string(100000, 'x') + "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_answer(), EndsWith("hello"));
}

TEST_F(HttpServer, ClosesAfterALargeBodyThatNobodyReadsYetTheAnswerArrives) {
  test::Client client(port_);
  client.send("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + std::string(3000000, 'x'));
  EXPECT_THAT(client.read_to_end(), EndsWith("hello"));
}

TEST_F(HttpServer, RefusesABodyAboveTheLimitOfReadAll) {
  EXPECT_THAT(ask("POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(ask("POST /form HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x')),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(HttpServer, TellsTheHandlerOfATruncatedBody) {
  {
    test::Client client(port_);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this");
    client.shut();
    client.read_to_end();
  }
  while (routes_.errors == 0) std::this_thread::sleep_for(1ms);
  EXPECT_THAT(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("hello"));
}

// What speaks TLS, or nothing at all, would else wait for the head's timeout.
TEST_F(HttpServer, RefusesAtOnceWhatCannotBecomeARequest) {
  for (const std::string& garbage : {std::string("\x16\x03\x01\x02\x00\x01", 6), std::string("\0", 1), std::string(" GET /"), std::string("\r\n{")}) {
    test::Client client(port_);
    client.send(garbage);
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 400 "));
  }
}

// A client that has said its last still reads.
TEST_F(HttpServer, AnswersATruncatedBodyWith400AndCloses) {
  for (const std::string request : {"Content-Length: 100\r\n\r\nonly this", "Content-Length: 100\r\n\r\n",
                                    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                                    "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"}) {
    test::Client client(port_);
    client.send("POST /form HTTP/1.1\r\nHost: x\r\n" + request);
    client.shut();
    const auto answer = client.read_to_end();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 ")) << request;
    EXPECT_THAT(answer, EndsWith("unexpected EOF")) << request;
  }
}

TEST_F(HttpServer, AnswersAMalformedChunkWith400) {
  EXPECT_THAT(ask("POST /form HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
              StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpServer, BreaksTheConnectionWhenABodyIsShorterThanAnnounced) {
  EXPECT_THAT(ask("GET /short HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("\r\n\r\n12345"));
}

TEST_F(HttpServer, StopsWritingToAClientThatHasGone) {
  {
    test::Client client(port_);
    client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_some();
  }
  while (routes_.errors == 0) std::this_thread::sleep_for(1ms);
}

TEST_F(HttpServer, ListensOnIpv6AndOnAllAddresses) {
  auto port = server_.listen("", 0);
  ASSERT_TRUE(port.ok());
  test::Client v4(*port);
  v4.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(v4.read_answer(), HasSubstr("X-Peer: 127.0.0.1\r\n"));
  test::Client v6(*port, true);
  if (!v6.is_connected()) GTEST_SKIP() << "no IPv6 here";
  v6.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(v6.read_answer(), HasSubstr("X-Peer: ::1\r\n"));
}

TEST_F(HttpServer, RefusesAPortThatIsInUse) {
  auto again = server_.listen("127.0.0.1", port_);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), Code::already_exists);
  EXPECT_THAT(again.error().what(), HasSubstr("address already in use"));
}

TEST_F(HttpServer, StopLetsARunningRequestFinishAndBreaksASilentOne) {
  // The interim answers tell that both are being served.
  const std::string form = "POST /form HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  test::Client waiting(port_);
  waiting.send(form);
  waiting.read_head();
  test::Client silent(port_);
  silent.send(form);
  silent.read_head();
  silent.send("a");
  test::Client idle(port_);
  idle.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.read_answer();
  std::thread stopping([&] { server_.stop(300ms); });
  EXPECT_EQ(idle.read_to_end(), "");
  waiting.send("abc");
  EXPECT_THAT(waiting.read_to_end(), EndsWith("got abc"));
  silent.read_to_end();
  stopping.join();
  EXPECT_EQ(server_.connections(), 0u);
}

struct Bad {
  const char* what;
  std::string request;
  const char* answer;
};

class Malformed : public HttpServer, public ::testing::WithParamInterface<Bad> {};

TEST_P(Malformed, IsAnsweredAndClosedAndHarmsNobody) {
  test::Client client(port_);
  client.send(GetParam().request);
  EXPECT_THAT(client.read_to_end(), StartsWith(GetParam().answer)) << GetParam().what;
  EXPECT_THAT(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("hello"));
}

const std::string kGet = std::string("GET /hello HTTP/1.1\r\n") + kHost;

INSTANTIATE_TEST_SUITE_P(
    Corpus, Malformed,
    ::testing::Values(
        Bad{"noise", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), "HTTP/1.1 400"},
        Bad{"no version", "GET /hello\r\n\r\n", "HTTP/1.1 400"}, Bad{"blank", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
        Bad{"escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
        Bad{"half an escape", "GET /%2 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
        Bad{"relative", "GET hello HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
        Bad{"no host", "GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
        Bad{"two hosts", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
        Bad{"http 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505"},
        Bad{"folded", kGet + "A: b\r\n c\r\n\r\n", "HTTP/1.1 400"}, Bad{"blank before colon", kGet + "A : b\r\n\r\n", "HTTP/1.1 400"},
        Bad{"no colon", kGet + "nonsense\r\n\r\n", "HTTP/1.1 400"}, Bad{"empty name", kGet + ": b\r\n\r\n", "HTTP/1.1 400"},
        Bad{"control", kGet + "A: b\x01\r\n\r\n", "HTTP/1.1 400"}, Bad{"cr in value", kGet + "A: b\rc\r\n\r\n", "HTTP/1.1 400"},
        Bad{"bad length", kGet + "Content-Length: 1x\r\n\r\n", "HTTP/1.1 400"},
        Bad{"negative length", kGet + "Content-Length: -1\r\n\r\n", "HTTP/1.1 400"},
        Bad{"huge length", kGet + "Content-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 400"},
        Bad{"two lengths", kGet + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400"},
        Bad{"length and chunked", kGet + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400"},
        Bad{"coding", kGet + "Transfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 501"},
        Bad{"chunked 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400"},
        Bad{"expectation", kGet + "Expect: cake\r\n\r\n", "HTTP/1.1 417"},
        Bad{"many headers", kGet + []{ std::string h; for (int i = 0; i < 200; ++i) h += "A: b\r\n"; return h; }() + "\r\n", "HTTP/1.1 431"},
        Bad{"long line", "GET /" + std::string(70000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431"},
        Bad{"long header", kGet + "A: " + std::string(70000, 'a') + "\r\n\r\n", "HTTP/1.1 431"},
        Bad{"line ends only", std::string(70000, '\n'), "HTTP/1.1 431"}));

class ImpatientServer : public HttpServer {
 protected:
  ImpatientServer() : HttpServer({.idle_timeout = 100ms, .head_timeout = 100ms, .body_timeout = 100ms}) {}
};

TEST_F(ImpatientServer, ClosesASlowLorisWith408) {
  test::Client client(port_);
  client.send("GET /hello HT");
  EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 408"));
}

TEST_F(ImpatientServer, ClosesIdleConnectionsQuietly) {
  test::Client client(port_);
  EXPECT_EQ(client.read_to_end(), "");
  test::Client used(port_);
  used.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(used.read_to_end(), EndsWith("hello"));
}

TEST_F(ImpatientServer, GivesUpABodyThatDoesNotCome) {
  test::Client client(port_);
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  client.read_to_end();
  while (routes_.errors == 0) std::this_thread::sleep_for(1ms);
}

TEST_F(ImpatientServer, GivesUpAClientThatDoesNotRead) {
  test::Client client(port_);
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  while (routes_.errors == 0) std::this_thread::sleep_for(1ms);
}

// The kernel holds megabytes of an answer, and says that there is room for more only when a good part of them has gone.
TEST_F(ImpatientServer, IsPatientWithAClientThatReadsSlowlyButSteadily) {
  test::Client client(port_, false, 4096);
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  for (int i = 0; i < 50; ++i) {
    std::this_thread::sleep_for(20ms);
    client.read_to_size(2048);
  }
  EXPECT_EQ(routes_.errors, 0);
}

class SmallServer : public HttpServer {
 protected:
  SmallServer() : HttpServer({.connections_max = 4}) {}
};

TEST_F(SmallServer, MakesRoomByClosingTheConnectionIdleForLongest) {
  std::vector<std::unique_ptr<test::Client>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<test::Client>(port_));
    clients.back()->send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(clients.back()->read_answer(), EndsWith("hello"));
  }
  EXPECT_LE(server_.connections(), 8u);
  EXPECT_EQ(clients.front()->read_to_end(), "");
}

TEST(HttpDate, ReadsOnlyTheOneForm) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  EXPECT_FALSE(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sun, 31 Feb 1994 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date(""));
}

}  // namespace
}  // namespace holdfast::http
