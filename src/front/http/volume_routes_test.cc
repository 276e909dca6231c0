// The volume server's routes over a real store in a temporary folder, through a real socket (spec/weed-cluster 3).
#include "front/http/volume_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <fstream>
#include <future>
#include <thread>

#include "base/gzip.h"
#include "front/http/test_volume_server.h"
#include "service/volume/upkeep.h"

namespace holdfast::front {
namespace {

using http::test::Client;
using namespace volume_test;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string md5_of(const std::string& data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(data.data(), data.size(), digest, &length, EVP_md5(), nullptr);
  unsigned char text[64];
  return {reinterpret_cast<char*>(text), static_cast<std::size_t>(EVP_EncodeBlock(text, digest, static_cast<int>(length)))};
}

std::string form(const std::string& headers, const std::string& data) {
  return "--B\r\n" + headers + "\r\n\r\n" + data + "\r\n--B--\r\n";
}
const Headers kForm = {{"Content-Type", "multipart/form-data; boundary=B"}};

class VolumeRoutesTest : public ::testing::Test {
 protected:
  Server server_;
};

TEST_F(VolumeRoutesTest, StoresARawFileAndGivesItBack) {
  const auto data = bytes(1000);
  auto stored = server_.put("/1,01637037d6", data, {{"Content-Type", "application/octet-stream"}});
  EXPECT_EQ(stored.status, 201) << stored.body;
  EXPECT_EQ(stored.body, "{\"name\":\"1,01637037d6\",\"size\":1000,\"eTag\":\"" + stored["Etag"].substr(1, 8) +
                             "\",\"mime\":\"application/octet-stream\"}");
  EXPECT_EQ(stored["Content-MD5"], "");
  EXPECT_EQ(stored["Content-Type"], "application/json");
  EXPECT_EQ(stored["X-Content-Type-Options"], "nosniff");

  auto read = server_.get("/1,01637037d6");
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read.body, data);
  EXPECT_EQ(read["Etag"], stored["Etag"]);
  EXPECT_EQ(read["Server"], "SeaweedFS Volume 30GB 4.44");
  EXPECT_THAT(read["X-Amz-Request-Id"], ::testing::MatchesRegex("[0-9A-F]+"));
  EXPECT_EQ(read["X-Amz-Request-Id"].size(), 24u);
  EXPECT_EQ(read["Accept-Ranges"], "bytes");
  EXPECT_EQ(read["Content-Disposition"], "inline; filename=\"1,01637037d6\"");
  EXPECT_EQ(read["Content-Type"], "application/octet-stream");  // sniffed
  EXPECT_NE(read["Last-Modified"], "-");

  auto head = server_.ask("HEAD", "/1,01637037d6");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head["Content-Length"], "1000");
  EXPECT_EQ(head["Content-Type"], "-");
  EXPECT_EQ(head["Etag"], stored["Etag"]);
}

TEST_F(VolumeRoutesTest, AnswersTheSameBytesAgainWith204AndAnotherCookieWith500) {
  EXPECT_EQ(server_.put("/1,0163703700", "abc", {{"Content-Type", "a/b"}}).status, 201);
  auto again = server_.put("/1,0163703700", "abc", {{"Content-Type", "x/y"}});
  EXPECT_EQ(again.status, 204);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(again["Etag"], server_.get("/1,0163703700")["Etag"]);
  EXPECT_EQ(again["Content-Length"], "-");
  auto other = server_.put("/1,0100000001", "other");
  EXPECT_EQ(other.status, 500);
  EXPECT_EQ(other.body, "{\"error\":\"failed to write to local disk: mismatching cookie 1\"}");
  EXPECT_EQ(server_.get("/1,0100000001").status, 404);
}

TEST_F(VolumeRoutesTest, TakesTheNameOfARawFileFromContentDisposition) {
  server_.put("/1,01637037d6", "x", {{"Content-Disposition", "attachment; filename=\"dir/my file.css\""}});
  auto read = server_.get("/1,01637037d6");
  EXPECT_EQ(read["Content-Disposition"], "inline; filename=\"my file.css\"");
  EXPECT_EQ(read["Content-Type"], "text/css; charset=utf-8");
}

TEST_F(VolumeRoutesTest, StoresTheFirstPartOfAForm) {
  auto stored = server_.ask("POST", "/1,01637037d6?ts=1700000000",
                            form("Content-Disposition: form-data; name=\"file\"; filename=\"my photo.txt\"\r\nContent-Type: text/html", "<p>hi</p>"), kForm);
  EXPECT_EQ(stored.status, 201) << stored.body;
  EXPECT_THAT(stored.body, StartsWith("{\"name\":\"my photo.txt\",\"size\":9,\"eTag\":\""));
  EXPECT_THAT(stored.body, EndsWith("\",\"mime\":\"text/html\"}"));
  auto read = server_.get("/1,01637037d6");
  EXPECT_EQ(read.body, "<p>hi</p>");
  EXPECT_EQ(read["Content-Type"], "text/html");
  EXPECT_EQ(read["Last-Modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
  EXPECT_EQ(server_.get("/1,01637037d6?dl=true")["Content-Disposition"], "attachment; filename=\"my photo.txt\"");
  EXPECT_EQ(server_.get("/1,01637037d6?dl=maybe")["Content-Disposition"], "inline; filename=\"my photo.txt\"");
}

// As upstream's clients ask for fsync when they also give a time: all of it is the value of ts, and that is no time.
TEST_F(VolumeRoutesTest, AQueryWithTwoQuestionMarksIsATimeThatCannotBeRead) {
  const auto seconds_now = [&] { return std::chrono::duration_cast<std::chrono::seconds>(server_.clock.wall().time_since_epoch()).count(); };
  const auto before = seconds_now();
  const auto data = bytes(1024);
  const auto stored = server_.ask("POST", "/1,01637037d6?ts=1700000000?fsync=true",
                                  form("Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: image/bench", data), kForm);
  const auto after = seconds_now();
  EXPECT_EQ(stored.status, 201) << stored.body;
  EXPECT_THAT(stored.body, StartsWith("{\"name\":\"f\",\"size\":1024,"));
  const auto read = server_.get("/1,01637037d6");
  EXPECT_EQ(read.body, data);
  EXPECT_EQ(read["Content-Type"], "image/bench");
  const auto found = server_.real->upkeep()->sender().needle(VolumeId(1), NeedleId(1));
  ASSERT_TRUE(found.ok()) << found.error().what();
  EXPECT_GE(found->needle.last_modified, static_cast<std::uint64_t>(before));
  EXPECT_LE(found->needle.last_modified, static_cast<std::uint64_t>(after));
}

TEST_F(VolumeRoutesTest, PrefersALaterPartThatHasAFileName) {
  const std::string body = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfield\r\n--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n"
                           "second\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\nthe file\r\n--B\r\n"
                           "Content-Disposition: form-data; name=\"g\"; filename=\"g.bin\"\r\n\r\nanother\r\n--B--\r\n";
  EXPECT_EQ(server_.ask("POST", "/1,01637037d6", body, kForm).status, 201);
  EXPECT_EQ(server_.get("/1,01637037d6").body, "the file");
  EXPECT_EQ(server_.ask("POST", "/1,02637037d6", form("Content-Disposition: form-data; name=\"a\"", "only a field"), kForm).status, 201);
  EXPECT_EQ(server_.get("/1,02637037d6").body, "only a field");
}

TEST_F(VolumeRoutesTest, RefusesFormsThatAreNone) {
  const auto error = [&](const std::string& body, const Headers& headers) {
    auto answer = server_.ask("POST", "/1,01637037d6", body, headers);
    EXPECT_EQ(answer.status, 400);
    return answer.body;
  };
  EXPECT_EQ(error("abc", {}), "{\"error\":\"request Content-Type isn't multipart/form-data\"}");
  EXPECT_EQ(error("abc", {{"Content-Type", "multipart/form-data"}}), "{\"error\":\"no multipart boundary param in Content-Type\"}");
  EXPECT_EQ(error("", kForm), "{\"error\":\"multipart: NextPart: EOF\"}");
  EXPECT_EQ(error("abc", kForm), "{\"error\":\"multipart: NextPart: EOF\"}");
  EXPECT_EQ(error("--B\r\nContent-Disposition: form-data; filename=a\r\n\r\ncut sho", kForm), "{\"error\":\"unexpected EOF\"}");
  EXPECT_EQ(server_.get("/1,01637037d6").status, 404);
}

TEST_F(VolumeRoutesTest, StoresAUrlEncodedPostInsteadOfLosingIt) {
  EXPECT_EQ(server_.ask("POST", "/1,01637037d6", "a=1&b=2", {{"Content-Type", "application/x-www-form-urlencoded"}}).status, 201);
  EXPECT_EQ(server_.get("/1,01637037d6").body, "a=1&b=2");
}

TEST_F(VolumeRoutesTest, ReadsEveryFormOfAPath) {
  server_.put("/1,01637037d6.txt", "abc", {{"Content-Type", "a/b"}});
  for (const char* path : {"/1,01637037d6", "/1,01637037d6.jpg", "/1/01637037d6", "/1/01637037d6.jpg", "/1/01637037d6/",
                           "/1/01637037d6/my.jpg", "/1%2C01637037d6", "/1%2F01637037D6", "/1,0001637037D6", "/4294967297,01637037d6"}) {
    EXPECT_EQ(server_.get(path).body, "abc") << path;
  }
  EXPECT_EQ(server_.get("/1/01637037d6/n.css")["Content-Disposition"], "inline; filename=n.css");
  EXPECT_EQ(server_.get("/1/01637037d6/")["Content-Disposition"], "inline; filename=\"1,01637037d6.txt\"");
  for (const char* path : {"/abc", "/1", "/1,01637037d6/my.jpg", "/dir/1,01637037d6", "/a/b/c/d", "/a/b/c/d,e", "/stats/counter", "/1,zz", "/1,01637037zz"}) {
    auto answer = server_.get(path);
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_EQ(answer.body, "") << path;
    EXPECT_EQ(answer["Content-Type"], "-") << path;
  }
  EXPECT_EQ(server_.get("/99,01637037d6").status, 404);
}

TEST_F(VolumeRoutesTest, SendsUncleanPathsToTheCleanOne) {
  auto answer = server_.get("//1,01637037d6?a=b&c=d");
  EXPECT_EQ(answer.status, 307);
  EXPECT_EQ(answer["Location"], "/1,01637037d6?a=b&c=d");
  EXPECT_EQ(answer.body, "<a href=\"/1,01637037d6?a=b&amp;c=d\">Temporary Redirect</a>.\n\n");
  EXPECT_EQ(server_.get("/a/../1,01637037d6")["Location"], "/1,01637037d6");
}

TEST_F(VolumeRoutesTest, RefusesBadIdsOfWritesInGosWords) {
  const std::pair<const char*, const char*> rows[] = {
      {"/abc,01637037d6", "strconv.ParseUint: parsing \\\"abc\\\": invalid syntax"},
      {"/99999999999999999999,01637037d6", "strconv.ParseUint: parsing \\\"99999999999999999999\\\": value out of range"},
      {"/1,zz", "Invalid fid: zz"},
      {"/1", "Invalid fid: /1"},
      {"/1,0163703_1", "KeyHash is too short."},
      {"/1,01637037d601637037d601637037d6", "KeyHash is too long."},
      {"/1,zz637037d6", "Parse needleId error: needle id zz format error: strconv.ParseUint: parsing \\\"zz\\\": invalid syntax"},
      {"/6/32ec3df618", "Parse needleId error: needle id /6/32 format error: strconv.ParseUint: parsing \\\"/6/32\\\": invalid syntax"},
      {"/1,01zz7037d6", "Parse cookie error: needle cookie zz7037d6 format error: strconv.ParseUint: parsing \\\"zz7037d6\\\": invalid syntax"},
      {"/1,01637037d6_x", "strconv.ParseUint: parsing \\\"x\\\": invalid syntax"},
      {"/1,01637037d6?a=%zz", "invalid URL escape \\\"%zz\\\""},
      {"/1,01637037d6?a;b", "invalid semicolon separator in query"},
  };
  for (const auto& [path, text] : rows) {
    auto answer = server_.put(path, "x");
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_EQ(answer.body, std::string("{\"error\":\"") + text + "\"}") << path;
  }
  EXPECT_EQ(server_.put("/1,zz?pretty=y", "x").body, "{\n  \"error\": \"Invalid fid: zz\"\n}");
}

TEST_F(VolumeRoutesTest, HonoursConditions) {
  server_.put("/1,01637037d6?ts=1700000000", "abc", {{"Content-Type", "a/b"}});
  const auto etag = server_.get("/1,01637037d6")["Etag"];
  const auto status = [&](const Headers& headers) { return server_.get("/1,01637037d6", headers).status; };
  EXPECT_EQ(status({{"If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"}}), 304);
  EXPECT_EQ(status({{"If-Modified-Since", "Tue, 14 Nov 2023 22:13:19 GMT"}}), 200);
  EXPECT_EQ(status({{"If-Modified-Since", "yesterday"}}), 200);
  EXPECT_EQ(status({{"If-None-Match", etag}}), 304);
  EXPECT_EQ(status({{"If-None-Match", "*"}}), 200);
  EXPECT_EQ(status({{"If-None-Match", "W/" + etag}}), 200);
  EXPECT_EQ(status({{"If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"}, {"If-None-Match", "\"other\""}}), 304);
  auto unchanged = server_.get("/1,01637037d6", {{"If-None-Match", etag}});
  EXPECT_EQ(unchanged["Last-Modified"], "Tue, 14 Nov 2023 22:13:20 GMT");
  EXPECT_EQ(unchanged["Etag"], "-");
  EXPECT_EQ(unchanged["Content-Type"], "-");
  EXPECT_EQ(unchanged["Content-Length"], "-");
}

TEST_F(VolumeRoutesTest, ReadsTheFirstOfAHeaderThatComesTwice) {
  const auto etag = server_.put("/1,01637037d6", "0123456789", {{"Content-Type", "a/b"}})["Etag"];
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=0-0"}, {"Range", "bytes=1-1"}}).body, "0");
  EXPECT_EQ(server_.get("/1,01637037d6", {{"If-None-Match", etag}, {"If-None-Match", "\"x\""}}).status, 304);
  server_.put("/1,02637037d6", std::string(1000, 'x'), {{"Content-Type", "text/plain"}});
  EXPECT_EQ(server_.get("/1,02637037d6", {{"Accept-Encoding", "gzip"}, {"Accept-Encoding", "br"}})["Content-Encoding"], "gzip");
}

TEST_F(VolumeRoutesTest, LetsTheQueryOverrideHeaders) {
  server_.put("/1,01637037d6", "abc", {{"Content-Type", "a/b"}});
  auto answer = server_.get("/1,01637037d6?response-content-type=x%2Fy&Response-Cache-Control=no-store&response-content-disposition=d&"
                            "response-content-language=de&response-expires=never&response-content-encoding=e");
  EXPECT_EQ(answer["Content-Type"], "x/y");
  EXPECT_EQ(answer["Cache-Control"], "no-store");
  EXPECT_EQ(answer["Content-Disposition"], "d");
  EXPECT_EQ(answer["Content-Language"], "de");
  EXPECT_EQ(answer["Expires"], "never");
  EXPECT_EQ(answer["Content-Encoding"], "e");
}

TEST_F(VolumeRoutesTest, KeepsPairsAndGivesThemBackAsHeaders) {
  server_.put("/1,01637037d6", "abc", {{"seaweed-lower-case", "x<y"}, {"Seaweed-Owner", "me"}, {"Seaweed-Owner", "you"},
                                       {"Seaweed-Content-Length", "1"}, {"Seaweed-Transfer-Encoding", "chunked"}, {"Content-Type", "a/b"}});
  auto answer = server_.get("/1,01637037d6");
  EXPECT_EQ(answer["Owner"], "me");
  EXPECT_EQ(answer["Lower-Case"], "x<y");
  EXPECT_EQ(answer["Content-Length"], "3");
  EXPECT_EQ(answer["Transfer-Encoding"], "-");
  EXPECT_EQ(answer.body, "abc");
}

TEST_F(VolumeRoutesTest, PairsReplaceHeadersOfTheirNameHoweverManyThereAre) {
  std::vector<std::pair<std::string, std::string>> pairs = {{"Seaweed-Etag", "mine"}, {"Seaweed-Accept-Ranges", "lies"}};
  const std::string value(70, 'v');
  for (int i = 10; i < 50; ++i) pairs.emplace_back("Seaweed-Pair-" + std::to_string(i), value + std::to_string(i));
  ASSERT_EQ(server_.put("/1,01637037d6", "abc", pairs).status, 201);
  auto answer = server_.get("/1,01637037d6?response-content-type=x/y");
  EXPECT_EQ(answer["Etag"], "mine");
  EXPECT_EQ(answer["Accept-Ranges"], "bytes");
  EXPECT_EQ(answer["Content-Type"], "x/y");
  EXPECT_NE(answer["Last-Modified"], "-");
  for (int i = 10; i < 50; ++i) EXPECT_EQ(answer["Pair-" + std::to_string(i)], value + std::to_string(i));
  EXPECT_EQ(answer.body, "abc");
}

TEST_F(VolumeRoutesTest, ChecksContentMd5) {
  auto good = server_.put("/1,01637037d6", "data", {{"Content-MD5", md5_of("data")}});
  EXPECT_EQ(good.status, 201);
  EXPECT_EQ(good["Content-MD5"], md5_of("data"));
  EXPECT_THAT(good.body, EndsWith(",\"contentMd5\":\"" + md5_of("data") + "\"}"));
  auto bad = server_.put("/1,02637037d6", "data", {{"Content-MD5", "nonsense"}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, "{\"error\":\"Content-MD5 did not match md5 of file data expected [nonsense] received [" + md5_of("data") + "] size 4\"}");
  EXPECT_EQ(server_.get("/1,02637037d6").status, 404);
  const auto packed = gzip::compress(bytes_of("plain text"));
  EXPECT_EQ(server_.put("/1,03637037d6", packed, {{"Content-Encoding", "gzip"}, {"Content-MD5", md5_of("plain text")}}).status, 201);
  EXPECT_EQ(server_.ask("POST", "/1,04637037d6", form("Content-Disposition: form-data; filename=a\r\nContent-MD5: " + md5_of("x"), "x"), kForm).status, 201);
}

TEST_F(VolumeRoutesTest, KeepsAnEmptyFile) {
  auto stored = server_.put("/1,01637037d6", "");
  EXPECT_EQ(stored.status, 201);
  EXPECT_EQ(stored.body, "{\"name\":\"1,01637037d6\",\"eTag\":\"00000000\"}");
  auto read = server_.get("/1,01637037d6");
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read["Etag"], "\"00000000\"");
  EXPECT_EQ(read["Content-Length"], "0");
  EXPECT_EQ(read["Accept-Ranges"], "bytes");
  for (const char* absent : {"Last-Modified", "Content-Type", "Content-Disposition"}) EXPECT_EQ(read[absent], "-") << absent;
  EXPECT_EQ(server_.get("/1,01637037d6", {{"If-None-Match", "\"00000000\""}}).status, 304);
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=0-"}})["Content-Range"], "bytes 0--1/0");
  EXPECT_EQ(server_.get("/1/01637037d6/n.css")["Content-Disposition"], "inline; filename=n.css");
}

TEST_F(VolumeRoutesTest, CompressesTextAndUnpacksItForThoseWhoCannot) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "compress me, please " + std::to_string(i) + "\n";
  auto stored = server_.put("/1,01637037d6", text, {{"Content-Type", "text/plain"}});
  EXPECT_THAT(stored.body, HasSubstr("\"size\":" + std::to_string(text.size())));
  auto plain = server_.get("/1,01637037d6");
  EXPECT_EQ(plain.body, text);
  EXPECT_EQ(plain["Content-Encoding"], "-");
  auto packed = server_.get("/1,01637037d6", {{"Accept-Encoding", "br, gzip;q=0"}});
  EXPECT_EQ(packed["Content-Encoding"], "gzip");
  EXPECT_EQ(packed.body.substr(0, 10), std::string("\x1f\x8b\x08\0\0\0\0\0\x04\xff", 10));
  EXPECT_EQ(*gzip::decompress(bytes_of(packed.body), 1 << 20), text);
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=10-19"}}).body, text.substr(10, 10));
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=0-1"}, {"Accept-Encoding", "gzip"}}).body, "\x1f\x8b");

  EXPECT_EQ(server_.put("/1,02637037d6", text, {{"Content-Type", "application/json"}}).status, 201);
  EXPECT_EQ(server_.get("/1,02637037d6", {{"Accept-Encoding", "gzip"}})["Content-Encoding"], "-");
  // A form's part that says only octet-stream is looked into.
  server_.ask("POST", "/1,03637037d6", form("Content-Disposition: form-data; filename=noext\r\nContent-Type: application/octet-stream", text), kForm);
  EXPECT_EQ(server_.get("/1,03637037d6", {{"Accept-Encoding", "gzip"}})["Content-Encoding"], "gzip");
  // A copy from a sibling is stored as it comes.
  server_.ask("POST", "/1,04637037d6?type=replicate", form("Content-Disposition: form-data; filename=a.txt", text), kForm);
  EXPECT_EQ(server_.get("/1,04637037d6", {{"Accept-Encoding", "gzip"}})["Content-Encoding"], "-");
}

// A few stored bytes may be many plain ones: those are not for a loop to unpack.
TEST_F(VolumeRoutesTest, UnpacksWhatIsMuchLargerThanItsStream) {
  for (const std::size_t size : {256u << 10, (256u << 10) + 1, 20u << 20}) {
    const std::string plain(size, ' ');
    server_.put("/1,01637037d6", plain, {{"Content-Type", "text/plain"}});
    EXPECT_TRUE(server_.get("/1,01637037d6").body == plain) << size;
    EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=-5"}}).body, "     ") << size;
    EXPECT_EQ(server_.ask("HEAD", "/1,01637037d6")["Content-Length"], std::to_string(size));
    EXPECT_EQ(server_.ask("DELETE", "/1,01637037d6").status, 202);
  }
}

TEST_F(VolumeRoutesTest, KeepsGzipInputAsItIs) {
  const auto packed = gzip::compress(bytes_of(std::string(100000, 'a')));
  auto stored = server_.put("/1,01637037d6", packed, {{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}});
  EXPECT_THAT(stored.body, HasSubstr("\"size\":100000"));
  EXPECT_EQ(server_.get("/1,01637037d6").body, std::string(100000, 'a'));
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Accept-Encoding", "gzip"}}).body, packed);
  // Said to be gzip, and is not: stored and sent as it came.
  EXPECT_THAT(server_.put("/1,02637037d6", "not gzip", {{"Content-Encoding", "gzip"}, {"Content-Type", "a/b"}}).body, HasSubstr("\"size\":8"));
  auto read = server_.get("/1,02637037d6", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ(read.body, "not gzip");
  EXPECT_EQ(read["Content-Encoding"], "-");
}

class Ranges : public VolumeRoutesTest, public ::testing::WithParamInterface<std::size_t> {};

TEST_P(Ranges, AreCutOutOfFilesOfAnySize) {
  const auto size = GetParam();
  const auto data = bytes(size);
  const auto total = std::to_string(size);
  ASSERT_EQ(server_.put("/1,01637037d6", data, {{"Content-Type", "a/b"}}).status, 201);
  EXPECT_EQ(server_.get("/1,01637037d6").body, data);
  EXPECT_EQ(server_.ask("HEAD", "/1,01637037d6", "", {{"Range", "bytes=0-1"}})["Content-Length"], total);
  const auto range = [&](const std::string& value) { return server_.get("/1,01637037d6", {{"Range", value}}); };
  auto middle = range("bytes=100-5000");
  EXPECT_EQ(middle.status, 206);
  EXPECT_EQ(middle["Content-Range"], "bytes 100-5000/" + total);
  EXPECT_EQ(middle.body, data.substr(100, 4901));
  EXPECT_EQ(range("bytes=-7").body, data.substr(size - 7));
  EXPECT_EQ(range("bytes=" + std::to_string(size / 2) + "-").body, data.substr(size / 2));
  auto at_end = range("bytes=" + total + "-");
  EXPECT_EQ(at_end.status, 206);
  EXPECT_EQ(at_end["Content-Range"], "bytes " + total + "-" + std::to_string(size - 1) + "/" + total);
  EXPECT_EQ(at_end.body, "");
  auto bad = range("bytes=" + std::to_string(size + 1) + "-");
  EXPECT_EQ(bad.status, 416);
  EXPECT_EQ(bad.body, "invalid range\n");
  EXPECT_EQ(bad["Content-Range"], "-");
  EXPECT_EQ(bad["X-Content-Type-Options"], "nosniff");
  EXPECT_EQ(bad["Content-Type"], "text/plain; charset=utf-8");
  EXPECT_NE(bad["Etag"], "-");
  EXPECT_EQ(bad["Accept-Ranges"], "bytes");

  auto several = range("bytes=0-1,10-12");
  EXPECT_EQ(several.status, 206);
  const auto type = several["Content-Type"];
  ASSERT_THAT(type, ::testing::MatchesRegex("multipart/byteranges; boundary=[0-9a-f]+"));
  const auto mark = type.substr(type.find('=') + 1);
  EXPECT_EQ(mark.size(), 60u);
  EXPECT_EQ(several.body, "--" + mark + "\r\nContent-Range: bytes 0-1/" + total + "\r\nContent-Type: a/b\r\n\r\n" + data.substr(0, 2) +
                              "\r\n--" + mark + "\r\nContent-Range: bytes 10-12/" + total + "\r\nContent-Type: a/b\r\n\r\n" +
                              data.substr(10, 3) + "\r\n--" + mark + "--\r\n");
  // More than all of it is the whole file, not nothing.
  auto all = range("bytes=0-,0-");
  EXPECT_EQ(all.status, 200);
  EXPECT_EQ(all.body, data);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Ranges, ::testing::Values(10240, 300'000, 5'000'000));

TEST_F(VolumeRoutesTest, SpoolsLargeUploadsOfEitherForm) {
  const auto data = bytes(5'000'000);
  EXPECT_EQ(server_.put("/1,01637037d6", data, {{"Content-Type", "a/b"}, {"Content-MD5", md5_of(data)}}).status, 201);
  EXPECT_EQ(server_.service->spools, 1);
  EXPECT_EQ(server_.get("/1,01637037d6").body, data);
  EXPECT_EQ(server_.ask("POST", "/1,02637037d6", form("Content-Disposition: form-data; filename=a.bin", data), kForm).status, 201);
  EXPECT_EQ(server_.get("/1,02637037d6").body, data);
  EXPECT_EQ(server_.put("/1,01637037d6", data, {{"Content-Type", "a/b"}}).status, 204);
}

TEST_F(VolumeRoutesTest, CompressesLargeTextAndUnpacksItPieceByPiece) {
  std::string text;
  while (text.size() < 30'000'000) text += "line " + std::to_string(text.size() * 2654435761u) + " of a long text\n";
  EXPECT_THAT(server_.put("/1,01637037d6", text, {{"Content-Type", "text/plain"}}).body, HasSubstr("\"size\":" + std::to_string(text.size())));
  auto plain = server_.get("/1,01637037d6");
  EXPECT_EQ(plain["Content-Length"], std::to_string(text.size()));
  EXPECT_TRUE(plain.body == text);
  EXPECT_TRUE(server_.get("/1,01637037d6", {{"Range", "bytes=20000000-20001000"}}).body == text.substr(20000000, 1001));
  auto packed = server_.get("/1,01637037d6", {{"Accept-Encoding", "gzip"}});
  EXPECT_LT(packed.body.size(), text.size() / 2);
  EXPECT_TRUE(*gzip::decompress(bytes_of(packed.body), 1 << 30) == text);
  EXPECT_EQ(server_.ask("HEAD", "/1,01637037d6")["Content-Length"], std::to_string(text.size()));
}

TEST_F(VolumeRoutesTest, ReadsWhatIsNotInThePageCache) {
  const auto small = bytes(1000);
  const auto large = bytes(2'000'000);
  server_.put("/1,01637037d6", small, {{"Content-Type", "a/b"}});
  server_.put("/1,02637037d6", large, {{"Content-Type", "a/b"}});
  server_.service->slow = true;
  EXPECT_EQ(server_.get("/1,01637037d6").body, small);
  EXPECT_TRUE(server_.get("/1,02637037d6").body == large);
  EXPECT_EQ(server_.get("/1,03637037d6").status, 404);
}

TEST_F(VolumeRoutesTest, NeverSendsACorruptFileWhole) {
  const auto small = bytes(1000);
  const auto large = bytes(2'000'000);
  server_.put("/1,01637037d6", small, {{"Content-Type", "a/b"}});
  server_.put("/1,02637037d6", large, {{"Content-Type", "a/b"}});
  {
    std::fstream file(server_.folder + "/1.dat", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8 + 16 + 4 + 500);
    file.put(static_cast<char>(~small[500]));
    file.seekp(8 + 1000 + 1'000'000);
    file.put('X').put('Y').put('Z').put('!');
  }
  auto broken = server_.get("/1,01637037d6");
  EXPECT_EQ(broken.status, 500);
  EXPECT_EQ(broken.body, "");
  Client client(server_.port);
  client.send("GET /1,02637037d6 HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto all = client.read_to_end();  // the connection is closed: the length says that something is missing
  EXPECT_THAT(all, HasSubstr("Content-Length: 2000000\r\n"));
  EXPECT_LT(all.size() - all.find("\r\n\r\n") - 4, large.size());
}

// Up to 1 MiB nothing of a damaged file is sent, not even its size or a part that may be sound.
TEST_F(VolumeRoutesTest, LooksThroughAFileOfUpToOneMebibyteBeforeItAnswers) {
  const auto data = bytes(1'000'000);
  const auto etag = server_.put("/1,01637037d6", data, {{"Content-Type", "a/b"}})["Etag"];
  EXPECT_TRUE(server_.get("/1,01637037d6").body == data);
  {
    std::fstream file(server_.folder + "/1.dat", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8 + 16 + 4 + 999'999);
    file.put(static_cast<char>(~data[999'999]));
  }
  EXPECT_EQ(server_.get("/1,01637037d6").status, 500);
  EXPECT_EQ(server_.get("/1,01637037d6", {{"Range", "bytes=0-9"}}).status, 500);
  EXPECT_EQ(server_.get("/1,01637037d6", {{"If-None-Match", etag}}).status, 500);
  EXPECT_EQ(server_.ask("HEAD", "/1,01637037d6").status, 500);
  auto kept = server_.ask("DELETE", "/1,01637037d6");
  EXPECT_EQ(kept.status, 404);
  EXPECT_EQ(kept.body, "{\"size\":0}");
}

TEST_F(VolumeRoutesTest, DeletesOnceAndOnlyWithTheCookie) {
  server_.put("/1,01637037d6", "delete me", {{"Content-Type", "a/b"}});
  auto wrong = server_.ask("DELETE", "/1,0100000000");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.body, "{\"error\":\"File Random Cookie does not match.\"}");
  auto removed = server_.ask("DELETE", "/1/01637037d6/n.css");
  EXPECT_EQ(removed.status, 202);
  EXPECT_THAT(removed.body, ::testing::MatchesRegex("\\{\"size\":[0-9]+\\}"));
  EXPECT_EQ(server_.get("/1,01637037d6").status, 404);
  EXPECT_EQ(server_.get("/1,01637037d6?readDeleted=true").body, "delete me");
  auto again = server_.ask("DELETE", "/1,01637037d6");
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.body, "{\"size\":0}");
  for (const char* path : {"/abc", "/1"}) {
    EXPECT_EQ(server_.ask("DELETE", path).body, "{\"error\":\"Invalid fid: \"}") << path;
  }
  EXPECT_EQ(server_.ask("DELETE", "/abc,01637037d6").status, 404);
  EXPECT_EQ(server_.ask("DELETE", "/99,01637037d6").body, "{\"size\":0}");
}

TEST_F(VolumeRoutesTest, SaysWhenNobodyHoldsAVolumeInsteadOfASilent201) {
  auto answer = server_.put("/99,01637037d6", "x");
  EXPECT_GE(answer.status, 400);
  EXPECT_THAT(answer.body, StartsWith("{\"error\":\""));
}

TEST_F(VolumeRoutesTest, DoesNotWriteToAReadOnlyVolume) {
  server_.put("/1,01637037d6", "x", {{"Content-Type", "a/b"}});
  ASSERT_TRUE(server_.real->mark_read_only(VolumeId(1), false, false, std::nullopt).ok());
  auto answer = server_.put("/1,02637037d6", "x");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "{\"error\":\"failed to write to local disk: volume 1 is read only\"}");
  auto removal = server_.ask("DELETE", "/1,01637037d6");
  EXPECT_EQ(removal.status, 500);
  EXPECT_EQ(removal.body, "{\"error\":\"Deletion Failed: volume 1 is read only\"}");
  EXPECT_EQ(server_.ask("DELETE", "/1,09637037d6").status, 404);
}

TEST_F(VolumeRoutesTest, AnswersOptionsOtherMethodsAndCors) {
  auto options = server_.ask("OPTIONS", "/1,01637037d6");
  EXPECT_EQ(options.status, 200);
  EXPECT_EQ(options["Access-Control-Allow-Methods"], "PUT, POST, GET, DELETE, OPTIONS");
  EXPECT_EQ(options["Access-Control-Allow-Headers"], "*");
  auto patch = server_.ask("PATCH", "/1,01637037d6");
  EXPECT_EQ(patch.status, 400);
  EXPECT_EQ(patch.body, "{\"error\":\"unsupported method PATCH\"}");
  auto cors = server_.get("/1,01637037d6", {{"Origin", "http://a"}});
  EXPECT_EQ(cors["Access-Control-Allow-Origin"], "*");
  EXPECT_EQ(cors["Access-Control-Allow-Credentials"], "true");
  EXPECT_EQ(server_.get("/healthz", {{"Origin", "http://a"}})["Access-Control-Allow-Origin"], "-");
}

TEST_F(VolumeRoutesTest, TellsItsStateOnAdminPages) {
  server_.put("/1,01637037d6", "abc", {{"Content-Type", "a/b"}});
  EXPECT_EQ(server_.get("/healthz").status, 200);
  EXPECT_EQ(server_.ask("HEAD", "/readyz").status, 200);
  auto status = server_.get("/status");
  EXPECT_EQ(status.status, 200);
  EXPECT_THAT(status.body, StartsWith("{\"DiskStatuses\":[{\"dir\":\"" + server_.folder + "\",\"all\":"));
  EXPECT_THAT(status.body, HasSubstr("],\"Version\":\"30GB 4.44 \",\"Volumes\":[{\"Collection\":\"\",\"DiskType\":\"\",\"RemoteStorageName\":\"\","
                                     "\"ReplicaPlacement\":{},\"Ttl\":{\"Count\":0,\"Unit\":0},\"Size\":"));
  EXPECT_THAT(status.body, HasSubstr("\"Id\":1,\"DiskId\":0,\"CompactRevision\":0,\"FileCount\":1,\"DeleteCount\":0,\"Version\":3,\"ReadOnly\":false}]}"));
  EXPECT_THAT(server_.get("/status?pretty=y").body, StartsWith("{\n  \"DiskStatuses\": [\n    {\n      \"dir\": "));
  EXPECT_THAT(server_.get("/ui/index.html").body, HasSubstr("<td class=\"n\">1</td>"));
  EXPECT_THAT(server_.get("/metrics").body, HasSubstr("SeaweedFS_volumeServer_request_total{"));
  EXPECT_EQ(server_.get("/favicon.ico").status, 200);
  auto missing = server_.get("/seaweedfsstatic/nothing");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, "404 page not found\n");
  EXPECT_EQ(missing["Server"], "-");
  server_.real->leave();
  EXPECT_EQ(server_.get("/healthz").status, 503);
  EXPECT_EQ(server_.get("/1,01637037d6").status, 200);
}

TEST_F(VolumeRoutesTest, GuardsWritesByTheWhiteList) {
  ASSERT_TRUE(server_.white_list.set("10.0.0.0/8").ok());
  auto answer = server_.put("/1,01637037d6", "x");
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(server_.ask("DELETE", "/1,01637037d6").status, 401);
  EXPECT_EQ(server_.get("/1,01637037d6").status, 404);
  ASSERT_TRUE(server_.white_list.set("127.0.0.1").ok());
  EXPECT_EQ(server_.put("/1,01637037d6", "x").status, 201);
}

TEST_F(VolumeRoutesTest, StoresNothingOfABodyCutShort) {
  {
    Client client(server_.port);
    client.send("PUT /1,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this");
    client.shut();
    const auto answer = client.read_to_end();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(answer, EndsWith("{\"error\":\"unexpected EOF\"}"));
  }
  {
    // A form that is whole in a body that is not.
    Client client(server_.port);
    client.send("POST /1,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000\r\n\r\n" +
                form("Content-Disposition: form-data; filename=a", "hello"));
    client.shut();
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 400"));
  }
  {
    Client client(server_.port);
    client.send("PUT /1,01637037d6 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n");
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 400"));
  }
  EXPECT_EQ(server_.get("/1,01637037d6").status, 404);
}

TEST_F(VolumeRoutesTest, TakesChunkedBodiesAndWaitingClients) {
  Client client(server_.port);
  client.send("PUT /1,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
  EXPECT_EQ(Server::read(client).status, 201);
  EXPECT_EQ(server_.get("/1,01637037d6").body, "hello world");
}

TEST(VolumeRoutes, RefuseFilesAboveTheLimit) {
  Server server({.file_bytes_max = 1000});
  EXPECT_EQ(server.put("/1,01637037d6", bytes(1000)).status, 201);
  auto raw = server.put("/1,02637037d6", bytes(1001));
  EXPECT_EQ(raw.status, 400);
  EXPECT_EQ(raw.body, "{\"error\":\"file over the limited 1000 bytes\"}");
  EXPECT_EQ(server.ask("POST", "/1,03637037d6", form("Content-Disposition: form-data; filename=a", bytes(1001)), kForm).status, 400);
  EXPECT_EQ(server.put("/1,04637037d6?type=replicate", bytes(1001)).status, 201);
}

TEST(VolumeRoutes, UploadsBeyondTheLimitWaitForRoomOrAreRefused) {
  Server server({.upload_bytes_max = 1000, .upload_patience = 300ms});
  EXPECT_EQ(server.put("/1,01637037d6", bytes(5000)).status, 201);  // alone even a larger one is taken
  Client slow(server.port);
  slow.send("PUT /1,02637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  const auto refused = server.put("/1,03637037d6", "x");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.body, "{\"error\":\"reject because inflight upload data 1001 \\u003e 1000, and wait timeout\"}");
  EXPECT_EQ(server.put("/1,04637037d6?type=replicate", "x").status, 201);
  EXPECT_EQ(server.get("/1,01637037d6").status, 200);
  Client waiting(server.port);
  waiting.send("PUT /1,05637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
  std::this_thread::sleep_for(50ms);
  slow.send(bytes(1001));
  EXPECT_EQ(Server::read(slow).status, 201);
  EXPECT_EQ(Server::read(waiting).status, 201);
  // A client that goes away in the middle gives its room back.
  {
    Client gone(server.port);
    gone.send("PUT /1,06637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\nhalf");
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_EQ(server.put("/1,07637037d6", "x").status, 201);
}

TEST(VolumeRoutes, ReadsBeyondTheLimitWaitForRoomOrAreRefused) {
  Server server({.download_bytes_max = 1000, .download_patience = 1s});
  const auto large = bytes(30'000'000);
  ASSERT_EQ(server.put("/1,01637037d6", large).status, 201);
  ASSERT_EQ(server.put("/1,02637037d6", "small").status, 201);
  EXPECT_EQ(server.get("/1,01637037d6").body.size(), large.size());  // alone even a larger one goes out
  Client slow(server.port);
  slow.send("GET /1,01637037d6 HTTP/1.1\r\nHost: x\r\n\r\n");
  slow.read_head();
  const auto refused = server.get("/1,02637037d6");
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body, HasSubstr("inflight download data 30000000 "));
  Client waiting(server.port);
  waiting.send("GET /1,02637037d6 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  slow.read_to_size(large.size());
  EXPECT_EQ(Server::read(waiting).status, 200);
}

// Whatever the limit, and for copies too: a needle's size field holds no more.
TEST(VolumeRoutes, RefuseFilesThatNoRecordHolds) {
  Server server({.file_bytes_max = UINT64_MAX});
  for (const std::string target : {"/1,01637037d6", "/1,01637037d6?type=replicate"}) {
    Client client(server.port);
    client.send("PUT " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4294967301\r\n\r\nhello");
    EXPECT_THAT(client.read_answer(), EndsWith("{\"error\":\"file over the limited 2147352575 bytes\"}"));
  }
}

TEST(VolumeRoutes, PassReadsOnToAHolder) {
  Server holder;
  Server other;
  const auto large = bytes(2'000'000);
  ASSERT_TRUE(holder.real->allocate({.id = VolumeId(7)}, std::nullopt).ok());
  holder.put("/7,01637037d6", "elsewhere", {{"Content-Type", "a/b"}, {"Seaweed-Owner", "me"}});
  holder.put("/7,02637037d6", large, {{"Content-Type", "a/b"}});
  EXPECT_EQ(other.get("/7,01637037d6").status, 404);
  const std::string dead = "127.0.0.1:9";  // nobody listens on the discard port
  for (int i = 0; i < 8; ++i) {
    other.service->holders = {{.url = dead}, {.url = "127.0.0.1:" + std::to_string(holder.port)}};
    auto read = other.get("/7,01637037d6", {{"Origin", "http://a"}});
    EXPECT_EQ(read.status, 200);
    EXPECT_EQ(read.body, "elsewhere");
    EXPECT_EQ(read["Owner"], "me");
    EXPECT_EQ(read["Content-Type"], "a/b");
  }
  EXPECT_TRUE(other.get("/7,02637037d6").body == large);
  EXPECT_EQ(other.get("/7,02637037d6", {{"Range", "bytes=5-9"}}).body, large.substr(5, 5));
  auto head = other.ask("HEAD", "/7,02637037d6");
  EXPECT_EQ(head["Content-Length"], "2000000");
  EXPECT_EQ(other.get("/7,09637037d6").status, 404);
  EXPECT_EQ(other.get("/7,01637037d6?proxied=true").status, 404);
  other.service->holders = {{.url = dead}};
  EXPECT_EQ(other.get("/7,01637037d6").status, 500);
}

TEST(VolumeRoutes, PointReadersAtAHolder) {
  Server server({.read_mode = ReadMode::redirect});
  EXPECT_EQ(server.get("/7,01637037d6").status, 404);
  server.service->holders = {{.url = "10.1.2.3:8080"}};
  auto answer = server.get("/7/01637037d6/n.jpg?collection=c&width=3");
  EXPECT_EQ(answer.status, 301);
  EXPECT_EQ(answer["Location"], "http://10.1.2.3:8080/7,01637037d6?collection=c&proxied=true");
  EXPECT_EQ(answer.body, "<a href=\"http://10.1.2.3:8080/7,01637037d6?collection=c&amp;proxied=true\">Moved Permanently</a>.\n\n");
  Server local({.read_mode = ReadMode::local});
  local.service->holders = {{.url = "10.1.2.3:8080"}};
  EXPECT_EQ(local.get("/7,01637037d6").status, 404);
}

TEST(VolumeRoutes, OnlyReadOnThePublicPort) {
  Server server;
  server.put("/1,01637037d6", "abc", {{"Content-Type", "a/b"}});
  VolumeRoutes::Options options;
  // The port is known once it is bound.
  const auto port = *server.http->listen("127.0.0.1", 0);
  options.public_port = port;
  VolumeRoutes routes({*server.service, server.pool, server.loops, server.clock, server.white_list, server.registry}, options);
  http::Server http(server.loops, routes);
  server.http.reset();
  ASSERT_TRUE(http.listen("127.0.0.1", port).ok());
  server.port = port;
  EXPECT_EQ(server.get("/1,01637037d6").body, "abc");
  EXPECT_EQ(server.ask("OPTIONS", "/1,01637037d6")["Access-Control-Allow-Methods"], "GET, OPTIONS");
  EXPECT_EQ(server.put("/1,02637037d6", "x").status, 405);
  EXPECT_EQ(server.ask("DELETE", "/1,01637037d6").status, 405);
  for (const char* path : {"/status", "/healthz", "/ui/index.html", "/metrics"}) EXPECT_EQ(server.get(path).status, 400) << path;
  EXPECT_EQ(server.get("/favicon.ico").status, 200);
}

}  // namespace
}  // namespace holdfast::front
