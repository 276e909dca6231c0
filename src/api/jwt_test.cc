#include "api/jwt.h"

#include <gtest/gtest.h>

#include <thread>

namespace holdfast::api {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;
const std::string kFid = "3,01637037d6";

JwtKey& key(std::int64_t expires = 10) {
  static JwtKey made;
  made.set({"secret", expires});
  return made;
}

// Made with another program, under the key "secret".
const std::string k_good =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYiLCJleHAiOjE3MDAwMDAwMTB9."
    "VVoj6G1DeFaZVZKODUc29TXtdYfGQe3mQ6VOJkauKto";
const std::string k_forever =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYifQ.mCmUPrYwoQ4EKdjSpO0zLS"
    "02AF4eeSvbLDP2IMyOSDc";
const std::string k_hs512 =
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3MDAwMDAwMTAsImZpZCI6IjMsMDE2MzcwMzdkNiJ9."
    "byDTMnlHZaDCLjDHhENmLs6LcRdhcq13Lb4V7DOFXiDTu_ooO2DZZQWjb8cvQMAhLZ3zoap7HRfGneyBkFwgNA";
const std::string k_hs384 =
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3MDAwMDAwMTAuNSwiZmlkIjoiMywwMTYzNzAzN2Q2I"
    "n0.2LlVG13gwuYWA-E9uJAW3-DFsqG54c_Zhsrz6f9Pgqj95DUOvLIuotY6mmfQaR9S";
const std::string k_nbf =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYiLCJuYmYiOjE3MDAwMDAwMDV9."
    "zoUTrjIqCe61aIK7qx_Lr2hAQUVyLK6tRAuNiBEa_CQ";
const std::string k_textexp =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYiLCJleHAiOiJuZXZlciJ9.knIH"
    "RaphiQWT4yL_dOyjxfpiK1EQNZbc9hnsXpCZ2bw";
const std::string k_notjson =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.Zmlk.MjceNaLAsqzH9lE7N9l2mHyPpElywYFrzHLxhCfg6cM";
const std::string k_none =
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJmaWQiOiIzLDAxNjM3MDM3ZDYifQ.";
const std::string k_rs =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYifQ.myBE525MAvF6GAeens_MdY"
    "MnRbp3lZDXQF_bHm_WG00";
const std::string k_other =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJmaWQiOiIzLDAxNjM3MDM3ZDYiLCJleHAiOjE3MDAwMDAwMTB9."
    "Ttw5cYlGm85xEkY3VqE8Imj_2Jzp26qLX6JDCtukEYE";

TEST(JwtTest, MakesTheseBytes) {
  EXPECT_EQ(key().sign(kFid, kNow), k_good);
  EXPECT_EQ(key(0).sign(kFid, kNow), k_forever);
  EXPECT_EQ(key().sign(kFid + "_2", kNow), k_good);
  EXPECT_EQ(key().sign(R"(3,01","exp":9999999999,"x":")", kNow), "");
  JwtKey none;
  EXPECT_EQ(none.sign(kFid, kNow), "");
}

TEST(JwtTest, TakesWhatOthersMake) {
  for (const auto& token : {k_good, k_forever, k_hs384, k_hs512}) EXPECT_EQ(key().trouble(token, kFid, kNow), "");
  EXPECT_EQ(key().trouble(k_good, kFid + "_3", kNow), "");  // the fourth of an assign of several
  EXPECT_EQ(key().trouble(k_nbf, kFid, kNow + 5), "");
}

TEST(JwtTest, ClaimsAreExact) {
  EXPECT_EQ(key().trouble(k_good, kFid, kNow + 9), "");
  EXPECT_EQ(key().trouble(k_good, kFid, kNow + 10), "it has expired");
  EXPECT_EQ(key().trouble(k_hs384, kFid, kNow + 10), "");  // half a second to go
  EXPECT_EQ(key().trouble(k_nbf, kFid, kNow + 4), "it is not valid yet");
  EXPECT_EQ(key().trouble(k_textexp, kFid, kNow), "a time in it is no number");
  for (const std::string fid : {"3,1637037d6", "3,01637037D6", "4,01637037d6", "3,01637037d", "", "3", "3,_1"}) {
    EXPECT_EQ(key().trouble(k_good, fid, kNow), "it is for another file id") << fid;
  }
}

TEST(JwtTest, NothingElseIsAToken) {
  EXPECT_EQ(key().trouble("", kFid, kNow), "no token");
  EXPECT_EQ(key().trouble(k_other, kFid, kNow), "signed with another key");
  EXPECT_EQ(key().trouble(k_none, kFid, kNow), "not signed by an HMAC");
  EXPECT_EQ(key().trouble(k_rs, kFid, kNow), "not signed by an HMAC");
  EXPECT_EQ(key().trouble(k_notjson, kFid, kNow), "its claims are no JSON");
  EXPECT_EQ(key().trouble("a.b", kFid, kNow), "not a token of three parts");
  EXPECT_EQ(key().trouble(k_good + ".x", kFid, kNow), "not a token of three parts");
  EXPECT_EQ(key().trouble(std::string(5000, 'a'), kFid, kNow), "a token of more than 4096 bytes");
  for (std::size_t at = 0; at < k_good.size(); ++at) {
    auto bad = k_good;
    bad[at] = bad[at] == 'A' ? 'B' : 'A';
    EXPECT_NE(key().trouble(bad, kFid, kNow), "") << at;
    EXPECT_NE(key().trouble(k_good.substr(0, at), kFid, kNow), "") << at;
  }
  JwtKey none;
  EXPECT_EQ(none.trouble("anything", kFid, kNow), "");
}

TEST(JwtTest, AKeyMayBeReplacedWhileItIsUsed) {
  JwtKey one;
  one.set({"secret", 10});
  std::thread replacing([&] {
    for (int i = 0; i < 1000; ++i) one.set({i % 2 == 0 ? "other" : "secret", 10});
  });
  for (int i = 0; i < 1000; ++i) {
    const auto token = one.sign(kFid, kNow);
    EXPECT_TRUE(token == k_good || token == k_other);
    (void)one.trouble(token, kFid, kNow);
  }
  replacing.join();
}

}  // namespace
}  // namespace holdfast::api
