#include "base/strconv.h"

#include <gtest/gtest.h>

#include <cmath>

namespace holdfast::strconv {
namespace {

template <typename T>
std::string fault(const Result<T>& result) {
  return result.ok() ? "no error" : result.error().what();
}

TEST(Strconv, IntegersTakeTheirBaseFromThePrefix) {
  EXPECT_EQ(*parse_int("1234"), 1234);
  EXPECT_EQ(*parse_int("-17"), -17);
  EXPECT_EQ(*parse_int("+17"), 17);
  EXPECT_EQ(*parse_int("0664"), 0664);
  EXPECT_EQ(*parse_int("0x12"), 0x12);
  EXPECT_EQ(*parse_int("0b101"), 5);
  EXPECT_EQ(*parse_int("0o17"), 15);
  EXPECT_EQ(*parse_int("0"), 0);
  EXPECT_EQ(*parse_int("1_000"), 1000);
  EXPECT_EQ(*parse_int("0x_ff"), 255);
  EXPECT_EQ(*parse_int("0664", 10), 664);
}

TEST(Strconv, WhatIsNoIntegerSaysSoInGosWords) {
  for (const char* bad : {"", "x", "08", "1_", "_1", "1__0", "0x", "-", "12abc", " 1", "1.5"}) {
    EXPECT_EQ(fault(parse_int(bad)), "strconv.ParseInt: parsing \"" + std::string(bad) + "\": invalid syntax");
  }
  EXPECT_EQ(fault(parse_int("1_000", 10)), "strconv.ParseInt: parsing \"1_000\": invalid syntax");
  EXPECT_EQ(fault(parse_uint("-1")), "strconv.ParseUint: parsing \"-1\": invalid syntax");
  EXPECT_EQ(fault(atoi("0x1")), "strconv.Atoi: parsing \"0x1\": invalid syntax");
}

TEST(Strconv, TheBoundsOfEachWidthHold) {
  EXPECT_EQ(*parse_int("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(*parse_int("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(fault(parse_int("9223372036854775808")),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range");
  EXPECT_EQ(*parse_uint("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(fault(parse_uint("18446744073709551616")),
            "strconv.ParseUint: parsing \"18446744073709551616\": value out of range");
  EXPECT_EQ(*parse_uint("4294967295", 10, 32), 4294967295u);
  EXPECT_EQ(fault(parse_uint("4294967296", 10, 32)),
            "strconv.ParseUint: parsing \"4294967296\": value out of range");
  EXPECT_EQ(fault(parse_int("99999999999999999999999x")),
            "strconv.ParseInt: parsing \"99999999999999999999999x\": invalid syntax");
}

TEST(Strconv, FloatsAreReadAndPrintedAsGoDoes) {
  EXPECT_EQ(*parse_float("0.3"), 0.3);
  EXPECT_EQ(*parse_float("-1e3"), -1000);
  EXPECT_EQ(*parse_float("+.5"), 0.5);
  EXPECT_EQ(*parse_float("5."), 5);
  EXPECT_EQ(*parse_float("0x1p-1"), 0.5);
  EXPECT_TRUE(std::isinf(*parse_float("-Inf")));
  EXPECT_TRUE(std::isnan(*parse_float("NaN")));
  EXPECT_EQ(*parse_float("1e-999"), 0);
  EXPECT_EQ(fault(parse_float("1e999")), "strconv.ParseFloat: parsing \"1e999\": value out of range");
  for (const char* bad : {"", "x", "0.3x", "--1", "0x1", "1e", "nan(1)", "+nan", "."}) {
    EXPECT_EQ(fault(parse_float(bad)), "strconv.ParseFloat: parsing \"" + std::string(bad) + "\": invalid syntax");
  }
  EXPECT_EQ(text(0.3), "0.3");
  EXPECT_EQ(text(15.0), "15");
  EXPECT_EQ(text(1e21), "1e+21");
}

TEST(Strconv, TruthValuesAreGosTwelve) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) EXPECT_TRUE(*parse_bool(yes)) << yes;
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) EXPECT_FALSE(*parse_bool(no)) << no;
  EXPECT_EQ(fault(parse_bool("yes")), "strconv.ParseBool: parsing \"yes\": invalid syntax");
  EXPECT_EQ(fault(parse_bool("tRUE")), "strconv.ParseBool: parsing \"tRUE\": invalid syntax");
}

TEST(Strconv, DurationsAreReadAndPrintedAsGoDoes) {
  EXPECT_EQ(*parse_duration("300ms"), 300ms);
  EXPECT_EQ(*parse_duration("1m30s"), 90s);
  EXPECT_EQ(*parse_duration("-1.5h"), -90min);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("3\u00b5s"), 3us);
  EXPECT_EQ(*parse_duration(".5s"), 500ms);
  EXPECT_EQ(fault(parse_duration("5")), "time: missing unit in duration \"5\"");
  EXPECT_EQ(fault(parse_duration("x")), "time: invalid duration \"x\"");
  EXPECT_EQ(fault(parse_duration("")), "time: invalid duration \"\"");
  EXPECT_EQ(fault(parse_duration("5d")), "time: unknown unit \"d\" in duration \"5d\"");
  EXPECT_EQ(fault(parse_duration("9999999h")), "time: invalid duration \"9999999h\"");
  EXPECT_EQ(text(10s), "10s");
  EXPECT_EQ(text(60s), "1m0s");
  EXPECT_EQ(text(24h), "24h0m0s");
  EXPECT_EQ(text(Duration(1500us)), "1.5ms");
  EXPECT_EQ(text(Duration(0)), "0s");
  EXPECT_EQ(text(Duration(-2s)), "-2s");
  EXPECT_EQ(text(Duration(7)), "7ns");
}

TEST(Strconv, QuotedTextEscapesWhatCannotBePrinted) {
  EXPECT_EQ(quote("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
  EXPECT_EQ(quote(std::string_view("\0\x7f", 2)), "\"\\x00\\x7f\"");
  EXPECT_EQ(quote("h\u00fclle"), "\"h\u00fclle\"");
  EXPECT_EQ(quote("\xff\xc3"), "\"\\xff\\xc3\"");
}

}  // namespace
}  // namespace holdfast::strconv
