#include "service/master/lease_policy.h"

#include <gtest/gtest.h>

namespace holdfast::master {
namespace {

TEST(LeasePolicy, AutoIsJustUnderTheSilenceTimeout) {
  const auto policy = lease_policy(std::nullopt, LeaseReads::automatic, std::nullopt, false);
  EXPECT_EQ(policy.length, 80ms);
  EXPECT_EQ(policy.cap, 200ms);
  EXPECT_EQ(policy.remark, "");
  EXPECT_EQ(lease_policy(std::nullopt, LeaseReads::on, 60ms, false).length, 48ms);
  EXPECT_EQ(lease_policy(std::nullopt, LeaseReads::on, 10s, false).length, 80ms);
}

TEST(LeasePolicy, AutoTrustsNoVirtualMachineAndSaysSo) {
  const auto policy = lease_policy(std::nullopt, LeaseReads::automatic, std::nullopt, true);
  EXPECT_EQ(policy.length, Duration(0));
  EXPECT_EQ(policy.cap, Duration(0));
  EXPECT_NE(policy.remark.find("-leaseReads=on"), std::string::npos);
  EXPECT_EQ(lease_policy(std::nullopt, LeaseReads::on, std::nullopt, true).length, 80ms);
}

TEST(LeasePolicy, OffMeansNone) {
  EXPECT_EQ(lease_policy(2s, LeaseReads::off, std::nullopt, false).length, Duration(0));
  EXPECT_EQ(lease_policy(Duration(0), LeaseReads::on, std::nullopt, false).length, Duration(0));
}

TEST(LeasePolicy, ALongLeaseRaisesTheCap) {
  const auto policy = lease_policy(2s, LeaseReads::on, std::nullopt, false);
  EXPECT_EQ(policy.length, 2s);
  EXPECT_EQ(policy.cap, 2s);
}

TEST(LeasePolicy, ALeaseMustOutlastTwoHeartbeatsAndHasABound) {
  EXPECT_TRUE(validate_lease(std::nullopt, 33ms));
  EXPECT_TRUE(validate_lease(66ms, 33ms));
  EXPECT_TRUE(validate_lease(Duration(0), 33ms));
  EXPECT_FALSE(validate_lease(65ms, 33ms));
  EXPECT_TRUE(validate_lease(10s, 33ms));
  EXPECT_FALSE(validate_lease(11s, 33ms));
}

TEST(LeasePolicy, TheWordsOfTheFlag) {
  EXPECT_EQ(*parse_lease_reads("auto"), LeaseReads::automatic);
  EXPECT_EQ(*parse_lease_reads("on"), LeaseReads::on);
  EXPECT_EQ(*parse_lease_reads("off"), LeaseReads::off);
  EXPECT_FALSE(parse_lease_reads("yes"));
}

}  // namespace
}  // namespace holdfast::master
