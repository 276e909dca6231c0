#include "front/http/form.h"

#include <gtest/gtest.h>

namespace holdfast::front {
namespace {

TEST(Form, ReadsUrlEncodedFields) {
  Params params;
  add_form(params, "application/x-www-form-urlencoded; charset=utf-8", "count=3&collection=a+b");
  EXPECT_EQ(params.get("count"), "3");
  EXPECT_EQ(params.get("collection"), "a b");
}

TEST(Form, ReadsTheFieldsOfAMultipartFormAndNotItsFiles) {
  Params params;
  add_form(params, "multipart/form-data; boundary=XX",
           "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"count\"\r\n\r\n5\r\n"
           "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nbody\r\n"
           "--XX\r\ncontent-disposition: form-data; name=ttl\r\n\r\n3m\r\n--XX--\r\nepilogue");
  EXPECT_EQ(params.get("count"), "5");
  EXPECT_EQ(params.get("ttl"), "3m");
  EXPECT_FALSE(params.has("f"));
  EXPECT_EQ(params.size(), 2u);
}

TEST(Form, ABrokenMultipartFormGivesWhatWasWhole) {
  Params params;
  add_form(params, "multipart/form-data; boundary=XX",
           "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2");
  EXPECT_EQ(params.get("a"), "1");
  EXPECT_FALSE(params.has("b"));
}

TEST(Form, WithoutABoundaryThereIsNothing) {
  Params params;
  add_form(params, "multipart/form-data", "--\r\n\r\n");
  EXPECT_EQ(params.size(), 0u);
}

TEST(Form, ReadsHeaderParameters) {
  EXPECT_EQ(header_parameter("form-data; name=\"a\\\"b;c\"; filename=x.txt", "name"), "a\"b;c");
  EXPECT_EQ(header_parameter("form-data; name=\"a;b\"; filename=x.txt", "filename"), "x.txt");
  EXPECT_EQ(header_parameter("form-data; FileName=\"C:\\dir\\x\"", "filename"), "C:\\dir\\x");
  EXPECT_EQ(header_parameter("text/plain", "charset"), "");
  EXPECT_EQ(header_parameter("a; b", "b"), "");
  EXPECT_EQ(header_parameter("a; b=\"unclosed", "b"), "unclosed");
}

}  // namespace
}  // namespace holdfast::front
