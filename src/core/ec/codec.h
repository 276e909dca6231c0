// Codec: Reed-Solomon over GF(2^8) with upstream's matrix (spec/volume-format 13), so that shards made here and there
// can be mixed.
//
// The matrix is V * inverse(top of V) for the Vandermonde matrix V[r][c] = r^c: its top is the identity, so data shards
// hold the data as it is. Any `data` of the shards give all the others; bytes at equal offsets depend on each other
// and on nothing else, so a piece of a shard is rebuilt from the same piece of the others.
//
// ISA-L does the multiplying. Pure; constant after construction and so thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/ec/scheme.h"

namespace holdfast::ec {

class Codec {
 public:
  explicit Codec(Scheme scheme);  // which is valid

  const Scheme& scheme() const { return scheme_; }

  // Factors of data shard 0, 1, ... in shard `shard`.
  std::span<const std::uint8_t> row(ShardId shard) const;

  // Fills the parity pieces from the data pieces, each of `bytes` bytes.
  void encode(std::span<const std::uint8_t* const> data, std::span<std::uint8_t* const> parity, std::size_t bytes) const;

  // How to make some shards of others. Worth keeping while the same shards are missing.
  class Plan {
   public:
    const std::vector<ShardId>& sources() const { return sources_; }
    const std::vector<ShardId>& wanted() const { return wanted_; }
    // `from` in the order of sources(), `to` in that of wanted(), each of `bytes` bytes.
    void run(std::span<const std::uint8_t* const> from, std::span<std::uint8_t* const> to, std::size_t bytes) const;

   private:
    friend class Codec;
    std::vector<ShardId> sources_;
    std::vector<ShardId> wanted_;
    std::vector<std::uint8_t> tables_;
  };

  // From the first `data` shards of `present`. Code::unavailable when there are fewer, invalid for an unknown shard.
  Result<Plan> plan(std::vector<ShardId> present, std::vector<ShardId> wanted) const;

 private:
  const Scheme scheme_;
  std::vector<std::uint8_t> matrix_;  // total rows of `data` factors
  std::vector<std::uint8_t> encode_tables_;
};

}  // namespace holdfast::ec
