// Store: what one simulated master keeps on disk, behind one interface for the model of a disk and the real thing.
//
// ModelStore (model_store.h) is fast and breaks in exactly the ways that raft::Output's promises allow. DiskStore
// (disk_store.h) is the storage/raft code of production over io/sim's disk of sectors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/core.h"
#include "core/topology/state_machine.h"
#include "io/sim/random.h"

namespace holdfast::sim {

using Random = io::sim::SeededRandom;

class Store {
 public:
  virtual ~Store() = default;

  // Makes the folder of a founding member, or of one that waits to be added. Durable.
  virtual void found(const raft::Configuration& configuration) = 0;
  virtual void begin() = 0;

  // What is there at a start; an Error: the member's promises are lost, it must not speak under its name again.
  virtual Result<raft::Start> open() = 0;

  // As storage::RaftStore: an Error means that the process must end.
  virtual Status write(const raft::Output& out) = 0;
  virtual Status sync() = 0;

  virtual raft::EntriesFetched fetch(const raft::LogRead& read) = 0;
  virtual Result<raft::SnapshotTaken> take_snapshot(raft::SnapshotMeta meta,
                                                    const std::vector<topology::CheckpointFile>& files,
                                                    Index keep_from) = 0;
  virtual std::optional<raft::SnapshotPieceRead> read_piece(const raft::SnapshotRead& read) = 0;
  virtual raft::SnapshotPieceWritten write_piece(const raft::SnapshotWrite& write) = 0;
  virtual Result<std::vector<topology::CheckpointFile>> load_snapshot(raft::LogPosition position) = 0;

  // The process is gone: by power loss (unsynced writes are kept in part) or alone (all writes stay).
  virtual void crash(bool power_loss) = 0;

  // Makes something on the disk unreadable that was readable and synced. False: there was nothing to break.
  virtual bool rot() = 0;

  // The same by a block of the log that was written at another block's place, and may be missing at its own.
  virtual bool misdirect() { return rot(); }

  // What the last open() found and mended, for the trace.
  virtual std::string remarks() { return {}; }

  // Writes and syncs fail now and then.
  virtual void fail_sometimes(bool on) = 0;
};

}  // namespace holdfast::sim
