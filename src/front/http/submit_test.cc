#include "front/http/submit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "front/http/master_routes.h"
#include "front/http/test_client.h"
#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "test/support/fake_master.h"

namespace holdfast::front {
namespace {

using master::Refusal;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A volume server that keeps what it was sent and answers as it is told.
class FakeVolume : public http::Handler {
 public:
  explicit FakeVolume(io::EventLoops& loops) : server_(std::make_unique<http::Server>(loops, *this)) {
    port_ = *server_->listen("127.0.0.1", 0);
  }
  ~FakeVolume() override { server_->stop(0s); }

  void serve(http::Exchange& exchange) override {
    exchange.read_all(64 << 20, [this, &exchange](Result<std::string> received) {
      const std::lock_guard lock(mutex);
      if (!received.ok()) {
        ++broken;
        return exchange.abort();
      }
      target = exchange.request().target;
      type = exchange.request().header("Content-Type");
      body = *received;
      exchange.respond({status, {{"Content-Type", "application/json"}}, answer});
    });
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  std::mutex mutex;
  int status = 201;
  std::string answer = R"({"name":"C:\\dir\\a.txt","size":12,"eTag":"0e3b1f2a"})";
  std::string target, type, body;
  int broken = 0;

 private:
  std::unique_ptr<http::Server> server_;
  std::uint16_t port_ = 0;
};

class SubmitTest : public ::testing::Test {
 protected:
  SubmitTest()
      : volume(loops),
        routes({master, pool, loops, clock, random, white_list, registry}, {.submit_bytes_max = 1 << 20, .forward = {.wait = 100ms}}),
        server(std::make_unique<http::Server>(loops, routes)) {
    port = *server->listen("127.0.0.1", 0);
    master.lead("127.0.0.1:" + std::to_string(port));
    master.add_volume(3, volume.address());
  }
  ~SubmitTest() override { server->stop(0s); }

  std::string send(const std::string& method, const std::string& target, const std::string& headers, const std::string& body) {
    http::test::Client client(port);
    client.send(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.read_to_end();
  }

  io::EventLoops loops{2};
  FakeVolume volume;
  test::FakeMaster master;
  client::HttpPool pool{loops};
  io::posix::SystemClock clock;
  io::posix::SystemRandom random;
  WhiteList white_list;
  metrics::Registry registry;
  MasterRoutes routes;
  std::unique_ptr<http::Server> server;
  std::uint16_t port = 0;
};

const std::string kMultipart = "Content-Type: multipart/form-data; boundary=B\r\n";
const std::string kBody = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello, world\r\n--B--\r\n";

TEST_F(SubmitTest, AssignsUploadsAndTellsWhereTheFileIs) {
  const auto answer = send("POST", "/submit?ttl=3m&collection=c", kMultipart, kBody);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n{\"eTag\":\"0e3b1f2a\",\"fid\":\"3,01637037d6\",\"fileName\":\"a.txt\",\"fileUrl\":\"" +
                                volume.address() + "/3,01637037d6\",\"size\":12}"));
  const std::lock_guard lock(volume.mutex);
  EXPECT_EQ(volume.target, "/3,01637037d6?ttl=3m");
  EXPECT_EQ(volume.type, "multipart/form-data; boundary=B");
  EXPECT_EQ(volume.body, kBody);
  EXPECT_EQ(master.with([](auto& m) { return m.assign_params["collection"]; }), "c");
}

TEST_F(SubmitTest, TakesARawBodyToo) {
  const auto answer = send("POST", "/submit", "Content-Type: application/octet-stream\r\n", std::string(900000, 'x'));
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 201"), HasSubstr("\"fileName\":\"submit\"")));
  const std::lock_guard lock(volume.mutex);
  EXPECT_EQ(volume.body, std::string(900000, 'x'));
}

TEST_F(SubmitTest, SaysWhatIsWrongInUpstreamsWords) {
  EXPECT_THAT(send("PUT", "/submit", kMultipart, kBody), AllOf(StartsWith("HTTP/1.1 405"), HasSubstr(R"({"error":"Only submit via POST!"})")));
  EXPECT_THAT(send("POST", "/submit", "", kBody),
              AllOf(StartsWith("HTTP/1.1 400"), HasSubstr(R"({"error":"request Content-Type isn't multipart/form-data"})")));
  EXPECT_THAT(send("POST", "/submit", "Content-Type: multipart/form-data\r\n", kBody),
              AllOf(StartsWith("HTTP/1.1 400"), HasSubstr(R"({"error":"no multipart boundary param in Content-Type"})")));
  EXPECT_THAT(send("POST", "/submit?count=x", kMultipart, kBody),
              AllOf(StartsWith("HTTP/1.1 400"), HasSubstr(R"({"error":"strconv.ParseUint: parsing \"x\": invalid syntax"})")));
  EXPECT_EQ(master.with([](auto& m) { return m.assigns; }), 0u);
}

TEST_F(SubmitTest, RefusesWhatIsTooLargeAlsoWhenItIsNotAnnounced) {
  EXPECT_THAT(send("POST", "/submit", kMultipart, std::string((1 << 20) + 1, 'x')), StartsWith("HTTP/1.1 413"));
  EXPECT_EQ(master.with([](auto& m) { return m.assigns; }), 0u);

  http::test::Client client(port);
  client.send("POST /submit HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) client.send("10000\r\n" + std::string(0x10000, 'x') + "\r\n");
  EXPECT_THAT(client.read_head(), StartsWith("HTTP/1.1 413"));
  const std::lock_guard lock(volume.mutex);
  EXPECT_EQ(volume.body, "");  // the volume server saw a body that broke off
}

TEST_F(SubmitTest, AnAssignThatFailsHasTheTextOfTheRpc) {
  master.with([](auto& m) { m.refusal = Refusal{Refusal::Kind::not_acceptable, "no free volumes left"}; });
  EXPECT_THAT(send("POST", "/submit", kMultipart, kBody),
              AllOf(StartsWith("HTTP/1.1 500"), HasSubstr(R"({"error":"rpc error: code = Unknown desc = no free volumes left"})")));
}

TEST_F(SubmitTest, WithoutALeaderSaysWhatIsGoingOn) {
  master.lose_leader();
  EXPECT_THAT(send("POST", "/submit", kMultipart, kBody),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("Retry-After: 1"), HasSubstr("no leading master")));
}

TEST_F(SubmitTest, HandsOnWhatTheVolumeServerSays) {
  volume.status = 500;
  volume.answer = R"({"error":"no space left"})";
  EXPECT_THAT(send("POST", "/submit", kMultipart, kBody), AllOf(StartsWith("HTTP/1.1 500"), HasSubstr(R"({"error":"no space left"})")));
  volume.status = 400;
  volume.answer = R"({"error":"multipart: NextPart: EOF"})";
  EXPECT_THAT(send("POST", "/submit", kMultipart, "--"), AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("multipart: NextPart: EOF")));
}

TEST_F(SubmitTest, AClientThatGoesAwayLeavesNoHalfFile) {
  {
    http::test::Client client(port);
    client.send("POST /submit HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 1000\r\n\r\nhalf");
  }
  for (int i = 0; i < 1000; ++i) {
    const std::lock_guard lock(volume.mutex);
    if (volume.broken > 0) break;
    std::this_thread::sleep_for(2ms);
  }
  const std::lock_guard lock(volume.mutex);
  EXPECT_EQ(volume.broken, 1);
  EXPECT_EQ(volume.body, "");
}

TEST_F(SubmitTest, AFollowerAsksTheLeaderForTheFileId) {
  test::FakeMaster here;
  MasterRoutes other({here, pool, loops, clock, random, white_list, registry}, {});
  http::Server follower(loops, other);
  const auto leader_port = port;
  port = *follower.listen("127.0.0.1", 0);
  here.follow("127.0.0.1:" + std::to_string(leader_port));
  const auto answer = send("POST", "/submit?count=2&collection=a%26b", kMultipart, kBody);
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 201"), HasSubstr("\"fid\":\"3,01637037d6\"")));
  EXPECT_EQ(master.with([](auto& m) { return m.assign_params["collection"]; }), "a&b");
  follower.stop(0s);
}

}  // namespace
}  // namespace holdfast::front
