#include "front/http/admin_guard.h"

#include <gtest/gtest.h>

#include <vector>

namespace holdfast::front {
namespace {

int status(const AdminGuard& guard, std::vector<http::Header> headers) {
  http::Request request;
  request.host = "master1:9333";
  request.headers = headers;
  const auto refusal = guard.refuses(request);
  return refusal ? refusal->status : 200;
}

TEST(AdminGuard, ProgramsThatAreNoBrowsersPassWithoutAToken) { EXPECT_EQ(status(AdminGuard(), {}), 200); }

TEST(AdminGuard, ABrowserPassesFromTheMastersOwnPageOnly) {
  const AdminGuard guard;
  EXPECT_EQ(status(guard, {{"Origin", "http://master1:9333"}, {"Sec-Fetch-Site", "same-origin"}}), 200);
  EXPECT_EQ(status(guard, {{"Origin", "https://MASTER1:9333"}}), 200);
  EXPECT_EQ(status(guard, {{"Sec-Fetch-Site", "none"}}), 200);  // typed by the user
  EXPECT_EQ(status(guard, {{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status(guard, {{"Origin", "http://master1:9334"}}), 403);
  EXPECT_EQ(status(guard, {{"Origin", "null"}}), 403);
  EXPECT_EQ(status(guard, {{"Origin", ""}}), 403);
  EXPECT_EQ(status(guard, {{"Sec-Fetch-Site", "cross-site"}}), 403);
  EXPECT_EQ(status(guard, {{"Origin", "http://master1:9333"}, {"Sec-Fetch-Site", "same-site"}}), 403);
}

TEST(AdminGuard, ATokenIsAskedOfEverybody) {
  const AdminGuard guard("s3cret");
  EXPECT_EQ(status(guard, {}), 401);
  EXPECT_EQ(status(guard, {{"Authorization", "Bearer s3cre"}}), 401);
  EXPECT_EQ(status(guard, {{"Authorization", "Bearer s3crett"}}), 401);
  EXPECT_EQ(status(guard, {{"Authorization", "s3cret"}}), 401);
  EXPECT_EQ(status(guard, {{"Authorization", "Bearer s3cret"}}), 200);
  EXPECT_EQ(status(guard, {{"Authorization", "Bearer s3cret"}, {"Origin", "http://evil.example"}}), 403);
}

}  // namespace
}  // namespace holdfast::front
