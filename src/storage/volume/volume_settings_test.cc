#include "storage/volume/volume_settings.h"

#include <gtest/gtest.h>

namespace holdfast::volume {
namespace {

TEST(VolumeSettings, ComeBackAsTheyWereWritten) {
  VolumeSettings settings;
  settings.files = {{.backend_type = "s3", .backend_id = "default", .key = "a\"b", .file_size = 1ull << 40, .extension = ".dat"}};
  settings.replication = "010";
  settings.expire_at_sec = 1700000000;
  settings.read_only = settings.read_only_can_delete = true;
  settings.ec_shard_config = {{10, 4, 1795265848694683369}};
  const auto back = VolumeSettings::parse(settings.json());
  ASSERT_TRUE(back.ok()) << back.error().what();
  EXPECT_EQ(*back, settings);
}

TEST(VolumeSettings, ReadEveryFormThatUpstreamWrote) {
  const auto old = VolumeSettings::parse(R"({"version":3,"BytesOffset":4,"DestroyTime":"12"})");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->bytes_offset, 4u);
  EXPECT_EQ(old->expire_at_sec, 12u);
  const auto proto = VolumeSettings::parse(R"({"bytes_offset":"5","read_only":true,"dat_file_size":7,"files":null})");
  ASSERT_TRUE(proto.ok());
  EXPECT_EQ(proto->bytes_offset, 5u);
  EXPECT_TRUE(proto->read_only);
  EXPECT_EQ(proto->dat_file_size, 7);
}

TEST(VolumeSettings, UnknownKeysAndWrongTypesAreErrors) {
  for (const auto* bad : {R"({"mine":1})", R"({"version":"x"})", R"({"version":-1})", R"({"readOnly":1})", "[]", "",
                          R"({"files":[{"who":1}]})", R"({"version":4294967296})"}) {
    EXPECT_FALSE(VolumeSettings::parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::volume
