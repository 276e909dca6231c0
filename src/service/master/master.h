// Master: what a master knows and decides, behind one facade for the HTTP routes and the gRPC services.
//
// Every master takes the reports of all volume servers, so any of them can answer lookups and show the cluster, and a
// new leader has nothing to wait for. Only the leader assigns, grows and deletes; on another master those answer
// Refusal::Kind::not_leader at once when a leader is known (the front passes the request on to it), and wait up to
// Options::leader_wait for one when none is.
//
// Threads: every function may be called from any thread. try_assign, lookup and leader do no I/O, hold no lock for
// longer than a few dozen nanoseconds and are made for event loops. Callbacks (`done`) come exactly once, on a thread
// of the master's or of the caller's own (when the answer is known at once): they must be short and post to a loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.h"
#include "core/topology/locations.h"
#include "core/topology/report.h"
#include "core/topology/state_machine.h"
#include "io/clock.h"
#include "io/random.h"
#include "model/file_id.h"
#include "model/ids.h"
#include "model/tier_backend.h"
#include "service/master/consensus.h"
#include "service/master/healing_status.h"
#include "service/master/key_values.h"
#include "service/master/refusal.h"
#include "service/master/status.h"
#include "service/master/volume_orders.h"

namespace holdfast::master {

// ---- places of volumes ---------------------------------------------------------------------------------------------

// Values that never change once published: core/topology/locations.h.
using topology::Location;
using topology::Locations;
using topology::LocationsPtr;

// ---- assign --------------------------------------------------------------------------------------------------------

// Parameters as texts, exactly as the client gave them; "" = not given. Views need to live only until the call returns.
struct AssignRequest {
  std::uint64_t count = 1;  // 0 counts as 1
  std::string_view collection;
  std::string_view replication;
  std::string_view ttl;
  std::string_view disk_type;
  std::string_view data_center;
  std::string_view rack;
  std::string_view data_node;
  std::uint32_t writable_volume_count = 0;  // volumes to grow if growth is needed; 0: by the number of copies
  std::uint64_t data_size = 0;              // expected bytes per file; 0: 1 MiB
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;
  // A data center that no server is in is refused at once (bad_request), as gRPC clients expect: filers ask again without
  // it. Otherwise it is `volume growth in progress`, HTTP's answer.
  bool known_data_center_only = false;
};

struct AssignAnswer {
  FileId fid;               // text(fid); with count > 1 the others are fid_1 ... fid_(count-1)
  std::uint64_t count = 1;
  LocationsPtr locations;   // places[0] is `url`, the rest gRPC's `replicas`
};

// More keys than this in one request are refused (upstream has no bound and wraps its counter).
constexpr std::uint64_t kAssignCountMax = 1u << 24;

// ---- lookup --------------------------------------------------------------------------------------------------------

struct LookupAnswer {
  LocationsPtr locations;   // null: not found
  bool warming_up = false;  // not found, but this master started so lately that a server may be yet to report: 503
  bool may_appear = false;  // not found, but worth a wait: ask lookup_soon(). So, or its id was given out a moment ago
  // Found with fewer copies than there should be, and its id was given out, or this master started, a moment ago: the leader may
  // know the others, since it knows who acknowledged a growth.
  bool copies_may_appear = false;
};

// How long lookup_soon() waits for a volume.
constexpr Duration kLookupWait = 1s;

// ---- growth, deletion ----------------------------------------------------------------------------------------------

struct GrowRequest {
  std::uint32_t count = 0;  // logical volumes
  std::string collection, replication, ttl, disk_type, data_center, rack, data_node;
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;
};
struct GrowAnswer {
  std::uint64_t replicas = 0;  // created: logical volumes x copies
};
struct VacuumRequest {
  std::optional<double> garbage_threshold;  // Options::garbage_threshold
  VolumeId volume;                          // 0: all
  std::string collection;                   // "": all
};
struct Done {};  // of operations that have nothing to tell

// ---- leader --------------------------------------------------------------------------------------------------------

struct Leader {
  bool self = false;
  NodeId id;
  std::string http;  // host:port
  std::string grpc;  // host:grpcport
  Term term;
};

// ---- reports -------------------------------------------------------------------------------------------------------

// Stores in which volumes may lie; shared by those that tell of them, and never changed.
using TierBackendsPtr = std::shared_ptr<const std::vector<TierBackend>>;

struct ReportReply {
  std::uint64_t volume_size_limit = 0;
  bool preallocate = false;
  // What upstream's volume servers understand: go there instead ("host:port.grpcport"). Empty to servers of ours.
  std::string leader_hint;
  // End the stream after this reply. For upstream's servers at a master that knows no leader: gRPC UNKNOWN
  // `raft.Server: Not current leader`; also after a refusal.
  std::optional<std::string> end_with_error;
  std::vector<std::string> duplicated_uuids;
  bool resend_full = false;
  bool takes_digests = false;  // from servers of upstream: then they tell what has changed instead of full lists

  ClusterId cluster_id;
  Generation generation;
  Term term;
  std::uint32_t feature_level = 0;
  NodeId self;
  std::optional<NodeId> leader;
  std::vector<MemberView> masters;  // all members with addresses
  Duration pulse{0};
  bool accepted = true;
  std::string refusal;  // a sentence for an operator
  std::vector<std::string> adopted_dirs;

  // For servers that can pulse by datagram (pulses.h): where to, and whether datagrams arrive.
  struct Pulse {
    std::uint16_t port = 0;
    std::uint64_t line = 0;
    std::string key;
    bool heard = false;
  };
  std::optional<Pulse> datagrams;
  bool says_only_pulse = false;  // nothing but `datagrams` counts

  TierBackendsPtr tiers;  // never null in a reply of Master
};

// One stream of reports from one volume server. Destroying it (or closed()) is the end of the stream: the server is
// out of the writable set at once. Used by one thread at a time.
class ReportSession {
 public:
  virtual ~ReportSession() = default;

  // A reply for the first report, whenever something in it changed, and at least every few seconds.
  virtual std::optional<ReportReply> on_report(topology::Report report) = 0;
  virtual void closed() = 0;
};

// ---- subscriptions (KeepConnected) -----------------------------------------------------------------------------------

// A volume server gained or lost volumes, or (url empty) the leader changed.
struct LocationChange {
  std::string url;
  std::string public_url;
  std::string data_center;
  std::uint32_t grpc_port = 0;
  std::vector<VolumeId> added;
  std::vector<VolumeId> removed;
  std::vector<VolumeId> ec_added;  // erasure-coded volumes of which it has the first shard
  std::vector<VolumeId> ec_removed;
  std::string leader;  // "host:port.grpcport"; only in the first of a subscription and when it changed
};

// Ends when destroyed; no callback runs after the destructor has returned.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

// ---- the facade ----------------------------------------------------------------------------------------------------

struct Options {
  std::uint64_t volume_size_limit = 30000ull << 20;
  std::string default_replication = "000";
  bool preallocate = false;
  Duration leader_wait = 2s;       // how long a request waits for a leader
  Duration heartbeat_interval = 33ms;  // of the masters: a former leader heard within two of them is alive
  Duration growth_wait = 10s;      // how long an assign waits for its growth
  // In the first seconds of a master a growth waits until no volume server has come for so long: the first volumes of a
  // cluster are spread over all its servers then, not piled on the one that was quickest.
  Duration gather_servers{0};
  Duration pulse = 250ms;          // told to volume servers; slower above 500 of them
  int missed_pulses_max = 3;       // then a server leaves the writable set
  Duration forget_after = 5s;      // a server without a stream is forgotten this long after its last report
  bool growth_disabled = false;    // master.volume_growth.disable
  std::uint32_t copy_1 = 7, copy_2 = 6, copy_3 = 3, copy_other = 1;  // master.volume_growth.copy_*
  double crowded_threshold = 0.9;  // master.volume_growth.threshold
  Duration growth_pass = 5min;     // the periodic look at every layout
  double garbage_threshold = 0.3;  // a volume of which this share or more is deleted is vacuumed
  Duration vacuum_pass = 15min;    // between two vacuums that the leader begins by itself, a minute more or less; 0: none
  int vacuums_per_server_max = 1;
  Duration heal_after = 5min;      // a copy gone for so long is made again; 0: never
  bool replication_as_minimum = false;
  bool knows_collections = true;        // false: reports do not tell them, and lookups do not look at them
  std::uint64_t key_block = 1u << 20;   // keys reserved at a time for each master
  std::uint32_t feature_level = 1;      // what this build understands; tests of mixed versions raise it
};

class Master {
 public:
  // Makes the state machine and the facade; both work (and answer "no leader") before start().
  static std::unique_ptr<Master> create(Options options, io::Clock& clock, io::Random& random);
  virtual ~Master() = default;

  // The state machine that the consensus must drive; outlives it. Called only by the consensus' applying thread.
  virtual topology::StateMachine& state_machine() = 0;

  // Before the consensus itself starts. `consensus` and `orders` outlive the master's stop(). stop() answers everything that waits and joins all threads.
  virtual void start(Consensus& consensus, VolumeOrders& orders) = 0;
  virtual void stop() = 0;

  // Answers at once or not at all (no key at hand, nothing writable, not the leader, a parameter that does not parse):
  // then ask assign(). Takes a key only when it answers.
  virtual std::optional<AssignAnswer> try_assign(const AssignRequest& request) = 0;

  // Waits for a leader, for keys, for growth, each within its bound.
  virtual void assign(const AssignRequest& request, std::function<void(OrRefusal<AssignAnswer>)> done) = 0;

  // `collection`: empty = any. Answered from this master's own picture.
  virtual LookupAnswer lookup(VolumeId volume, std::string_view collection) const = 0;

  // The same for a volume that may_appear: answers when a server has told of it, or as lookup() does after kLookupWait.
  // A client may ask a follower for a file that it has just written to a volume that was just made.
  virtual void lookup_soon(VolumeId volume, std::string collection, std::function<void(LookupAnswer)> done) {
    done(lookup(volume, collection));
  }

  virtual void grow(GrowRequest request, std::function<void(OrRefusal<GrowAnswer>)> done) = 0;

  // Deletes all volumes of one collection, on every server that has some. The default collection is named by "".
  // bad_request `collection X does not exist`.
  virtual void delete_collection(std::string collection, std::function<void(OrRefusal<Done>)> done) = 0;

  // Frees what deleted files take up, in all volumes of which this share or more is deleted; answers when that is done, or
  // at once when a vacuum is under way already. At the leader.
  virtual void vacuum(VacuumRequest request, std::function<void(OrRefusal<Done>)> done) {
    (void)request;
    done(Refusal{Refusal::Kind::unsupported, "vacuum is not built here"});
  }
  // What this master mends, if it leads; as of a second ago.
  virtual HealingStatus healing() const { return {}; }

  // The stores of master.toml: told to every volume server that reports, from its next report on. Any thread.
  virtual void set_tiers(std::vector<TierBackend> tiers) { (void)tiers; }
  virtual TierBackendsPtr tiers() const { return std::make_shared<const std::vector<TierBackend>>(); }

  // One more copy of a volume on this server ("": only the next epoch of its copies), at the leader (healing.h); the epoch.
  virtual void mend(VolumeId volume, std::string target, std::function<void(OrRefusal<std::uint64_t>)> done) {
    (void)volume, (void)target;
    done(Refusal{Refusal::Kind::unsupported, "healing is not built here"});
  }

  // Stops the vacuums that the leader begins by itself, or lets them go on. `by_plugin` is a mark of its own: they go on
  // when neither is set.
  virtual void disable_vacuum(bool disabled, bool by_plugin, std::function<void(OrRefusal<Done>)> done) {
    (void)disabled, (void)by_plugin;
    done(Refusal{Refusal::Kind::unsupported, "vacuum is not built here"});
  }

  virtual OrRefusal<CollectionStatus> collection_info(const std::string& collection) const = 0;
  virtual std::vector<CollectionStatus> collection_details(const std::string& collection) const = 0;  // one per layout
  virtual std::vector<std::string> collections() const = 0;  // of volumes that exist, ascending
  virtual std::vector<std::string> ec_collections() const { return {}; }  // of erasure-coded volumes, ascending

  // Which servers hold which shard of an erasure-coded volume, by this master's own picture; empty: there is none.
  using EcLocations = std::map<std::uint32_t, std::vector<topology::Location>>;
  virtual EcLocations lookup_ec(VolumeId) const { return {}; }

  // Empty while none is known. wait_for_leader answers at once when one is, else with the first one or, after
  // Options::leader_wait, with `unavailable` and what is going on.
  virtual std::optional<Leader> leader() const = 0;
  virtual void wait_for_leader(std::function<void(OrRefusal<Leader>)> done) = 0;
  // The refusal of a request that found no leader: what is going on, and Retry-After.
  virtual Refusal no_leader_refusal() const = 0;

  virtual ClusterStatus cluster_status() const = 0;
  virtual TopologyStatus topology_status(bool with_volumes) const = 0;

  // The masters' key-value space.
  virtual KeyValues& key_values() = 0;

  // `peer` is where the stream comes from, for log lines. `tell` sends what is said between two answers, from any thread,
  // until the session is closed; none: nothing is.
  using Tell = std::function<void(const ReportReply&)>;
  virtual std::unique_ptr<ReportSession> open_session(std::string peer, Tell tell) = 0;
  std::unique_ptr<ReportSession> open_session(std::string peer) { return open_session(std::move(peer), nullptr); }

  // Datagrams for this master come to this UDP port and are given to received_pulse(); 0: none.
  virtual void take_pulses_at(std::uint16_t port) = 0;
  // From the one thread that reads datagrams; neither waits nor throws away time on what is not genuine.
  virtual void received_pulse(BytesView datagram) = 0;

  // A volume server says that a volume became (or is no more) read-only, ahead of its next report. False: not known.
  virtual bool mark_readonly(std::string_view server_url, VolumeId volume, bool read_only) = 0;

  // The present picture in `initial` (one per server that holds volumes; none: empty), and everything after it through
  // `changed`, in order, nothing lost between. `changed` must only queue.
  virtual std::unique_ptr<Subscription> subscribe(std::function<void(const LocationChange&)> changed,
                                                  std::vector<LocationChange>* initial) = 0;
};

}  // namespace holdfast::master
