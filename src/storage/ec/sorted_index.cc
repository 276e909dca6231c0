#include "storage/ec/sorted_index.h"

namespace holdfast::ec {

Result<std::optional<SortedIndex::Entry>> SortedIndex::find(NeedleId key) const {
  const auto size = file_.size();
  if (!size) return size.error();
  std::uint64_t low = 0;  // in rows
  std::uint64_t high = *size / volume::kIndexRowBytes;
  std::uint8_t page[kPageRows * volume::kIndexRowBytes];
  while (high - low > kPageRows) {
    const auto middle = (low + high) / 2;
    const auto got = file_.read(middle * volume::kIndexRowBytes, std::span(page).first(volume::kIndexRowBytes));
    if (!got) return got.error();
    if (*got != volume::kIndexRowBytes) return Error(Code::corrupt, file_.path() + ": ends early");
    if (load_be<std::uint64_t>(page) <= key.value()) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const auto got = file_.read(low * volume::kIndexRowBytes, std::span(page).first((high - low) * volume::kIndexRowBytes));
  if (!got) return got.error();
  const auto* found = find_row(BytesView(page, *got), key);
  if (found == nullptr) return std::optional<Entry>();
  return std::optional(Entry{volume::parse_row(found), low * volume::kIndexRowBytes + static_cast<std::uint64_t>(found - page)});
}

}  // namespace holdfast::ec
