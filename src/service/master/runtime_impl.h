// MasterRuntime's one implementation, private to runtime*.cc: its state, and who may touch what of it.
//
//   runtime.cc         opens the folder, starts and stops
//   runtime_begin.cc   finds or founds a cluster, and takes part in it: the runtime's own thread
//   runtime_member.cc  what that thread does as a member: joins, keeps addresses and members, tells of strangers
//   runtime_called.cc  what other masters ask for: greetings, joins, links
//
// Everything under `mutex_` is shared with gRPC's threads; it is a leaf: nothing else is locked, called or awaited under it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/discovery.h"
#include "io/posix/udp.h"
#include "io/posix/vmclock.h"
#include "service/master/bootstrap.h"
#include "service/master/peer_calls.h"
#include "service/master/peer_links.h"
#include "service/master/raft_host.h"
#include "service/master/runtime.h"
#include "service/master/seal_acceptor.h"
#include "service/master/watch.h"
#include "service/master/witness_policy.h"
#include "storage/raft/identity.h"

namespace holdfast::master {

inline constexpr Duration kIdleInterval = 1s;
inline constexpr Duration kTellInterval = 5s;

// What a configuration in a greeting says; empty when it says nothing that can be read.
raft::Configuration decoded(const std::string& bytes);
bool same_address(const std::string& a, const std::string& b);
Answer answer_of(const RaftGreeting& greeting);
// For a member of `lost`, whose place `successor` has taken.
std::string recovered_text(ClusterId lost, ClusterId successor, const std::string& at);

class Runtime final : public MasterRuntime, public LinkAcceptor {
 public:
  Runtime(RuntimeConfig config, io::Disk& disk, io::Clock& clock, io::Random& random, topology::StateMachine& state)
      : config_(std::move(config)),
        disk_(disk),
        clock_(clock),
        random_(random),
        state_(state),
        folder_(io::join(config_.folder, "m" + std::to_string(config_.self.port))),
        process_(random.uuid()) {}
  ~Runtime() override { stop(1s); }

  Status open();

  // --- MasterRuntime ---
  Consensus& consensus() override { return *host_; }
  LinkAcceptor& acceptor() override { return sealed_; }
  Status start() override;
  void stop(Duration transfer_wait_max) override;
  void transfer_leadership(std::optional<NodeId> target, std::function<void(Status)> done) override {
    host_->transfer(target, std::move(done));
  }
  void add_server(const Address& address, bool voter, std::function<void(Status)> done) override {
    admit(address, voter, {}, std::move(done));
  }
  void replace_server(NodeId old, const Address& address, std::function<void(Status)> done) override {
    admit(address, true, old, std::move(done));
  }
  void remove_server(NodeId id, std::function<void(Status)> done) override {
    host_->change(raft::RemoveMember{id}, std::move(done));
  }

  std::shared_ptr<const WatchReport> watch_report() const override { return watch_->report(); }
  void told_of(const ClusterHint& hint) override;

  // --- LinkAcceptor ---
  void meet(const RaftGreeting& from, RaftGreeting* answer) override;
  void join(const RaftGreeting& from, RaftJoinReply* answer) override;
  std::unique_ptr<IncomingLink> opened(const RaftGreeting& from, RaftGreeting* answer) override;

 private:
  // A cluster to enter, decided by bootstrap or learned from a call.
  struct Entrance {
    ClusterId cluster;
    raft::Configuration founding;       // with us in it: begin as a founder
    raft::Configuration configuration;  // whom to ask
    std::string found_at;               // the address that told of it
  };

  NodeId identity_node() {
    Guard guard(mutex_);
    return identity_.node;
  }
  std::string identity_path() const { return io::join(folder_, "identity.json"); }
  storage::RaftStore::Options store_options(const storage::Identity& identity) const {
    return {.cluster = identity.cluster, .voter = identity.node, .segment_bytes = config_.segment_bytes};
  }
  Status open_state();
  Status set_aside(const Error& why) HOLDFAST_REQUIRES(mutex_);
  Status begin_anew(const std::string& reason, std::vector<raft::Member> known) HOLDFAST_REQUIRES(mutex_);
  void make_host();
  Status take_part(storage::RaftStore::Opened opened);
  void admit(const Address& address, bool voter, NodeId replaces, std::function<void(Status)> done);
  std::vector<DiscoveredMaster> discovered();
  void send_datagram(NodeId to, const std::string& datagram);
  Status refuse_copy();
  Status refuse_second_successor();
  std::vector<std::string> former_places() HOLDFAST_REQUIRES(mutex_);
  Status give_up_lone_cluster();
  Status found(ClusterId cluster, const raft::Configuration& configuration);
  Status enter(const Entrance& entrance);

  void run();
  Duration bootstrap_turn(Instant now);
  Duration member_turn(Instant now);
  void meet_listed(Instant now, Duration interval);
  bool was_voter();
  void ask_to_join(Instant now);
  void announce_addresses(const View& view);
  void turn_on_leases(const View& view);
  void keep_members();
  void note_removal();
  void tell(Instant now, const std::string& what);
  void compare_with_peers();
  void take_discovered();
  std::optional<Duration> listed_interval(const raft::Configuration& configuration);
  void tell_of_foreign(const std::string& name, ClusterId theirs);
  std::vector<std::string> join_targets();
  void consider_invitation(const RaftGreeting& from);
  void greet(RaftGreeting* greeting);
  bool foreign(const RaftGreeting& from, RaftGreeting* answer);
  std::string superseded_by(const RaftGreeting& from) HOLDFAST_REQUIRES(mutex_);
  std::string twice_text(ClusterId theirs, const std::string& at) HOLDFAST_REQUIRES(mutex_);
  bool heed(const RaftGreeting& from);
  void meet_former(Instant now);
  bool pause(Duration duration);
  void nudge();
  void fatal(const std::string& why);

  const RuntimeConfig config_;
  io::Disk& disk_;
  io::Clock& clock_;
  io::Random& random_;
  topology::StateMachine& state_;
  const std::string folder_;
  const Uuid process_;

  std::unique_ptr<io::FolderLock> lock_;
  std::optional<storage::RaftStore::Opened> opened_;  // between open() and start()
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<io::posix::VmClock> vmclock_;  // null: none here; outlives host_
  std::unique_ptr<RaftHost> host_;
  std::unique_ptr<VipKeeper> vip_;  // null: neither address nor commands
  std::optional<io::posix::UdpSocket> beats_;
  Seal seal_{config_.cluster_secret, clock_};
  SealedAcceptor sealed_{seal_, *this};
  PeerCalls calls_{&seal_};
  std::unique_ptr<client::Discovery> discovery_;  // what -peers stands for
  std::thread thread_;
  bool started_ = false;
  std::atomic<bool> failed_{false};

  // Shared with gRPC's threads.
  Mutex identity_file_;  // before mutex_: held while identity.json is replaced, once this takes part
  Mutex mutex_;  // leaf
  Condition woken_;
  storage::Identity identity_ HOLDFAST_GUARDED_BY(mutex_);
  std::shared_ptr<PeerLinks> links_ HOLDFAST_GUARDED_BY(mutex_);  // from taking part on; shared with calls under way
  std::map<std::string, std::optional<Answer>> listed_ HOLDFAST_GUARDED_BY(mutex_);  // by text; see take_discovered
  std::set<std::string> from_peers_ HOLDFAST_GUARDED_BY(mutex_);    // those of listed_ that -peers stands for
  std::set<std::string> not_found_ HOLDFAST_GUARDED_BY(mutex_);     // names of -peers without an address yet: not dialled
  std::set<std::string> asked_ HOLDFAST_GUARDED_BY(mutex_);                          // a Meet or Join is under way
  std::optional<Entrance> invitation_ HOLDFAST_GUARDED_BY(mutex_);
  ClusterId told_cluster_ HOLDFAST_GUARDED_BY(mutex_);  // by a volume server: told_of()
  std::string told_by_ HOLDFAST_GUARDED_BY(mutex_);
  std::string join_at_ HOLDFAST_GUARDED_BY(mutex_);      // the leader's address, as told by a member
  std::string join_answer_ HOLDFAST_GUARDED_BY(mutex_);  // why we are not in yet
  std::set<std::string> told_ HOLDFAST_GUARDED_BY(mutex_);
  bool former_wanted_ HOLDFAST_GUARDED_BY(mutex_) = false;  // one of them called: look at once whether it is so
  std::set<ClusterId> superseded_heard_ HOLDFAST_GUARDED_BY(mutex_);  // from members of ours; kept with the members
  std::size_t join_attempt_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::string was_called_ HOLDFAST_GUARDED_BY(mutex_);   // the address of the last start, if it was another
  std::optional<WitnessPolicy> witness_policy_;
  LeasePolicy leases_;  // constant after open
  std::atomic<bool> changing_leases_{false};
  bool readdressing_ HOLDFAST_GUARDED_BY(mutex_) = false;  // a change of address is being committed
  bool joining_ HOLDFAST_GUARDED_BY(mutex_) = false;     // takes part, is no member yet
  bool awake_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;

  // The thread's own.
  Instant began_ = kDistantPast;
  Instant met_at_ = kDistantPast;
  Instant joined_at_ = kDistantPast;
  Instant former_met_at_ = kDistantPast;
  Instant told_at_ = kDistantPast;
};

}  // namespace holdfast::master
