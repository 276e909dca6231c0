#include "core/raft/log.h"

#include <algorithm>

#include "base/check.h"

namespace holdfast::raft {
namespace {

// What an entry takes in memory besides its data, roughly.
constexpr std::size_t kEntryOverhead = 64;

std::size_t size_of(const Entry& entry) { return entry.data.size() + kEntryOverhead; }

}  // namespace

LogPosition Log::last() const {
  return entries_.empty() ? base_ : LogPosition{entries_.back().term, entries_.back().index};
}

std::optional<Term> Log::term_at(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last_index()) return std::nullopt;
  return at(index).term;
}

const Entry& Log::at(Index index) const {
  CHECK(index > base_.index && index <= last_index());
  return entries_[index - base_.index - 1];
}

Index Log::first_of_term(Index index) const {
  const auto term = at(index).term;
  while (index.previous() > base_.index && at(index.previous()).term == term) index = index.previous();
  return index;
}

std::optional<Index> Log::last_of_term(Term term, Index from, Index to) const {
  to = std::min(to, last_index());
  for (; to >= from && to > base_.index; to = to.previous()) {
    const auto found = at(to).term;
    if (found == term) return to;
    if (found < term) break;
  }
  return std::nullopt;
}

std::vector<Entry> Log::slice(Index from, std::size_t count_max, std::size_t bytes_max) const {
  std::vector<Entry> found;
  std::size_t bytes = 0;
  for (auto index = from; index <= last_index() && found.size() < count_max; index = index.next()) {
    const auto& entry = at(index);
    bytes += size_of(entry);
    if (!found.empty() && bytes > bytes_max) break;
    found.push_back(entry);
  }
  return found;
}

void Log::append(Entry entry) {
  CHECK(entry.index == last_index().next());
  CHECK(entry.term >= last().term);
  bytes_ += size_of(entry);
  entries_.push_back(std::move(entry));
}

void Log::truncate_from(Index index) {
  CHECK(index > base_.index);
  while (last_index() >= index) {
    bytes_ -= size_of(entries_.back());
    entries_.pop_back();
  }
}

void Log::reset(LogPosition position) {
  entries_.clear();
  bytes_ = 0;
  base_ = position;
}

void Log::trim(Index index, std::size_t bytes_max) {
  while (bytes_ > bytes_max && !entries_.empty() && entries_.front().index <= index) {
    base_ = {entries_.front().term, entries_.front().index};
    bytes_ -= size_of(entries_.front());
    entries_.pop_front();
  }
}

}  // namespace holdfast::raft
