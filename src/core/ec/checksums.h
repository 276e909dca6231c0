// Checksums: the .ecsum beside a set of shards, which tells rotten blocks of shards from good ones
// (spec/volume-format 13, to the byte).
//
//   0   4  "ECSU"
//   4   2  version, 1
//   6   4  length of what follows the header
//  10   4  CRC-32C of that
//  14   n  protobuf: 1 algorithm (1 CRC-32C), 2 block size, 3 generation, 4 {1 data, 2 parity, 3 encodeTsNs},
//          5 for each shard {1 id, 2 length, 3 little-endian crc of each block}, 6 uuid of the encoding, 16 bytes
//
// Pure: bytes in, bytes out. parse() takes bytes from anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "core/ec/scheme.h"

namespace holdfast::ec {

inline constexpr std::uint32_t kChecksumBlock = 16_MiB;
inline constexpr std::size_t kChecksumFileMax = 64_MiB;

struct ShardChecksums {
  ShardId shard = 0;
  std::uint64_t covered_bytes = 0;
  std::vector<std::uint32_t> blocks;  // one crc for each block begun

  friend bool operator==(const ShardChecksums&, const ShardChecksums&) = default;
};

struct Checksums {
  std::uint32_t block_bytes = kChecksumBlock;  // a power of two, 1..64 MiB
  std::uint32_t generation = 0;
  Scheme scheme;
  std::int64_t encode_ts_ns = 0;
  std::vector<ShardChecksums> shards;
  std::array<std::uint8_t, 16> encode_uuid{};

  std::string encode() const;

  // Code::corrupt when it is not whole or makes no sense; unsupported for another version or algorithm. What is parsed
  // has one entry for each shard of its scheme, in order, with as many blocks as its length asks for.
  static Result<Checksums> parse(BytesView bytes);

  friend bool operator==(const Checksums&, const Checksums&) = default;
};

// Takes the checksums of a shard as its bytes pass by.
class ShardSummer {
 public:
  ShardSummer(ShardId shard, std::uint32_t block_bytes) : block_bytes_(block_bytes) { out_.shard = shard; }

  void add(BytesView bytes);
  ShardChecksums finish() { return std::move(out_); }

 private:
  std::uint32_t block_bytes_;
  ShardChecksums out_;
};

}  // namespace holdfast::ec
