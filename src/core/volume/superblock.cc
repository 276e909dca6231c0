#include "core/volume/superblock.h"

namespace holdfast::volume {

std::string Superblock::encode() const {
  std::string out;
  out.push_back(static_cast<char>(version));
  out.push_back(static_cast<char>(replica_placement.byte()));
  out.push_back(static_cast<char>(ttl.count()));
  out.push_back(static_cast<char>(ttl.unit()));
  append_be(out, compact_revision);
  append_be(out, extra_bytes);
  return out;
}

Result<Superblock> Superblock::parse(BytesView bytes) {
  if (bytes.size() < kSuperblockBytes) return Error(Code::corrupt, "no superblock: fewer than 8 bytes");
  if (bytes[0] < 1 || bytes[0] > 3) {
    return Error(Code::unsupported, "volume version " + std::to_string(bytes[0]) + " is not 1, 2 or 3");
  }
  Superblock out;
  out.version = static_cast<Version>(bytes[0]);
  out.replica_placement = ReplicaPlacement::from_byte(bytes[1]);
  out.ttl = Ttl::from_bytes(bytes[2], bytes[3]);
  out.compact_revision = load_be<std::uint16_t>(bytes.data() + 4);
  out.extra_bytes = load_be<std::uint16_t>(bytes.data() + 6);
  return out;
}

}  // namespace holdfast::volume
