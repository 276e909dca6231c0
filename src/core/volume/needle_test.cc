#include "core/volume/needle.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <random>

#include "base/crc32c.h"
#include "core/volume/index_row.h"
#include "core/volume/superblock.h"

namespace holdfast::volume {
namespace {

std::string from_hex(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  std::string out;
  EXPECT_TRUE(unhex(text, out));
  return out;
}
std::string to_hex(const std::string& bytes) { return hex(bytes_of(bytes)); }

// The needle of vector V3.
NeedleView hello() {
  NeedleView n;
  n.id = NeedleId(0x102);
  n.cookie = Cookie(0x1a2b3c4d);
  n.data = bytes_of("hello");
  n.name = "a.txt";
  n.mime = "text/plain";
  n.flags = 0x0e;
  n.last_modified = 1700000000;
  n.append_at_ns = 1700000000123456789;
  return n;
}

const char* const kV3 =
    "1a2b3c4d 00000000 00000102 00000020 00000005 68656c6c 6f0e0561 2e747874"
    "0a746578 742f706c 61696e00 6553f100 9a71bb4c 17979cfe 3d85cd15 00000020";

TEST(Needle, Version3IsVectorV3) { EXPECT_EQ(to_hex(encode(hello(), Version::v3)), to_hex(from_hex(kV3))); }

TEST(Needle, Version2IsVectorV4) {
  const auto expected = from_hex(kV3).substr(0, 48) + from_hex("9a71bb4c 6553f100");
  EXPECT_EQ(to_hex(encode(hello(), Version::v2)), to_hex(expected));
}

TEST(Needle, Version1IsVectorV5) {
  EXPECT_EQ(to_hex(encode(hello(), Version::v1)),
            to_hex(from_hex("1a2b3c4d 00000000 00000102 00000005 68656c6c 6f9a71bb 4c000000 00000001")));
}

TEST(Needle, DeletionsAreVectorV6) {
  const NeedleId id(0x102);
  const Cookie cookie(0x1a2b3c4d);
  EXPECT_EQ(to_hex(encode_deletion(id, cookie, 0x9a71bb4c, 1700000001000000000, Version::v3)),
            "1a2b3c4d0000000000000102000000009a71bb4c17979cfe71c4ca0000000000");
  EXPECT_EQ(to_hex(encode_deletion(id, cookie, 0x9a71bb4c, 1700000001000000000, Version::v2)),
            "1a2b3c4d0000000000000102000000009a71bb4c00000000");
  EXPECT_EQ(to_hex(encode_deletion(id, Cookie(0), 0, 1700000001000000000, Version::v3)),
            "000000000000000000000102000000000000000017979cfe71c4ca0000000000");
}

TEST(Needle, AllOptionalPartsAreVectorV7) {
  NeedleView n;
  n.cookie = Cookie(0xdeadbeef);
  n.id = NeedleId(0x7fffffffffffffff);
  n.data = bytes_of("abc");
  n.flags = 0x3e;
  n.name = "f";
  n.last_modified = 0x65a0bc01ff;
  n.ttl = *Ttl::parse("3h");
  n.pairs = "{\"Color\":\"red\"}";
  n.append_at_ns = 1;
  const auto record = encode(n, Version::v3);
  EXPECT_EQ(to_hex(record),
            to_hex(from_hex("deadbeef 7fffffff ffffffff 00000023 00000003 6162633e 01660065 a0bc01ff"
                            "0302000f 7b22436f 6c6f7222 3a227265 64227d36 4b3fb700 00000000 00000100")));
  const auto back = parse(bytes_of(record), 35, Version::v3);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->pairs, n.pairs);
  EXPECT_EQ(back->last_modified, n.last_modified);
  EXPECT_EQ(text(back->ttl), "3h");
  EXPECT_EQ(back->mime, "");
}

TEST(Needle, EightBytesOfPaddingAreVectorV8) {
  NeedleView n;
  n.cookie = Cookie(1);
  n.id = NeedleId(2);
  n.data = bytes_of("xxxxxxx");
  n.append_at_ns = 0x0102030405060708;
  EXPECT_EQ(to_hex(encode(n, Version::v3)),
            to_hex(from_hex("00000001 00000000 00000002 0000000c 00000007 78787878 78787800 b79f836b"
                            "01020304 05060708 0000000c 00000000")));
}

TEST(Needle, RecordLengthsAreVectorV11) {
  const std::tuple<std::int32_t, int, std::uint64_t> rows[] = {
      {0, 1, 24}, {0, 2, 24}, {0, 3, 32}, {1, 2, 24}, {4, 2, 32}, {4, 3, 40}, {12, 3, 48}, {32, 3, 64}, {32, 2, 56},
      {75652, 3, 75688}};
  for (const auto& [size, version, bytes] : rows) {
    EXPECT_EQ(record_bytes(size, static_cast<Version>(version)), bytes) << size << " v" << version;
  }
  EXPECT_EQ(record_bytes(kTombstoneSize, Version::v3), 32u);
}

TEST(Needle, LegacyCrcIsVectorV2) {
  EXPECT_EQ(legacy_crc(crc32c(bytes_of(""))), 0xa282ead8u);
  EXPECT_EQ(legacy_crc(crc32c(bytes_of("hello"))), 0x191c1fbbu);
  EXPECT_EQ(legacy_crc(crc32c(bytes_of("123456789"))), 0xc78ab0e5u);
  EXPECT_TRUE(crc_matches(0x9a71bb4c, 0x191c1fbb));
  EXPECT_FALSE(crc_matches(0x9a71bb4c, 0x191c1fbc));
}

TEST(Needle, AWholeVolumeIsVectorV10) {
  Superblock superblock;
  superblock.replica_placement = *ReplicaPlacement::parse("001");
  superblock.ttl = *Ttl::parse("3h");
  const auto dat = superblock.encode() + encode(hello(), Version::v3) +
                   encode_deletion(NeedleId(0x102), Cookie(0x1a2b3c4d), 0x9a71bb4c, 1700000001000000000, Version::v3);
  EXPECT_EQ(dat.size(), 104u);
  std::string sha256(32, '\0');
  EVP_Digest(dat.data(), dat.size(), reinterpret_cast<unsigned char*>(sha256.data()), nullptr, EVP_sha256(), nullptr);
  EXPECT_EQ(to_hex(sha256), "751fd46f2610280cadc25ad888c0138fd32adb3fd49469667888f22828cf2ef9");

  std::string idx;
  append_row(idx, {NeedleId(0x102), 1, 0x20});
  append_row(idx, {NeedleId(0x102), 9, kTombstoneSize});
  EXPECT_EQ(to_hex(idx), "00000000000001020000000100000020" "000000000000010200000009ffffffff");
}

TEST(Superblock, IsVectorV1) {
  Superblock s;
  s.replica_placement = *ReplicaPlacement::parse("200");
  s.ttl = *Ttl::parse("1y");
  s.compact_revision = 258;
  EXPECT_EQ(to_hex(s.encode()), "03c8010601020000");
  const auto back = Superblock::parse(bytes_of(s.encode()));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->compact_revision, 258);
  EXPECT_EQ(back->first_needle(), 8u);
}

TEST(Superblock, OfAnUnknownVersionOrTooShortIsRefused) {
  EXPECT_EQ(Superblock::parse(bytes_of(std::string("\x04\0\0\0\0\0\0\0", 8))).error().code(), Code::unsupported);
  EXPECT_EQ(Superblock::parse(bytes_of(std::string("\0\0\0\0\0\0\0\0", 8))).error().code(), Code::unsupported);
  EXPECT_EQ(Superblock::parse(bytes_of("\x03")).error().code(), Code::corrupt);
}

TEST(IndexRow, IsVectorV9) {
  std::string out;
  append_row(out, {NeedleId(0x102), 1, 0x20});
  append_row(out, {NeedleId(0x102), 9, -1});
  append_row(out, {NeedleId(0x102), 0, -1});
  EXPECT_EQ(to_hex(out),
            "00000000000001020000000100000020"
            "000000000000010200000009ffffffff"
            "000000000000010200000000ffffffff");
  const auto large = from_hex("0000000000000102 4000000001 00000020");
  const auto row = parse_row_large(bytes_of(large).data());
  EXPECT_EQ(row.offset * 8, 40_GiB);
  EXPECT_EQ(row.size, 32);
  EXPECT_TRUE(parse_row(bytes_of(out).data()).is_put());
  EXPECT_FALSE(parse_row(bytes_of(out).data() + 16).is_put());
}

TEST(Needle, ReadsBackWhateverItWrites) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; round++) {
    NeedleView n;
    n.cookie = Cookie(static_cast<std::uint32_t>(random()));
    n.id = NeedleId(random());
    n.append_at_ns = random();
    n.flags = static_cast<std::uint8_t>(random() & 0xbf);
    const std::string data(1 + random() % 300, 'd');
    const std::string name(random() % 256, 'n');
    const std::string mime(random() % 256, 'm');
    const std::string pairs(random() % 1000, 'p');
    n.data = bytes_of(data);
    n.name = n.has(kFlagName) ? std::string_view(name) : "";
    n.mime = n.has(kFlagMime) ? std::string_view(mime) : "";
    n.pairs = n.has(kFlagPairs) ? std::string_view(pairs) : "";
    n.last_modified = n.has(kFlagLastModified) ? random() & 0xffffffffff : 0;
    n.ttl = n.has(kFlagTtl) ? *Ttl::parse("5d") : Ttl();
    for (const auto version : {Version::v2, Version::v3}) {
      const auto record = encode(n, version);
      const auto header = NeedleHeader::parse(bytes_of(record).data());
      ASSERT_EQ(record.size(), record_bytes(header.size, version));
      ASSERT_EQ(record.size() % 8, 0u);
      const auto back = parse(bytes_of(record), header.size, version);
      ASSERT_TRUE(back.ok()) << back.error().what();
      EXPECT_EQ(encode(*back, version), record);
      EXPECT_TRUE(check_data(*back));
      const auto front = kHeaderBytes + 4 + data.size();
      const auto tail = parse_tail(header, static_cast<std::uint32_t>(data.size()), bytes_of(record).subspan(front),
                                   version);
      ASSERT_TRUE(tail.ok());
      EXPECT_EQ(tail->name, n.name);
      EXPECT_EQ(tail->stored_crc, back->stored_crc);
    }
  }
}

TEST(Needle, WithoutDataStoresNothingElse) {
  auto n = hello();
  n.data = {};
  EXPECT_EQ(encode(n, Version::v3).size(), 32u);
  EXPECT_EQ(encode(n, Version::v3).substr(12, 4), std::string(4, '\0'));
}

TEST(Needle, PartsThatDoNotFitAreCutOrLeftOut) {
  auto n = hello();
  const std::string longer(300, 'x');
  n.name = longer;
  n.mime = longer;
  const auto record = encode(n, Version::v3);
  const auto back = parse(bytes_of(record), NeedleHeader::parse(bytes_of(record).data()).size, Version::v3);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->name.size(), 255u);
  EXPECT_FALSE(back->has(kFlagMime));
}

TEST(Needle, EveryCutOrForeignSizeIsCorruptNotACrash) {
  const auto record = encode(hello(), Version::v3);
  for (std::size_t n = 0; n + 4 < record.size(); n++) {  // without its 4 bytes of padding it is still whole
    EXPECT_FALSE(parse(bytes_of(record).first(n), 0x20, Version::v3).ok()) << n;
  }
  EXPECT_TRUE(parse(bytes_of(record).first(60), 0x20, Version::v3).ok());
  EXPECT_EQ(parse(bytes_of(record), 0x1f, Version::v3).error().code(), Code::corrupt);
}

TEST(Needle, AFlippedDataBitIsNoticed) {
  auto record = encode(hello(), Version::v3);
  record[21] ^= 1;
  const auto needle = parse(bytes_of(record), 0x20, Version::v3);
  ASSERT_TRUE(needle.ok());
  EXPECT_FALSE(check_data(*needle));
}

TEST(Needle, ExpiresOnlyWithTtlAndLastModified) {
  auto n = hello();
  n.ttl = *Ttl::parse("1m");
  const auto later = n.append_at_ns + 60'000'000'000;
  EXPECT_FALSE(n.is_expired(later));
  n.flags |= kFlagTtl;
  EXPECT_TRUE(n.is_expired(later));
  EXPECT_FALSE(n.is_expired(later - 1));
  n.flags &= static_cast<std::uint8_t>(~kFlagLastModified);
  EXPECT_FALSE(n.is_expired(later));
}

// Versions 1 and 2 do not store when a needle was appended.
TEST(Needle, WithoutAppendTimeItsAgeIsThatOfItsFile) {
  auto n = hello();
  n.ttl = *Ttl::parse("1m");
  n.flags |= kFlagTtl;
  n.append_at_ns = 0;
  EXPECT_FALSE(n.is_expired(1'700'000'059'999'999'999));
  EXPECT_TRUE(n.is_expired(1'700'000'060'000'000'000));
  n.last_modified = 0xffffffffff;  // as far as the field reaches: no overflow makes it old
  EXPECT_FALSE(n.is_expired(1'700'000'060'000'000'000));
}

}  // namespace
}  // namespace holdfast::volume
