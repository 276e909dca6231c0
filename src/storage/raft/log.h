// RaftLog: the entries of one member on disk, in segments (segment.h, docs/raft-log-format.md).
//
// What a crash leaves: every entry whose sync() returned ok, then perhaps some of the later ones; never a mixture of
// old and new ones at an index, for a suffix is replaced by opening a new segment, whose header sector makes all older
// entries from its first index on void in one stroke.
//
// The folder holds `<sequence>.seg`, sequence counting up without gaps, and `reserve`, a preallocated segment not yet
// in use: what the core has handed out can be written when the disk is full (has_reserve() says whether there is one).
//
// After a failed write or sync the log is broken: every call answers with that error, and the process must end.
//
// Not thread-safe: belongs to the log thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/core.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/entry.h"
#include "model/ids.h"
#include "storage/raft/segment.h"

namespace holdfast::storage {

class RaftLog {
 public:
  struct Options {
    ClusterId cluster;
    NodeId voter;
    std::uint64_t segment_bytes = 8_MiB;  // an entry never spans two: above the longest and its heads
    Index covered;  // a stored snapshot covers the entries up to here: a hole below it harms nobody
  };

  // What the folder holds, after repair.
  struct Found {
    std::vector<Entry> entries;          // [first, ...) without gaps
    Index first{1};                      // first index readable, 1 when there is nothing
    raft::LogPosition before;            // the entry before `first`
    bool reset = false;                  // begins right after a snapshot that must be there
    // A bad middle: entries end before where the log once was durable.
    std::optional<raft::LogPosition> reached;
    std::uint64_t torn_bytes = 0;  // of a torn tail that was cut off
    std::vector<std::string> remarks;    // for the log, one sentence each
  };

  // corrupt: damaged beyond what the other members can heal (the last segment's head, both copies).
  // Opens or makes the log, cuts a torn tail, and writes and syncs the last segment anew: what the page cache shows may
  // never have reached the device if the process before died of a failed sync (raft-and-leases 3.3).
  static Result<std::unique_ptr<RaftLog>> open(io::Disk& disk, io::Random& random, const std::string& folder,
                                               Options options, Found* found);

  // Replaces everything from entries.front().index on, which is at most end(). Durable after sync().
  Status append(std::span<const Entry> entries);
  Status sync();

  // Drops everything; the log goes on behind `last`, which a stored snapshot covers. Durable when it returns.
  Status reset(raft::LogPosition last);

  // Entries below `first` are no longer wanted. Whole segments go; first() tells what is left.
  Status compact(Index first);

  struct Fetched {
    Term previous_term;
    std::vector<Entry> entries;
  };
  // Entries from `from` on, at least one, up to `bytes_max` of data. not_found: compacted or not there.
  Result<Fetched> read(Index from, std::size_t bytes_max) const;

  [[nodiscard]] Index first() const { return first_; }
  [[nodiscard]] Index end() const { return first_ + places_.size(); }  // the next to be appended
  [[nodiscard]] raft::LogPosition last() const;
  [[nodiscard]] raft::LogPosition durable() const { return durable_; }

  // Of the segment in use; and whether a segment after the one so numbered replaced the entry at `index`.
  [[nodiscard]] std::uint64_t sequence() const { return segments_.back().sequence; }
  [[nodiscard]] bool replaced_since(std::uint64_t sequence, Index index) const;

  [[nodiscard]] std::uint64_t bytes() const;  // of records since first()
  [[nodiscard]] bool has_reserve() const { return reserve_; }

  // Prepares the next segment if there is none in reserve; no_space when the disk is full.
  Status make_reserve();

 private:
  struct Segment {
    std::uint64_t sequence = 0;
    SegmentHeader header;
    std::unique_ptr<io::File> file;
    bool readable = true;
  };
  struct Place {
    std::uint32_t segment;  // low bits of its sequence
    std::uint32_t data_bytes;
    std::uint64_t offset;
    Term term;
  };

  RaftLog(io::Disk& disk, io::Random& random, std::string folder, Options options);
  Status recover(Found* found);
  Status take_in(ParsedSegment parsed, Found* found);
  void drop_suspects(Found* found);
  Status rewrite_tail(const ParsedSegment& parsed, bool keep_garbage);
  Status roll(Index first, raft::LogPosition before, bool reset);
  Status flush(std::string* buffer, std::uint64_t offset);
  Segment* segment_of(const Place& place);
  const Segment* segment_of(const Place& place) const;
  std::string path_of(std::uint64_t sequence) const;
  raft::LogPosition position_before(Index index) const;
  Status broken(Error error);

  io::Disk& disk_;
  io::Random& random_;
  const std::string folder_;
  const Options options_;

  std::deque<Segment> segments_;  // by sequence, without gaps; the last is written to
  std::deque<Place> places_;      // of first_ and on
  Index first_{1};
  raft::LogPosition before_;   // the entry before first_
  raft::LogPosition durable_;  // the last entry known to be on disk
  std::uint64_t end_ = 0;      // in the last segment
  std::uint32_t chain_ = 0;
  bool unsynced_ = false;
  bool reserve_ = false;
  bool hole_ = false;  // the last segment shows a bad middle: it stays as it is, as the proof of what the log held
  bool suspect_ = false;  // while recovering: a segment could not be read since the last one that joined
  std::optional<Error> broken_;
};

}  // namespace holdfast::storage
