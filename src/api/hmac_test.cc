#include "api/hmac.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <string>

namespace holdfast::api {
namespace {

std::string hex(const Mac& mac) {
  std::string out;
  for (const auto byte : mac) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

// RFC 4231, test cases 1, 2, 6 and 7.
TEST(HmacTest, GivesWhatTheStandardSays) {
  EXPECT_EQ(hex(hmac_sha256(bytes_of(std::string(20, '\x0b')), bytes_of("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::string long_key(131, '\xaa');
  EXPECT_EQ(hex(hmac_sha256(bytes_of(long_key), bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(hex(hmac_sha256(bytes_of(long_key),
                            bytes_of("This is a test using a larger than block-size key and a larger than block-size data. The "
                                     "key needs to be hashed before being used by the HMAC algorithm."))),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(HmacTest, AgreesWithTheLibrarysOwnForEveryLength) {
  for (std::size_t length = 0; length < 200; ++length) {
    const std::string key(length, 'k');
    const std::string message(199 - length, 'm');
    Mac theirs{};
    ASSERT_NE(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message).data(), message.size(),
                   theirs.data(), nullptr),
              nullptr);
    EXPECT_EQ(hmac_sha256(bytes_of(key), bytes_of(message)), theirs) << length;
  }
}

}  // namespace
}  // namespace holdfast::api
