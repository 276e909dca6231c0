// IndexRow: one entry of an .idx, which is the log of a volume's puts and deletions in the order they happened
// (spec/volume-format 5). Rows are 16 bytes; the large-disk build of upstream writes 17, which we can read.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "model/ids.h"

namespace holdfast::volume {

inline constexpr std::size_t kIndexRowBytes = 16;
inline constexpr std::size_t kIndexRowBytesLarge = 17;

struct IndexRow {
  NeedleId key;
  std::uint64_t offset = 0;  // in units of 8 bytes; of the deletion record when deleted
  std::int32_t size = 0;     // -1: deleted. 0: a live, empty file

  // Anything else deletes the key.
  bool is_put() const { return offset != 0 && size >= 0; }

  friend bool operator==(const IndexRow&, const IndexRow&) = default;
};

// Appends 16 bytes. The offset must fit 32 bits (32 GiB).
void append_row(std::string& out, const IndexRow& row);

// Reads kIndexRowBytes or kIndexRowBytesLarge bytes.
IndexRow parse_row(const std::uint8_t* bytes);
IndexRow parse_row_large(const std::uint8_t* bytes);

}  // namespace holdfast::volume
