#include "io/tls.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/test_certificates.h"

namespace holdfast::io {
namespace {

using Step = TlsSocket::Step;

struct Ends {
  Ends() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0); }
  ~Ends() {
    for (const int end : fd) {
      if (end >= 0) ::close(end);
    }
  }
  void close(int end) { ::close(std::exchange(fd[end], -1)); }
  int fd[2] = {-1, -1};
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() { certificates_.issue("server", "DNS:localhost,IP:127.0.0.1"); }

  TlsContext::Options server() const {
    return {.files = {.cert = certificates_.path("server.crt"), .key = certificates_.path("server.key"), .ca = ""}};
  }
  TlsContext::Options client() const { return {.files = {.cert = "", .key = "", .ca = certificates_.path("ca.crt")}, .is_server = false}; }

  // Both sides step until the client is done with its handshake or one has failed.
  static Step meet(TlsSocket& client, TlsSocket& server, ssize_t* server_read = nullptr) {
    char byte = 0;
    Step step = Step::wants_read;
    for (int i = 0; i < 50; ++i) {
      step = client.handshake();
      const auto got = server.receive(&byte, 1);
      if (server_read != nullptr) *server_read = got;
      if (step == Step::failed) return step;
      if (got < 0 && errno != EAGAIN) return Step::failed;
      if (step == Step::done && i > 3) return step;
    }
    return step;
  }

  TestCertificates certificates_;
};

TEST_F(TlsTest, BytesArriveAsTheyWereSentWhateverTheirPieces) {
  const auto a = *TlsContext::make(server());
  const auto b = *TlsContext::make(client());
  Ends ends;
  const auto from = b->connect(ends.fd[1], "localhost");
  const auto to = a->accept(ends.fd[0]);
  ASSERT_EQ(meet(*from, *to), Step::done) << from->why() << to->why();

  std::mt19937 random(7);
  std::string sent;
  std::string received;
  std::string left;  // of what is to be sent now
  int waits = 0;
  while (received.size() < 3'000'000) {
    if (left.empty() && sent.size() < 3'000'000) {
      left.resize(random() % 100'000 + 1);
      for (char& c : left) c = static_cast<char>(random());
      sent += left;
    }
    // After EAGAIN the same bytes come from elsewhere and cut otherwise at the end, as an answer's rest does.
    std::string moved = left;
    const auto cut = moved.size() < 3 ? 0 : random() % std::min<std::size_t>(moved.size(), 300);
    const iovec pieces[] = {{moved.data(), cut}, {moved.data() + cut, moved.size() - cut}, {nullptr, 0}};
    const auto n = from->send(pieces);
    if (n > 0) left.erase(0, static_cast<std::size_t>(n));
    if (n < 0) {
      ASSERT_EQ(errno, EAGAIN) << from->why();
      ++waits;
    }
    if (random() % 8 != 0) continue;  // the reader is slow
    std::vector<char> room(random() % 40'000 + 1);
    while (true) {
      const auto got = to->receive(room.data(), room.size());
      if (got <= 0) {
        ASSERT_TRUE(got < 0 && errno == EAGAIN) << to->why();
        break;
      }
      received.append(room.data(), static_cast<std::size_t>(got));
    }
  }
  EXPECT_TRUE(received == sent.substr(0, received.size()));
  EXPECT_GT(waits, 10);
}

TEST_F(TlsTest, TheEndIsTold) {
  const auto a = *TlsContext::make(server());
  const auto b = *TlsContext::make(client());
  Ends ends;
  const auto from = b->connect(ends.fd[1], "127.0.0.1");
  const auto to = a->accept(ends.fd[0]);
  ASSERT_EQ(meet(*from, *to), Step::done) << from->why() << to->why();
  from->shut();
  char byte = 0;
  EXPECT_EQ(to->receive(&byte, 1), 0);
}

TEST_F(TlsTest, AConnectionThatBreaksIsNotTakenForItsEnd) {
  const auto a = *TlsContext::make(server());
  const auto b = *TlsContext::make(client());
  Ends ends;
  const auto from = b->connect(ends.fd[1], "localhost");
  const auto to = a->accept(ends.fd[0]);
  ASSERT_EQ(meet(*from, *to), Step::done) << from->why() << to->why();
  ends.close(1);
  char byte = 0;
  EXPECT_EQ(to->receive(&byte, 1), -1);
  EXPECT_NE(errno, EAGAIN);
  iovec piece{&byte, 1};
  EXPECT_EQ(to->send({&piece, 1}), -1);  // and no SIGPIPE
}

TEST_F(TlsTest, AServerOfAnotherNameOrAuthorityIsRefused) {
  const auto a = *TlsContext::make(server());
  for (const char* host : {"elsewhere", "127.0.0.2"}) {
    const auto b = *TlsContext::make(client());
    Ends ends;
    const auto from = b->connect(ends.fd[1], host);
    const auto to = a->accept(ends.fd[0]);
    EXPECT_EQ(meet(*from, *to), Step::failed) << host;
    EXPECT_NE(from->why().find("mismatch"), std::string::npos) << from->why();
  }
  certificates_.make_authority("other");
  auto options = client();
  options.files.ca = certificates_.path("other.crt");
  for (const bool checks : {true, false}) {
    options.checks_server = checks;
    const auto b = *TlsContext::make(options);
    Ends ends;
    const auto from = b->connect(ends.fd[1], "localhost");
    const auto to = a->accept(ends.fd[0]);
    EXPECT_EQ(meet(*from, *to), checks ? Step::failed : Step::done);
  }
}

TEST_F(TlsTest, AServerWithAnAuthorityAnswersWhoHasItsCertificateOnly) {
  auto options = server();
  options.files.ca = certificates_.path("ca.crt");
  certificates_.issue("client", "");
  const auto a = *TlsContext::make(options);
  for (const bool has : {true, false}) {
    auto caller = client();
    if (has) {
      caller.files.cert = certificates_.path("client.crt");
      caller.files.key = certificates_.path("client.key");
    }
    const auto b = *TlsContext::make(caller);
    Ends ends;
    const auto from = b->connect(ends.fd[1], "localhost");
    const auto to = a->accept(ends.fd[0]);
    EXPECT_EQ(meet(*from, *to), has ? Step::done : Step::failed) << from->why() << to->why();
  }
}

TEST_F(TlsTest, PlainHttpIsKnown) {
  const auto a = *TlsContext::make(server());
  Ends ends;
  const auto to = a->accept(ends.fd[0]);
  ASSERT_GT(::send(ends.fd[1], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 0);
  char byte = 0;
  EXPECT_EQ(to->receive(&byte, 1), -1);
  EXPECT_TRUE(to->is_plain_http()) << to->why();
  EXPECT_EQ(to->receive(&byte, 1), -1);
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  auto options = server();
  options.version_min = kTls13;
  const auto a = *TlsContext::make(options);
  auto caller = client();
  caller.version_max = kTls12;
  const auto b = *TlsContext::make(caller);
  Ends ends;
  const auto from = b->connect(ends.fd[1], "localhost");
  const auto to = a->accept(ends.fd[0]);
  EXPECT_EQ(meet(*from, *to), Step::failed);
  EXPECT_EQ(*tls_version("", kTls12), kTls12);
  for (const char* text : {"1.3", "TLS 1.3", "TLSv1.3", "tls13", "TLS13"}) EXPECT_EQ(*tls_version(text, 0), kTls13) << text;
  for (const char* text : {"1.0", "TLS 1.1", "SSLv3", "x"}) EXPECT_FALSE(tls_version(text, 0)) << text;
}

TEST_F(TlsTest, NewFilesCountForNewConnectionsAndBadOnesForNone) {
  const auto a = *TlsContext::make(server());
  const auto b = *TlsContext::make(client());
  const auto works = [&] {
    Ends ends;
    const auto from = b->connect(ends.fd[1], "localhost");
    const auto to = a->accept(ends.fd[0]);
    return meet(*from, *to) == Step::done;
  };
  EXPECT_TRUE(works());
  { std::ofstream(certificates_.path("server.crt")) << "nothing"; }
  EXPECT_FALSE(a->read_again());
  EXPECT_TRUE(works());
  certificates_.make_authority("other");
  certificates_.issue("server", "DNS:localhost");
  EXPECT_TRUE(a->read_again());
  EXPECT_FALSE(works());  // signed by another now
}

TEST_F(TlsTest, WhatIsWrongWithFilesIsSaid) {
  auto options = server();
  options.files.cert = certificates_.path("missing.crt");
  auto made = TlsContext::make(options);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what().find("missing.crt: No such file or directory"), std::string::npos) << made.error().what();
  { std::ofstream(certificates_.path("junk.crt")) << "nothing"; }
  options.files.cert = certificates_.path("junk.crt");
  made = TlsContext::make(options);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what().find("junk.crt: is no PEM file"), std::string::npos) << made.error().what();
  options = server();
  certificates_.issue("stranger", "");
  options.files.key = certificates_.path("stranger.key");
  made = TlsContext::make(options);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().what().find("stranger.key"), std::string::npos);
  options = server();
  options.files.ca = certificates_.path("server.key");
  EXPECT_FALSE(TlsContext::make(options));
}

}  // namespace
}  // namespace holdfast::io
