#include "front/http/url.h"

#include <gtest/gtest.h>

namespace holdfast::front {
namespace {

TEST(Url, DecodesAPathAndRefusesABadEscape) {
  EXPECT_EQ(decode_path("/3%2c01+x"), "/3,01+x");
  EXPECT_EQ(decode_path("/a%00b"), std::string("/a\0b", 4));
  EXPECT_EQ(decode_path("/%zz"), std::nullopt);
  EXPECT_EQ(decode_path("/%2"), std::nullopt);
  EXPECT_EQ(decode_path("/%"), std::nullopt);
}

TEST(Url, CleansPathsAsGoDoes) {
  EXPECT_EQ(clean_path(""), "/");
  EXPECT_EQ(clean_path("/"), "/");
  EXPECT_EQ(clean_path("//"), "/");
  EXPECT_EQ(clean_path("a/b"), "/a/b");
  EXPECT_EQ(clean_path("/dir//assign"), "/dir/assign");
  EXPECT_EQ(clean_path("/dir/./assign/"), "/dir/assign/");
  EXPECT_EQ(clean_path("/a/../../b"), "/b");
  EXPECT_EQ(clean_path("/a/.."), "/");
  EXPECT_EQ(clean_path("/a/../"), "/");
  EXPECT_EQ(clean_path("/..a/b.."), "/..a/b..");
}

TEST(Url, KnowsPathsThatNeedNoCleaning) {
  EXPECT_TRUE(is_plain_path("/"));
  EXPECT_TRUE(is_plain_path("/dir/assign"));
  EXPECT_TRUE(is_plain_path("/3,01637037d6.jpg"));
  EXPECT_FALSE(is_plain_path(""));
  EXPECT_FALSE(is_plain_path("/a//b"));
  EXPECT_FALSE(is_plain_path("/../b"));
  EXPECT_FALSE(is_plain_path("/%2f"));
  EXPECT_FALSE(is_plain_path("*"));
}

TEST(Url, EscapesWhatMayNotStandInAPath) {
  EXPECT_EQ(escape_path("/a b/3,01?x#y%"), "/a%20b/3,01%3Fx%23y%25");
  EXPECT_EQ(escape_path("/\r\nX: 1"), "/%0D%0AX:%201");
  EXPECT_EQ(escape_path("/ü"), "/%C3%BC");
}

TEST(Params, TheFirstValueOfANameCounts) {
  const Params params("count=2&count=3&x=&y&=z");
  EXPECT_EQ(params.get("count"), "2");
  EXPECT_EQ(params.find("x"), "");
  EXPECT_EQ(params.find("y"), "");
  EXPECT_EQ(params.find(""), "z");
  EXPECT_EQ(params.find("none"), std::nullopt);
}

TEST(Params, DecodesNamesAndValues) {
  const Params params("c%6Funt=a+b%26c&k=1=2");
  EXPECT_EQ(params.get("count"), "a b&c");
  EXPECT_EQ(params.get("k"), "1=2");
}

TEST(Params, DropsWhatCannotBeDecoded) {
  const Params params("count=%zz&a;b&c=1;2&&d=%4&e=5");
  EXPECT_FALSE(params.has("count"));
  EXPECT_FALSE(params.has("a"));
  EXPECT_FALSE(params.has("c"));
  EXPECT_FALSE(params.has("d"));
  EXPECT_EQ(params.get("e"), "5");
  EXPECT_EQ(params.size(), 1u);
}

TEST(Params, ABodyAddedFirstWins) {
  Params params;
  params.add("count=7");
  params.add("count=1&x=2");
  EXPECT_EQ(params.get("count"), "7");
  EXPECT_EQ(params.get("x"), "2");
}

TEST(Params, HoldsMoreThanItKeepsInline) {
  std::string query;
  for (int i = 0; i < 40; ++i) query += "k" + std::to_string(i) + "=" + std::to_string(i) + "&";
  const Params params(query);
  EXPECT_EQ(params.size(), 40u);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(params.get("k" + std::to_string(i)), std::to_string(i));
}

TEST(Params, PrettyNeedsAValue) {
  EXPECT_TRUE(wants_pretty("pretty=y"));
  EXPECT_TRUE(wants_pretty("a=1&pretty=0"));
  EXPECT_TRUE(wants_pretty("p%72etty=y"));
  EXPECT_FALSE(wants_pretty("pretty="));
  EXPECT_FALSE(wants_pretty("pretty"));
  EXPECT_FALSE(wants_pretty("notpretty=1"));
}

}  // namespace
}  // namespace holdfast::front
