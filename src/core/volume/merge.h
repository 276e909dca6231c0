// Merge: what one volume holds, out of copies of it that have drifted apart (docs/shell.md, volume.merge).
//
// For each key the newest of the operations that the copies end with counts, a write or a deletion. Each server writes its
// own time into a record, so one write has another time at each copy, and clocks are never quite equal. What a copy did
// itself, one thing after the other, is surer than any clock: a write that another copy has made too, and then gone on from, is
// not the newest operation. Times decide what is left.
//
//   copy 1   write 10.0   deletion 10.3     The clock of copy 2 is ahead, and the deletion did not come to it.
//   copy 2   write 10.5                     The file is deleted: copy 1 has had this write, and deleted it.
//
// Two writes are the same when cookie, size and checksum are, and their times are no further apart than kSameWriteMax: a file
// may be written again as it was before. Of deletions that cannot be told, so their times count.
//
// A deletion stays in the merged volume as a record, so that a copy that was away is seen to be behind. A vacuum forgets
// deletions: of a key that a compacted copy does not know nobody can say whether it was deleted there or never came.
//
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "core/volume/needle.h"
#include "model/ids.h"

namespace holdfast::volume {

// Far more than a write takes to all copies and than clocks kept by NTP differ; far less than between two uploads by hand.
inline constexpr Duration kSameWriteMax = std::chrono::minutes(1);

struct MergeRecord {
  NeedleId key;
  std::uint64_t offset = 0;          // bytes, in the copy's .dat
  std::int32_t size = 0;             // of the body; kTombstoneSize: a deletion
  Cookie cookie;
  std::uint32_t crc = 0;             // of the data as stored, raw; 0 of a deletion
  std::uint64_t append_at_ns = 0;

  bool is_deletion() const { return size < 0; }
  bool has_content_of(const MergeRecord& other) const;  // or both are deletions

  friend bool operator==(const MergeRecord&, const MergeRecord&) = default;
};

struct MergeCopy {
  std::vector<MergeRecord> records;  // in the order in which they were made: that of the index
  bool is_compacted = false;         // a vacuum may have forgotten deletions
};

struct MergeStep {
  std::size_t copy = 0;  // where the record is taken from
  MergeRecord record;
};

struct MergePlan {
  std::vector<MergeStep> steps;       // one for each key, by time, then by key
  std::vector<NeedleId> unclear;      // files in it that a compacted copy does not know; ascending
  std::vector<std::size_t> outdated;  // for each copy: of how many keys it has another state
  std::size_t files() const;          // the steps that are no deletions
};

MergePlan plan_merge(const std::vector<MergeCopy>& copies);

}  // namespace holdfast::volume
