// WitnessPolicy: when a leader wants a volume server to vote beside the masters, and which (docs/witness.md).
//
// With an even number of masters that has stayed the same for kSettle, one volume server becomes a witness; the one there
// is goes when it has not been heard for kGone, when the number of masters is odd, and when the leader wants none. Asked
// first are servers on machines without a master. Whoever does not answer, or is none that can, is not asked again for a while.
//
// look() belongs to one thread; the answers it gets may come on others.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "core/raft/configuration.h"
#include "model/address.h"
#include "service/master/consensus.h"

namespace holdfast {
class RaftGreeting;
}

namespace holdfast::master {

// The feature level from which on every master understands a configuration with a witness.
inline constexpr std::uint32_t kWitnessFeatureLevel = 3;

class WitnessPolicy {
 public:
  static constexpr Duration kSettle = std::chrono::seconds(8);
  static constexpr Duration kGone = std::chrono::seconds(60);
  static constexpr Duration kNotAgainFor = std::chrono::seconds(20);

  struct Hooks {
    // Whether there should be one where it is of use; empty while masters of older builds are members.
    std::function<std::optional<bool>()> wanted;
    std::function<std::vector<Address>()> volume_servers;
    std::function<void(const std::string& address, std::function<void(Result<RaftGreeting>)> done)> meet;
    std::function<void(raft::Change, std::function<void(Status)> done)> change;
  };

  explicit WitnessPolicy(Hooks hooks) : hooks_(std::move(hooks)) {}

  // At each turn of a leader; at least once a second while the number of masters is even.
  void look(Instant now, const View& view, const raft::Configuration& configuration);
  // This master does not lead.
  void rest() { since_ = kDistantPast; }

 private:
  void remove(NodeId witness, const std::string& why);
  void find_one(Instant now, const View& view, const raft::Configuration& configuration);

  const Hooks hooks_;
  std::vector<NodeId> masters_;  // as last seen,
  Instant since_ = kDistantPast;  // since when
  struct Shared {
    Mutex mutex;  // leaf
    bool under_way HOLDFAST_GUARDED_BY(mutex) = false;
    std::map<std::string, Instant> not_before HOLDFAST_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();  // shared with calls under way
};

}  // namespace holdfast::master
