#include "storage/raft/segment.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

namespace holdfast::storage {
namespace {

constexpr std::string_view kMagic = "HFRAFTSG";
constexpr std::size_t kChecksumAt = 12;
constexpr std::uint64_t kSectorBytes = 512;
static_assert(kSegmentHeaderBytes == 2 * kSectorBytes);
constexpr std::uint8_t kFlagReset = 1;

void store_uuid(std::uint8_t* at, const Uuid& uuid) {
  store_be<std::uint64_t>(at, uuid.high);
  store_be<std::uint64_t>(at + 8, uuid.low);
}

Uuid load_uuid(const std::uint8_t* at) { return {load_be<std::uint64_t>(at), load_be<std::uint64_t>(at + 8)}; }

// The checksum of the whole sector with the field itself as zeros.
std::uint32_t header_checksum(BytesView sector) {
  constexpr std::uint8_t zeros[4] = {};
  auto crc = crc32c(sector.subspan(0, kChecksumAt));
  crc = crc32c(zeros, crc);
  return crc32c(sector.subspan(kChecksumAt + 4, kSectorBytes - kChecksumAt - 4), crc);
}

std::uint32_t salted(std::uint64_t salt) {
  std::uint8_t bytes[8];
  store_be(bytes, salt);
  return crc32c(bytes);
}

// The fixed part of a record, not yet believed.
struct RecordHeader {
  std::uint32_t checksum;
  std::uint32_t data_bytes;
  Index index;
  Term term;
  Index durable;
  std::uint32_t chain;
  std::uint8_t kind;
  std::uint16_t format;
};

RecordHeader load_record_header(const std::uint8_t* at) {
  return {.checksum = load_be<std::uint32_t>(at),
          .data_bytes = load_be<std::uint32_t>(at + 4),
          .index = Index(load_be<std::uint64_t>(at + 8)),
          .term = Term(load_be<std::uint64_t>(at + 16)),
          .durable = Index(load_be<std::uint64_t>(at + 24)),
          .chain = load_be<std::uint32_t>(at + 32),
          .kind = at[36],
          .format = load_be<std::uint16_t>(at + 38)};
}

// Whether the record at the front of `bytes` is one whole record of the segment with this salt.
std::optional<RecordHeader> checked(BytesView bytes, std::uint64_t salt) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  const auto header = load_record_header(bytes.data());
  if (header.data_bytes > kEntryBytesMax || header.index == Index(0)) return std::nullopt;
  if (bytes.size() < kRecordHeaderBytes + header.data_bytes) return std::nullopt;
  if (header.kind < 1 || header.kind > 3) return std::nullopt;
  if (crc32c(bytes.subspan(4, kRecordHeaderBytes - 4 + header.data_bytes), salted(salt)) != header.checksum) {
    return std::nullopt;
  }
  return header;
}

Entry entry_of(const RecordHeader& header, BytesView record) {
  return {.term = header.term,
          .index = header.index,
          .kind = static_cast<EntryKind>(header.kind),
          .format = header.format,
          .data = std::string(text_of(record.subspan(kRecordHeaderBytes, header.data_bytes)))};
}

// Looks behind the last good record for whole records of this segment: each says how far the log was durable when it
// was written. Stale records of an earlier torn batch say so truthfully as well, so none of them misleads.
void look_behind(BytesView bytes, ParsedSegment* parsed) {
  const Index next = parsed->header.first + parsed->entries.size();
  std::uint64_t used = bytes.size();
  while (used > parsed->end && bytes[used - 1] == 0) --used;
  parsed->garbage_end = used;
  if (used <= parsed->end) return;
  for (std::uint64_t at = parsed->end; at < used && at + kRecordHeaderBytes <= bytes.size(); at += kRecordAlignment) {
    // Cheap refusals first: the checksum of a megabyte at every eighth byte would take minutes.
    const auto header = load_record_header(bytes.data() + at);
    if (header.index < next || header.index.value() - next.value() > bytes.size() / kRecordHeaderBytes) continue;
    if (header.durable < next || header.durable >= header.index) continue;
    if (const auto record = checked(bytes.subspan(at), parsed->header.salt)) {
      if (record->durable > parsed->durable) {
        parsed->durable = record->durable;
        parsed->durable_term = record->term;
      }
    }
  }
}

}  // namespace

std::string encode(const SegmentHeader& header) {
  std::string sector(kSectorBytes, '\0');
  auto* at = reinterpret_cast<std::uint8_t*>(sector.data());
  std::copy(kMagic.begin(), kMagic.end(), sector.begin());
  store_be<std::uint16_t>(at + 8, kSegmentFormat);
  at[10] = header.reset ? kFlagReset : 0;
  store_uuid(at + 16, header.cluster.value());
  store_uuid(at + 32, header.voter.value());
  store_be<std::uint64_t>(at + 48, header.first.value());
  store_be<std::uint64_t>(at + 56, header.before.term.value());
  store_be<std::uint64_t>(at + 64, header.before.index.value());
  store_be<std::uint64_t>(at + 72, header.salt);
  store_be<std::uint64_t>(at + 80, header.sequence);
  store_be<std::uint32_t>(at + kChecksumAt, header_checksum(bytes_of(sector)));
  return sector + sector;
}

namespace {

Result<SegmentHeader> decode_copy(BytesView sector, std::uint64_t sequence) {
  if (text_of(sector.first(kMagic.size())) != kMagic) return Error{Code::corrupt, "not a log segment"};
  if (header_checksum(sector) != load_be<std::uint32_t>(sector.data() + kChecksumAt)) {
    return Error{Code::corrupt, "segment header: checksum mismatch"};
  }
  const auto format = load_be<std::uint16_t>(sector.data() + 8);
  if (format != kSegmentFormat) {
    return Error{Code::unsupported, "log segment of format " + std::to_string(format) + ", this build reads " +
                                        std::to_string(kSegmentFormat) + ": start a newer holdfast"};
  }
  const auto* at = sector.data();
  SegmentHeader header{.cluster = ClusterId(load_uuid(at + 16)),
                       .voter = NodeId(load_uuid(at + 32)),
                       .first = Index(load_be<std::uint64_t>(at + 48)),
                       .before = {.term = Term(load_be<std::uint64_t>(at + 56)),
                                  .index = Index(load_be<std::uint64_t>(at + 64))},
                       .salt = load_be<std::uint64_t>(at + 72),
                       .reset = (at[10] & kFlagReset) != 0,
                       .sequence = load_be<std::uint64_t>(at + 80)};
  if (header.first.value() == 0 || header.before.index != header.first.previous()) {
    return Error{Code::corrupt, "segment header: indexes do not fit"};
  }
  if (sequence != 0 && header.sequence != 0 && header.sequence != sequence) {
    return Error{Code::corrupt, "segment header: that of segment " + std::to_string(header.sequence)};
  }
  return header;
}

}  // namespace

Result<SegmentHeader> decode_segment_header(BytesView bytes, std::uint64_t sequence) {
  if (bytes.size() < kSegmentHeaderBytes) return Error{Code::corrupt, "segment shorter than its header"};
  auto first = decode_copy(bytes.first(kSectorBytes), sequence);
  if (first || first.error().code() == Code::unsupported) return first;
  auto second = decode_copy(bytes.subspan(kSectorBytes, kSectorBytes), sequence);
  return second ? second : first;
}

std::uint32_t chain_begin(const SegmentHeader& header) { return salted(header.salt); }

std::uint64_t record_bytes(std::size_t data_bytes) {
  return (kRecordHeaderBytes + data_bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

void append_record(std::string& out, const Entry& entry, Index durable, std::uint64_t salt, std::uint32_t* chain) {
  CHECK(entry.data.size() <= kEntryBytesMax);
  const std::size_t begin = out.size();
  out.resize(begin + record_bytes(entry.data.size()), '\0');
  auto* at = reinterpret_cast<std::uint8_t*>(out.data()) + begin;
  store_be<std::uint32_t>(at + 4, static_cast<std::uint32_t>(entry.data.size()));
  store_be<std::uint64_t>(at + 8, entry.index.value());
  store_be<std::uint64_t>(at + 16, entry.term.value());
  store_be<std::uint64_t>(at + 24, durable.value());
  store_be<std::uint32_t>(at + 32, *chain);
  at[36] = static_cast<std::uint8_t>(entry.kind);
  store_be<std::uint16_t>(at + 38, entry.format);
  const auto data = entry.data.view();
  std::copy(data.begin(), data.end(), at + kRecordHeaderBytes);
  *chain = crc32c({at + 4, kRecordHeaderBytes - 4 + data.size()}, salted(salt));
  store_be<std::uint32_t>(at, *chain);
}

Result<ParsedSegment> parse_segment(BytesView bytes, std::uint64_t sequence) {
  auto header = decode_segment_header(bytes, sequence);
  if (!header) return header.error();
  ParsedSegment parsed{.header = *header, .end = kSegmentHeaderBytes, .chain = chain_begin(*header)};
  Term term = header->before.term;
  while (parsed.end <= bytes.size()) {
    const auto rest = bytes.subspan(parsed.end);
    const auto record = checked(rest, header->salt);
    if (!record || record->chain != parsed.chain || record->index != header->first + parsed.entries.size() ||
        record->term < term || record->durable >= record->index) {
      break;
    }
    term = record->term;
    parsed.places.push_back({.offset = parsed.end, .data_bytes = record->data_bytes, .term = term});
    parsed.entries.push_back(entry_of(*record, rest));
    parsed.chain = record->checksum;
    parsed.durable = std::max(parsed.durable, record->durable);
    parsed.end += record_bytes(record->data_bytes);
  }
  parsed.durable_term = term;
  look_behind(bytes, &parsed);
  return parsed;
}

Result<Entry> decode_record(BytesView record, Index index, std::uint64_t salt) {
  const auto header = checked(record, salt);
  if (!header || header->index != index) return Error{Code::corrupt, "log entry " + text(index) + ": checksum mismatch"};
  return entry_of(*header, record);
}

}  // namespace holdfast::storage
