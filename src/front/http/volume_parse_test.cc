// The pure parsers of the volume server's routes: paths, ranges, dispositions, multipart bodies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "front/http/byte_range.h"
#include "front/http/content_disposition.h"
#include "front/http/multipart_reader.h"
#include "front/http/volume_path.h"

namespace holdfast::front {
namespace {

struct PathRow {
  std::string path;
  std::string volume, fid, name, ext;
};

TEST(VolumePath, IsReadInAllItsForms) {
  const PathRow rows[] = {
      {"/3,01637037d6", "3", "01637037d6", "", ""},
      {"/3,01637037d6.jpg", "3", "01637037d6", "", ".jpg"},
      {"/3,01637037d6.tar.gz", "3", "01637037d6.tar", "", ".gz"},
      {"/3/01637037d6", "3", "01637037d6", "", ""},
      {"/3/01637037d6.jpg", "3", "01637037d6", "", ".jpg"},
      {"/3/01637037d6/", "3", "01637037d6", "", ""},
      {"/3/01637037d6/my.jpg", "3", "01637037d6", "my.jpg", ".jpg"},
      {"/3/01637037d6/my", "3", "01637037d6", "my", ""},
      {"/3,01637037d6/my.jpg", "3,01637037d6", "my", "", ".jpg"},
      {"/dir/3,01637037d6", "dir", "3,01637037d6", "", ""},
      {"/abc", "abc", "", "", ""},
      {"/3", "3", "", "", ""},
      {"/", "", "", "", ""},
      {"/a/b/c/d", "d", "", "", ""},
      {"/a/b/c/d,e", "d,e", "", "", ""},
  };
  for (const auto& row : rows) {
    const auto path = parse_volume_path(row.path);
    EXPECT_EQ(path.volume, row.volume) << row.path;
    EXPECT_EQ(path.fid, row.fid) << row.path;
    EXPECT_EQ(path.name, row.name) << row.path;
    EXPECT_EQ(path.ext, row.ext) << row.path;
  }
}

TEST(VolumePath, OfAWriteIsWhatFollowsTheLastComma) {
  EXPECT_EQ(fid_of_write("/3,01637037d6"), "01637037d6");
  EXPECT_EQ(fid_of_write("/3,01637037d6_1.txt"), "01637037d6_1");
  EXPECT_EQ(fid_of_write("/6/32ec3df618"), "/6/32ec3df618");
  EXPECT_EQ(fid_of_write("/3"), "/3");
}

TEST(QueryError, IsGos) {
  EXPECT_FALSE(query_error("a=b&c=%20d+e"));
  EXPECT_EQ(query_error("a=%zz"), "invalid URL escape \"%zz\"");
  EXPECT_EQ(query_error("a=%2"), "invalid URL escape \"%2\"");
  EXPECT_EQ(query_error("a;b=1"), "invalid semicolon separator in query");
}

TEST(Ranges, AreReadAsUpstreamDoes) {
  using R = std::vector<ByteRange>;
  EXPECT_EQ(parse_ranges("bytes=0-9", 100), (R{{0, 10}}));
  EXPECT_EQ(parse_ranges("bytes=90-", 100), (R{{90, 10}}));
  EXPECT_EQ(parse_ranges("bytes=-10", 100), (R{{90, 10}}));
  EXPECT_EQ(parse_ranges("bytes=-1000", 100), (R{{0, 100}}));
  EXPECT_EQ(parse_ranges("bytes=0-1000", 100), (R{{0, 100}}));
  EXPECT_EQ(parse_ranges("bytes=100-", 100), (R{{100, 0}}));
  EXPECT_EQ(parse_ranges("bytes=-0", 100), (R{{100, 0}}));
  EXPECT_EQ(parse_ranges("bytes= 1 - 3 ,", 100), (R{{1, 3}}));
  EXPECT_EQ(parse_ranges("bytes=,1-2,5-6", 100), (R{{1, 2}, {5, 2}}));
  EXPECT_EQ(parse_ranges("bytes=", 100), R{});
  EXPECT_EQ(parse_ranges("bytes=0-9223372036854775807", 100), (R{{0, 100}}));
  for (const char* bad : {"bytes=101-", "bytes=5-3", "bytes=x-1", "bytes=5", "bytes=-", "Bytes=0-1", "bytes 0-1", "",
                          "bytes=0-1,200-", "bytes=99999999999999999999-", "bytes=+1-2", "bytes=1--2"}) {
    EXPECT_FALSE(parse_ranges(bad, 100)) << bad;
  }
  EXPECT_EQ(content_range({90, 10}, 100), "bytes 90-99/100");
  EXPECT_EQ(content_range({100, 0}, 100), "bytes 100-99/100");
  EXPECT_EQ(content_range({0, 0}, 0), "bytes 0--1/0");
}

TEST(ContentDisposition, OfAnAnswerQuotesOnlyWhatNeedsIt) {
  const auto of = [](std::string_view name) {
    std::string out = "old";
    write_content_disposition("inline", name, out);
    return out;
  };
  EXPECT_EQ(of("n.txt"), "inline; filename=n.txt");
  EXPECT_EQ(of("3,01637037d6"), "inline; filename=\"3,01637037d6\"");
  EXPECT_EQ(of("a \"b\" \\c"), "inline; filename=\"a \\\"b\\\" \\\\c\"");
  EXPECT_EQ(of("\xc3\xbc.txt"), "inline; filename*=utf-8''%C3%BC.txt");
  EXPECT_EQ(of("a{b}.txt"), "inline; filename=a{b}.txt");
  EXPECT_EQ(of("a\tb"), "inline; filename=\"a\tb\"");
  // A control character has no place in a header as it is.
  EXPECT_EQ(of("a\r\nb\x7f"), "inline; filename*=utf-8''a%0D%0Ab%7F");
}

TEST(ContentDisposition, NamesAnUpload) {
  EXPECT_EQ(name_of_upload("attachment; filename=\"a b.txt\""), "a b.txt");
  EXPECT_EQ(name_of_upload("inline; filename=a.txt; size=3"), "a.txt");
  EXPECT_EQ(name_of_upload("inline; filename={a}.txt"), "{a}.txt");
  EXPECT_EQ(name_of_upload("name=n"), "n");
  EXPECT_EQ(name_of_upload("attachment; filename=\"/etc/passwd\""), "passwd");
  EXPECT_EQ(name_of_upload("attachment; filename=\"C:\\dir\\f.txt\""), "f.txt");
  EXPECT_EQ(name_of_upload("attachment; filename*=utf-8''%C3%BC.txt"), "\xc3\xbc.txt");
  EXPECT_EQ(name_of_upload("form-data; name=x"), "");
  EXPECT_EQ(name_of_upload("attachment; filename=a/b"), "");
  EXPECT_EQ(name_of_upload("attachment; filename=\"open"), "");
  EXPECT_EQ(name_of_upload(""), "");
}

TEST(ContentDisposition, NamesAPart) {
  EXPECT_EQ(name_of_part("form-data; name=\"file\"; filename=\"my photo.txt\""), "my photo.txt");
  EXPECT_EQ(name_of_part("form-data; filename=\"n n.txt\"; name=file"), "n n.txt");
  EXPECT_FALSE(name_of_part("form-data; name=\"file\""));
  EXPECT_FALSE(name_of_part("form-data; filename=\""));
}

struct Part {
  std::string name;
  std::string data;
  bool whole = false;
  friend bool operator==(const Part&, const Part&) = default;
};

// Feeds `body` in pieces of `step` bytes; what came out, and how it ended.
std::pair<std::vector<Part>, std::string> cut(std::string_view body, std::size_t step) {
  MultipartReader reader("B");
  std::vector<Part> parts;
  std::size_t at = 0;
  while (true) {
    const auto event = reader.next();
    switch (event.kind) {
      case MultipartReader::Kind::need_more: {
        if (at == body.size()) return {parts, "cut"};
        const auto n = std::min(step, body.size() - at);
        reader.feed(body.substr(at, n));
        at += n;
        break;
      }
      case MultipartReader::Kind::part:
        parts.push_back({std::string(reader.header("content-name")), "", false});
        break;
      case MultipartReader::Kind::data:
        parts.back().data += event.data;
        break;
      case MultipartReader::Kind::part_end:
        parts.back().whole = true;
        break;
      case MultipartReader::Kind::end:
        return {parts, "end"};
      case MultipartReader::Kind::malformed:
        return {parts, "malformed"};
    }
  }
}

TEST(Multipart, ComesOutTheSameHoweverItArrives) {
  const std::string body =
      "preamble\r\n--B\r\nContent-Name: a\r\nX: y\r\n\r\nfirst\r\n--not\r\n-\r\n\r\n--B \r\nContent-Name:b\r\n\r\n"
      "\r\n--B\r\n\r\nno headers\r\n--B\r\nContent-Name: empty\r\n\r\n\r\n--B--\r\nepilogue";
  const std::vector<Part> want = {{"a", "first\r\n--not\r\n-\r\n", true}, {"b", "", true}, {"", "no headers", true}, {"empty", "", true}};
  for (std::size_t step = 1; step < 80; ++step) {
    const auto [parts, end] = cut(body, step);
    EXPECT_EQ(parts, want) << step;
    EXPECT_EQ(end, "end") << step;
  }
}

TEST(Multipart, SaysWhenItIsCutShortOrMalformed) {
  EXPECT_EQ(cut("", 1).second, "cut");
  EXPECT_EQ(cut("--B\r\nA: b\r\n\r\ndata", 3).second, "cut");
  EXPECT_FALSE(cut("--B\r\nA: b\r\n\r\ndata\r\n--", 3).first.front().whole);
  EXPECT_EQ(cut("--B\r\nno colon\r\n\r\ndata\r\n--B--", 3).second, "malformed");
  EXPECT_EQ(cut("--B\r\n folded: onto nothing\r\n\r\ndata\r\n--B--", 3).second, "malformed");
  EXPECT_EQ(cut("--B\r\nA: " + std::string(20000, 'x') + "\r\n\r\n", 1000).second, "malformed");
  EXPECT_EQ(cut("--B\r\nA: " + std::string(20000, 'x') + "\r\n\r\n", 100'000).second, "malformed");
  EXPECT_TRUE(cut("--B--", 1).first.empty());
}

// As Go's reader does, and so upstream.
TEST(Multipart, TakesWhatOnlyBeginsLikeADelimiterForData) {
  const std::string body =
      "--Bogus\r\n--B\r\n\r\n--Ba\r\n--B-\r\n--B=\r\n--B\r\n\r\n--B\r\nContent-Name: c\r\n\r\nx\r\n--B--";
  const std::vector<Part> want = {{"", "--Ba\r\n--B-\r\n--B=", true}, {"", "", true}, {"c", "x", true}};
  for (std::size_t step = 1; step < 60; ++step) {
    const auto [parts, end] = cut(body, step);
    EXPECT_EQ(parts, want) << step;
    EXPECT_EQ(end, "end") << step;
  }
}

TEST(Multipart, MayUseBareLineFeedsThroughout) {
  const std::string body = "pre\n--B\nContent-Name: a\n\none\r\ntwo\n--B\n\n--B\nContent-Name: c\n\nx\n--B--\n";
  const std::vector<Part> want = {{"a", "one\r\ntwo", true}, {"", "", true}, {"c", "x", true}};
  for (std::size_t step = 1; step < 60; ++step) {
    const auto [parts, end] = cut(body, step);
    EXPECT_EQ(parts, want) << step;
    EXPECT_EQ(end, "end") << step;
  }
}

TEST(Multipart, FoldedHeaderLinesAreOne) {
  const auto [parts, end] = cut("--B\r\nContent-Name:\r\n  a\r\n\tb \r\nX: y\r\n\r\nx\r\n--B--", 4);
  EXPECT_EQ(parts, (std::vector<Part>{{"a b", "x", true}}));
}

}  // namespace
}  // namespace holdfast::front
