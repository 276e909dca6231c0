// Any bytes are read without harm, and what was written can be read back whatever stands behind it.
#include <cstddef>

#include "base/check.h"
#include "storage/raft/segment.h"
#include "storage/raft/snapshots.h"
#include "storage/raft/identity.h"

using namespace holdfast;
using namespace holdfast::storage;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(data, size);
  (void)decode_segment_header(bytes);
  (void)decode_snapshot_body(bytes);
  (void)decode_identity(text_of(bytes));

  // The input as the content of a segment whose head is whole: so the fuzzer gets past the checksum of the head.
  const SegmentHeader header{.cluster = ClusterId(Uuid{1, 2}), .voter = NodeId(Uuid{3, 4}), .first = Index(1),
                             .salt = 7};
  std::string segment = encode(header);
  auto chain = chain_begin(header);
  const std::size_t good = size > 0 ? data[0] % 4 : 0;
  for (std::size_t i = 0; i < good; ++i) {
    append_record(segment, {.term = Term(1), .index = Index(i + 1), .data = std::string(i * 3, 'x')}, Index(i),
                  header.salt, &chain);
  }
  segment += text_of(bytes);
  const auto parsed = parse_segment(bytes_of(segment));
  CHECK(parsed.ok());
  CHECK(parsed->entries.size() >= good);
  CHECK(parsed->entries.size() == parsed->places.size());
  CHECK(parsed->end <= segment.size() + kRecordAlignment);
  for (std::size_t i = 0; i < parsed->entries.size(); ++i) {
    const auto& place = parsed->places[i];
    const auto again = decode_record(bytes_of(std::string_view(segment).substr(place.offset)),
                                     parsed->entries[i].index, header.salt);
    CHECK(again.ok() && *again == parsed->entries[i]);
  }
  return 0;
}
