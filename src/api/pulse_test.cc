#include "api/pulse.h"

#include <gtest/gtest.h>

namespace holdfast::api {
namespace {

const std::string kKey = "0123456789abcdef";

TEST(PulseTest, SaysLineAndNumberAndIsBoundToTheKey) {
  const auto bytes = encode_pulse({.line = 7, .number = 1ull << 40}, kKey);
  ASSERT_EQ(bytes.size(), kPulseBytes);
  const auto pulse = read_pulse(bytes_of(bytes));
  ASSERT_TRUE(pulse);
  EXPECT_EQ(pulse->line, 7u);
  EXPECT_EQ(pulse->number, 1ull << 40);
  EXPECT_TRUE(is_genuine(bytes_of(bytes), kKey));
  EXPECT_FALSE(is_genuine(bytes_of(bytes), "0123456789abcdeg"));
}

// By hand: HMAC-SHA256 of "HFP1" 0000000000000007 0000000000000009 under the key above.
TEST(PulseTest, IsTheseBytes) {
  const auto bytes = encode_pulse({.line = 7, .number = 9}, kKey);
  std::string hex;
  for (const unsigned char c : bytes) {
    hex += "0123456789abcdef"[c >> 4];
    hex += "0123456789abcdef"[c & 15];
  }
  EXPECT_EQ(hex, "48465031" "0000000000000007" "0000000000000009" "eb4c150ab6cb84bbbf017faad81c310d");
}

TEST(PulseTest, EveryChangedByteIsNoticed) {
  const auto good = encode_pulse({.line = 7, .number = 9}, kKey);
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    const bool passes = read_pulse(bytes_of(bad)) && is_genuine(bytes_of(bad), kKey);
    EXPECT_FALSE(passes) << at;
  }
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(read_pulse(bytes_of(good.substr(0, length)))) << length;
    EXPECT_FALSE(is_genuine(bytes_of(good.substr(0, length)), kKey)) << length;
  }
  EXPECT_FALSE(read_pulse(bytes_of(good + "x")));
}

}  // namespace
}  // namespace holdfast::api
