// VolumeOrders: what the leader tells volume servers to do, over gRPC (port + 10000). Declared here, implemented by the
// gRPC library (client/ or front/grpc), faked in tests.
//
// Every order carries its fence. The volume server keeps the highest (cluster id, generation, term) it has obeyed on
// disk and refuses lower ones with Code::refused, so a leader that lost its place without knowing cannot allocate or
// delete anything. The sequence numbers one leader's orders, so that a repeated order is recognised.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "model/ids.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::master {

constexpr Duration kOrderTimeout = 60s;  // upstream's limit for AllocateVolume

struct OrderFence {
  ClusterId cluster_id;
  Generation generation;
  Term term;
  std::uint64_t sequence = 0;
};

struct AllocateOrder {
  VolumeId volume;
  std::string collection;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::string disk_type;  // "" is hdd
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;
  std::uint32_t version = 3;
};

// Each order is told for which request it is given: the one that the calling thread works for (api/request_id.h).
class VolumeOrders {
 public:
  virtual ~VolumeOrders() = default;

  // Called once, on any thread (possibly before the call that started it returns), at the latest after kOrderTimeout.
  // Code::outcome_unknown when the connection broke or the time ran out after the order left;
  // Code::unavailable when it surely never arrived.
  using Done = std::function<void(Status)>;

  // `grpc_address` is "host:grpcport".
  virtual void allocate_volume(const std::string& grpc_address, const OrderFence& fence, const AllocateOrder& order,
                               Done done) = 0;
  // With `only_empty` a volume that holds files stays and the answer is an error.
  virtual void delete_volume(const std::string& grpc_address, const OrderFence& fence, VolumeId volume,
                             bool only_empty, Done done) = 0;
  virtual void delete_collection(const std::string& grpc_address, const OrderFence& fence,
                                 const std::string& collection, Done done) = 0;

  // A step of making a lost copy again (healing.h), answered within `time_max`. One that takes long is called off
  // as far as its server still hears.
  struct HealOrder {
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
    std::uint64_t bytes = 0;    // catch_up: appended to the copy that was the beginning of the other one
  };
  using HealDone = std::function<void(Result<Healed>)>;
  virtual void heal(const std::string& grpc_address, const OrderFence& fence, const HealOrder& order, Duration time_max,
                    HealDone done) {
    (void)grpc_address, (void)fence, (void)order, (void)time_max;
    done(Error(Code::unsupported, "no copies are made again here"));
  }

  // The steps of a vacuum, each answered within `time_max`; those that take no fence change nothing. A compaction that is
  // not answered in time is called off as far as its server still hears.
  using RatioDone = std::function<void(Result<double>)>;
  virtual void vacuum_check(const std::string& grpc_address, VolumeId volume, Duration time_max, RatioDone done) {
    (void)grpc_address, (void)volume, (void)time_max;
    done(Error(Code::unsupported, "no vacuum here"));
  }
  enum class VacuumStep { compact, commit, clean_up };
  virtual void vacuum(const std::string& grpc_address, const OrderFence& fence, VacuumStep step, VolumeId volume,
                      Duration time_max, Done done) {
    (void)grpc_address, (void)fence, (void)step, (void)volume, (void)time_max;
    done(Error(Code::unsupported, "no vacuum here"));
  }
};

}  // namespace holdfast::master
