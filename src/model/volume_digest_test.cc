#include "model/volume_digest.h"

#include <gtest/gtest.h>

namespace holdfast {
namespace {

TEST(VolumeDigest, HashesAsUpstreamDoes) {
  EXPECT_EQ(hash_of({}), 10988706248825469653u);
  EXPECT_EQ(hash_of({.id = 1}), 2035849960016744285u);
  EXPECT_EQ(hash_of({.id = 42,
                     .size = 1ull << 30,
                     .file_count = 7,
                     .delete_count = 2,
                     .deleted_byte_count = 99,
                     .replica_placement = 10,
                     .version = 3,
                     .ttl = 0x300,
                     .compact_revision = 5,
                     .disk_id = 2,
                     .read_only = true,
                     .modified_at_second = 1700000000,
                     .collection = "c",
                     .disk_type = "ssd",
                     .remote_storage_name = "s3"}),
            2748844479819636032u);
  EXPECT_EQ(hash_of({.id = 7,
                     .size = 104,
                     .file_count = 2,
                     .delete_count = 1,
                     .deleted_byte_count = 5,
                     .replica_placement = 1,
                     .version = 3,
                     .ttl = 0x0302,
                     .modified_at_second = 1700000001,
                     .collection = "pics"}),
            0xf585f9060a78341fu);
}

TEST(VolumeDigest, CountsBeyond32BitsAreAllTheSame) {
  EXPECT_EQ(hash_of({.file_count = 1ull << 32, .delete_count = ~0ull}), hash_of({.file_count = 0xffffffff, .delete_count = 0xffffffff}));
  EXPECT_NE(hash_of({.deleted_byte_count = 1ull << 32}), hash_of({.deleted_byte_count = 0xffffffff}));
}

}  // namespace
}  // namespace holdfast
