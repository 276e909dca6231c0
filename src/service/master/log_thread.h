// LogThread: does all disk work of the Raft host, in the order of the core's steps, and says when it is done.
//
// What piles up while a sync runs shares the next one (group commit). Messages that promise something leave only after
// the sync that covers them. An error is final: nothing is said any more, `fatal` is called once and the thread ends
// (design/raft-and-leases 3.3).
//
// enqueue and the questions may be called from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "core/raft/core.h"
#include "core/raft/disk_pace.h"
#include "core/topology/state_machine.h"
#include "io/clock.h"
#include "storage/raft/raft_store.h"

namespace holdfast::master {

// No disk counts as hanging before this: one sync of a busy hard disk or a network disk may take so long.
inline constexpr Duration kSyncPatienceMin = 1s;

class LogThread {
 public:
  struct Hooks {
    std::function<void(std::span<const raft::Message>)> send;
    std::function<void(std::vector<raft::Input>)> post;  // to the core
    std::function<void(const std::string&)> fatal;
  };

  // A snapshot to be stored.
  struct Snapshot {
    raft::SnapshotMeta meta;
    std::vector<topology::CheckpointFile> files;
    Index keep_from;
  };

  // The disk's part of one Output.
  struct Work {
    std::uint64_t write_sequence = 0;
    std::optional<raft::SnapshotMeta> log_reset;
    std::optional<raft::HardState> hard_state;
    std::vector<Entry> appended;
    std::vector<raft::Message> messages_after_sync;
    std::vector<raft::LogRead> log_reads;
    std::vector<raft::SnapshotRead> snapshot_reads;
    std::vector<raft::SnapshotWrite> snapshot_writes;
    std::optional<Snapshot> snapshot;

    [[nodiscard]] bool empty() const {
      return write_sequence == 0 && log_reads.empty() && snapshot_reads.empty() && snapshot_writes.empty() && !snapshot;
    }
  };

  LogThread(std::unique_ptr<storage::RaftStore> store, io::Clock& clock, Hooks hooks);
  ~LogThread();  // stops

  void enqueue(Work work);

  // Finishes what was enqueued, then ends the thread.
  void stop();

  // Nothing is sent any more from now on; what is queued still reaches the disk.
  void silence() { silent_ = true; }

  // How long the write or sync that is going on has taken so far; zero when none is.
  [[nodiscard]] Duration busy_for(Instant now) const;
  // Busy for longer than this, it hangs: far longer than is usual for this disk.
  [[nodiscard]] Duration patience() const { return Duration(patience_.load(std::memory_order_relaxed)); }
  [[nodiscard]] bool disk_full() const { return disk_full_; }
  [[nodiscard]] std::uint64_t log_bytes() const { return log_bytes_; }

  // Any thread may load a stored snapshot.
  [[nodiscard]] const storage::SnapshotStore& snapshots() const { return store_->snapshots(); }

 private:
  void run();
  Status handle(std::vector<Work>& batch);
  void answer_reads(const Work& work, std::vector<raft::Input>* answers);
  Status snapshot_work(const Work& work, std::vector<raft::Input>* answers);
  void keep_reserve();

  const std::unique_ptr<storage::RaftStore> store_;
  io::Clock& clock_;
  const Hooks hooks_;

  Mutex mutex_;  // leaf
  Condition arrived_;
  std::deque<Work> queue_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  raft::DiskPace pace_;  // the log thread's own
  std::atomic<std::int64_t> patience_{kSyncPatienceMin.count()};
  std::atomic<std::int64_t> busy_since_{0};  // Instant in ns; 0: idle
  std::atomic<bool> disk_full_{false};
  std::atomic<bool> silent_{false};
  std::atomic<std::uint64_t> log_bytes_{0};
  std::thread thread_;
};

}  // namespace holdfast::master
