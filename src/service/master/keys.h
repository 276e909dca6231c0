// KeySource: the file keys that this process may give out. Event loops take from it without a lock and without I/O.
//
// It is fed from the applied registry only, with blocks that a committed entry gave to this very process
// (core/topology/registry.h), so whatever it hands out nobody else ever will: it needs to know neither who leads nor
// which term it is. Keys left over when leadership is lost are used when it returns.
//
// Blocks are taken over in ascending order. When the registry raises the key floor (folders with foreign files were
// adopted), blocks below are dropped here before the master lets those files' volumes be written to; and since an
// assign picks its volume before it takes its key, no key from below ever meets such a volume.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/mutex.h"
#include "core/topology/registry.h"
#include "model/ids.h"

namespace holdfast::master {

class KeySource {
 public:
  // Whose blocks are ours. Before it is called none are.
  void set_identity(NodeId self, Uuid process);

  // Takes over what is new for us and drops what was taken back. Any thread, states in order.
  void update(const topology::RegistryState& state);

  // The first of `count` consecutive keys. Empty: no block holds that many. Any thread.
  std::optional<NeedleId> take(std::uint64_t count);

  // Keys at hand, in all blocks.
  std::uint64_t left() const;

 private:
  static constexpr std::uint64_t kNone = ~0ull;

  std::optional<NeedleId> take_slow(std::uint64_t count);
  std::optional<NeedleId> take_current(std::uint64_t count);
  void accept() HOLDFAST_REQUIRES(mutex_);

  // The current block is [next_, end_). A change of block stores next_ first, to a value it never had before, so a
  // take that read the old pair cannot succeed any more; one that read the new next_ with the old end_ finds nothing
  // and comes to take_slow.
  std::atomic<std::uint64_t> next_{kNone};
  std::atomic<std::uint64_t> end_{0};

  mutable Mutex mutex_;  // leaf
  NodeId self_ HOLDFAST_GUARDED_BY(mutex_);
  Uuid process_ HOLDFAST_GUARDED_BY(mutex_);
  topology::RegistryState state_ HOLDFAST_GUARDED_BY(mutex_);
  NeedleId accepted_below_ HOLDFAST_GUARDED_BY(mutex_);  // blocks that begin below have been seen
  std::deque<topology::KeyBlock> reserve_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::master
