// Log: the part of the log that is in memory, and where it stands in the whole.
//
// Entries (base, last] are here; those at or below base are on disk only, or in a snapshot. base's term is known, so
// that an Append may start right after it. Who holds a Log decides what may be cut: it only keeps indexes contiguous
// and terms from falling.
//
// Pure; not thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "core/raft/messages.h"
#include "model/entry.h"

namespace holdfast::raft {

class Log {
 public:
  explicit Log(LogPosition base) : base_(base) {}

  LogPosition base() const { return base_; }
  LogPosition last() const;
  Index last_index() const { return base_.index + entries_.size(); }
  bool empty() const { return entries_.empty(); }
  std::size_t bytes() const { return bytes_; }

  // The term of the entry at `index` if it is known here: base.index..last.
  std::optional<Term> term_at(Index index) const;
  const Entry& at(Index index) const;  // base.index < index <= last

  // The first index here of the run of entries with the term of `index`.
  Index first_of_term(Index index) const;
  // The last index in [from, to] whose entry has `term`, if any is in memory.
  std::optional<Index> last_of_term(Term term, Index from, Index to) const;

  // Entries from `from` on: at most `count_max`, at most `bytes_max` unless the first alone is longer.
  std::vector<Entry> slice(Index from, std::size_t count_max, std::size_t bytes_max) const;

  void append(Entry entry);          // at last + 1
  void truncate_from(Index index);   // drops index.. ; above base
  void reset(LogPosition position);  // drops everything; the log goes on after `position`

  // Forgets entries at or below `index` from the front until at most `bytes_max` are held.
  void trim(Index index, std::size_t bytes_max);

 private:
  LogPosition base_;
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
};

}  // namespace holdfast::raft
