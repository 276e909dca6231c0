// SnapshotStore: the state machine's checkpoints, so that the log need not be kept for ever.
//
// A snapshot is one file, `<index>-<term>.snap` in hex, complete and synced before it has that name; while it is
// written or received it is called `.part`. The newest kSnapshotsKept stay: if the newest cannot be read, the one
// before and the log behind it do as well.
//
// The *body* is what travels to other members: the checkpoint's files, each with its checksum, and one over all
// (docs/raft-log-format.md). The file's head, which holds the SnapshotMeta, does not: the receiver writes its own.
//
// Threads: load() may be called from any thread, everything else belongs to the log thread. Files are immutable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/core.h"
#include "core/topology/state_machine.h"
#include "io/disk.h"

namespace holdfast::storage {

inline constexpr std::size_t kSnapshotsKept = 2;
// A longer body is refused: by then the state machine keeps its bulk in files of its own.
inline constexpr std::uint64_t kSnapshotBytesMax = 1_GiB;

// A checkpoint's files as one run of bytes, and back. Decoding checks everything: the bytes may come from a peer.
std::string encode_snapshot_body(const std::vector<topology::CheckpointFile>& files);
Result<std::vector<topology::CheckpointFile>> decode_snapshot_body(BytesView bytes);

class SnapshotStore {
 public:
  // Makes the folder when missing, drops what was left half-written, and looks at what is there.
  static Result<std::unique_ptr<SnapshotStore>> open(io::Disk& disk, const std::string& folder, ClusterId cluster);

  // The snapshots that are whole, ascending by index.
  [[nodiscard]] const std::vector<raft::SnapshotMeta>& stored() const { return stored_; }
  [[nodiscard]] std::vector<std::string> remarks() const { return remarks_; }

  // Stores a checkpoint taken here; meta.bytes is filled in. Durable when it returns; older ones are dropped.
  Result<raft::SnapshotMeta> store(raft::SnapshotMeta meta, const std::vector<topology::CheckpointFile>& files);

  // The files of a stored snapshot; corrupt when it has rotted.
  Result<std::vector<topology::CheckpointFile>> load(raft::LogPosition position) const;

  // A piece of the newest snapshot's body (or, if the one asked for is still there, of that). At offset 0 the whole
  // body is checked first, so that rot is found here and not by the receiver at the end. Empty: nothing to read.
  Result<std::optional<raft::SnapshotPieceRead>> read(const raft::SnapshotRead& request);

  // A piece from the leader. Offset 0 begins anew; the last one completes, checks, syncs and names it.
  raft::SnapshotPieceWritten write(const raft::SnapshotWrite& piece);

 private:
  SnapshotStore(io::Disk& disk, std::string folder, ClusterId cluster)
      : disk_(disk), folder_(std::move(folder)), cluster_(cluster) {}
  Status look();
  std::string path_of(raft::LogPosition position) const;
  Result<std::string> body(const raft::SnapshotMeta& meta) const;
  Status finish(io::File& file, const std::string& part, const raft::SnapshotMeta& meta);
  Status drop_old();

  struct Incoming {
    raft::SnapshotMeta meta;
    std::unique_ptr<io::File> file;
    std::uint64_t next = 0;
  };

  io::Disk& disk_;
  const std::string folder_;
  const ClusterId cluster_;
  std::vector<raft::SnapshotMeta> stored_;
  std::vector<std::string> remarks_;
  std::optional<Incoming> incoming_;
};

}  // namespace holdfast::storage
