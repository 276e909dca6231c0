#include "model/content_type.h"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

using namespace std::string_view_literals;

TEST(ContentTypes, KnowTheCommonExtensions) {
  const ContentTypes types;
  EXPECT_EQ(types.of_extension(".jpg"), "image/jpeg");
  EXPECT_EQ(types.of_extension(".JPG"), "image/jpeg");
  EXPECT_EQ(types.of_name("a.b.txt"), "text/plain; charset=utf-8");
  EXPECT_EQ(types.of_name("nodot"), "");
  EXPECT_EQ(types.of_extension(".xyz"), "");
  EXPECT_EQ(types.of_extension(""), "");
}

TEST(ContentTypes, TheHostsGlobsOverrideTheTable) {
  ContentTypes types;
  types.add_globs2("# comment\n50:application/javascript:*.js\n50:text/markdown:*.md\n50:text/x-other:*.md\n"
                   "50:x/y:README*\n60:text/x-c:*.C:cs\n");
  EXPECT_EQ(types.of_extension(".js"), "application/javascript");
  EXPECT_EQ(types.of_extension(".md"), "text/markdown; charset=utf-8");
  EXPECT_EQ(types.of_extension(".C"), "text/x-c; charset=utf-8");
}

TEST(ContentTypes, ReadMimeTypesFiles) {
  ContentTypes types;
  types.add_mime_types("# c\napplication/x-foo\tfoo  bar # baz\n\ntext/x-q q\n");
  EXPECT_EQ(types.of_extension(".foo"), "application/x-foo");
  EXPECT_EQ(types.of_extension(".bar"), "application/x-foo");
  EXPECT_EQ(types.of_extension(".baz"), "");
  EXPECT_EQ(types.of_extension(".q"), "text/x-q; charset=utf-8");
}

TEST(Sniffing, FollowsTheWebsRules) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"", "text/plain; charset=utf-8"},
      {"just words\n", "text/plain; charset=utf-8"},
      {"\x01\x02\x03", "application/octet-stream"},
      {"  <!doctype html>", "text/html; charset=utf-8"},
      {"<htmlx", "text/plain; charset=utf-8"},
      {"<p>x", "text/html; charset=utf-8"},
      {" <?xml version", "text/xml; charset=utf-8"},
      {"%PDF-1.4", "application/pdf"},
      {"\x89PNG\x0D\x0A\x1A\x0A", "image/png"},
      {"\xFF\xD8\xFF\xE0", "image/jpeg"},
      {"GIF89a...", "image/gif"},
      {"RIFF\x01\x02\x03\x04WEBPVP8 "sv, "image/webp"},
      {"RIFF\x01\x02\x03\x04WAVEfmt "sv, "audio/wave"},
      {"\x1F\x8B\x08\x00"sv, "application/x-gzip"},
      {"PK\x03\x04"sv, "application/zip"},
      {"\x00\x00\x00\x18" "ftypmp42\x00\x00\x00\x00mp42isom"sv, "video/mp4"},
      {"\x00\x61\x73\x6D\x01"sv, "application/wasm"},
      {"\xEF\xBB\xBFx", "text/plain; charset=utf-8"},
      {"caf\xc3\xa9", "text/plain; charset=utf-8"},
      {"\t<html>", "text/html; charset=utf-8"},
      {"\n<!-- x", "text/html; charset=utf-8"},
      {"\x0c<HEAD>", "text/html; charset=utf-8"},
      {"\r<a href", "text/html; charset=utf-8"},
      {"%!PS-Adobe-3.0", "application/postscript"},
      {"\xFE\xFF\x00x"sv, "text/plain; charset=utf-16be"},
      {"\xFF\xFEx\x00"sv, "text/plain; charset=utf-16le"},
      {"\x00\x00\x01\x00\x01"sv, "image/x-icon"},
      {"BM\x01", "image/bmp"},
      {"FORM\x01\x02\x03\x04" "AIFF", "audio/aiff"},
      {"RIFF\x01\x02\x03\x04" "AVI LIST", "video/avi"},
      {"ID3\x03", "audio/mpeg"},
      {"OggS\x00\x02"sv, "application/ogg"},
      {"MThd\x00\x00\x00\x06\x00\x01"sv, "audio/midi"},
      {"\x1A\x45\xDF\xA3\x01", "video/webm"},
      {"\x00\x01\x00\x00\x00"sv, "font/ttf"},
      {"OTTO\x00"sv, "font/otf"},
      {"ttcf\x00"sv, "font/collection"},
      {"wOFF\x00"sv, "font/woff"},
      {"wOF2\x00"sv, "font/woff2"},
      {"Rar!\x1A\x07\x00"sv, "application/x-rar-compressed"},
      {"Rar!\x1A\x07\x01\x00"sv, "application/x-rar-compressed"},
      {"a234567890123456789012345678901234LP"sv, "application/vnd.ms-fontobject"},
      {"RIFF nothing known", "text/plain; charset=utf-8"},
  };
  for (const auto& [bytes, type] : rows) EXPECT_EQ(sniffed_type(bytes_of(bytes)), type) << hex(bytes_of(bytes));
}

TEST(Compressing, PaysForTextAndItsLike) {
  for (const auto* mime : {"text/plain", "text/html; charset=utf-8", "application/xml", "application/rdf+xml",
                           "application/javascript", "audio/wav"}) {
    EXPECT_TRUE(is_surely_compressible("x", mime)) << mime;
  }
  for (const auto* mime : {"application/json", "image/svg+xml", "image/bmp", "application/pdf", "video/mp4",
                           "application/ld+json", "TEXT/PLAIN", "", "application/octet-stream"}) {
    EXPECT_FALSE(is_surely_compressible("x", mime)) << mime;
  }
  EXPECT_TRUE(is_surely_compressible(".json", ""));
  EXPECT_FALSE(is_surely_compressible("a.json", ""));
  EXPECT_TRUE(is_worth_compressing(100, 89));
  EXPECT_FALSE(is_worth_compressing(100, 90));
}

}  // namespace
}  // namespace holdfast
