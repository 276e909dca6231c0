#include "core/ec/journal.h"

namespace holdfast::ec {

std::vector<NeedleId> parse_journal(BytesView bytes) {
  std::vector<NeedleId> out;
  out.reserve(bytes.size() / kJournalRowBytes);
  for (std::size_t i = 0; i + kJournalRowBytes <= bytes.size(); i += kJournalRowBytes) {
    out.push_back(NeedleId(load_be<std::uint64_t>(bytes.data() + i)));
  }
  return out;
}

void append_journal(std::string& out, NeedleId key) { append_be(out, key.value()); }

Result<std::vector<volume::IndexRow>> parse_sorted_index(BytesView bytes) {
  if (bytes.size() % volume::kIndexRowBytes != 0) return Error(Code::corrupt, "its index (.ecx) ends in a part of a row");
  std::vector<volume::IndexRow> out;
  out.reserve(bytes.size() / volume::kIndexRowBytes);
  for (std::size_t i = 0; i < bytes.size(); i += volume::kIndexRowBytes) {
    out.push_back(volume::parse_row(bytes.data() + i));
    if (out.size() > 1 && out[out.size() - 2].key >= out.back().key) {
      return Error(Code::corrupt, "its index (.ecx) is not in order at row " + std::to_string(out.size() - 1));
    }
  }
  return out;
}

const std::uint8_t* find_row(BytesView rows, NeedleId key) {
  std::size_t low = 0;
  std::size_t high = rows.size() / volume::kIndexRowBytes;
  while (low < high) {
    const auto middle = (low + high) / 2;
    const auto* row = rows.data() + middle * volume::kIndexRowBytes;
    const auto at = load_be<std::uint64_t>(row);
    if (at == key.value()) return row;
    if (at < key.value()) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return nullptr;
}

}  // namespace holdfast::ec
