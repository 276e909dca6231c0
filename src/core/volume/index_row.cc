#include "core/volume/index_row.h"

#include "base/check.h"

namespace holdfast::volume {

void append_row(std::string& out, const IndexRow& row) {
  CHECK(row.offset <= 0xffffffffull);
  append_be(out, row.key.value());
  append_be(out, static_cast<std::uint32_t>(row.offset));
  append_be(out, static_cast<std::uint32_t>(row.size));
}

IndexRow parse_row(const std::uint8_t* bytes) {
  return {NeedleId(load_be<std::uint64_t>(bytes)), load_be<std::uint32_t>(bytes + 8),
          static_cast<std::int32_t>(load_be<std::uint32_t>(bytes + 12))};
}

IndexRow parse_row_large(const std::uint8_t* bytes) {
  // The high byte stands behind the low four.
  const std::uint64_t offset = std::uint64_t{bytes[12]} << 32 | load_be<std::uint32_t>(bytes + 8);
  return {NeedleId(load_be<std::uint64_t>(bytes)), offset,
          static_cast<std::int32_t>(load_be<std::uint32_t>(bytes + 13))};
}

}  // namespace holdfast::volume
