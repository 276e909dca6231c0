// RuntimeConfig: all that cmd/ tells the masters' consensus about flags. What the Master itself wants (volume sizes,
// growth) stands in master::Options (master.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/address.h"
#include "service/master/guardian.h"
#include "service/master/lease_policy.h"
#include "service/master/vip_keeper.h"

namespace holdfast::master {

class ChangeFeed;

struct RuntimeConfig {
  // -mdir. The member's own folder is `m<port>` below it (architecture, section 5); both are made when missing.
  std::string folder;

  // -ip, -port, -port.grpc: how the other masters, volume servers and clients are to call this one. An attribute, not
  // an identity: it may be another one at the next start, the cluster is told.
  Address self;

  // -ip.bind: where to listen for heartbeats (UDP on the gRPC port's number). Empty: all interfaces.
  std::string bind_host;

  // -peers, in the order given; this master itself may be among them under whatever name. Empty: none were named (the
  // flag was missing or "none").
  // A name with several addresses stands for as many masters (client/discovery.h), and is looked up this often.
  std::vector<Address> peers;
  Duration discovery_interval = std::chrono::seconds(5);

  // -electionTimeout: a leader silent for longer is held for lost. Empty: adaptive, 100 ms to 2 s.
  std::optional<Duration> election_timeout;
  Duration heartbeat_interval = 33ms;  // above a third of election_timeout: refused by validate()

  // -leaderLease, empty for auto, 0 for none; -leaseReads (lease_policy.h).
  std::optional<Duration> leader_lease;
  LeaseReads lease_reads = LeaseReads::automatic;
  // Says that the lease is over when this process dies or hangs; started first, outlives the runtime. Null: none.
  std::shared_ptr<Guardian> guardian;
  // Whether every master understands leases, as the feature level in the replicated state says: only then the leader turns
  // them on. Empty: false.
  std::function<bool()> leases_understood;

  // -readOnly: a member that receives everything, and neither votes, leads nor decides. It never begins a cluster.
  bool read_only = false;
  // -vip, -vip.interface, -onLeader, -onFollower.
  VipConfig vip;
  // Whether a volume server should vote when the number of masters is even (-witness), and which are there to be asked; no
  // answer while a master does not understand it. Empty: never.
  std::function<std::optional<bool>()> witness_wanted;
  std::function<std::vector<Address>()> volume_servers;
  // What all masters of the cluster must know, and say so with everything they say (seal.h). "": none.
  std::string cluster_secret;

  // What this build understands; tests of mixed versions raise it.
  std::uint32_t feature_level = 1;

  // A snapshot is taken after this many entries, or bytes of log, since the last one.
  std::uint64_t snapshot_entries = 10'000;
  std::uint64_t snapshot_log_bytes = 32u << 20;
  // Entries kept before a snapshot, so that a member that was away for seconds is not sent all of the state.
  std::uint64_t entries_kept = 5'000;

  // Bytes of one log segment; preallocated, one in reserve. Above kEntryBytesMax.
  std::uint64_t segment_bytes = 8u << 20;

  // Called at most once, from a thread of the runtime, when this master cannot go on: a failed sync, a notice from the
  // leader (removed, rolled back, a second one of the same folder), an entry it does not understand. The text is for
  // the operator and says what to do. The process must end; until it does the member keeps silent.
  std::function<void(const std::string& why)> on_fatal;

  // Told of all that is committed, for copies elsewhere; outlives the runtime. Null: nobody.
  ChangeFeed* feed = nullptr;

  // Pulses of volume servers (api/pulse.h): told once which UDP port they come to, then given each one, on the thread that
  // reads the masters' own datagrams: be short. Both empty, or neither; what they call outlives the runtime.
  std::function<void(std::uint16_t port)> pulses_at;
  std::function<void(BytesView)> on_pulse;

  // Whether the state machine has given anything to anyone (a volume, a key). A cluster of one that has not may give
  // itself up for the cluster that lists its address. Empty: true.
  std::function<bool()> holds_data;
};

}  // namespace holdfast::master
