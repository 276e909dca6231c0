#include <gtest/gtest.h>

#include "model/address.h"
#include "model/collection_name.h"
#include "model/file_id.h"
#include "base/strconv.h"
#include "model/replica_placement.h"
#include "model/tier_backend.h"
#include "model/ttl.h"
#include "model/volume_info.h"

namespace holdfast {
namespace {

std::string error_of(const auto& result) { return result.ok() ? "(ok)" : result.error().what(); }

TEST(FileId, PrintsTheVectorsOfTheFormatPage) {
  EXPECT_EQ(text(FileId{VolumeId(3), NeedleId(1), Cookie(0xdeadbeef)}), "3,01deadbeef");
  EXPECT_EQ(text(FileId{VolumeId(7), NeedleId(0x102), Cookie(0x1a2b3c4d)}), "7,01021a2b3c4d");
  EXPECT_EQ(text(FileId{VolumeId(1), NeedleId(0), Cookie(5)}), "1,00000005");
  EXPECT_EQ(text(FileId{VolumeId(4294967295), NeedleId(~0ull), Cookie(0)}), "4294967295,ffffffffffffffff00000000");
}

TEST(FileId, ReadsBackWhatItPrints) {
  for (const auto* whole : {"3,01deadbeef", "7,01021a2b3c4d", "4294967295,ffffffffffffffff00000000"}) {
    const auto id = parse_file_id(whole);
    ASSERT_TRUE(id.ok()) << error_of(id);
    EXPECT_EQ(text(*id), whole);
  }
}

TEST(FileId, TakesUpperCaseOddDigitsAndLeadingZeros) {
  EXPECT_EQ(text(*parse_file_id("3,1DEADBEEF")), "3,01deadbeef");
  EXPECT_EQ(text(*parse_file_id("3,0000000000000001deadbeef")), "3,01deadbeef");
}

TEST(FileId, SuffixAddsToTheKey) {
  EXPECT_EQ(text(*parse_file_id("3,01637037d6_1")), "3,02637037d6");
  EXPECT_EQ(text(*parse_file_id("3,01637037d6_")), "3,01637037d6");
  EXPECT_EQ(error_of(parse_key_cookie("01637037d6_x")), "strconv.ParseUint: parsing \"x\": invalid syntax");
  EXPECT_EQ(error_of(parse_key_cookie("ffffffffffffffff00000001_1")),
            "delta 1 overflows needle id 66666666666666666666666666666666");
}

TEST(FileId, SaysWhatIsWrongInUpstreamsWords) {
  EXPECT_EQ(error_of(parse_fid_part("zz")), "Invalid fid: zz");
  EXPECT_EQ(error_of(parse_fid_part("12345678")), "Invalid fid: 12345678");
  EXPECT_EQ(error_of(parse_fid_part("12345678_1")), "KeyHash is too short.");
  EXPECT_EQ(error_of(parse_fid_part("0123456789012345678901234")), "KeyHash is too long.");
  EXPECT_EQ(error_of(parse_fid_part("xx637037d6")),
            "Parse needleId error: needle id xx format error: strconv.ParseUint: parsing \"xx\": invalid syntax");
  EXPECT_EQ(error_of(parse_fid_part("01637037dz")),
            "Parse cookie error: needle cookie 637037dz format error: strconv.ParseUint: parsing \"637037dz\": "
            "invalid syntax");
  EXPECT_EQ(error_of(parse_volume_id("abc")), "strconv.ParseUint: parsing \"abc\": invalid syntax");
  EXPECT_EQ(error_of(parse_volume_id("99999999999999999999")),
            "strconv.ParseUint: parsing \"99999999999999999999\": value out of range");
  EXPECT_EQ(*parse_volume_id("4294967297"), VolumeId(1));
  EXPECT_FALSE(parse_volume_id("+3").ok());
  EXPECT_FALSE(parse_file_id("301637037d6").ok());
}

TEST(Ttl, IsRefittedToTheLargestExactUnit) {
  const std::pair<const char*, const char*> rows[] = {
      {"60m", "1h"},   {"90m", "90m"},  {"300m", "5h"},  {"24h", "1d"},  {"7d", "1w"},    {"30d", "1M"},
      {"365d", "1y"},  {"256d", "36w"}, {"500h", "20d"}, {"36h", "36h"}, {"1000m", "16h"}, {"257h", "10d"},
      {"3", "3m"},     {"", ""},        {"0", ""},       {"-3m", ""},    {"5q", ""},      {"256y", ""},
      {"255y", "255y"}, {"3h", "3h"},   {"9223372036854775807y", ""}};
  for (const auto& [given, kept] : rows) {
    const auto ttl = Ttl::parse(given);
    ASSERT_TRUE(ttl.ok()) << given;
    EXPECT_EQ(text(*ttl), kept) << given;
  }
}

TEST(Ttl, WithoutANumberIsAnError) {
  EXPECT_EQ(error_of(Ttl::parse("zz")), "strconv.Atoi: parsing \"z\": invalid syntax");
  EXPECT_EQ(error_of(Ttl::parse("1.5h")), "strconv.Atoi: parsing \"1.5\": invalid syntax");
  EXPECT_EQ(error_of(Ttl::parse("h")), "strconv.Atoi: parsing \"\": invalid syntax");
}

TEST(Ttl, GoesThroughBytesAndWire) {
  const auto ttl = *Ttl::parse("3h");
  EXPECT_EQ(ttl.count(), 3);
  EXPECT_EQ(static_cast<int>(ttl.unit()), 2);
  EXPECT_EQ(ttl.wire(), 0x0302u);
  EXPECT_EQ(Ttl::from_wire(0x0302), ttl);
  EXPECT_EQ(ttl.minutes(), 180u);
  EXPECT_TRUE(Ttl::from_bytes(0, 2).is_none());
  EXPECT_EQ(Ttl::from_bytes(0, 2).wire(), 0u);
  EXPECT_TRUE(Ttl::from_bytes(5, 77).is_none());
}

TEST(ReplicaPlacement, IsPaddedInFront) {
  EXPECT_EQ(text(*ReplicaPlacement::parse("")), "000");
  EXPECT_EQ(text(*ReplicaPlacement::parse("1")), "001");
  EXPECT_EQ(text(*ReplicaPlacement::parse("10")), "010");
  EXPECT_EQ(text(*ReplicaPlacement::parse("0000")), "000");
  EXPECT_EQ(ReplicaPlacement::parse("112")->copies(), 5);
  EXPECT_EQ(ReplicaPlacement::parse("200")->byte(), 200);
  EXPECT_EQ(ReplicaPlacement::from_byte(123), *ReplicaPlacement::parse("123"));
  EXPECT_EQ(ReplicaPlacement::parse("9x")->same_rack, 72);
}

TEST(ReplicaPlacement, SaysWhatIsWrongInUpstreamsWords) {
  EXPECT_EQ(error_of(ReplicaPlacement::parse("-1")), "unknown replication type: 0-1");
  EXPECT_EQ(error_of(ReplicaPlacement::parse("256")), "unexpected replication type: 256");
  EXPECT_EQ(error_of(ReplicaPlacement::parse("xyz")), "unexpected replication type: xyz");
}

TEST(Address, GrpcPortIsTenThousandAboveUnlessGiven) {
  const auto plain = *Address::parse("localhost:9333");
  EXPECT_EQ(plain.grpc(), "localhost:19333");
  EXPECT_EQ(text(plain), "localhost:9333");
  const auto dotted = *Address::parse("[::1]:9333.1234");
  EXPECT_EQ(dotted.host, "::1");
  EXPECT_EQ(dotted.http(), "[::1]:9333");
  EXPECT_EQ(dotted.grpc(), "[::1]:1234");
  EXPECT_EQ(text(dotted), "[::1]:9333.1234");
  EXPECT_EQ(text(*Address::parse("a:9333.19333")), "a:9333");
}

TEST(Address, IsTheSameWhenTheHttpFormIs) {
  EXPECT_EQ(*Address::parse("a:9333.1"), *Address::parse("a:9333"));
  EXPECT_NE(*Address::parse("localhost:9333"), *Address::parse("127.0.0.1:9333"));
}

TEST(Address, NamesWhatIsWrong) {
  for (const auto* text : {"", "a", "a:", ":9333", "::1:9333", "[::1]", "[::1:9333", "a:0", "a:70000", "a:9333.", "a:60000"}) {
    EXPECT_FALSE(Address::parse(text).ok()) << text;
  }
  EXPECT_TRUE(Address::parse("a:60000.50000").ok());
}

TEST(Address, AListPassesOverBlanksAndEmptyItems) {
  const auto list = Address::parse_list(" a:1, b:2,,c:3.4 ");
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[2].grpc_port, 4);
  EXPECT_TRUE(Address::parse_list("")->empty());
}

TEST(CollectionName, IsWhatFilesCanBeNamedAfter) {
  for (const auto* good : {"", "pics", "a_b", "a b", "a,b", ".", "..", "\xc3\xa4", "\\"}) {
    EXPECT_TRUE(check_collection_name(good).ok()) << good;
  }
  EXPECT_TRUE(check_collection_name(std::string(kCollectionNameMax, 'a')).ok());
  using namespace std::string_view_literals;
  for (const auto bad : {"a/b"sv, "../x"sv, "/"sv, "a\0b"sv, "a\nb"sv, "\x7f"sv, "\xff"sv, "\xc0\xaf"sv}) {
    EXPECT_FALSE(check_collection_name(bad).ok()) << bad;
  }
  EXPECT_FALSE(check_collection_name(std::string(kCollectionNameMax + 1, 'a')).ok());
}

TEST(TierBackend, IsCalledByItsTypeAloneWhenItIsTheDefaultOne) {
  EXPECT_EQ((TierBackend{.type = "s3", .id = "cold", .properties = {}}.name()), "s3.cold");
  EXPECT_EQ((TierBackend{.type = "s3", .id = "default", .properties = {}}.name()), "s3");
}

}  // namespace
}  // namespace holdfast
