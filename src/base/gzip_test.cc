#include "base/gzip.h"

#include <gtest/gtest.h>

#include <random>

namespace holdfast::gzip {
namespace {

TEST(Gzip, HasUpstreamsShape) {
  const auto stream = compress(bytes_of("hello hello hello hello"));
  EXPECT_EQ(hex(bytes_of(stream)).substr(0, 20), "1f8b08000000000004ff");
  EXPECT_EQ(hex(bytes_of(stream)).substr(stream.size() * 2 - 24, 8), "0000ffff");
}

TEST(Gzip, GivesBackWhatItTook) {
  std::mt19937 random(3);
  for (const std::size_t size : {0, 1, 100, 65536, 1000000}) {
    std::string plain;
    while (plain.size() < size) plain.append(random() % 40, static_cast<char>('a' + random() % 4));
    plain.resize(size);
    const auto back = decompress(bytes_of(compress(bytes_of(plain))), 1_GiB);
    ASSERT_TRUE(back.ok()) << size;
    EXPECT_EQ(*back, plain);
  }
}

TEST(Gzip, WorksInPieces) {
  std::string stream;
  Compressor compressor;
  for (int i = 0; i < 100; i++) compressor.add(bytes_of("some words, "), stream);
  compressor.finish(stream);
  std::string plain;
  Decompressor decompressor;
  for (const char c : stream) {
    ASSERT_TRUE(decompressor.add(bytes_of({&c, 1}), [&](BytesView piece) {
      plain.append(text_of(piece));
      return Status();
    }).ok());
  }
  EXPECT_TRUE(decompressor.finish().ok());
  EXPECT_EQ(plain.size(), 1200u);
}

TEST(Gzip, SeveralMembersAreOneFile) {
  const auto stream = compress(bytes_of("one ")) + compress(bytes_of("two"));
  EXPECT_EQ(*decompress(bytes_of(stream), 100), "one two");
}

TEST(Gzip, ABombIsStoppedAtTheBound) {
  const auto stream = compress(bytes_of(std::string(10'000'000, 'x')));
  EXPECT_LT(stream.size(), 100'000u);
  EXPECT_EQ(decompress(bytes_of(stream), 1'000'000).error().code(), Code::no_space);
}

TEST(Gzip, CutOrFlippedStreamsAreCorrupt) {
  auto stream = compress(bytes_of("hello hello hello hello"));
  EXPECT_FALSE(decompress(bytes_of(stream.substr(0, stream.size() - 1)), 100).ok());
  EXPECT_FALSE(decompress(bytes_of("plain text"), 100).ok());
  EXPECT_FALSE(decompress(bytes_of(""), 100).ok());
  stream[stream.size() - 6] ^= 1;  // in the checksum
  EXPECT_EQ(decompress(bytes_of(stream), 100).error().code(), Code::corrupt);
}

}  // namespace
}  // namespace holdfast::gzip
