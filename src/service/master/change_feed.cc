#include "service/master/change_feed.h"

#include <algorithm>

#include "base/check.h"
#include "storage/backup/restore.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kAttempts = 3;  // of loading a snapshot that a newer one may be taking the place of

std::uint64_t size_of(const Entry& entry) { return entry.data.size() + 64; }

}  // namespace

void ChangeFeed::begin(ClusterId cluster, const std::optional<raft::SnapshotMeta>& snapshot, Index replayed, Load load) {
  Guard guard(mutex_);
  cluster_ = cluster;
  load_ = std::move(load);
  replayed_ = replayed;
  if (snapshot) {
    before_ = snapshot_ = snapshot->last;
    members_ = {{snapshot->last.index, snapshot->configuration}};
  }
}

void ChangeFeed::end() {
  Guard guard(mutex_);
  load_ = nullptr;
  while (loading_ > 0) idle_.wait(mutex_);
}

void ChangeFeed::committed(std::span<const Entry> entries) {
  if (entries.empty()) return;
  const Instant now = clock_.now();
  const auto wall = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  {
    Guard guard(mutex_);
    for (const auto& entry : entries) {
      CHECK(entry.index == last_locked().index.next());
      kept_.push_back({.change = {.entry = entry, .time = entry.index <= replayed_ ? 0 : wall}, .seen = now});
      bytes_ += size_of(entry);
      if (entry.kind != EntryKind::configuration) continue;
      if (auto configuration = raft::decode_configuration(entry.data.view())) {
        members_.push_back({entry.index, std::move(*configuration)});
      }
    }
    trim();
  }
  if (changed_) changed_();
}

void ChangeFeed::restored(const raft::SnapshotMeta& snapshot) {
  {
    Guard guard(mutex_);
    kept_.clear();
    bytes_ = 0;
    before_ = snapshot_ = snapshot.last;
    members_ = {{snapshot.last.index, snapshot.configuration}};
  }
  if (changed_) changed_();
}

void ChangeFeed::snapshot_stored(Index index) {
  Guard guard(mutex_);
  const auto position = position_at(index);
  if (!position || index <= snapshot_.index) return;
  snapshot_ = *position;
  // Of the members before, the last are those at the snapshot.
  while (members_.size() > 1 && members_[1].since <= index) members_.erase(members_.begin());
  trim();
}

void ChangeFeed::trim() {
  while (!kept_.empty()) {
    const bool is_late = kept_.front().change.entry.index <= snapshot_.index;
    const bool too_many = bytes_ > limits_.bytes_late || kept_.size() > limits_.entries_late;
    if (!(is_late && too_many) && bytes_ <= limits_.bytes_max) return;
    before_ = position_of(kept_.front());
    bytes_ -= size_of(kept_.front().change.entry);
    kept_.pop_front();
  }
}

std::optional<raft::LogPosition> ChangeFeed::position_at(Index index) const {
  if (index == before_.index) return before_;
  if (index < before_.index || index > last_locked().index) return std::nullopt;
  return position_of(kept_[index - before_.index - 1]);
}

ChangeFeed::Reading ChangeFeed::read(raft::LogPosition after, std::uint32_t check, std::uint64_t bytes_max) const {
  Guard guard(mutex_);
  Reading reading{.last = last_locked()};
  if (after.index > reading.last.index) {
    reading.kind = Reading::Kind::ahead;
    return reading;
  }
  const auto here = position_at(after.index);
  const bool is_kept = here && after.index > before_.index;
  const bool differs =
      is_kept && check != 0 && check != backup::check_of(kept_[after.index - before_.index - 1].change.entry);
  if (!here) {
    reading.kind = Reading::Kind::too_old;
  } else if (here->term != after.term || differs) {
    reading.kind = Reading::Kind::other_history;
  } else {
    std::uint64_t bytes = 0;
    for (auto at = after.index - before_.index; at < kept_.size(); ++at) {
      bytes += size_of(kept_[at].change.entry);
      if (bytes > bytes_max && !reading.changes.empty()) break;
      reading.changes.push_back(kept_[at].change);
    }
  }
  return reading;
}

raft::LogPosition ChangeFeed::last() const {
  Guard guard(mutex_);
  return last_locked();
}

ClusterId ChangeFeed::cluster() const {
  Guard guard(mutex_);
  return cluster_;
}

std::optional<Duration> ChangeFeed::waiting_behind(Index index) const {
  Guard guard(mutex_);
  if (index >= last_locked().index || index < before_.index) return std::nullopt;
  const auto& next = kept_[index - before_.index];
  if (next.change.entry.index <= replayed_) return std::nullopt;
  return clock_.now() - next.seen;
}

Result<backup::Image> ChangeFeed::make_image() const {
  for (std::size_t attempt = 1;; ++attempt) {
    std::optional<backup::Image> start;
    std::deque<backup::Change> changes;
    backup::Chain chain;
    ClusterId cluster;
    Load load;
    {
      Guard guard(mutex_);
      cluster = cluster_;
      if (cluster.value().empty()) return Error{Code::unavailable, "this master belongs to no cluster yet"};
      if (!load_) return Error{Code::unavailable, "this master stops"};
      if (before_.index > snapshot_.index) {
        return Error{Code::busy, "no image can be made until this master's next snapshot is on its disk"};
      }
      chain.reached = last_locked();
      for (auto at = snapshot_.index - before_.index; at < kept_.size(); ++at) changes.push_back(kept_[at].change);
      if (snapshot_.index != Index()) {
        start = backup::Image{.head = {.cluster = cluster, .last = snapshot_}};
        if (!members_.empty()) start->head.configuration = members_.front().configuration;
        load = load_;
        ++loading_;
      }
    }
    if (start) {
      auto files = load(start->head.last);
      {
        Guard guard(mutex_);
        --loading_;
        idle_.notify_all();
      }
      if (!files) {
        if (attempt < kAttempts) continue;
        return files.error();
      }
      start->files = std::move(*files);
    }
    for (const auto& change : changes) chain.changes.push_back(&change);
    chain.highest = chain.reached.index;
    return backup::apply(start, cluster, chain, feature_level_, clock_.wall());
  }
}

}  // namespace holdfast::master
