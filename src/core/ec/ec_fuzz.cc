// Sources: checksums.cc journal.cc ../volume/index_row.cc
// What parses an .ecsum takes any bytes, and what it accepted it writes so that it reads the same again. The .ecx and
// .ecj parsers take any bytes too.
#include <cstdint>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/ec/checksums.h"
#include "core/ec/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const BytesView bytes(data, size);
  if (const auto sums = ec::Checksums::parse(bytes)) {
    const auto again = ec::Checksums::parse(bytes_of(sums->encode()));
    CHECK(again.ok() && *again == *sums);
  }
  // The same without the seal over it, which bytes by chance never have.
  if (size >= 1) {
    std::string sealed;
    append_be(sealed, std::uint32_t{0x45435355});
    append_be(sealed, std::uint16_t{1});
    append_be(sealed, static_cast<std::uint32_t>(size));
    append_be(sealed, crc32c(bytes));
    sealed += text_of(bytes);
    if (const auto sums = ec::Checksums::parse(bytes_of(sealed))) {
      const auto again = ec::Checksums::parse(bytes_of(sums->encode()));
      CHECK(again.ok() && *again == *sums);
    }
  }
  CHECK(ec::parse_journal(bytes).size() == size / ec::kJournalRowBytes);
  if (const auto rows = ec::parse_sorted_index(bytes); rows && !rows->empty()) {
    CHECK(ec::find_row(bytes, rows->back().key) != nullptr);
  }
  return 0;
}
