#include "front/http/json.h"

#include <gtest/gtest.h>

#include <cmath>

namespace holdfast::front {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

template <typename T>
std::string number(T v) {
  std::string out;
  JsonWriter(out).value(v);
  return out;
}

TEST(Json, EscapesWhatGoEscapes) {
  EXPECT_EQ(quoted("plain"), "\"plain\"");
  EXPECT_EQ(quoted("a<b>&c"), "\"a\\u003cb\\u003e\\u0026c\"");
  EXPECT_EQ(quoted("say \"hi\" \\"), "\"say \\\"hi\\\" \\\\\"");
  EXPECT_EQ(quoted("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
  EXPECT_EQ(quoted(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\x7f\"");
  EXPECT_EQ(quoted("\u2028|\u2029"), "\"\\u2028|\\u2029\"");
}

TEST(Json, KeepsUtf8AndReplacesEachByteThatIsNone) {
  EXPECT_EQ(quoted("Grüße, 世界 🌊"), "\"Grüße, 世界 🌊\"");
  EXPECT_EQ(quoted("\xff|\xc3"), "\"\\ufffd|\\ufffd\"");
  EXPECT_EQ(quoted("\xc0\xaf"), "\"\\ufffd\\ufffd\"");          // overlong
  EXPECT_EQ(quoted("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");  // surrogate
}

TEST(Json, WritesKeysInTheOrderGiven) {
  std::string out;
  JsonWriter(out).begin_object().field("z", 1).field("a", true).key("n").null().end_object();
  EXPECT_EQ(out, R"({"z":1,"a":true,"n":null})");
}

TEST(Json, PrettyMeansTwoSpacesAndEmptyBracketsStayClosed) {
  std::string out;
  JsonWriter(out, true)
      .begin_object()
      .field("a", "x")
      .key("list")
      .begin_array()
      .value(1)
      .value(2)
      .end_array()
      .key("none")
      .begin_array()
      .end_array()
      .key("empty")
      .begin_object()
      .end_object()
      .end_object();
  EXPECT_EQ(out, R"({
  "a": "x",
  "list": [
    1,
    2
  ],
  "none": [],
  "empty": {}
})");
}

TEST(Json, NumbersLookAsGoPrintsThem) {
  EXPECT_EQ(number(std::uint64_t{18446744073709551615u}), "18446744073709551615");
  EXPECT_EQ(number(std::int64_t{-5}), "-5");
  EXPECT_EQ(number(0.5), "0.5");
  EXPECT_EQ(number(3.0), "3");
  EXPECT_EQ(number(1e21), "1e+21");
  EXPECT_EQ(number(1e-7), "1e-7");
  EXPECT_EQ(number(100000000000000000000.0), "100000000000000000000");
  EXPECT_EQ(number(12.345f), "12.345");
  EXPECT_EQ(number(std::nan("")), "0");
}

TEST(Json, OmitsEmptyFieldsWhenAsked) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field_unless_empty("a", std::string())
      .field_unless_empty("b", 0)
      .field_unless_empty("c", 3)
      .end_object();
  EXPECT_EQ(out, R"({"c":3})");
}

TEST(Json, AnErrorBodyHasOneKey) {
  EXPECT_EQ(json_error("a \"b\""), R"({"error":"a \"b\""})");
  EXPECT_EQ(json_error("x", true), "{\n  \"error\": \"x\"\n}");
}

}  // namespace
}  // namespace holdfast::front
