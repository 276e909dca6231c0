#include "core/ec/layout.h"

#include <algorithm>

namespace holdfast::ec {

Layout Layout::of_dat(Scheme scheme, std::uint64_t dat_bytes) {
  return {scheme, dat_bytes / scheme.data / kLargeBlock};
}

Layout Layout::of_shard(Scheme scheme, std::uint64_t shard_bytes) {
  return {scheme, shard_bytes == 0 ? 0 : (shard_bytes - 1) / kLargeBlock};
}

Piece Layout::locate(std::uint64_t offset, std::uint64_t bytes) const {
  const auto large_end = large_rows_ * scheme_.data * kLargeBlock;
  const bool large = offset < large_end;
  const auto block_bytes = large ? kLargeBlock : kSmallBlock;
  const auto base = large ? 0 : large_rows_ * kLargeBlock;
  if (!large) offset -= large_end;
  const auto block = offset / block_bytes;
  const auto within = offset % block_bytes;
  return {.shard = static_cast<ShardId>(block % scheme_.data),
          .offset = base + block / scheme_.data * block_bytes + within,
          .bytes = std::min(bytes, block_bytes - within)};
}

std::vector<Piece> Layout::pieces(std::uint64_t offset, std::uint64_t bytes) const {
  std::vector<Piece> out;
  while (bytes > 0) {
    out.push_back(locate(offset, bytes));
    offset += out.back().bytes;
    bytes -= out.back().bytes;
  }
  return out;
}

std::uint64_t shard_bytes(Scheme scheme, std::uint64_t dat_bytes) {
  const auto large_row = scheme.data * kLargeBlock;
  const auto small_row = scheme.data * kSmallBlock;
  return dat_bytes / large_row * kLargeBlock + (dat_bytes % large_row + small_row - 1) / small_row * kSmallBlock;
}

}  // namespace holdfast::ec
