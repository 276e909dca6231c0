#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace holdfast {
namespace {

constexpr std::size_t kPieceBytes = 1_GiB;  // ISA-L takes an int length

}  // namespace

std::uint32_t crc32c(BytesView bytes, std::uint32_t so_far) {
  std::uint32_t state = ~so_far;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), kPieceBytes));
    state = crc32_iscsi(const_cast<unsigned char*>(piece.data()), static_cast<int>(piece.size()), state);
    bytes = bytes.subspan(piece.size());
  }
  return ~state;
}

}  // namespace holdfast
