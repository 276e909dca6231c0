// The digest by which a volume server of SeaweedFS and its master know, without a full list, that they mean the same
// volumes (spec/weed-grpc 5.1): a server tells with each report the digest of all it holds, and in between only the volumes
// that changed. When the master's own comes out differently it asks for the full list.
//
// Each volume has a hash of what the server says of it; the digest is all of them XORed, 0 without volumes.
#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast {

// What of a volume is hashed, as it stood in the message: nothing is brought into another form first.
struct DigestedVolume {
  std::uint32_t id = 0;
  std::uint64_t size = 0;
  std::uint64_t file_count = 0;  // this and the next as far as 32 bits go
  std::uint64_t delete_count = 0;
  std::uint64_t deleted_byte_count = 0;
  std::uint32_t replica_placement = 0;
  std::uint32_t version = 0;
  std::uint32_t ttl = 0;
  std::uint32_t compact_revision = 0;
  std::uint32_t disk_id = 0;
  bool read_only = false;
  std::int64_t modified_at_second = 0;
  std::string_view collection;
  std::string_view disk_type;
  std::string_view remote_storage_name;
};

std::uint64_t hash_of(const DigestedVolume& volume);

}  // namespace holdfast
