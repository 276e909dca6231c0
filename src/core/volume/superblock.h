// Superblock: the first bytes of a .dat (spec/volume-format 2). Pure values.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "core/volume/needle.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::volume {

inline constexpr std::size_t kSuperblockBytes = 8;

struct Superblock {
  Version version = Version::v3;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::uint16_t compact_revision = 0;
  std::uint16_t extra_bytes = 0;  // we always write 0: upstream refuses volumes with any

  // Where the first needle begins. Not always a multiple of 8 when extra bytes are there.
  std::uint64_t first_needle() const {
    return kSuperblockBytes + (version == Version::v1 ? 0 : extra_bytes);
  }

  std::string encode() const;

  // Code::unsupported for a version other than 1 to 3, corrupt for fewer than 8 bytes.
  static Result<Superblock> parse(BytesView bytes);
};

}  // namespace holdfast::volume
