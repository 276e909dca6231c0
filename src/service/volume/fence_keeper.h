// FenceKeeper: what this volume server knows of its cluster, and which orders it obeys (raft-and-leases 3.6).
//
// An order of ours carries (cluster id, generation, term, sequence). It is refused when it comes from another cluster
// or from an older leader than one already obeyed; a newer leader is written down on every folder before its first order
// is obeyed, so that a restart does not forget it. One leader's orders run in parallel and may overtake each other, so
// within a term the sequence counts per volume: an order late for its volume is refused, the same one sent twice is not.
// An order for a whole collection is admitted once for its leader and then for each volume by itself.
// Orders without a fence are upstream's and pass.
//
// Thread-safe. Saving goes through one mutex: orders are rare, and none may pass before the state is on disk.
#pragma once

#include <functional>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"
#include "base/result.h"
#include "model/fence.h"
#include "storage/volume/server_state.h"

namespace holdfast::volume {

class FenceKeeper {
 public:
  using Save = std::function<Status(const ServerState&)>;

  FenceKeeper(ServerState at_open, Save save) : save_(std::move(save)), state_(std::move(at_open)) {}

  // Whether an order may be obeyed; without `volume` it concerns no single one. May wait for the disk.
  Status admit(const std::optional<Fence>& fence, std::optional<VolumeId> volume);

  // What a master's answer says; saved when it changed. `is_leader`: the master that answered leads.
  void join(ClusterId cluster);  // forgets what was known of another one
  void learn(Generation generation, Term term, bool is_leader, std::vector<MasterMember> masters);
  void set_adopted(bool adopted);

  ServerState state() const;

 private:
  void save_or_log() HOLDFAST_REQUIRES(mutex_);

  const Save save_;
  mutable Mutex mutex_;  // held while saving
  ServerState state_ HOLDFAST_GUARDED_BY(mutex_);
  // The newest order obeyed in the present term.
  std::unordered_map<VolumeId, std::uint64_t> sequences_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::volume
