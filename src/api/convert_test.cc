#include "api/convert.h"

#include <gtest/gtest.h>

namespace holdfast::api {
namespace {

const Uuid kUuid = Uuid::from_random(0x1122334455667788, 0x99aabbccddeeff00);

VolumeInfo example() {
  VolumeInfo info;
  info.id = VolumeId(7);
  info.collection = "pics";
  info.disk_type = "ssd";
  info.disk_id = 2;
  info.replica_placement = *ReplicaPlacement::parse("012");
  info.ttl = *Ttl::parse("3h");
  info.version = 3;
  info.compact_revision = 4;
  info.size = 1ull << 33;
  info.file_count = 10;
  info.delete_count = 3;
  info.deleted_byte_count = 77;
  info.max_key = NeedleId(1ull << 40);
  info.read_only = true;
  info.modified_at_second = 1700000001;
  info.remote_storage_name = "s3";
  info.remote_storage_key = "k";
  return info;
}

TEST(Convert, AVolumeInfoSurvivesTheWire) {
  master_pb::VolumeInformationMessage message;
  fill(example(), &message);
  master_pb::VolumeInformationMessage again;
  ASSERT_TRUE(again.ParseFromString(message.SerializeAsString()));
  EXPECT_EQ(read(again), example());
  EXPECT_EQ(message.ttl(), 0x0302u);
  EXPECT_EQ(message.replica_placement(), 12u);
}

TEST(Convert, AShortInfoKeepsIdentityAndLayout) {
  master_pb::VolumeShortInformationMessage message;
  fill(example(), &message);
  VolumeInfo expected;
  expected.id = VolumeId(7);
  expected.collection = "pics";
  expected.disk_type = "ssd";
  expected.disk_id = 2;
  expected.replica_placement = example().replica_placement;
  expected.ttl = example().ttl;
  expected.max_key = example().max_key;
  EXPECT_EQ(read(message), expected);
}

TEST(Convert, AFenceSurvivesTheWireAndAStrangeOneIsRefused) {
  const Fence fence{.cluster = ClusterId(kUuid), .generation = Generation(2), .term = Term(9), .sequence = 11};
  volume_server_pb::Fence message;
  fill(fence, &message);
  ASSERT_TRUE(read(message).ok());
  EXPECT_EQ(*read(message), fence);
  message.set_cluster_id("not a uuid");
  ASSERT_FALSE(read(message).ok());
  EXPECT_EQ(read(message).error().code(), Code::invalid);
}

TEST(Convert, AFenceLooksOnTheWireAsDocumented) {  // docs/grpc.md
  volume_server_pb::VolumeDeleteRequest order;
  fill(Fence{.cluster = ClusterId(Uuid{1, 2}), .generation = Generation(3), .term = Term(4), .sequence = 5},
       order.mutable_fence());
  EXPECT_EQ(order.SerializeAsString(),
            "\xc2\x3e\x2c\x0a\x24" "00000000-0000-0001-0000-000000000002" "\x10\x03\x18\x04\x20\x05");
}

TEST(Convert, AMemberKeepsAGrpcPortOfItsOwn) {
  const MasterMember member{.id = NodeId(kUuid), .address = *Address::parse("[::1]:9333.7777"), .voter = false};
  master_pb::MasterMember message;
  fill(member, &message);
  EXPECT_EQ(message.http_address(), "[::1]:9333");
  EXPECT_EQ(message.grpc_address(), "[::1]:7777");
  ASSERT_TRUE(read(message).ok());
  EXPECT_EQ(*read(message), member);
}

TEST(Convert, AStrangeMemberIsLeftOutOfTheList) {
  master_pb::HeartbeatResponse response;
  fill(MasterMember{.id = NodeId(kUuid), .address = *Address::parse("localhost:9333")}, response.add_masters());
  response.add_masters()->set_uuid("?");
  response.add_masters()->set_uuid(text(kUuid));  // no address
  EXPECT_EQ(read_members(response.masters()).size(), 1u);
}

TEST(Convert, AStoreKeepsItsProperties) {
  const TierBackend backend{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}, {"region", "r"}}};
  master_pb::StorageBackend message;
  fill(backend, &message);
  EXPECT_EQ(message.properties().at("bucket"), "b");
  EXPECT_EQ(read(message), backend);
}

TEST(Convert, TheGrpcPortOfAnAddressIsTheRuleUnlessTold) {
  EXPECT_EQ(read_address("localhost:8080", 0)->grpc(), "localhost:18080");
  EXPECT_EQ(read_address("localhost:8080", 5)->grpc(), "localhost:5");
  EXPECT_FALSE(read_address("localhost:8080", 70000).ok());
  EXPECT_FALSE(read_address("localhost", 0).ok());
}

TEST(Convert, WhatIsNotUtf8BecomesQuestionMarks) {
  EXPECT_EQ(utf8("plain"), "plain");
  EXPECT_EQ(utf8("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(utf8("a\xff" "b"), "a?b");
  EXPECT_EQ(utf8("\xc0\x80"), "??");          // overlong
  EXPECT_EQ(utf8("\xed\xa0\x80"), "???");     // surrogate
  EXPECT_EQ(utf8("\xe2\x82"), "??");          // cut off
  EXPECT_EQ(utf8("\xf4\x90\x80\x80"), "????");  // above U+10FFFF
}

}  // namespace
}  // namespace holdfast::api
