// Layout: which byte of a volume's .dat lies where in which shard (spec/volume-format 13).
//
// The .dat is cut into rows of one block for each data shard: of 1 GiB while a whole such row remains, then of 1 MiB,
// the last one filled up with zeros. Block b of a row goes to shard b. So all shards are equally long.
//
// Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "core/ec/scheme.h"

namespace holdfast::ec {

inline constexpr std::uint64_t kLargeBlock = 1_GiB;
inline constexpr std::uint64_t kSmallBlock = 1_MiB;

// A piece of one shard.
struct Piece {
  ShardId shard = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;

  friend bool operator==(const Piece&, const Piece&) = default;
};

class Layout {
 public:
  // Of a .dat of this length.
  static Layout of_dat(Scheme scheme, std::uint64_t dat_bytes);

  // When only a shard's length is known: one that is a whole number of GiB counts as ending in small blocks.
  static Layout of_shard(Scheme scheme, std::uint64_t shard_bytes);

  std::uint64_t large_rows() const { return large_rows_; }

  // The piece that begins at `offset` of the .dat, at most `bytes` long and within one block.
  Piece locate(std::uint64_t offset, std::uint64_t bytes) const;

  // All pieces of [offset, offset + bytes), in order.
  std::vector<Piece> pieces(std::uint64_t offset, std::uint64_t bytes) const;

 private:
  Layout(Scheme scheme, std::uint64_t large_rows) : scheme_(scheme), large_rows_(large_rows) {}

  Scheme scheme_;
  std::uint64_t large_rows_;
};

// How long each shard of a .dat of `dat_bytes` is.
std::uint64_t shard_bytes(Scheme scheme, std::uint64_t dat_bytes);

}  // namespace holdfast::ec
