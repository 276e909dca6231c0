// ModelStore: a disk as raft::Output describes it, without bytes.
//
// Writes since the last sync are a list. A power loss keeps a prefix of it, and of the next write a prefix of its
// entries; the commit hint, which needs no sync, may be newer than all of that. Rot makes the log end early, with the
// knowledge that it once went on.
#pragma once

#include <vector>

#include "test/sim/store.h"

namespace holdfast::sim {

class ModelStore final : public Store {
 public:
  explicit ModelStore(std::uint64_t seed) : random_(seed) {}

  void found(const raft::Configuration& configuration) override;
  void begin() override {}
  Result<raft::Start> open() override;
  Status write(const raft::Output& out) override;
  Status sync() override;
  raft::EntriesFetched fetch(const raft::LogRead& read) override;
  Result<raft::SnapshotTaken> take_snapshot(raft::SnapshotMeta meta,
                                            const std::vector<topology::CheckpointFile>& files,
                                            Index keep_from) override;
  std::optional<raft::SnapshotPieceRead> read_piece(const raft::SnapshotRead& read) override;
  raft::SnapshotPieceWritten write_piece(const raft::SnapshotWrite& write) override;
  Result<std::vector<topology::CheckpointFile>> load_snapshot(raft::LogPosition position) override;
  void crash(bool power_loss) override;
  bool rot() override;
  void fail_sometimes(bool on) override { failing_ = on; }

 private:
  struct Write {
    std::optional<raft::SnapshotMeta> log_reset;
    std::optional<raft::HardState> hard_state;
    std::vector<Entry> appended;
  };
  struct Content {
    raft::HardState hard_state;
    raft::LogPosition before;  // the entry before the first
    std::vector<Entry> entries;
    raft::LogPosition reached;  // the log was once durable up to here
    Index last() const { return before.index + entries.size(); }
    raft::LogPosition end() const {
      return entries.empty() ? before : raft::LogPosition{entries.back().term, entries.back().index};
    }
  };
  static void apply(Content& content, const Write& write, std::size_t entries_max);
  static void append(Content& content, const Write& write, std::size_t entries_max);
  std::string body() const;

  Random random_;
  Content durable_;
  Content seen_;               // durable_ with pending_ applied: what the process reads back
  std::vector<Write> pending_;
  bool failing_ = false;

  std::optional<raft::SnapshotMeta> snapshot_;
  std::vector<topology::CheckpointFile> files_;
  raft::SnapshotMeta incoming_meta_;  // a snapshot on its way in; its pieces are those of no other
  std::string incoming_;
};

// The files of a checkpoint as one run of bytes, for pieces; and back.
std::string flatten(const std::vector<topology::CheckpointFile>& files);
std::vector<topology::CheckpointFile> unflatten(std::string_view bytes);

}  // namespace holdfast::sim
