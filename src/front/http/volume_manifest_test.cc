// Files in chunks through real routes (spec/weed-cluster 3.5, 3.7, 3.10).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/gzip.h"
#include "client/chunk_manifest.h"
#include "front/http/test_volume_server.h"

namespace holdfast::front {
namespace {

using namespace volume_test;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Headers kJson = {{"Content-Type", "application/json"}};
const Headers kOctets = {{"Content-Type", "application/octet-stream"}};
constexpr const char* kManifest = "/1,ff637037d6";

// Chunks in the given volumes, one after the other.
client::ChunkManifest cut(Server& server, const std::string& data, std::size_t piece, std::uint32_t volume = 1) {
  client::ChunkManifest manifest{.name = "big.bin", .mime = "video/mp4", .size = data.size()};
  for (std::size_t at = 0; at < data.size(); at += piece) {
    const FileId id{VolumeId(volume), NeedleId(at / piece + 1), Cookie(0x637037d6)};
    const auto bytes = data.substr(at, piece);
    EXPECT_EQ(server.put("/" + text(id), bytes, kOctets).status, 201);
    manifest.chunks.push_back({id, at, bytes.size()});
  }
  return manifest;
}

void store(Server& server, const client::ChunkManifest& manifest, const char* path = kManifest) {
  const auto stored = server.put(std::string(path) + "?cm=true&ts=1700000000", client::manifest_json(manifest), kJson);
  ASSERT_EQ(stored.status, 201) << stored.body;
}

class VolumeManifestTest : public ::testing::Test {
 protected:
  Server server_;
};

TEST_F(VolumeManifestTest, ReadersGetTheChunksAsOneFile) {
  const auto data = bytes(3'000'000);
  store(server_, cut(server_, data, 700'000));  // above and below what is read in one piece
  const auto read = server_.get(kManifest);
  EXPECT_EQ(read.status, 200);
  EXPECT_TRUE(read.body == data);
  EXPECT_EQ(read["X-File-Store"], "chunked");
  EXPECT_EQ(read["Content-Type"], "video/mp4");
  EXPECT_EQ(read["Content-Disposition"], "inline; filename=big.bin");
  EXPECT_EQ(read["Last-Modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
  EXPECT_EQ(read["Accept-Ranges"], "bytes");
  const auto raw = server_.get(std::string(kManifest) + "?cm=false");
  EXPECT_THAT(raw.body, StartsWith("{\"name\":\"big.bin\",\"mime\":\"video/mp4\",\"size\":3000000,\"chunks\":[{\"fid\":\"1,01637037d6\",\"offset\":0,"));
  EXPECT_EQ(raw["X-File-Store"], "-");
  EXPECT_EQ(read["Etag"], raw["Etag"]);
  EXPECT_EQ(server_.get(kManifest, {{"If-None-Match", read["Etag"]}}).status, 304);
  EXPECT_EQ(server_.get("/1/ff637037d6/other.css")["Content-Disposition"], "inline; filename=other.css");
  auto head = server_.ask("HEAD", kManifest);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head["Content-Length"], "3000000");
  EXPECT_EQ(head["X-File-Store"], "chunked");
}

TEST_F(VolumeManifestTest, RangesCrossTheSeams) {
  const auto data = bytes(1'000'000);
  store(server_, cut(server_, data, 300'000));
  const auto part = [&](const std::string& range) { return server_.get(kManifest, {{"Range", range}}); };
  for (const auto& [from, to] : {std::pair{0u, 0u}, {299'999u, 300'000u}, {300'000u, 599'999u}, {10u, 999'999u}, {599'990u, 900'010u}}) {
    const auto read = part("bytes=" + std::to_string(from) + "-" + std::to_string(to));
    EXPECT_EQ(read.status, 206);
    EXPECT_TRUE(read.body == data.substr(from, to - from + 1)) << from;
    EXPECT_EQ(read["Content-Range"], "bytes " + std::to_string(from) + "-" + std::to_string(to) + "/1000000");
  }
  EXPECT_TRUE(part("bytes=-5").body == data.substr(999'995));
  EXPECT_EQ(part("bytes=1000000-").body, "");
  EXPECT_EQ(part("bytes=1000001-").status, 416);
  EXPECT_EQ(part("bytes=1000001-").body, "invalid range\n");
  const auto several = part("bytes=1-2,299999-300001");
  EXPECT_EQ(several.status, 206);
  EXPECT_THAT(several["Content-Type"], StartsWith("multipart/byteranges; boundary="));
  EXPECT_THAT(several.body, HasSubstr("Content-Range: bytes 1-2/1000000\r\nContent-Type: video/mp4\r\n\r\n" + data.substr(1, 2) + "\r\n--"));
  EXPECT_THAT(several.body, HasSubstr("\r\n\r\n" + data.substr(299'999, 3) + "\r\n--"));
  EXPECT_EQ(part("bytes=0-999999,0-1").body.size(), data.size());
}

TEST_F(VolumeManifestTest, MayItselfBePackedAndSoMayItsChunks) {
  std::string prose;
  for (int i = 0; i < 30'000; ++i) prose += "the quick brown fox jumps " + std::to_string(i % 7) + "\n";
  client::ChunkManifest manifest{.size = prose.size()};
  for (std::size_t at = 0; at < prose.size(); at += 400'000) {
    const FileId id{VolumeId(1), NeedleId(at / 400'000 + 1), Cookie(0x637037d6)};
    const auto piece = prose.substr(at, 400'000);
    ASSERT_EQ(server_.put("/" + text(id), piece, {{"Content-Type", "text/plain"}}).status, 201);
    manifest.chunks.push_back({id, at, piece.size()});
  }
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Accept-Encoding", "gzip"}})["Content-Encoding"], "gzip");  // stored so
  server_.service->holders = {{.url = "127.0.0.1:" + std::to_string(server_.port)}};
  // As upstream's clients send it: a form, which the server packs, since it looks like text.
  std::string long_name(200, 'n');
  manifest.name = long_name + long_name + ".txt";
  const auto form = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: application/json\r\n\r\n" +
                    client::manifest_json(manifest) + "\r\n--B--\r\n";
  const auto stored = server_.ask("POST", std::string(kManifest) + "?cm=true", form, {{"Content-Type", "multipart/form-data; boundary=B"}});
  EXPECT_EQ(stored.status, 201);
  EXPECT_THAT(stored.body, Not(HasSubstr("mime")));
  EXPECT_EQ(server_.get(std::string(kManifest) + "?cm=false", {{"Accept-Encoding", "gzip"}})["Content-Encoding"], "gzip");
  const auto read = server_.get(kManifest, {{"Accept-Encoding", "gzip"}});
  EXPECT_TRUE(read.body == prose);
  EXPECT_EQ(read["Content-Encoding"], "-");
  EXPECT_EQ(read["Content-Type"], "text/plain; charset=utf-8");  // by its name
  EXPECT_TRUE(server_.get(kManifest, {{"Range", "bytes=399990-400010"}}).body == prose.substr(399'990, 21));
}

TEST_F(VolumeManifestTest, WhatIsNoManifestIsSentAsItIs) {
  for (const char* data : {"no json", "[1,2]", "{\"name\":7}"}) {
    server_.put("/1,02637037d6?cm=true", data, {{"Content-Type", "a/b"}});
    const auto read = server_.get("/1,02637037d6");
    EXPECT_EQ(read.status, 200);
    EXPECT_EQ(read.body, data);
    EXPECT_EQ(read["Content-Type"], "a/b");
    EXPECT_EQ(read["X-File-Store"], "-");
    const auto removed = server_.ask("DELETE", "/1,02637037d6");
    EXPECT_EQ(removed.status, 500);
    EXPECT_THAT(removed.body, StartsWith("{\"error\":\"Load chunks manifest error: "));
  }
  EXPECT_EQ(server_.ask("DELETE", "/1,02637037d6?cm=false").status, 202);  // the way out
  server_.put("/1,03637037d6?cm=true", "{}", kJson);
  const auto empty = server_.get("/1,03637037d6");
  EXPECT_EQ(empty.status, 200);
  EXPECT_EQ(empty["Content-Length"], "0");
}

TEST_F(VolumeManifestTest, AChunkThatIsMissingOrOfAnotherSizeIsToldBeforeAnythingIsSent) {
  const auto data = bytes(300);
  auto manifest = cut(server_, data, 100);
  const auto answer = [&](const client::ChunkManifest& stored) {
    server_.put(std::string(kManifest) + "?cm=true", client::manifest_json(stored), kJson);
    return server_.get(kManifest);
  };
  auto other = manifest;
  other.chunks[0].id = {VolumeId(9), NeedleId(1), Cookie(1)};
  auto missing = answer(other);
  EXPECT_EQ(missing.status, 500);
  EXPECT_EQ(missing.body, "File Not Found\n");
  EXPECT_EQ(missing["Content-Type"], "text/plain; charset=utf-8");
  other = manifest;
  other.chunks[0].id.cookie = Cookie(7);
  EXPECT_EQ(answer(other).body, "File Not Found\n");
  other = manifest;
  other.chunks = {{manifest.chunks[0].id, 0, 300}};
  EXPECT_THAT(answer(other).body, HasSubstr("holds 100 bytes, not 300"));
  other = manifest;
  other.chunks[1].offset = 101;
  EXPECT_THAT(answer(other).body, HasSubstr("a hole from 100"));
  other = manifest;
  other.size = 301;
  EXPECT_EQ(answer(other).status, 500);
}

TEST_F(VolumeManifestTest, AChunkThatIsMissingInTheMiddleBreaksTheAnswerOff) {
  const auto data = bytes(900'000);
  auto manifest = cut(server_, data, 300'000);
  manifest.chunks[2].id.key = NeedleId(99);
  store(server_, manifest);
  Client client(server_.port);
  client.send(std::string("GET ") + kManifest + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_head(), HasSubstr("Content-Length: 900000"));
  EXPECT_EQ(client.read_to_end().size(), 600'000u);  // and closed, so the client notices
}

TEST_F(VolumeManifestTest, ManifestsInManifestsAreReadAndDeletedUpToADepth) {
  server_.service->holders = {{.url = "127.0.0.1:" + std::to_string(server_.port)}};
  const auto data = bytes(1000);
  store(server_, cut(server_, data, 400), "/1,a0637037d6");
  const auto around = [&](unsigned inner) {
    return client::ChunkManifest{.size = 1000, .chunks = {{{VolumeId(1), NeedleId(inner), Cookie(0x637037d6)}, 0, 1000}}};
  };
  for (unsigned key = 0xa0; key < 0xa4; ++key) {
    char path[32];
    std::snprintf(path, sizeof path, "/1,%x637037d6", key + 1);
    store(server_, around(key), path);
  }
  EXPECT_TRUE(server_.get("/1,a3637037d6").body == data);
  EXPECT_TRUE(server_.get("/1,a3637037d6", {{"Range", "bytes=399-401"}}).body == data.substr(399, 3));
  EXPECT_EQ(server_.get("/1,a4637037d6").status, 500);
  EXPECT_EQ(server_.ask("DELETE", "/1,a4637037d6").status, 500);
  EXPECT_TRUE(server_.get("/1,a0637037d6").body == data) << "nothing was deleted";
  EXPECT_EQ(server_.ask("DELETE", "/1,a3637037d6").status, 202);
  for (const char* gone : {"/1,01637037d6", "/1,03637037d6", "/1,a0637037d6", "/1,a2637037d6", "/1,a3637037d6"}) {
    EXPECT_EQ(server_.get(gone).status, 404) << gone;
  }
  // Circles.
  store(server_, around(0xb1), "/1,b0637037d6");
  store(server_, around(0xb0), "/1,b1637037d6");
  EXPECT_EQ(server_.get("/1,b0637037d6").status, 500);
  EXPECT_EQ(server_.ask("DELETE", "/1,b0637037d6").status, 500);
  store(server_, around(0xc0), "/1,c0637037d6");
  EXPECT_EQ(server_.get("/1,c0637037d6").status, 500);
  EXPECT_EQ(server_.ask("DELETE", "/1,c0637037d6").status, 202);  // names itself only
}

TEST_F(VolumeManifestTest, IsDeletedWithItsChunksOrNotAtAll) {
  const auto data = bytes(1'000'000);
  auto manifest = cut(server_, data, 30'000);
  store(server_, manifest);
  EXPECT_EQ(server_.ask("DELETE", "/1,05637037d6").status, 202);  // a chunk that is gone already is fine
  EXPECT_EQ(server_.ask("DELETE", "/1,ff00000000").status, 400);  // a wrong cookie deletes nothing
  EXPECT_EQ(server_.get("/1,01637037d6").status, 200);
  const auto removed = server_.ask("DELETE", kManifest);
  EXPECT_EQ(removed.status, 202);
  EXPECT_EQ(removed.body, "{\"size\":1000000}");
  EXPECT_EQ(server_.get(kManifest).status, 404);
  for (const auto& chunk : manifest.chunks) EXPECT_EQ(server_.get("/" + text(chunk.id)).status, 404);

  const client::ChunkManifest lost{.size = 5, .chunks = {{{VolumeId(9999), NeedleId(1), Cookie(1)}, 0, 5}}};
  server_.put("/1,fe637037d6?cm=true", client::manifest_json(lost), kJson);
  const auto refused = server_.ask("DELETE", "/1,fe637037d6");
  EXPECT_EQ(refused.status, 500);
  EXPECT_THAT(refused.body, StartsWith("{\"error\":\"Delete chunks error: chunk delete 9999,0100000001: "));
  EXPECT_EQ(server_.get("/1,fe637037d6?cm=false").status, 200);
}

TEST(VolumeManifest, ChunksOnOtherServersAreFetchedAndDeletedThere) {
  Server holder;
  Server server;
  ASSERT_TRUE(holder.real->allocate({.id = VolumeId(7)}, std::nullopt).ok());
  const auto data = bytes(2'000'000);
  const auto manifest = cut(holder, data, 600'000, 7);
  store(server, manifest);
  // A holder that is dead is followed by one that lives.
  server.service->holders = {{.url = "127.0.0.1:9"}, {.url = "127.0.0.1:" + std::to_string(holder.port)}};
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(server.get(kManifest).body == data);
  EXPECT_TRUE(server.get(kManifest, {{"Range", "bytes=599999-1200000"}}).body == data.substr(599'999, 600'002));
  EXPECT_EQ(server.ask("DELETE", kManifest).status, 202);
  for (const auto& chunk : manifest.chunks) EXPECT_EQ(holder.get("/" + text(chunk.id)).status, 404);
}

TEST(VolumeManifest, ChunksAreAskedForWithATokenOfTheServer) {
  Server holder;
  Server server;
  ASSERT_TRUE(holder.real->allocate({.id = VolumeId(7)}, std::nullopt).ok());
  const auto data = bytes(500'000);
  store(server, cut(holder, data, 200'000, 7));
  server.service->holders = {{.url = "127.0.0.1:" + std::to_string(holder.port)}};
  for (auto* keys : {&holder.jwt, &server.jwt}) {
    keys->read.set({.key = "reads"});
    keys->write.set({.key = "writes"});
  }
  EXPECT_EQ(holder.get("/7,01637037d6").status, 401);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(server.clock.wall().time_since_epoch()).count();
  const Headers reads = {{"Authorization", "Bearer " + server.jwt.read.sign("1,ff637037d6", now)}};
  const Headers writes = {{"Authorization", "Bearer " + server.jwt.write.sign("1,ff637037d6", now)}};
  EXPECT_EQ(server.get(kManifest).status, 401);
  EXPECT_TRUE(server.get(kManifest, reads).body == data);
  EXPECT_EQ(server.ask("DELETE", kManifest).status, 401);
  EXPECT_EQ(server.ask("DELETE", kManifest, "", writes).status, 202);
  holder.jwt.read.set({});
  EXPECT_EQ(holder.get("/7,01637037d6").status, 404);
}

// Sends the first `bytes` of what it was asked for and goes away.
class CutShort {
 public:
  CutShort(std::string data, std::size_t cut) : data_(std::move(data)), cut_(cut), server_(loops_, handler_) {
    handler_.owner = this;
    port = *server_.listen("127.0.0.1", 0);
  }
  std::uint16_t port = 0;
  std::atomic<int> asked{0};

 private:
  struct Handler : http::Handler {
    CutShort* owner = nullptr;
    void serve(http::Exchange& exchange) override { owner->send(exchange); }
  };
  Task send(http::Exchange& exchange) {
    ++asked;
    exchange.head(200);
    exchange.begin(data_.size());
    const std::string_view piece = std::string_view(data_).substr(0, cut_);
    co_await exchange.write(piece);
    exchange.abort();
  }
  const std::string data_;
  const std::size_t cut_;
  Handler handler_;
  io::EventLoops loops_{1, "cut"};
  http::Server server_;
};

TEST(VolumeManifest, AServerThatDiesInTheMiddleOfAChunkIsFollowedByTheNext) {
  Server holder;
  Server server;
  ASSERT_TRUE(holder.real->allocate({.id = VolumeId(7)}, std::nullopt).ok());
  const auto data = bytes(500'000);
  store(server, cut(holder, data, 500'000, 7));
  CutShort dying(data, 200'000);
  const volume::Location good{.url = "127.0.0.1:" + std::to_string(holder.port)};
  for (int i = 0; i < 10 || dying.asked == 0; ++i) {
    server.service->holders = {{.url = "127.0.0.1:" + std::to_string(dying.port)}, good};
    EXPECT_TRUE(server.get(kManifest).body == data);
  }
  // What it sent before was not what the other has: no mending.
  CutShort lying(bytes(500'000, 2), 200'000);
  while (lying.asked == 0) {
    server.service->holders = {{.url = "127.0.0.1:" + std::to_string(lying.port)}, good};
    Client client(server.port);
    client.send(std::string("GET ") + kManifest + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.read_head();
    EXPECT_TRUE(client.read_to_end().size() < data.size() || lying.asked == 0);
  }
}

}  // namespace
}  // namespace holdfast::front
