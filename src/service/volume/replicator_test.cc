#include "service/volume/replicator.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "io/posix/disk.h"

namespace holdfast::volume {
namespace {

// Listens on a port of its own; `url` becomes its address.
int listen_here(std::string& url) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener, 4), 0);
  socklen_t length = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  url = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  return listener;
}

// Whether a whole request came.
bool take_request(int peer, std::string& request) {
  std::size_t wanted = std::string::npos;
  char piece[65536];
  while (request.size() < wanted) {
    const auto got = ::recv(peer, piece, sizeof piece, 0);
    if (got <= 0) return false;
    request.append(piece, static_cast<std::size_t>(got));
    const auto end = request.find("\r\n\r\n");
    if (wanted == std::string::npos && end != std::string::npos) {
      const auto length = request.find("Content-Length: ");
      wanted = end + 4 + (length < end ? std::stoull(request.substr(length + 16)) : 0);
    }
  }
  return true;
}

// Takes one request on a socket of its own, keeps it, and gives a fixed answer.
class OneRequest {
 public:
  explicit OneRequest(std::string answer) : answer_(std::move(answer)) {
    listener_ = listen_here(url_);
    thread_ = std::thread([this] { run(); });
  }
  ~OneRequest() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  const std::string& url() const { return url_; }
  // Call only after the answer has come back.
  const std::string& request() const { return request_; }

 private:
  void run() {
    const int peer = ::accept(listener_, nullptr, nullptr);
    if (peer < 0) return;
    take_request(peer, request_);
    if (::send(peer, answer_.data(), answer_.size(), MSG_NOSIGNAL) < 0) request_.clear();
    ::close(peer);
  }

  const std::string answer_;
  int listener_ = -1;
  std::string url_;
  std::string request_;
  std::thread thread_;
};

// Answers the first request of its first connection, swallows the second one and closes, as a server does whose idle
// timeout ends in the very moment a request comes. Requests on the next connection are answered again.
class ClosesInBetween {
 public:
  explicit ClosesInBetween(std::string answer) : answer_(std::move(answer)) {
    listener_ = listen_here(url_);
    thread_ = std::thread([this] {
      for (int connection = 0;; ++connection) {
        const int peer = ::accept(listener_, nullptr, nullptr);
        if (peer < 0) return;
        std::string taken;
        for (int request = 0; take_request(peer, taken); ++request, taken.clear()) {
          if (connection == 0 && request == 1) break;
          ++answered;
          if (::send(peer, answer_.data(), answer_.size(), MSG_NOSIGNAL) < 0) break;
        }
        ::close(peer);
      }
    });
  }
  ~ClosesInBetween() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  const std::string& url() const { return url_; }
  std::atomic<int> answered{0};

 private:
  const std::string answer_;
  int listener_ = -1;
  std::string url_;
  std::thread thread_;
};

std::string answer(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class ReplicatorTest : public ::testing::Test {
 protected:
  // "" when all took it.
  template <typename Send>
  std::string outcome(Send send) {
    std::mutex mutex;
    std::condition_variable condition;
    std::optional<Status> result;
    send([&](Status s) {
      std::lock_guard guard(mutex);
      result = std::move(s);
      condition.notify_all();
    });
    std::unique_lock guard(mutex);
    condition.wait(guard, [&] { return result.has_value(); });
    return result->ok() ? "" : result->error().what();
  }
  std::string write(const WriteRequest& request, const std::vector<std::string>& servers) {
    return outcome([&](Replicator::Done done) { replicator_.write(request, servers, std::move(done)); });
  }
  static WriteRequest hello() {
    WriteRequest request;
    request.id = FileId{VolumeId(3), NeedleId(1), Cookie(0x637037d6)};
    request.data = bytes_of("hello");
    request.name = "n n.txt";
    request.mime = "text/plain";
    request.last_modified = 1700000000;
    return request;
  }

  io::EventLoops loops_{1};
  client::HttpPool http_{loops_};
  WorkPool disk_pool_{1};
  Replicator replicator_{loops_, http_, disk_pool_};
};

TEST_F(ReplicatorTest, SendsWhatUpstreamsServersUnderstand) {
  OneRequest sibling(answer("201 Created", "{\"size\":5}"));
  auto request = hello();
  request.compressed = true;
  request.fsync = true;
  request.chunk_manifest = true;
  request.ttl_text = "3m";
  request.authorization = "Bearer x";
  const std::string name = "Seaweed-Owner";
  request.pair_headers = {{name, "me"}};
  EXPECT_EQ(write(request, {sibling.url()}), "");
  const auto& sent = sibling.request();
  const auto target = "/3,01637037d6?cm=true&fsync=true&ts=1700000000&ttl=3m&type=replicate";
  EXPECT_TRUE(sent.starts_with(std::string("POST ") + target + " HTTP/1.1\r\n")) << sent;
  EXPECT_NE(sent.find("\r\nAuthorization: Bearer x\r\n"), std::string::npos);
  EXPECT_NE(sent.find("\r\nSeaweed-Owner: me\r\n"), std::string::npos);
  EXPECT_NE(sent.find("Content-Disposition: form-data; filename=\"n n.txt\"; name=file\r\nContent-Encoding: gzip\r\n"
                      "Content-Type: text/plain\r\nIdempotency-Key: http://" + sibling.url() + target +
                      "\r\n\r\nhello\r\n--"),
            std::string::npos)
      << sent;
}

TEST_F(ReplicatorTest, TheTypeOctetStreamTravelsInAPlainBody) {
  OneRequest sibling(answer("201 Created", "{}"));
  auto request = hello();
  request.mime = "application/octet-stream";
  EXPECT_EQ(write(request, {sibling.url()}), "");
  EXPECT_TRUE(sibling.request().starts_with("PUT /3,01637037d6?ts=1700000000&ttl=&type=replicate "));
  EXPECT_TRUE(sibling.request().ends_with("\r\n\r\nhello"));
}

TEST_F(ReplicatorTest, ALineEndInANameForgesNoHeader) {
  OneRequest sibling(answer("201 Created", "{}"));
  auto request = hello();
  request.name = "a\r\nX-Evil: 1";
  EXPECT_EQ(write(request, {sibling.url()}), "");
  EXPECT_EQ(sibling.request().find("\nX-Evil"), std::string::npos);
}

TEST_F(ReplicatorTest, ASpooledBodyGoesByPieces) {
  std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-replicator-XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  auto spool = *Spool::make(io::posix::system_disk(), folder);
  std::filesystem::remove_all(folder);
  std::string data;
  while (data.size() < 1'000'000) data += std::to_string(data.size()) + " ";
  ASSERT_TRUE(spool->append(bytes_of(data)).ok());
  OneRequest sibling(answer("204 No Content", ""));
  auto request = hello();
  request.data = {};
  request.spool = spool;
  EXPECT_EQ(write(request, {sibling.url()}), "");
  EXPECT_NE(sibling.request().find(data), std::string::npos);
}

// A pooled connection that turns out to be closed fails no write: the same needle twice is the same needle once.
TEST_F(ReplicatorTest, AStaleConnectionFailsNoWrite) {
  ClosesInBetween sibling(answer("201 Created", "{}"));
  EXPECT_EQ(write(hello(), {sibling.url()}), "");
  EXPECT_EQ(write(hello(), {sibling.url()}), "");
  EXPECT_EQ(sibling.answered, 2);
}

TEST_F(ReplicatorTest, AStaleConnectionFailsNoSpooledWrite) {
  ClosesInBetween sibling(answer("201 Created", "{}"));
  EXPECT_EQ(write(hello(), {sibling.url()}), "");
  std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-replicator-XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  auto large = hello();
  large.data = {};
  const auto spool = *Spool::make(io::posix::system_disk(), folder);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(spool->append(bytes_of(std::string(1'000'000, 'x'))).ok());
  large.spool = spool;
  EXPECT_EQ(write(large, {sibling.url()}), "");
  EXPECT_EQ(sibling.answered, 2);
}

TEST_F(ReplicatorTest, EachFailedSiblingIsNamed) {
  OneRequest good(answer("201 Created", "{}"));
  OneRequest bad(answer("500 Internal Server Error", "{\"error\":\"volume 3 is read only\"}"));
  const auto trouble = write(hello(), {good.url(), bad.url()});
  EXPECT_EQ(trouble, "[" + bad.url() + "]: unmarshalled error http://" + bad.url() +
                         "/3,01637037d6?ts=1700000000&ttl=&type=replicate: volume 3 is read only");
}

TEST_F(ReplicatorTest, ASiblingThatIsGoneIsAnError) {
  std::string gone;
  {
    OneRequest closed("");
    gone = closed.url();
  }
  EXPECT_TRUE(write(hello(), {gone}).starts_with("[" + gone + "]: upload 3,01637037d6 5 bytes to http://" + gone));
}

TEST_F(ReplicatorTest, ADeletionOfWhatIsNotThereIsFine) {
  OneRequest sibling(answer("404 Not Found", "{\"size\":0}"));
  OneRequest bad(answer("500 Internal Server Error", "{\"error\":\"Deletion Failed: x\"}"));
  RemoveRequest request{.id = hello().id};
  EXPECT_EQ(outcome([&](Replicator::Done done) { replicator_.remove(request, {sibling.url()}, done); }), "");
  EXPECT_TRUE(sibling.request().starts_with("DELETE /3,01637037d6?type=replicate "));
  EXPECT_EQ(outcome([&](Replicator::Done done) { replicator_.remove(request, {bad.url()}, done); }),
            "[" + bad.url() + "]: Deletion Failed: x");
}

TEST_F(ReplicatorTest, ADeletionThatIsToBeOnDiskIsOnTheDisksOfTheCopiesToo) {
  OneRequest sibling(answer("202 Accepted", "{\"size\":9}"));
  const RemoveRequest request{.id = hello().id, .epoch = 5, .fsync = true};
  EXPECT_EQ(outcome([&](Replicator::Done done) { replicator_.remove(request, {sibling.url()}, done); }), "");
  EXPECT_TRUE(sibling.request().starts_with("DELETE /3,01637037d6?fsync=true&type=replicate&epoch=5 ")) << sibling.request();
}

}  // namespace
}  // namespace holdfast::volume
