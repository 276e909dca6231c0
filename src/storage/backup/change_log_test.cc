#include "storage/backup/change_log.h"

#include <gtest/gtest.h>

#include "base/base64.h"

namespace holdfast::backup {
namespace {

const ClusterId kCluster(Uuid{0x1122334455667788, 0x99aabbccddeeff00});

Change change(std::uint64_t index, std::string data = "five", EntryKind kind = EntryKind::command) {
  return {.entry = {.term = Term(2), .index = Index(index), .kind = kind, .data = std::move(data)}, .time = 1795248960};
}

std::string log_of(std::uint64_t first, std::uint64_t last) {
  std::string out = encode(ChangeLogHead{kCluster, Generation(3), {.term = Term(2), .index = Index(first - 1)}});
  for (auto i = first; i <= last; ++i) out += encode(kCluster, change(i));
  return out;
}

TEST(Base64, IsReadBackAndHasOneTextForEachBytes) {
  for (const auto& [bytes, text] : {std::pair<std::string, std::string>{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="}, {std::string("\0\xff\xfe", 3), "AP/+"}}) {
    EXPECT_EQ(base64(bytes), text);
    std::string back;
    EXPECT_TRUE(unbase64(text, back));
    EXPECT_EQ(back, bytes);
  }
  std::string out;
  for (const auto* wrong : {"Zg", "Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm 9", "Zm9v\n"}) {
    EXPECT_FALSE(unbase64(wrong, out)) << wrong;
    EXPECT_EQ(out, "");
  }
}

TEST(ChangeLog, TheWorkedExampleOfTheDocumentIsExact) {
  EXPECT_EQ(encode(ChangeLogHead{kCluster, Generation(3), {.term = Term(2), .index = Index(4)}}),
            "HOLDFAST-CHANGELOG 1|cluster=11223344-5566-7788-99aa-bbccddeeff00|generation=3|after=4|term=2|1f0a2786\n");
  EXPECT_EQ(encode(kCluster, change(5)), "5: 1795248960|2|COMMAND(Zml2ZQ==)|59fe93db\n");
  EXPECT_EQ(encode(kCluster, change(6, "", EntryKind::term_start)), "6: 1795248960|2|TERM_START()|7f5e2f31\n");
}

TEST(ChangeLog, EveryKindAndFormatIsReadBack) {
  for (const auto kind : {EntryKind::command, EntryKind::configuration, EntryKind::term_start}) {
    for (const std::uint16_t format : {1, 2, 65535}) {
      auto one = change(7, std::string("\0|)\n(", 5), kind);
      one.entry.format = format;
      const auto line = encode(kCluster, one);
      const auto back = decode_change(kCluster, std::string_view(line).substr(0, line.size() - 1));
      ASSERT_TRUE(back.ok()) << back.error().what();
      EXPECT_EQ(*back, one);
    }
  }
}

TEST(ChangeLog, EachChangedByteOfALineIsFound) {
  const auto line = encode(kCluster, change(5));
  for (std::size_t at = 0; at + 1 < line.size(); ++at) {
    for (const char c : {'0', 'z', '|', '\0'}) {
      auto other = line.substr(0, line.size() - 1);
      if (other[at] == c) continue;
      other[at] = c;
      EXPECT_FALSE(decode_change(kCluster, other).ok()) << other;
    }
  }
}

TEST(ChangeLog, ALineOfAnotherClusterDoesNotPass) {
  auto line = encode(ClusterId(Uuid{7, 7}), change(5));
  line.pop_back();
  EXPECT_FALSE(decode_change(kCluster, line).ok());
}

// spec/moosefs-ha 15, number 1.
TEST(ChangeLog, Hazard1ATornLastLineCostsNoOther) {
  const auto log = log_of(5, 8);
  const auto whole = log_of(5, 7).size();
  for (std::size_t size = whole + 1; size < log.size(); ++size) {
    const auto parsed = parse_change_log(std::string_view(log).substr(0, size));
    EXPECT_EQ(parsed.changes.size(), 3u);
    ASSERT_TRUE(parsed.torn) << size;
    EXPECT_EQ(parsed.torn->line, 5u);
    EXPECT_EQ(parsed.torn->offset, whole);
    EXPECT_EQ(parsed.torn->after, Index(7));
    EXPECT_EQ(parsed.whole, whole);
    EXPECT_TRUE(parsed.faults.empty());
  }
  EXPECT_FALSE(parse_change_log(log).torn);
}

TEST(ChangeLog, ADamagedLineIsNamedAndCostsNoOther) {
  auto log = log_of(5, 8);
  const auto at = log_of(5, 5).size();
  log[at + 20] ^= 1;
  const auto parsed = parse_change_log(log);
  EXPECT_EQ(parsed.changes.size(), 3u);
  ASSERT_EQ(parsed.faults.size(), 1u);
  EXPECT_EQ(parsed.faults[0].line, 3u);
  EXPECT_EQ(parsed.faults[0].offset, at);
  EXPECT_EQ(parsed.faults[0].after, Index(5));
}

TEST(ChangeLog, LinesBehindADamagedHeadCountWhenTheClusterIsKnown) {
  auto log = log_of(5, 8);
  log[3] = '?';
  EXPECT_EQ(parse_change_log(log).changes.size(), 0u);
  const auto parsed = parse_change_log(log, kCluster);
  EXPECT_EQ(parsed.changes.size(), 4u);
  ASSERT_EQ(parsed.faults.size(), 1u);
  EXPECT_EQ(parsed.faults[0].line, 1u);
  EXPECT_EQ(parse_change_log(log, ClusterId(Uuid{7, 7})).changes.size(), 0u);
}

}  // namespace
}  // namespace holdfast::backup
