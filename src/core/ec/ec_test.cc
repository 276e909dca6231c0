#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/crc32c.h"
#include "core/ec/checksums.h"
#include "core/ec/codec.h"
#include "core/ec/journal.h"
#include "core/ec/layout.h"

namespace holdfast::ec {
namespace {

using Shards = std::vector<std::vector<std::uint8_t>>;

// Data shards are given, parity is made.
Shards encode(Scheme scheme, Shards shards) {
  const Codec codec(scheme);
  shards.resize(scheme.total(), std::vector<std::uint8_t>(shards[0].size()));
  std::vector<const std::uint8_t*> data;
  std::vector<std::uint8_t*> parity;
  for (unsigned i = 0; i < scheme.total(); i++) {
    if (i < scheme.data) data.push_back(shards[i].data());
    else parity.push_back(shards[i].data());
  }
  codec.encode(data, parity, shards[0].size());
  return shards;
}

Shards random_data(Scheme scheme, std::size_t bytes, std::mt19937_64& random) {
  Shards out(scheme.data, std::vector<std::uint8_t>(bytes));
  for (auto& shard : out) {
    for (auto& b : shard) b = static_cast<std::uint8_t>(random());
  }
  return out;
}

void expect_recovered(Scheme scheme, const Shards& shards, const std::vector<ShardId>& present) {
  const Codec codec(scheme);
  std::vector<ShardId> wanted;
  for (unsigned i = 0; i < scheme.total(); i++) {
    if (std::find(present.begin(), present.end(), i) == present.end()) wanted.push_back(i);
  }
  const auto plan = codec.plan(present, wanted);
  ASSERT_TRUE(plan.ok()) << plan.error().what();
  std::vector<const std::uint8_t*> from;
  for (const auto id : plan->sources()) from.push_back(shards[id].data());
  Shards made(wanted.size(), std::vector<std::uint8_t>(shards[0].size()));
  std::vector<std::uint8_t*> to;
  for (auto& shard : made) to.push_back(shard.data());
  plan->run(from, to, shards[0].size());
  for (std::size_t i = 0; i < wanted.size(); i++) EXPECT_EQ(made[i], shards[wanted[i]]) << "shard " << wanted[i];
}

TEST(Codec, MakesTheParityOfTheOriginalLibrary) {  // V13
  const auto shards = encode({5, 5}, {{0, 1}, {4, 5}, {2, 3}, {6, 7}, {8, 9}});
  const Shards parity(shards.begin() + 5, shards.end());
  EXPECT_EQ(parity, (Shards{{12, 13}, {10, 11}, {14, 15}, {90, 91}, {94, 95}}));
}

TEST(Codec, HasUpstreamsRowsForTenAndFour) {
  const Codec codec({10, 4});
  const std::vector<std::vector<std::uint8_t>> rows = {
      {0x81, 0x96, 0xaf, 0xb8, 0xd2, 0xc4, 0xfe, 0xe8, 0x03, 0x02},
      {0x96, 0x81, 0xb8, 0xaf, 0xc4, 0xd2, 0xe8, 0xfe, 0x02, 0x03},
      {0xbf, 0xd6, 0x62, 0x0a, 0x06, 0x6f, 0xdf, 0xb7, 0x05, 0x04},
      {0xd6, 0xbf, 0x0a, 0x62, 0x6f, 0x06, 0xb7, 0xdf, 0x04, 0x05}};
  for (unsigned i = 0; i < 4; i++) {
    EXPECT_THAT(codec.row(10 + i), testing::ElementsAreArray(rows[i]));
    for (unsigned c = 0; c < 10; c++) EXPECT_EQ(codec.row(i)[c], i == c);
  }
}

TEST(Codec, AnyTenOfFourteenGiveTheRest) {
  std::mt19937_64 random(14);
  const Scheme scheme{10, 4};
  const auto shards = encode(scheme, random_data(scheme, 333, random));
  int tried = 0;
  for (unsigned bits = 0; bits < 1u << 14; bits++) {
    if (std::popcount(bits) != 10) continue;
    std::vector<ShardId> present;
    for (unsigned i = 0; i < 14; i++) {
      if (bits >> i & 1) present.push_back(i);
    }
    expect_recovered(scheme, shards, present);
    tried++;
  }
  EXPECT_EQ(tried, 1001);
}

TEST(Codec, AnyKOfKPlusMGiveTheRest) {
  std::mt19937_64 random(32);
  for (unsigned data = 1; data <= 31; data++) {
    for (unsigned parity = 1; data + parity <= kShardsMax; parity++) {
      const Scheme scheme{data, parity};
      const auto shards = encode(scheme, random_data(scheme, 40, random));
      for (int round = 0; round < 4; round++) {
        std::vector<ShardId> present(scheme.total());
        for (unsigned i = 0; i < scheme.total(); i++) present[i] = i;
        std::shuffle(present.begin(), present.end(), random);
        present.resize(data);
        expect_recovered(scheme, shards, present);
      }
    }
  }
}

TEST(Codec, SaysWhenThereAreTooFewShards) {
  const Codec codec({2, 1});
  EXPECT_EQ(codec.plan({1, 1}, {0}).error().code(), Code::unavailable);
  EXPECT_EQ(codec.plan({0, 3}, {1}).error().code(), Code::invalid);
}

TEST(Scheme, GoesFromOneToThirtyTwoShards) {
  EXPECT_TRUE((Scheme{2, 1}.is_valid()));
  EXPECT_TRUE((Scheme{28, 4}.is_valid()));
  EXPECT_FALSE((Scheme{29, 4}.is_valid()));
  EXPECT_FALSE((Scheme{0, 4}.is_valid()));
  EXPECT_FALSE((Scheme{10, 0}.is_valid()));
  EXPECT_FALSE((Scheme{10, 0xffffffff}.is_valid()));
}

// --- V14 ---

constexpr std::uint64_t kSyntheticBytes = 12'000'000;

std::uint8_t synthetic(std::uint64_t i) {
  return static_cast<std::uint8_t>(7 * i + 13 * (i >> 8) + 31 * (i >> 16) + 57 * (i >> 20));
}

Shards synthetic_shards() {
  const Scheme scheme{10, 4};
  const auto layout = Layout::of_dat(scheme, kSyntheticBytes);
  Shards data(10, std::vector<std::uint8_t>(shard_bytes(scheme, kSyntheticBytes)));
  std::uint64_t at = 0;
  for (const auto& piece : layout.pieces(0, kSyntheticBytes)) {
    for (std::uint64_t i = 0; i < piece.bytes; i++) data[piece.shard][piece.offset + i] = synthetic(at++);
  }
  return encode(scheme, std::move(data));
}

TEST(Codec, EncodesTheSyntheticVolumeAsUpstreamDoes) {
  const auto shards = synthetic_shards();
  const std::vector<std::uint32_t> crcs = {0x80572106, 0x2c46da3e, 0xe3174a53, 0x20485b7d, 0x3cceb11a,
                                           0x02882560, 0xf21fba40, 0x91f9c42b, 0x0d36f683, 0xd6248fc0,
                                           0x6f4c9094, 0xa5b2e36d, 0x367df69c, 0x89b6de17};
  for (unsigned i = 0; i < 14; i++) {
    EXPECT_EQ(shards[i].size(), 2097152u);
    EXPECT_EQ(crc32c(shards[i]), crcs[i]) << i;
  }
  EXPECT_EQ(load_be<std::uint64_t>(shards[13].data()), 0x7eeb1bc5e8947492u);
}

Checksums synthetic_checksums() {
  Checksums sums;
  for (unsigned i = 0; const auto& shard : synthetic_shards()) {
    ShardSummer summer(i++, sums.block_bytes);
    summer.add(BytesView(shard).first(1000));
    summer.add(BytesView(shard).subspan(1000));
    sums.shards.push_back(summer.finish());
  }
  for (std::uint8_t i = 0; auto& b : sums.encode_uuid) b = i++;
  return sums;
}

TEST(Checksums, AreUpstreamsToTheByte) {
  const auto bytes = synthetic_checksums().encode();
  EXPECT_EQ(bytes.size(), 14u + 239u);
  const std::uint8_t head[] = {0x45, 0x43, 0x53, 0x55, 0x00, 0x01, 0x00, 0x00, 0x00, 0xef, 0x11, 0x17,
                               0x19, 0x6c, 0x08, 0x01, 0x10, 0x80, 0x80, 0x80, 0x08, 0x22, 0x04, 0x08,
                               0x0a, 0x10, 0x04, 0x2a, 0x0b, 0x10, 0x80, 0x80, 0x80, 0x01, 0x1a, 0x04,
                               0x06, 0x21, 0x57, 0x80};
  EXPECT_EQ(bytes.substr(0, sizeof head), text_of(BytesView(head)));
  const auto parsed = Checksums::parse(bytes_of(bytes));
  ASSERT_TRUE(parsed.ok()) << parsed.error().what();
  EXPECT_EQ(*parsed, synthetic_checksums());
}

TEST(Checksums, NoFlippedBitAndNoCutGoesUnseen) {
  const auto bytes = synthetic_checksums().encode();
  for (std::size_t i = 0; i < bytes.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      auto bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      EXPECT_FALSE(Checksums::parse(bytes_of(bad)).ok()) << i << " " << bit;
    }
    EXPECT_FALSE(Checksums::parse(bytes_of(bytes.substr(0, i))).ok());
  }
  EXPECT_FALSE(Checksums::parse(bytes_of(bytes + "x")).ok());
}

TEST(Checksums, OfSomeShardsOnlyAreRefused) {
  auto sums = synthetic_checksums();
  sums.shards.pop_back();
  EXPECT_EQ(Checksums::parse(bytes_of(sums.encode())).error().code(), Code::corrupt);
  sums = synthetic_checksums();
  sums.shards[3].blocks.push_back(1);
  EXPECT_EQ(Checksums::parse(bytes_of(sums.encode())).error().code(), Code::corrupt);
  sums = synthetic_checksums();
  sums.block_bytes = 3 << 20;
  EXPECT_EQ(Checksums::parse(bytes_of(sums.encode())).error().code(), Code::corrupt);
}

TEST(ShardSummer, BeginsANewCrcWithEachBlock) {
  ShardSummer summer(4, 8);
  const std::string bytes = "123456789";
  for (const char& c : bytes) summer.add(bytes_of(std::string_view(&c, 1)));
  const auto sums = summer.finish();
  EXPECT_EQ(sums.covered_bytes, 9u);
  EXPECT_EQ(sums.blocks, (std::vector<std::uint32_t>{crc32c(bytes_of("12345678")), crc32c(bytes_of("9"))}));
}

// --- V15 ---

TEST(Layout, FindsEachByteWhereUpstreamPutIt) {
  const Scheme scheme{10, 4};
  const auto at = [&](std::uint64_t dat, std::uint64_t offset) {
    const auto piece = Layout::of_dat(scheme, dat).locate(offset, 1);
    return std::pair(piece.shard, piece.offset);
  };
  using P = std::pair<ShardId, std::uint64_t>;
  EXPECT_EQ(at(12'000'000, 0), P(0, 0));
  EXPECT_EQ(at(12'000'000, 10485759), P(9, 1048575));
  EXPECT_EQ(at(12'000'000, 10485765), P(0, 1048581));
  EXPECT_EQ(at(25'000'000'000, 2147483655), P(2, 7));
  EXPECT_EQ(at(25'000'000'000, 21477982217), P(3, 2147483657));
}

TEST(Layout, TellsTheLengthOfShards) {
  const Scheme scheme{10, 4};
  EXPECT_EQ(shard_bytes(scheme, 8), 1048576u);
  EXPECT_EQ(shard_bytes(scheme, 10485760), 1048576u);
  EXPECT_EQ(shard_bytes(scheme, 10485761), 2097152u);
  EXPECT_EQ(shard_bytes(scheme, 10737418239), 1073741824u);
  EXPECT_EQ(shard_bytes(scheme, 10737418240), 1073741824u);
  EXPECT_EQ(shard_bytes(scheme, 10737418241), 1074790400u);
  EXPECT_EQ(shard_bytes(scheme, 32212254720), 3221225472u);
}

TEST(Layout, PiecesCoverWhatIsAskedForOnceAndInOrder) {
  std::mt19937_64 random(15);
  for (const auto scheme : {Scheme{10, 4}, Scheme{2, 1}, Scheme{3, 2}}) {
    for (int round = 0; round < 500; round++) {
      const auto dat = random() % (scheme.data * 3_GiB) + 1;
      const auto layout = Layout::of_dat(scheme, dat);
      const auto offset = random() % dat;
      const auto bytes = std::min(dat - offset, random() % 5_MiB + 1);
      const auto length = shard_bytes(scheme, dat);
      std::uint64_t covered = 0;
      for (const auto& piece : layout.pieces(offset, bytes)) {
        EXPECT_EQ(piece, layout.locate(offset + covered, piece.bytes));
        EXPECT_LT(piece.shard, scheme.data);
        EXPECT_LE(piece.offset + piece.bytes, length);
        covered += piece.bytes;
      }
      EXPECT_EQ(covered, bytes);
    }
  }
}

// --- index and journal ---

TEST(Journal, PassesOverATornId) {
  std::string bytes;
  append_journal(bytes, NeedleId(7));
  append_journal(bytes, NeedleId(0x0102030405060708));
  EXPECT_EQ(parse_journal(bytes_of(bytes + "abc")), (std::vector{NeedleId(7), NeedleId(0x0102030405060708)}));
}

TEST(SortedIndex, IsRefusedOutOfOrderOrCut) {
  std::string bytes;
  volume::append_row(bytes, {NeedleId(3), 1, 5});
  volume::append_row(bytes, {NeedleId(9), 2, 5});
  EXPECT_EQ(parse_sorted_index(bytes_of(bytes))->size(), 2u);
  EXPECT_TRUE(parse_sorted_index({})->empty());
  EXPECT_NE(find_row(bytes_of(bytes), NeedleId(9)), nullptr);
  EXPECT_EQ(find_row(bytes_of(bytes), NeedleId(4)), nullptr);
  EXPECT_EQ(parse_sorted_index(bytes_of(bytes).first(20)).error().code(), Code::corrupt);
  volume::append_row(bytes, {NeedleId(9), 3, 5});
  EXPECT_EQ(parse_sorted_index(bytes_of(bytes)).error().code(), Code::corrupt);
}

}  // namespace
}  // namespace holdfast::ec
