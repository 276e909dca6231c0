#include "test/sim/model_store.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace holdfast::sim {

std::string flatten(const std::vector<topology::CheckpointFile>& files) {
  std::string out;
  for (const auto& file : files) {
    append_be<std::uint32_t>(out, static_cast<std::uint32_t>(file.name.size()));
    append_be<std::uint32_t>(out, static_cast<std::uint32_t>(file.bytes.size()));
    out += file.name;
    out += file.bytes;
  }
  return out;
}

std::vector<topology::CheckpointFile> unflatten(std::string_view bytes) {
  std::vector<topology::CheckpointFile> files;
  while (!bytes.empty()) {
    const auto name = load_be<std::uint32_t>(bytes.data());
    const auto size = load_be<std::uint32_t>(bytes.data() + 4);
    files.push_back({std::string(bytes.substr(8, name)), std::string(bytes.substr(8 + name, size))});
    bytes.remove_prefix(8 + name + size);
  }
  return files;
}

void ModelStore::found(const raft::Configuration& configuration) {
  durable_.entries = {raft::bootstrap_entry(configuration)};
  durable_.hard_state = {Term(1), NodeId(), Index(1)};
  durable_.reached = durable_.end();
  seen_ = durable_;
}

Result<raft::Start> ModelStore::open() {
  raft::Start start;
  start.hard_state = seen_.hard_state;
  start.snapshot = snapshot_;
  // A log that does not lead up to the snapshot and beyond is of the past: the snapshot was stored, the reset not.
  if (snapshot_) {
    const auto at = snapshot_->last;
    const bool joins = seen_.before.index <= at.index && seen_.last() >= at.index &&
                       (seen_.before.index == at.index
                            ? seen_.before == at
                            : seen_.entries[at.index - seen_.before.index - 1].term == at.term);
    if (!joins) {
      if (seen_.reached <= seen_.end() || seen_.reached.index <= at.index) seen_.reached = at;
      seen_.entries.clear();
      seen_.before = at;
    }
  }
  if (seen_.reached > seen_.end()) start.damage = raft::Damage{seen_.last().next(), seen_.reached};
  const auto after = snapshot_ ? snapshot_->last.index : Index(0);
  for (const auto& entry : seen_.entries) {
    if (entry.index > after) start.entries.push_back(entry);
  }
  start.disk_first = seen_.before.index.next();
  // The restarted process reads from the page cache what may never have reached the disk: it writes it again.
  pending_.clear();
  durable_ = seen_;
  return start;
}

void ModelStore::apply(Content& content, const Write& write, std::size_t entries_max) {
  // What is replaced on purpose is not missing; only what a damaged log once held is.
  const bool damaged = content.reached > content.end();
  if (write.log_reset) {
    content.entries.clear();
    content.before = write.log_reset->last;
    if (!damaged || content.reached.index <= content.before.index) content.reached = content.before;
  }
  if (write.hard_state) content.hard_state = *write.hard_state;
  if (!write.appended.empty()) append(content, write, entries_max);
  if (!damaged || content.reached <= content.end()) content.reached = content.end();
}

void ModelStore::append(Content& content, const Write& write, std::size_t entries_max) {
  const auto first = write.appended.front().index;
  CHECK(first > content.before.index && first <= content.last().next());
  content.entries.resize(first - content.before.index - 1);
  const auto count = std::min(entries_max, write.appended.size());
  content.entries.insert(content.entries.end(), write.appended.begin(),
                         write.appended.begin() + static_cast<std::ptrdiff_t>(count));
}

Status ModelStore::write(const raft::Output& out) {
  if (failing_ && random_.chance(20'000)) return Error{Code::io, "write failed"};
  pending_.push_back({out.log_reset, out.hard_state, out.appended});
  apply(seen_, pending_.back(), SIZE_MAX);
  return {};
}

Status ModelStore::sync() {
  if (failing_ && random_.chance(20'000)) return Error{Code::io, "sync failed"};
  durable_ = seen_;
  pending_.clear();
  return {};
}

raft::EntriesFetched ModelStore::fetch(const raft::LogRead& read) {
  raft::EntriesFetched answer{read.peer, read.from, Term(0), {}};
  if (read.from <= seen_.before.index) return answer;
  std::size_t bytes = 0;
  const auto previous = read.from.previous();
  answer.previous_term = previous == seen_.before.index
                             ? seen_.before.term
                             : seen_.entries[previous - seen_.before.index - 1].term;
  for (auto index = read.from; index <= seen_.last() && bytes < read.bytes_max; index = index.next()) {
    answer.entries.push_back(seen_.entries[index - seen_.before.index - 1]);
    bytes += answer.entries.back().data.size();
  }
  return answer;
}

Result<raft::SnapshotTaken> ModelStore::take_snapshot(raft::SnapshotMeta meta,
                                                      const std::vector<topology::CheckpointFile>& files,
                                                      Index keep_from) {
  if (snapshot_ && snapshot_->last >= meta.last) {  // one has just been received
    return raft::SnapshotTaken{meta.last.index, snapshot_->bytes, seen_.before.index.next(), meta.last.term};
  }
  files_ = files;
  meta.bytes = body().size();
  snapshot_ = meta;
  // Prefixes are dropped on the device as a whole; unsynced writes that lie above stay unsynced.
  for (auto* content : {&durable_, &seen_}) {
    while (!content->entries.empty() && content->entries.front().index < keep_from &&
           content->entries.front().index <= meta.last.index) {
      content->before = {content->entries.front().term, content->entries.front().index};
      content->entries.erase(content->entries.begin());
    }
  }
  for (auto& write : pending_) {
    std::erase_if(write.appended, [&](const Entry& e) { return e.index <= durable_.before.index; });
  }
  return raft::SnapshotTaken{meta.last.index, meta.bytes, seen_.before.index.next(), meta.last.term};
}

std::string ModelStore::body() const { return flatten(files_); }

std::optional<raft::SnapshotPieceRead> ModelStore::read_piece(const raft::SnapshotRead& read) {
  if (!snapshot_) return std::nullopt;
  const auto bytes = body();
  const auto offset = read.snapshot == snapshot_->last ? std::min<std::uint64_t>(read.offset, bytes.size()) : 0;
  const auto count = std::min<std::uint64_t>(read.bytes_max, bytes.size() - offset);
  return raft::SnapshotPieceRead{read.peer, *snapshot_, offset, bytes.substr(offset, count),
                                 offset + count == bytes.size()};
}

raft::SnapshotPieceWritten ModelStore::write_piece(const raft::SnapshotWrite& write) {
  raft::SnapshotPieceWritten answer{write.meta, 0, false, false};
  if (write.offset == 0) {
    incoming_.clear();
    incoming_meta_ = write.meta;
  }
  if (incoming_meta_ != write.meta || write.offset != incoming_.size() || (failing_ && random_.chance(50'000))) {
    answer.failed = true;
    return answer;
  }
  incoming_ += write.data.view();
  answer.next_offset = incoming_.size();
  if (write.last) {
    CHECK(incoming_.size() == write.meta.bytes);
    answer.complete = true;
    if (!snapshot_ || snapshot_->last < write.meta.last) {
      snapshot_ = write.meta;
      files_ = unflatten(incoming_);
    }
  }
  return answer;
}

Result<std::vector<topology::CheckpointFile>> ModelStore::load_snapshot(raft::LogPosition position) {
  if (!snapshot_ || snapshot_->last != position) return Error{Code::not_found, "no such snapshot"};
  return files_;
}

void ModelStore::crash(bool power_loss) {
  incoming_.clear();
  if (!power_loss) return;
  const auto kept = random_.below(pending_.size() + 1);
  auto hint = durable_.hard_state.commit;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (pending_[i].hard_state) hint = std::max(hint, pending_[i].hard_state->commit);
    if (i < kept) {
      apply(durable_, pending_[i], SIZE_MAX);
    } else if (i == kept && !pending_[i].log_reset) {
      Write torn{.appended = pending_[i].appended};
      const auto fits = torn.appended.empty() || torn.appended.front().index <= durable_.last().next();
      const auto count = random_.below(torn.appended.size() + 1);
      if (fits && count > 0) apply(durable_, torn, count);
    }
  }
  if (random_.chance(500'000)) durable_.hard_state.commit = hint;
  pending_.clear();
  seen_ = durable_;
}

bool ModelStore::rot() {
  const auto after = snapshot_ ? std::max(snapshot_->last.index, durable_.before.index) : durable_.before.index;
  if (durable_.last() <= after) return false;
  const auto first = after + 1 + random_.below(durable_.last() - after);
  durable_.entries.resize(first - durable_.before.index - 1);
  seen_ = durable_;
  pending_.clear();
  return true;
}

}  // namespace holdfast::sim
