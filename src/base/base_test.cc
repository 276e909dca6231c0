#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/result.h"
#include "base/uuid.h"

namespace holdfast {
namespace {

TEST(Bytes, HasByteBelowFindsEachByteAtEachPlace) {
  for (std::size_t size = 0; size < 20; ++size) {
    for (const int limit : {1, 14, 0x20, 0x21, 128}) {
      for (const int rest : {limit, 0x7f, 0x80, 0xff}) {
        if (rest < limit) continue;
        std::string text(size, static_cast<char>(rest));
        EXPECT_FALSE(has_byte_below(text, static_cast<std::uint8_t>(limit)));
        for (std::size_t at = 0; at < size; ++at) {
          text.assign(size, static_cast<char>(rest));
          text[at] = static_cast<char>(limit);
          EXPECT_FALSE(has_byte_below(text, static_cast<std::uint8_t>(limit)));
          for (const int below : {0, limit / 2, limit - 1}) {
            text[at] = static_cast<char>(below);
            EXPECT_TRUE(has_byte_below(text, static_cast<std::uint8_t>(limit))) << size << ' ' << at << ' ' << below;
          }
        }
      }
    }
  }
}

TEST(Crc32c, MatchesTheVectorsOfTheVolumeFormat) {
  EXPECT_EQ(crc32c(bytes_of("")), 0u);
  EXPECT_EQ(crc32c(bytes_of("hello")), 0x9a71bb4cu);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
}

TEST(Crc32c, GoesOnOverPieces) {
  EXPECT_EQ(crc32c(bytes_of("6789"), crc32c(bytes_of("12345"))), 0xe3069283u);
}

TEST(Uuid, TextAndBackIsTheSame) {
  const auto made = Uuid::from_random(0x0123456789abcdef, 0xfedcba9876543210);
  const auto again = Uuid::parse(text(made));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, made);
  EXPECT_EQ(text(made).substr(14, 1), "4");
  EXPECT_FALSE(Uuid::parse("01234567-89ab-4def-bedc-ba987654321").ok());
  EXPECT_FALSE(Uuid::parse("01234567-89ab-4def-bedc-ba987654321g").ok());
}

TEST(Bytes, BigEndianIntegersRoundTrip) {
  std::string out;
  append_be<std::uint32_t>(out, 0x01020304);
  EXPECT_EQ(hex(bytes_of(out)), "01020304");
  EXPECT_EQ(load_be<std::uint32_t>(out.data()), 0x01020304u);
}

TEST(ErrorTest, AtPutsThePlaceInFront) {
  const auto error = Error(Code::corrupt, "crc mismatch").at("volume 7");
  EXPECT_EQ(error.what(), "volume 7: crc mismatch");
  EXPECT_EQ(error.code(), Code::corrupt);
}

}  // namespace
}  // namespace holdfast
