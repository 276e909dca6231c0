// PeerCalls: the unary calls between masters, Meet and Join, without a thread waiting for each.
//
// Thread-safe. Callbacks run on gRPC's threads, exactly once, unless stop() came first.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"

namespace grpc {
class ClientContext;
}
namespace holdfast {
class RaftGreeting;
class RaftJoinReply;
}  // namespace holdfast

namespace holdfast::master {

class Seal;

inline constexpr Duration kCallPatience = 1s;

class PeerCalls {
 public:
  // `seal` outlives this; null: there is no cluster secret. Who has another one is logged, once for each address.
  explicit PeerCalls(const Seal* seal = nullptr) : seal_(seal) {}
  ~PeerCalls() { stop(); }

  // `address` as in model/address.h. A connection of its own for each call: a master that has just come up is found at
  // once, whatever a channel remembers.
  void meet(const std::string& address, const RaftGreeting& greeting, std::function<void(Result<RaftGreeting>)> done);
  void join(const std::string& address, const RaftGreeting& greeting, std::function<void(Result<RaftJoinReply>)> done);

  // Who answers at these places within `patience`; waits for it. `failures`, if not null: why the others did not, as far
  // as that is known by then.
  std::map<std::string, RaftGreeting> ask(const std::set<std::string>& places, const RaftGreeting& greeting, io::Clock& clock,
                                          Duration patience, std::map<std::string, Error>* failures = nullptr);

  // Cancels what is under way and waits for its end; later calls do nothing.
  void stop();

 private:
  template <typename Reply>
  struct Call;
  template <typename Reply, typename Start>
  void begin(std::string_view purpose, const std::string& address, const RaftGreeting& greeting,
             std::function<void(Result<Reply>)> done, Start start);

  template <typename Reply>
  Status opened(std::string_view purpose, const std::string& address, const std::string& call, Reply* reply);

  const Seal* const seal_;
  Mutex mutex_;
  Condition ended_;
  std::set<grpc::ClientContext*> under_way_ HOLDFAST_GUARDED_BY(mutex_);
  std::set<std::string> told_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

// For those who are no masters yet, or no more: asks as one that knows the cluster's secret ("" = there is none), and those
// that do not answer then once more without. So of one that has another secret at least the refusal is known: an answer with
// `refusal`, which is why the call with the secret was refused, and without `node`.
std::map<std::string, RaftGreeting> ask_masters(const std::string& secret, std::set<std::string> places,
                                                const RaftGreeting& greeting, io::Clock& clock);

}  // namespace holdfast::master
