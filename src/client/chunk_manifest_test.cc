#include "client/chunk_manifest.h"

#include <gtest/gtest.h>

namespace holdfast::client {
namespace {

Result<ChunkManifest> parsed(std::string_view json) { return parse_manifest(bytes_of(json)); }

std::optional<Code> code_of(std::string_view json) {
  const auto result = parsed(json);
  return result ? std::nullopt : std::optional(result.error().code());
}

constexpr FileId kFirst{VolumeId(3), NeedleId(1), Cookie(0x637037d6)};
constexpr FileId kSecond{VolumeId(7), NeedleId(0x1a), Cookie(0x00000001)};

// The bytes that upstream's clients write (spec/weed-cluster 3.10), both ways.
constexpr std::string_view kVector =
    R"({"name":"big.bin","mime":"video/mp4","size":12345678,"chunks":[{"fid":"3,01637037d6","offset":0,"size":4194304},{"fid":"7,1a00000001","offset":4194304,"size":8151374}]})";

TEST(ChunkManifest, IsTheBytesOfTheSpecBothWays) {
  const ChunkManifest manifest{
      .name = "big.bin", .mime = "video/mp4", .size = 12345678, .chunks = {{kFirst, 0, 4194304}, {kSecond, 4194304, 8151374}}};
  EXPECT_EQ(manifest_json(manifest), kVector);
  const auto back = parsed(kVector);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, manifest);
  EXPECT_TRUE(check_whole(*back).ok());
}

TEST(ChunkManifest, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(manifest_json({}), "{}");
  EXPECT_EQ(manifest_json({.size = 5}), R"({"size":5})");
  EXPECT_EQ(manifest_json({.name = "a\"b"}), R"({"name":"a\"b"})");
  EXPECT_EQ(manifest_json({.chunks = {{kFirst, 0, 0}}}), R"({"chunks":[{"fid":"3,01637037d6","offset":0,"size":0}]})");
}

TEST(ChunkManifest, IsReadAsGoReadsIt) {
  const auto manifest = parsed(R"( {"NAME":"x","extra":{"a":[1]},"mime":null,"Chunks":[{"FID":"7,1a00000001","Offset":3,"SIZE":2},
                                   {"fid":"3,01637037d6_0","size":3}]} )");
  ASSERT_TRUE(manifest.ok()) << manifest.error().what();
  EXPECT_EQ(manifest->name, "x");
  EXPECT_EQ(manifest->size, 5u);  // not said: where the last chunk ends
  ASSERT_EQ(manifest->chunks.size(), 2u);
  EXPECT_EQ(manifest->chunks[0].id, kFirst);  // by offset
  EXPECT_TRUE(check_whole(*manifest).ok());
  EXPECT_TRUE(parsed("{}").ok());
  EXPECT_TRUE(parsed("{\"name\":\"\xff\"}").ok());
}

TEST(ChunkManifest, TellsWhatIsNoManifestFromABadOne) {
  for (const char* json : {"", "x", "[]", "7", "{\"name\":1}", "{\"size\":\"1\"}", "{\"size\":1.5}", "{\"chunks\":{}}", "{\"chunks\":[1]}",
                           "{\"chunks\":[{\"fid\":7}]}", "{\"size\":1"}) {
    EXPECT_EQ(code_of(json), Code::invalid) << json;
  }
  for (const char* json : {"{\"size\":-1}", "{\"size\":18446744073709551615}", "{\"chunks\":[{}]}", "{\"chunks\":[{\"fid\":\"3\"}]}",
                           "{\"chunks\":[{\"fid\":\"3,01637037d6\",\"offset\":9223372036854775807}]}"}) {
    EXPECT_EQ(code_of(json), Code::corrupt) << json;
  }
  EXPECT_EQ(code_of(std::string(kManifestBytesMax + 1, ' ')), Code::corrupt);
  EXPECT_EQ(code_of(std::string(1000, '[')), Code::invalid);  // deeper than anything may be
}

TEST(ChunkManifest, KnowsHolesAndOverlaps) {
  const auto whole = [](std::vector<Chunk> chunks, std::uint64_t size) {
    return check_whole({.size = size, .chunks = std::move(chunks)}).ok();
  };
  EXPECT_TRUE(whole({}, 0));
  EXPECT_FALSE(whole({}, 1));
  EXPECT_TRUE(whole({{kFirst, 0, 3}, {kFirst, 3, 0}, {kSecond, 3, 2}}, 5));
  EXPECT_FALSE(whole({{kFirst, 0, 3}, {kSecond, 4, 2}}, 6));
  EXPECT_FALSE(whole({{kFirst, 0, 3}, {kSecond, 2, 2}}, 4));
  EXPECT_FALSE(whole({{kFirst, 0, 3}, {kSecond, 3, 2}}, 6));
  EXPECT_FALSE(whole({{kFirst, 0, 3}, {kSecond, 3, 2}}, 4));
  EXPECT_FALSE(whole({{kFirst, 1, 3}}, 4));
}

}  // namespace
}  // namespace holdfast::client
