#include "cmd/exposure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cmd {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Exposure, ByDefaultEverythingIsOpenAndSaidToBe) {
  MasterPlan master;
  master.listen.http_port = 9333;
  master.listen.grpc_port = 19333;
  const auto said = exposure_of(master);
  EXPECT_THAT(said, Contains(HasSubstr("HTTP, unencrypted, port 9333: everybody who reaches this machine may get file ids")));
  EXPECT_THAT(said, Contains(HasSubstr("-whiteList")));
  EXPECT_THAT(said, Contains(HasSubstr("admin.token")));
  EXPECT_THAT(said, Contains(HasSubstr("gRPC, port 19333: everybody")));
  EXPECT_THAT(said, Contains(HasSubstr("pose as a master")));

  VolumePlan volume;
  volume.listen.address = "10.0.0.1";
  EXPECT_THAT(exposure_of(volume), Contains(HasSubstr("everybody who reaches 10.0.0.1 may write and delete")));
}

TEST(Exposure, WhatIsClosedIsNotCalledOpen) {
  MasterPlan master;
  master.white_list = "10.0.0.0/8";
  master.admin_token = "t";
  master.tls.ca = "ca.crt";
  master.runtime.cluster_secret = "s";
  EXPECT_THAT(exposure_of(master), Each(Not(HasSubstr("every"))));

  VolumePlan volume;
  volume.jwt.write.key = volume.jwt.read.key = "k";
  volume.tls.ca = "ca.crt";
  EXPECT_THAT(exposure_of(volume), Each(Not(HasSubstr("every"))));
  volume.jwt.read.key = "";
  EXPECT_THAT(exposure_of(volume), Contains(HasSubstr("who has a token of the masters may write and delete files whose ids they know, "
                                                      "everybody who reaches this machine may read them")));
}

TEST(Exposure, KeysOfStoresAreSaidToBeOpen) {
  MasterPlan master;
  EXPECT_THAT(exposure_of(master), Each(Not(HasSubstr("keys of the stores"))));
  master.tiers.push_back({.type = "s3", .id = "cold", .properties = {}});
  EXPECT_THAT(exposure_of(master), Contains(HasSubstr("everybody who reaches this machine may ask for the keys of the stores")));
  master.tls.ca = "ca.crt";
  EXPECT_THAT(exposure_of(master), Each(Not(HasSubstr("keys of the stores"))));
}

TEST(Exposure, LoopbackIsThisMachine) {
  VolumePlan volume;
  volume.listen.address = "127.0.0.1";
  EXPECT_THAT(exposure_of(volume), Contains(HasSubstr("every process of this machine may write")));
}

}  // namespace
}  // namespace holdfast::cmd
