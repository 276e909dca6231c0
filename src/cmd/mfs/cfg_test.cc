#include "cmd/mfs/cfg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::mfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Cfg, ALineIsANameAndAValue) {
  const auto cfg = parse_cfg(
      "# a comment\n"
      "WORKING_USER = mfs\n"
      "DATA_PATH=/var/lib/mfs\r\n"
      "\n"
      "   \n"
      "  NICE_LEVEL\t=  -19   \n"
      "INSTANCE_NAME =\n"
      "AUTH_CODE = a#b=c d");
  EXPECT_THAT(cfg.remarks, IsEmpty());
  EXPECT_THAT(cfg.settings, ElementsAre(Setting{"WORKING_USER", "mfs", 2}, Setting{"DATA_PATH", "/var/lib/mfs", 3},
                                        Setting{"NICE_LEVEL", "-19", 6}, Setting{"INSTANCE_NAME", "", 7},
                                        Setting{"AUTH_CODE", "a#b=c d", 8}));
}

TEST(Cfg, WhatIsNoDefinitionIsNamedWithItsLineAndPassedOver) {
  const auto cfg = parse_cfg("MASTER_HOST mfsmaster\n= 7\n  # no comment: the first byte is a blank\nA B = 1\nC = \x01\nD = 2\n");
  ASSERT_THAT(cfg.remarks, SizeIs(5));
  for (int line = 1; line <= 5; ++line) {
    EXPECT_EQ(cfg.remarks[static_cast<std::size_t>(line - 1)].line, line);
    EXPECT_THAT(cfg.remarks[static_cast<std::size_t>(line - 1)].text, HasSubstr("bad definition"));
  }
  EXPECT_THAT(cfg.settings, ElementsAre(Setting{"D", "2", 6}));
}

TEST(Cfg, TheLastOfANameCounts) {
  const auto cfg = parse_cfg("A = 1\nB = 2\nA = 3\n");
  EXPECT_THAT(cfg.settings, ElementsAre(Setting{"B", "2", 2}, Setting{"A", "3", 3}));
  ASSERT_THAT(cfg.remarks, SizeIs(1));
  EXPECT_EQ(cfg.remarks[0], (Remark{3, "A is set again, after line 1: the last one counts"}));
}

TEST(Cfg, IntegersTakeTheirBaseFromThePrefix) {
  EXPECT_EQ(read_integer("027").value, 23);
  EXPECT_EQ(read_integer("0x1F").value, 31);
  EXPECT_EQ(read_integer("-19").value, -19);
  EXPECT_EQ(read_integer(" 9420 ").value, 9420);
  EXPECT_EQ(read_integer("0").value, 0);
  EXPECT_EQ(read_integer("9420").warning, "");
}

TEST(Cfg, WhatFollowsAnIntegerIsPassedOverWithAWarning) {
  for (const auto& [text, value] : {std::pair{"12abc", 12}, {"08", 0}, {"0x", 0}, {"1.5", 1}, {"7 8", 7}}) {
    EXPECT_EQ(read_integer(text).value, value) << text;
    EXPECT_THAT(read_integer(text).warning, HasSubstr("passed over")) << text;
  }
  EXPECT_EQ(read_integer("abc").value, std::nullopt);
  EXPECT_EQ(read_integer("").value, std::nullopt);
  EXPECT_EQ(read_integer("99999999999999999999").value, INT64_MAX);
  EXPECT_THAT(read_integer("99999999999999999999").warning, HasSubstr("64 bits"));
}

TEST(Cfg, TimesAreWrittenInThreeWays) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"5", 5},      {"1.03m", 62}, {"1.5h", 5400},   {"0.5d", 43200}, {"2m", 120},      {"1w", 604800},
      {"1d12h", 129600}, {"90m30s", 5430}, {"36h", 129600}, {"1w6d23h59m59s", 604800 + 6 * 86400 + 86399}, {".5m", 30}};
  for (const auto& [text, seconds] : good) EXPECT_EQ(read_time(text, 1).value, seconds) << text;
  for (const char* text : {"1d36h", "1h60m", "1m60s", "1w7d", "5m1h", "1m1m", "", "m", "1.5", "1.5mm", "5x", "-5", "1h 5m"}) {
    EXPECT_EQ(read_time(text, 1).value, std::nullopt) << text;
    EXPECT_THAT(read_time(text, 1).warning, HasSubstr("is no time")) << text;
  }
}

TEST(Cfg, APlainTimeCountsInTheOptionsUnit) {
  EXPECT_EQ(read_time("24", 3600).value, 86400u);
  EXPECT_EQ(read_time("30m", 3600).value, 1800u);
}

TEST(Cfg, SizesHaveDecimalAndBinaryUnits) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"256MiB", 256u << 20}, {"1.5GB", 1500000000u}, {"4k", 4000}, {"4Ki", 4096}, {"512", 512}, {"512B", 512},
      {"0.5GiB", 512u << 20}, {"2T", 2000000000000u}};
  for (const auto& [text, bytes] : good) EXPECT_EQ(read_size(text).value, bytes) << text;
  for (const char* text : {"", "GiB", "4K", "4ki", "4X", "4GiBB", "-4", "1e3"}) {
    EXPECT_EQ(read_size(text).value, std::nullopt) << text;
  }
  EXPECT_THAT(read_size("99999E").warning, HasSubstr("64 bits"));
}

TEST(Cfg, AnOffsetIsATimeOfDay) {
  EXPECT_EQ(read_offset("30").value, (Offset{30, false}));
  EXPECT_EQ(read_offset("2:15L").value, (Offset{135, true}));
  EXPECT_EQ(read_offset("26:00").value, (Offset{120, false}));
  EXPECT_EQ(read_offset("-30").value, (Offset{1410, false}));
  for (const char* text : {"", "L", "2:", ":5", "2:1x", "2:15:00"}) EXPECT_EQ(read_offset(text).value, std::nullopt) << text;
}

TEST(Disks, ALineIsAPathWithMarksAndALimit) {
  const auto text = parse_disks(
      "# disks\n/mnt/a\n*/mnt/b\n~<> /x\n/mnt/c 5GiB\n/mnt/d -10%\n/mnt/e =60%\n/mnt/f =\n/mnt/my disk\n"
      "/mnt/my other disk -5GiB\n>~/mnt/g\n");
  using Bound = DiskLine::Bound;
  ASSERT_THAT(text.disks, SizeIs(9));
  EXPECT_EQ(text.disks[0], (DiskLine{.path = "/mnt/a", .line = 2}));
  EXPECT_EQ(text.disks[1], (DiskLine{.path = "/mnt/b", .is_going = true, .line = 3}));
  EXPECT_EQ(text.disks[2], (DiskLine{.path = "/mnt/c", .bound = Bound::at_most, .bytes = 5ull << 30, .line = 5}));
  EXPECT_EQ(text.disks[3], (DiskLine{.path = "/mnt/d", .bound = Bound::leave_free, .percent = 10, .line = 6}));
  EXPECT_EQ(text.disks[4], (DiskLine{.path = "/mnt/e", .bound = Bound::at_most, .percent = 60, .line = 7}));
  EXPECT_EQ(text.disks[5], (DiskLine{.path = "/mnt/f", .line = 8}));
  EXPECT_EQ(text.disks[6], (DiskLine{.path = "/mnt/my disk", .line = 9}));
  EXPECT_EQ(text.disks[7],
            (DiskLine{.path = "/mnt/my other disk", .bound = Bound::leave_free, .bytes = 5ull << 30, .line = 10}));
  EXPECT_EQ(text.disks[8], (DiskLine{.path = "/mnt/g", .other_marks = ">~", .line = 11}));
  ASSERT_THAT(text.remarks, SizeIs(1));
  EXPECT_EQ(text.remarks[0].line, 4);
}

TEST(Disks, AWrongLimitIsNamedAndTheDiskUsedWithoutOne) {
  const auto text = parse_disks("/mnt/a 5Gigs\nmnt/b\n");
  ASSERT_THAT(text.disks, SizeIs(1));
  EXPECT_EQ(text.disks[0].bound, DiskLine::Bound::none);
  ASSERT_THAT(text.remarks, SizeIs(2));
  EXPECT_THAT(text.remarks[0].text, HasSubstr("\"5Gigs\" is no limit"));
  EXPECT_EQ(text.remarks[1].line, 2);
}

}  // namespace
}  // namespace holdfast::mfs
