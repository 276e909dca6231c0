// Scheme: how many data and parity shards an erasure-coded volume has. Upstream's is 10+4; any k+m up to 32 shards in
// all works, since a set of shards is told as 32 bits.
#pragma once

#include <cstdint>
#include <string>

namespace holdfast::ec {

inline constexpr unsigned kShardsMax = 32;

using ShardId = unsigned;    // 0..31
using ShardBits = std::uint32_t;  // bit i: shard i

struct Scheme {
  unsigned data = 10;
  unsigned parity = 4;

  unsigned total() const { return data + parity; }
  bool is_valid() const { return data >= 1 && parity >= 1 && data <= kShardsMax && parity <= kShardsMax - data; }

  friend bool operator==(const Scheme&, const Scheme&) = default;
};

inline std::string text(const Scheme& scheme) {
  return std::to_string(scheme.data) + "+" + std::to_string(scheme.parity);
}

}  // namespace holdfast::ec
