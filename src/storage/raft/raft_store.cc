#include "storage/raft/raft_store.h"

#include <algorithm>

#include "base/check.h"

namespace holdfast::storage {
namespace {

constexpr std::uint16_t kVoteFormat = 1;
constexpr std::uint16_t kProgressFormat = 1;

void append_uuid(std::string& out, const Uuid& uuid) {
  append_be(out, uuid.high);
  append_be(out, uuid.low);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool has(std::size_t count) const { return bytes_.size() >= count; }
  std::uint64_t u64() {
    const auto value = load_be<std::uint64_t>(bytes_.data());
    bytes_.remove_prefix(8);
    return value;
  }
  Uuid uuid() {
    const auto high = u64();
    return {high, u64()};
  }

 private:
  std::string_view bytes_;
};

Error lost(const std::string& what) {
  return Error{Code::corrupt,
               what + ". What this master promised can no longer be told, so it must not vote under its old name"};
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- making

Result<std::unique_ptr<RaftStore>> RaftStore::make(io::Disk& disk, const std::string& folder, Options options) {
  auto vote = SlotFile::open(disk, io::join(folder, "vote"), "HFVT", kVoteFormat);
  if (!vote) return vote.error();
  auto progress = SlotFile::open(disk, io::join(folder, "progress"), "HFPG", kProgressFormat);
  if (!progress) return progress.error();
  return std::unique_ptr<RaftStore>(new RaftStore(options, std::move(*vote), std::move(*progress)));
}

Status RaftStore::clear(io::Disk& disk, const std::string& folder) {
  for (const char* name : {"log", "vote", "progress", "snapshot"}) {
    if (auto done = disk.remove_all(io::join(folder, name)); !done) return done;
  }
  return disk.sync_dir(folder);
}

Status RaftStore::found(io::Disk& disk, io::Random& random, const std::string& folder, Options options,
                        const raft::Configuration& configuration) {
  if (auto done = clear(disk, folder); !done) return done;
  auto store = make(disk, folder, options);
  if (!store) return store.error();
  RaftLog::Found nothing;
  auto log = RaftLog::open(
      disk, random, io::join(folder, "log"),
      {.cluster = options.cluster, .voter = options.voter, .segment_bytes = options.segment_bytes}, &nothing);
  if (!log) return log.error();
  const Entry first = raft::bootstrap_entry(configuration);
  if (auto done = (*log)->append({&first, 1}); !done) return done;
  if (auto done = (*log)->sync(); !done) return done;
  return (*store)->write_promise({.state = {.term = first.term, .commit = first.index}});
}

Status RaftStore::found_from(io::Disk& disk, io::Random& random, const std::string& folder, Options options,
                             raft::SnapshotMeta meta, Term term, const std::vector<topology::CheckpointFile>& files) {
  if (auto done = begin(disk, random, folder, options); !done) return done;
  auto snapshots = SnapshotStore::open(disk, io::join(folder, "snapshot"), options.cluster);
  if (!snapshots) return snapshots.error();
  if (auto stored = (*snapshots)->store(std::move(meta), files); !stored) return stored.error();
  auto store = make(disk, folder, options);
  if (!store) return store.error();
  return (*store)->write_promise({.state = {.term = term}});
}

Status RaftStore::begin(io::Disk& disk, io::Random& random, const std::string& folder, Options options) {
  (void)random;
  if (auto done = clear(disk, folder); !done) return done;
  auto store = make(disk, folder, options);
  if (!store) return store.error();
  return (*store)->write_promise({});
}

Result<RaftStore::Opened> RaftStore::open(io::Disk& disk, io::Random& random, const std::string& folder,
                                          Options options) {
  if (!disk.info(io::join(folder, "vote")).ok()) return lost(io::join(folder, "vote") + ": is missing");
  auto store = make(disk, folder, options);
  if (!store) return store.error();
  Opened opened{.store = std::move(*store)};
  auto snapshots = SnapshotStore::open(disk, io::join(folder, "snapshot"), options.cluster);
  if (!snapshots) return snapshots.error();
  opened.store->snapshots_ = std::move(*snapshots);
  const auto& stored = opened.store->snapshots_->stored();
  RaftLog::Found found;
  auto log = RaftLog::open(disk, random, io::join(folder, "log"),
                           {.cluster = options.cluster,
                            .voter = options.voter,
                            .segment_bytes = options.segment_bytes,
                            .covered = stored.empty() ? Index(0) : stored.back().last.index},
                           &found);
  if (!log) return log.error().code() == Code::corrupt ? lost(log.error().what()) : log.error();
  opened.store->log_ = std::move(*log);
  if (auto done = opened.store->load(&opened, std::move(found)); !done) return done.error();
  return opened;
}

// ---------------------------------------------------------------------------------------------------- loading

Result<RaftStore::Promise> RaftStore::decode_promise(std::string_view bytes) const {
  constexpr std::size_t kPromiseBytes = 16 + 16 + 8 + 16 + 8 + 8;
  Reader reader(bytes);
  if (!reader.has(kPromiseBytes)) return lost("vote: too short");
  const ClusterId cluster(reader.uuid());
  const NodeId voter(reader.uuid());
  if (cluster != options_.cluster || voter != options_.voter) {
    return Error{Code::refused, "vote: belongs to cluster " + text(cluster) + ", member " + text(voter) +
                                    ". Files of two masters were mixed in this folder"};
  }
  Promise promise;
  promise.state.term = Term(reader.u64());
  promise.state.vote = NodeId(reader.uuid());
  promise.reached.term = Term(reader.u64());
  promise.reached.index = Index(reader.u64());
  return promise;
}

Status RaftStore::write_promise(const Promise& promise) {
  std::string bytes;
  append_uuid(bytes, options_.cluster.value());
  append_uuid(bytes, options_.voter.value());
  append_be(bytes, promise.state.term.value());
  append_uuid(bytes, promise.state.vote.value());
  append_be(bytes, promise.reached.term.value());
  append_be(bytes, promise.reached.index.value());
  if (auto done = vote_.write(bytes); !done) return done;
  if (auto done = vote_.sync(); !done) return done;
  promise_ = promise;
  return vote_.mirror();
}

Status RaftStore::load(Opened* opened, RaftLog::Found found) {
  auto& start = opened->start;
  opened->remarks = snapshots_->remarks();
  opened->remarks.insert(opened->remarks.end(), found.remarks.begin(), found.remarks.end());

  if (vote_.damaged() || !vote_.value()) return lost("vote: both copies are damaged");
  auto promise = decode_promise(*vote_.value());
  if (!promise) return promise.error();
  promise_ = *promise;

  raft::LogPosition covered;
  if (!snapshots_->stored().empty()) {
    start.snapshot = snapshots_->stored().back();
    covered = start.snapshot->last;
  }
  if (found.before.index > covered.index) {
    return lost("log: begins at " + text(found.first) + ", and no whole snapshot covers what came before");
  }
  raft::LogPosition reached = std::max(promise_.reached, found.reached.value_or(raft::LogPosition{}));
  if (progress_.value() && progress_.value()->size() >= 32) {
    Reader reader(*progress_.value());
    const raft::LogPosition durable{.term = Term(reader.u64()), .index = Index(reader.u64())};
    commit_ = Index(reader.u64());
    // What was replaced since is not missing.
    if (!log_->replaced_since(reader.u64(), durable.index)) reached = std::max(reached, durable);
  }

  // A snapshot that the log does not reach, or disagrees with: it was received, and the crash came before the log was
  // emptied for it.
  const bool log_has_covered = covered.index.value() != 0 && log_->end() > covered.index;
  bool disagrees = false;
  if (log_has_covered && covered.index >= found.first) {
    disagrees = found.entries[covered.index - found.first].term != covered.term;
  } else if (log_has_covered) {
    disagrees = found.before.index == covered.index && found.before.term != covered.term;
  }
  if (covered.index.value() != 0 && (!log_has_covered || disagrees)) {
    if (log_->last() != covered) {
      if (auto done = log_->reset(covered); !done) return done;
    }
    found.entries.clear();
  } else {
    const auto skip = covered.index < found.first ? 0 : covered.index.next() - found.first;
    found.entries.erase(found.entries.begin(), found.entries.begin() + static_cast<std::ptrdiff_t>(skip));
  }
  start.entries = std::move(found.entries);
  start.disk_first = log_->first();

  if (found.torn_bytes > 0) {
    opened->remarks.push_back("log: cut off " + std::to_string(found.torn_bytes) +
                              " bytes behind entry " + text(log_->last().index) +
                              " that were being written when the machine stopped; nobody was told of them");
  }
  if (reached > log_->last() && reached.index < log_->end()) {
    return lost("log: ends with older entries than it once held");
  }
  if (reached > log_->last()) {
    start.damage = raft::Damage{.first = log_->end(), .last = reached};
    opened->remarks.push_back("log: entries from " + text(log_->end()) + " to " + text(reached.index) +
                              " cannot be read though they were on disk; the other masters will send them again");
  }
  promise_.reached = start.damage ? reached : raft::LogPosition{};
  if (promise_.state.term < log_->last().term) {
    // The vote went back to an older copy. Whoever leads that term has this member's vote or does not need it: nobody
    // else gets it.
    promise_.state.term = log_->last().term;
    promise_.state.vote = options_.voter;
    opened->remarks.push_back("vote: older than the log; this master will vote for nobody else in term " +
                              text(promise_.state.term));
  }
  if (auto done = write_promise(promise_); !done) return done;

  commit_ = std::clamp(commit_, covered.index, std::max(covered.index, log_->last().index));
  start.hard_state = promise_.state;
  start.hard_state.commit = commit_;
  // At once, not with the next sync: if the last record rots before that, this tells that it is missing.
  if (auto done = write_progress(); !done) return done;
  const auto room = log_->make_reserve();
  if (!room && room.error().code() != Code::no_space) return room;
  start.disk_full = !room;
  return {};
}

// ---------------------------------------------------------------------------------------------------- writing

Status RaftStore::write(const std::optional<raft::SnapshotMeta>& log_reset,
                        const std::optional<raft::HardState>& hard_state, std::span<const Entry> appended) {
  if (log_reset) {
    if (auto done = log_->reset(log_reset->last); !done) return done;
  }
  if (hard_state) {
    commit_ = std::max(commit_, hard_state->commit);
    CHECK(hard_state->term >= promise_.state.term);
    if (hard_state->term != promise_.state.term || hard_state->vote != promise_.state.vote) {
      Promise promise = promise_;
      promise.state.term = hard_state->term;
      promise.state.vote = hard_state->vote;
      if (auto done = write_promise(promise); !done) return done;
    }
  }
  return log_->append(appended);
}

Status RaftStore::sync() {
  if (auto done = log_->sync(); !done) return done;
  if (promise_.reached != raft::LogPosition{} && log_->durable() >= promise_.reached) {
    Promise promise = promise_;
    promise.reached = {};
    if (auto done = write_promise(promise); !done) return done;
  }
  return write_progress();
}

Status RaftStore::write_progress() {
  const auto durable = log_->durable();
  std::string bytes;
  append_be(bytes, durable.term.value());
  append_be(bytes, durable.index.value());
  append_be(bytes, std::min(commit_, durable.index).value());
  append_be(bytes, log_->sequence());
  if (bytes == progress_written_) return {};
  progress_written_ = bytes;
  return progress_.write(bytes);
}

Result<raft::SnapshotTaken> RaftStore::take_snapshot(raft::SnapshotMeta meta,
                                                     const std::vector<topology::CheckpointFile>& files,
                                                     Index keep_from) {
  auto stored = snapshots_->store(std::move(meta), files);
  if (!stored) return stored.error();
  // The older snapshot is of use only with the log behind it.
  const Index oldest = snapshots_->stored().front().last.index;
  if (auto done = log_->compact(std::min(keep_from, oldest.next())); !done) return done.error();
  return raft::SnapshotTaken{.index = stored->last.index,
                             .bytes = stored->bytes,
                             .disk_first = log_->first(),
                             .term = stored->last.term};
}

}  // namespace holdfast::storage
