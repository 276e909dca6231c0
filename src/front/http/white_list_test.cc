#include "front/http/white_list.h"

#include <gtest/gtest.h>

namespace holdfast::front {
namespace {

TEST(WhiteList, AllowsEveryoneWhileEmpty) {
  WhiteList list;
  EXPECT_TRUE(list.allows("1.2.3.4"));
  ASSERT_TRUE(list.set(" , ").ok());
  EXPECT_FALSE(list.is_active());
  EXPECT_TRUE(list.allows("::1"));
}

TEST(WhiteList, AllowsListedAddressesAndRanges) {
  WhiteList list;
  ASSERT_TRUE(list.set("10.0.0.0/9, 192.168.1.7,fe80::/10,::1").ok());
  EXPECT_TRUE(list.allows("10.127.255.255"));
  EXPECT_FALSE(list.allows("10.128.0.0"));
  EXPECT_TRUE(list.allows("192.168.1.7"));
  EXPECT_FALSE(list.allows("192.168.1.8"));
  EXPECT_TRUE(list.allows("::ffff:192.168.1.7"));
  EXPECT_TRUE(list.allows("febf::1"));
  EXPECT_FALSE(list.allows("fec0::1"));
  EXPECT_TRUE(list.allows("::1"));
  EXPECT_FALSE(list.allows("127.0.0.1"));
  EXPECT_FALSE(list.allows("not an address"));
  EXPECT_FALSE(list.allows(""));
}

TEST(WhiteList, ARangeOfZeroBitsIsEveryoneOfThatFamily) {
  WhiteList list;
  ASSERT_TRUE(list.set("0.0.0.0/0").ok());
  EXPECT_TRUE(list.allows("8.8.8.8"));
  EXPECT_FALSE(list.allows("2001:db8::1"));
}

TEST(WhiteList, KeepsTheOldListAtAnItemThatIsNone) {
  WhiteList list;
  ASSERT_TRUE(list.set("127.0.0.1").ok());
  for (const char* bad : {"localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "1.2.3", "/8"}) {
    EXPECT_FALSE(list.set(bad).ok()) << bad;
    EXPECT_TRUE(list.allows("127.0.0.1")) << bad;
    EXPECT_FALSE(list.allows("10.0.0.1")) << bad;
  }
}

}  // namespace
}  // namespace holdfast::front
