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

Result<std::vector<NeedleId>> deletions_in(io::Disk& disk, const std::string& index, const std::string& other) {
  constexpr std::size_t kBytes = 65536 * volume::kIndexRowBytes;
  const auto one = disk.open(index, {});
  if (!one) return one.error();
  const auto two = disk.open(other, {});
  if (!two) return two.error();
  std::vector<NeedleId> out;
  std::vector<std::uint8_t> rows(kBytes), others(kBytes);
  for (std::uint64_t at = 0;; at += kBytes) {
    const auto got = (*one)->read(at, rows);
    if (!got) return got.error();
    const auto got_other = (*two)->read(at, others);
    if (!got_other) return got_other.error();
    bool is_same = *got == *got_other && *got % volume::kIndexRowBytes == 0;
    for (std::size_t i = 0; is_same && i < *got; i += volume::kIndexRowBytes) {
      const auto row = volume::parse_row(&rows[i]);
      const auto twin = volume::parse_row(&others[i]);
      is_same = row.key == twin.key && row.offset == twin.offset && (row.size == twin.size || row.size < 0 || twin.size < 0);
      if (row.size < 0) out.push_back(row.key);
    }
    if (!is_same) return Error(Code::stale, other + " belongs to a different encode run");
    if (*got < kBytes) return out;
  }
}

}  // namespace holdfast::ec
