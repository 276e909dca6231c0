// Whatever bytes a .dat holds, parsing them ends in a needle within those bytes or in an error; and what was parsed is
// written back as the same needle.
#include <cstdlib>

#include "core/volume/needle.h"
#include "core/volume/superblock.h"

using namespace holdfast;
using namespace holdfast::volume;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool lies_within(std::string_view part, BytesView whole) {
  const auto* begin = reinterpret_cast<const char*>(whole.data());
  return part.empty() || (part.data() >= begin && part.data() + part.size() <= begin + whole.size());
}

void check(BytesView record, Version version) {
  if (record.size() < kHeaderBytes) return;
  const auto header = NeedleHeader::parse(record.data());
  const auto needle = parse(record, header.size, version);
  if (!needle) return;
  require(lies_within(text_of(needle->data), record));
  for (const auto part : {needle->name, needle->mime, needle->pairs}) require(lies_within(part, record));
  (void)check_data(*needle);
  (void)needle->is_expired(needle->append_at_ns + 1);

  // Parsing the tail alone finds the same parts.
  if (version != Version::v1 && needle->data_size > 0) {
    const auto front = kHeaderBytes + 4 + needle->data_size;
    const auto tail = parse_tail(header, needle->data_size, record.subspan(front), version);
    require(tail.ok() && tail->name == needle->name && tail->stored_crc == needle->stored_crc);
  }
  const auto again = encode(*needle, version);
  const auto back = parse(bytes_of(again), NeedleHeader::parse(bytes_of(again).data()).size, version);
  require(back.ok() && back->id == needle->id && back->cookie == needle->cookie);
  require(text_of(back->data) == text_of(needle->data) && back->pairs == (needle->data.empty() ? "" : needle->pairs));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(data, size);
  for (const auto version : {Version::v1, Version::v2, Version::v3}) check(bytes, version);
  if (const auto superblock = Superblock::parse(bytes)) require(Superblock::parse(bytes_of(superblock->encode())).ok());
  return 0;
}
