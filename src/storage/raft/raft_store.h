// RaftStore: all that one member of the Raft group keeps on disk: log, vote and snapshots below one folder
// (docs/raft-log-format.md). The host's log thread and the simulator drive it with the parts of raft::Output.
//
//     m9333/
//       identity.json   who this is (identity.h); written by the runtime, around this class
//       lock            held while a process uses the folder
//       vote            term and vote, two slots; synced before anything is said about them
//       progress        how far the log was durable and committed, two slots; a hint, never synced
//       log/            log.h
//       snapshot/       snapshots.h
//
// After an error from write() or sync() the process must end without another word: nobody knows what is on disk.
//
// Threads: snapshots().load() from any thread, everything else belongs to the log thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/core.h"
#include "io/disk.h"
#include "io/random.h"
#include "storage/raft/log.h"
#include "storage/raft/slots.h"
#include "storage/raft/snapshots.h"

namespace holdfast::storage {

class RaftStore {
 public:
  struct Options {
    ClusterId cluster;
    NodeId voter;
    std::uint64_t segment_bytes = 8_MiB;
  };

  struct Opened {
    std::unique_ptr<RaftStore> store;
    raft::Start start;
    std::vector<std::string> remarks;  // what was found and mended, a sentence each
  };

  // Opens what found() or begin() made. corrupt: what this member promised can no longer be told (its vote is gone, or
  // the log's beginning): it must not take part under its name again, but may join as a new member. refused: the files
  // are those of another cluster or member.
  static Result<Opened> open(io::Disk& disk, io::Random& random, const std::string& folder, Options options);

  // Makes the state of a founding member: the bootstrap entry, term 1. The identity gets its cluster after this.
  static Status found(io::Disk& disk, io::Random& random, const std::string& folder, Options options,
                      const raft::Configuration& configuration);

  // Makes the state of a member that founds a cluster with what another one had: `files` as a snapshot, and no log.
  static Status found_from(io::Disk& disk, io::Random& random, const std::string& folder, Options options,
                           raft::SnapshotMeta meta, Term term, const std::vector<topology::CheckpointFile>& files);

  // Makes the state of a member that others will add: nothing, term 0.
  static Status begin(io::Disk& disk, io::Random& random, const std::string& folder, Options options);

  // Removes log, vote, progress and snapshots, as before found() or begin() when an earlier attempt did not end.
  static Status clear(io::Disk& disk, const std::string& folder);

  // Takes one Output's parts, in its order. A changed term or vote is durable when this returns; entries after sync().
  Status write(const std::optional<raft::SnapshotMeta>& log_reset, const std::optional<raft::HardState>& hard_state,
               std::span<const Entry> appended);
  Status sync();

  // Stores a checkpoint and drops what it makes superfluous: whole segments below `keep_from`, as far as the snapshot
  // before does not need them either.
  Result<raft::SnapshotTaken> take_snapshot(raft::SnapshotMeta meta,
                                            const std::vector<topology::CheckpointFile>& files, Index keep_from);

  // Makes room for another segment if there is none in reserve; no_space when the disk is full.
  Status make_reserve() { return log_->make_reserve(); }

  [[nodiscard]] const RaftLog& log() const { return *log_; }
  [[nodiscard]] SnapshotStore& snapshots() { return *snapshots_; }
  [[nodiscard]] const SnapshotStore& snapshots() const { return *snapshots_; }

 private:
  struct Promise {  // the vote file
    raft::HardState state;
    raft::LogPosition reached;  // the log once held this though it cannot be read now; all zero: nothing is missing
  };

  RaftStore(Options options, SlotFile vote, SlotFile progress)
      : options_(options), vote_(std::move(vote)), progress_(std::move(progress)) {}
  static Result<std::unique_ptr<RaftStore>> make(io::Disk& disk, const std::string& folder, Options options);
  Status load(Opened* opened, RaftLog::Found found);
  Status write_promise(const Promise& promise);
  Result<Promise> decode_promise(std::string_view bytes) const;
  Status write_progress();

  const Options options_;
  SlotFile vote_;
  SlotFile progress_;
  std::unique_ptr<RaftLog> log_;
  std::unique_ptr<SnapshotStore> snapshots_;
  Promise promise_;
  Index commit_;            // a hint
  std::string progress_written_;
};

}  // namespace holdfast::storage
