// VolumeOrders: what a leading master asks of volume servers, over upstream's rpcs on their gRPC port with our fence.
//
// Every order is answered exactly once, from a thread of the gRPC library that must not be blocked; also when the
// server is silent (order_time_max) and when the VolumeOrders goes away. Answers:
//   ok                the order is carried out
//   refused           the server has seen a newer fence or belongs to another cluster
//   already_exists    allocate: it holds that volume already
//   not_found         remove: it does not hold that volume
//   no_space          allocate: no slot or no room left
//   unavailable       the server could not be reached: surely not carried out
//   outcome_unknown   no answer, or the link broke: the order may have been carried out
//   internal          the server's own words otherwise
// An order carries the id of the request that the calling thread works for (api/request_id.h).
// Orders to one server run in parallel; whoever needs an order between them waits for the answers.
//
// Thread-safe. Do not destroy it inside `done`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "model/fence.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::client {

inline constexpr Duration kOrderTimeMax = std::chrono::seconds(60);  // upstream's limit: a disk may be slow to allocate

class VolumeOrders {
 public:
  using Done = std::function<void(Status)>;

  struct Allocate {
    VolumeId volume;
    std::string collection;
    ReplicaPlacement replica_placement;
    Ttl ttl;
    std::string disk_type;  // "" is hdd
    std::int64_t preallocate_bytes = 0;
    std::uint32_t memory_map_max_size_mb = 0;
    std::uint32_t version = 3;
  };

  virtual ~VolumeOrders() = default;

  // `server` is "host:grpcport".
  virtual void allocate(const std::string& server, const Allocate& order, const Fence& fence, Done done) = 0;
  virtual void remove(const std::string& server, VolumeId volume, bool only_empty, const Fence& fence, Done done) = 0;
  virtual void delete_collection(const std::string& server, const std::string& collection, const Fence& fence,
                                 Done done) = 0;

  // A step of making a lost copy again (docs/self-healing.md). A server that knows none of that:
  // unsupported.
  struct Heal {
    enum class Step { freeze, extend, thaw, copy, adopt, outdate, compare, discard, catch_up };
    Step step = Step::freeze;
    VolumeId volume;
    std::uint64_t token = 0;
    Duration time{0};    // freeze, extend, copy: how long it holds
    std::string source;  // copy, compare, catch_up: "host:port.grpcport"
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    bool frozen = false;
  };
  struct Healed {
    std::uint64_t epoch = 0;    // freeze: the one that is frozen
    std::uint64_t files = 0;    // compare: in the outdated copy
    std::uint64_t missing = 0;  // of these, that the other copy does not know
    NeedleId example;           // one of them
    std::uint64_t bytes = 0;    // catch_up: appended
  };
  using HealDone = std::function<void(Result<Healed>)>;
  virtual void heal(const std::string& server, const Heal& order, const Fence& fence, Duration time_max,
                    HealDone done) = 0;

  // The steps of a vacuum (spec/weed-grpc 6), each with its own bound of time. The check needs no fence: it changes
  // nothing.
  virtual void vacuum_check(const std::string& server, VolumeId volume, Duration time_max,
                            std::function<void(Result<double>)> done) = 0;
  virtual void vacuum_compact(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                              Done done) = 0;
  virtual void vacuum_commit(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                             Done done) = 0;
  virtual void vacuum_clean_up(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                               Done done) = 0;
};

// The real one. Keeps one connection per server, made at the first order and dropped when it breaks.
std::unique_ptr<VolumeOrders> make_volume_orders(Duration order_time_max = kOrderTimeMax);

}  // namespace holdfast::client
