// WitnessLoop: the pure witness (core/raft/witness.h) between its links and its disk, under one name.
//
// What promises nothing (answers to beats above all) leaves at once, whatever the disk does: a leader that is not answered
// for a silence timeout leads no more, and a busy disk may take longer than that for one sync. What promises something
// waits in a second thread, in order, until a sync has covered the state it rests on and all before it (I6). What piles up
// while a sync runs shares the next one. A length of lease that is being written down is not granted yet.
//
// A write or sync that fails is final: nobody knows what the disk holds now, so not a word more leaves under this name.
//
// Threads: all functions belong to one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "core/raft/witness.h"
#include "io/clock.h"
#include "service/master/transport.h"
#include "storage/raft/witness_file.h"

namespace holdfast::master {

// Messages that wait for the disk; beyond, they are dropped, as the network might have.
inline constexpr std::size_t kPromisesWaitingMax = 4096;

class WitnessLoop {
 public:
  // `links` outlive this, and take messages from both threads.
  WitnessLoop(raft::Witness::Options options, storage::WitnessFile file, io::Clock& clock, Transport& links);
  ~WitnessLoop();  // stops

  enum class Outcome { goes_on, removed };  // removed: nothing more is said, this name must never speak again
  Outcome step(std::span<const raft::Message> messages);

  // Nothing more is said. A sync that is going on is waited for; what comes after it was not promised to anybody.
  void stop();

  [[nodiscard]] const raft::WitnessState& state() const { return witness_.state(); }
  [[nodiscard]] bool virgin() const { return witness_.virgin(); }

 private:
  // The disk's part of the steps since the last sync began.
  struct Work {
    std::uint64_t sequence = 0;
    std::optional<raft::WitnessState> state;
    std::vector<raft::Message> after_sync;
  };

  void enqueue(raft::Witness::Output out);
  void run();

  io::Clock& clock_;
  Transport& links_;

  raft::Witness witness_;       // the caller's thread only
  storage::WitnessFile file_;   // the disk's thread only

  Mutex mutex_;  // leaf
  Condition arrived_;
  Work waiting_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  std::atomic<bool> silent_{false};
  std::atomic<std::uint64_t> durable_{0};  // the newest sequence on disk
  std::thread thread_;
};

}  // namespace holdfast::master
