// The bytes of one log segment: a header sector and records behind it (docs/raft-log-format.md).
//
// Three dangers are told apart when a segment is read back:
//  - A *torn tail*: the last batch was being written when the power went. Nobody was told of it; it is cut off.
//  - A *bad middle*: a record that was on disk and acknowledged cannot be read. Cutting it off could lose what the
//    cluster committed; it must be fetched from the others. It shows by a later record that says "when I was written,
//    everything up to D was durable", with D not below the bad one.
//  - *Stale bytes* behind the tail, of a batch that was torn before, or of a segment that used the room earlier. They
//    are never taken for records: each record names the checksum of the one before it, and every checksum starts
//    from the segment's own random salt.
//
// Pure: bytes in, values out. Reads any bytes without harm (segment_fuzz.cc).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "core/raft/messages.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::storage {

inline constexpr std::uint16_t kSegmentFormat = 1;
inline constexpr std::uint64_t kSegmentHeaderBytes = 1024;  // two copies, a sector each: one may rot
inline constexpr std::uint64_t kRecordHeaderBytes = 40;
inline constexpr std::uint64_t kRecordAlignment = 8;

struct SegmentHeader {
  ClusterId cluster;
  NodeId voter;
  Index first;               // of the first record
  raft::LogPosition before;  // the entry before it
  std::uint64_t salt = 0;    // random; no two segments share it
  bool reset = false;        // all earlier segments are void: the log begins here, after a snapshot
  // Of the file's name: a head that was written into another segment's file must not be taken for that one's.
  // 0: not told, by earlier builds.
  std::uint64_t sequence = 0;

  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

// Exactly kSegmentHeaderBytes.
std::string encode(const SegmentHeader& header);

// corrupt: not a header (zeros, torn, rotten), or that of another segment than `sequence` (0: whichever); unsupported: of
// a newer build, says so.
Result<SegmentHeader> decode_segment_header(BytesView bytes, std::uint64_t sequence = 0);

// What the first record names as its predecessor's checksum.
std::uint32_t chain_begin(const SegmentHeader& header);

std::uint64_t record_bytes(std::size_t data_bytes);

// Appends one record. `durable`: the last index known to be on disk when this is written. `chain` is the checksum of
// the record before and becomes that of this one.
void append_record(std::string& out, const Entry& entry, Index durable, std::uint64_t salt, std::uint32_t* chain);

struct RecordPlace {
  std::uint64_t offset = 0;  // in the segment
  std::uint32_t data_bytes = 0;
  Term term;
};

struct ParsedSegment {
  SegmentHeader header;
  std::vector<Entry> entries;        // header.first and on, without gaps
  std::vector<RecordPlace> places;   // of the same
  std::uint64_t end = 0;             // behind the last good record
  std::uint32_t chain = 0;           // of the last good record
  // Up to where the segment proves that the log was durable once: below the last entry if all is well, at or behind
  // the end if there is a bad middle. The term is that of the record which proves it, or of the last good one.
  Index durable;
  Term durable_term;
  std::uint64_t garbage_end = 0;  // behind the last byte that is not zero; at most `end` if all is well
};

// Reads a whole segment. An error only for a bad header; everything else is in the answer.
Result<ParsedSegment> parse_segment(BytesView bytes, std::uint64_t sequence = 0);

// One record at `offset`, checked; corrupt when it is not what `place` says.
Result<Entry> decode_record(BytesView record, Index index, std::uint64_t salt);

}  // namespace holdfast::storage
