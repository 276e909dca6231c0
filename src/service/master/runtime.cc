#include "service/master/runtime.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "api/raft.pb.h"
#include "base/check.h"
#include "base/log.h"
#include "client/discovery.h"
#include "core/topology/registry.h"
#include "io/posix/udp.h"
#include "io/posix/vmclock.h"
#include "service/master/bootstrap.h"
#include "service/master/peer_calls.h"
#include "service/master/peer_links.h"
#include "service/master/raft_host.h"
#include "service/master/raft_wire.h"
#include "service/master/seal_acceptor.h"
#include "service/master/watch.h"
#include "service/master/witness_policy.h"
#include "storage/raft/identity.h"

namespace holdfast::master {
namespace {

constexpr std::uint32_t kGreetingFormat = 1;
constexpr Duration kMeetInterval = 20ms;       // while bootstrap waits for others
constexpr Duration kMeetIntervalLater = 100ms; // after it has waited for a while
constexpr Duration kMeetQuickFor = 2s;
constexpr Duration kJoinInterval = 100ms;
constexpr Duration kHintInterval = 500ms;
constexpr Duration kIdleInterval = 1s;
constexpr Duration kTellInterval = 5s;
constexpr Duration kFirstWordPatience = 300ms; // how long a master asks others before its own first word
constexpr Duration kNamesPatience = 1s;        // for the resolver, where a start needs to know whom -peers means
constexpr Duration kNamesPatienceOfMembers = 100ms;  // where it only helps to know
constexpr Duration kForeignInterval = 5s;      // between looks at listed masters of another cluster
constexpr std::size_t kSupersededMax = 64;     // clusters one after the other, each of which lost its majority
constexpr Duration kListedInterval = 300ms;    // between looks at listed masters that are no members (below kLoneWait)
// A master that was given no -peers listens this long for a cluster that knows its address before it founds its own:
// the members of such a cluster redial a lost member at least every 300 ms (kRedialMax, and gRPC's jitter on it).
constexpr Duration kLoneWait = 400ms;
// On a machine whose cores are all busy a thread may wait 60 ms for its turn: below this a leader would be suspected for
// the load of its machine. A lost process is found by its connections long before.
constexpr Duration kSilenceMin = 100ms;
// One of the listed masters belongs to a cluster: so long the others may still say that they belong to another one.
constexpr Duration kOtherAnswersWait = 200ms;
// A member that was heard within this time is not replaced by a newcomer at its address.
constexpr Duration kAliveWithin = 3s;

raft::Configuration decoded(const std::string& bytes) {
  if (bytes.empty()) return {};
  auto configuration = raft::decode_configuration(bytes);
  return configuration ? std::move(*configuration) : raft::Configuration();
}

bool same_address(const std::string& a, const std::string& b) {
  const auto one = Address::parse(a);
  const auto other = Address::parse(b);
  return one && other && *one == *other;
}

Answer answer_of(const RaftGreeting& greeting) {
  Answer answer{.node = NodeId(uuid_of(greeting.node())),
                .process = uuid_of(greeting.process()),
                .cluster = ClusterId(uuid_of(greeting.cluster())),
                .address = greeting.address(),
                .drawn_cluster = ClusterId(uuid_of(greeting.drawn_cluster())),
                .listed_all = greeting.listed_all(),
                .founding = decoded(greeting.founding()),
                .configuration = decoded(greeting.configuration()),
                .holds_data = greeting.holds_data()};
  for (const auto& node : greeting.listed()) answer.listed.emplace_back(uuid_of(node));
  std::sort(answer.listed.begin(), answer.listed.end());
  return answer;
}

raft::Configuration last_configuration(const storage::RaftStore::Opened& opened) {
  raft::Configuration last = opened.start.snapshot ? opened.start.snapshot->configuration : raft::Configuration();
  for (const auto& entry : opened.start.entries) {
    if (entry.kind == EntryKind::configuration) last = decoded(std::string(entry.data.view()));
  }
  return last;
}

// Whether the log that was found is that of a cluster of one.
bool is_lone(const storage::RaftStore::Opened& opened, NodeId self) {
  const auto last = last_configuration(opened);
  return last.members().size() == 1 && last.find(self) != nullptr;
}

// Whether the log that was found is that of a voter.
bool is_voter(const storage::RaftStore::Opened& opened, NodeId self) { return last_configuration(opened).is_voter(self); }

// Whether anybody may have been given a key or a volume by what is in the log. Reads it as the state machine will; what
// cannot be read, or is hidden in a snapshot, counts as data.
bool may_hold_data(const storage::RaftStore::Opened& opened, std::uint32_t feature_level) {
  if (opened.start.snapshot || opened.start.damage) return true;
  topology::Registry registry(feature_level);
  for (const auto& entry : opened.start.entries) {
    if (entry.kind != EntryKind::command) continue;
    if (!registry.apply(entry.index, entry.term, bytes_of(entry.data.view()))) return true;
  }
  return registry.state().max_volume_id != VolumeId();
}

// For a member of `lost`, whose place `successor` has taken.
std::string recovered_text(ClusterId lost, ClusterId successor, const std::string& at) {
  return "cluster " + text(lost) + " lost its majority and an operator had it go on as cluster " + text(successor) +
         " without this master: the one at " + at + " is of that. What this one holds is void; to bring it back as a new "
         "member remove its member folder and start it again with -peers=" + at;
}

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

// ---------------------------------------------------------------------------------------------------- open

Status Runtime::open() {
  if (auto done = disk_.make_folders(folder_); !done) return done;
  auto lock = disk_.lock(io::join(folder_, "lock"));
  if (!lock) {
    if (lock.error().code() != Code::busy) return lock.error();
    return Error{Code::busy, lock.error().what() + ". Another master uses it: stop that one, or give this one an -mdir "
                                                   "or -port of its own"};
  }
  lock_ = std::move(*lock);
  discovery_ = std::make_unique<client::Discovery>(
      client::Discovery::Options{.places = config_.peers, .interval = config_.discovery_interval},
      [this](const auto&) { nudge(); });
  if (auto done = open_state(); !done) return done;
  if (opened_) {
    if (auto done = give_up_lone_cluster(); !done) return done;
  }
  if (opened_ && config_.read_only && is_voter(*opened_, identity_node())) {
    return Error{Code::refused, folder_ + " is that of a master that votes: start it without -readOnly, or -readOnly with a "
                                          "folder of its own"};
  }
  make_host();
  return {};
}

Status Runtime::open_state() {
  auto identity = storage::load_identity(disk_, identity_path());
  if (!identity && identity.error().code() != Code::not_found) {
    return Error{identity.error().code(),
                 identity.error().what() + ". Restore the file, or remove the folder " + folder_ +
                     ": then this master joins the others as a new member"};
  }
  if (identity && !identity->recovering.empty()) {
    return Error{Code::refused, "a recovery of " + folder_ + " was begun and did not end: run `recover -mdir=" +
                                    config_.folder + " -port=" + std::to_string(config_.self.port) +
                                    "` again, it goes on where it was"};
  }
  Guard guard(mutex_);
  if (!identity) {
    if (disk_.info(io::join(folder_, "vote")).ok()) {
      return Error{Code::corrupt, identity_path() + ": is missing though a vote and a log are there. Restore the file, or "
                                      "remove the folder " + folder_ +
                                      ": then this master joins the others as a new member"};
    }
    identity_ = storage::new_identity(random_);
  } else {
    identity_ = std::move(*identity);
  }
  const std::string was_called = identity_.self;
  identity_.incarnation = identity_.incarnation.next();
  identity_.self = text(config_.self);
  // Durable before the first word: another process of this folder must never have the same incarnation.
  if (auto done = storage::store_identity(disk_, identity_path(), identity_); !done) return done;
  if (!was_called.empty() && was_called != identity_.self) {
    was_called_ = was_called;
    LOG_INFO("this master was called {} before and is called {} now; the others are told", was_called, identity_.self);
  }
  if (identity_.cluster.value().empty()) return storage::RaftStore::clear(disk_, folder_);

  auto opened = storage::RaftStore::open(disk_, random_, folder_, store_options(identity_));
  if (!opened && opened.error().code() == Code::corrupt) return set_aside(opened.error());
  if (!opened) return opened.error();
  for (const auto& remark : opened->remarks) LOG_WARNING("{}", remark);
  opened_ = std::move(*opened);
  return {};
}

// What this member promised cannot be told any more: it begins again as a new one, in the old one's place.
Status Runtime::set_aside(const Error& why) {
  const bool alone = std::none_of(identity_.members.begin(), identity_.members.end(),
                                  [&](const auto& member) { return member.id != identity_.node; });
  if (alone) discovery_->wait_until_known(kNamesPatience);
  if (alone && discovery_->found().size() < 2) {
    return Error{Code::corrupt, why.what() + ". There is no other master to learn from: restore " + folder_ +
                                    " from a backup, or remove it to begin an empty cluster"};
  }
  LOG_ERROR("{}. This master joins the others as a new member", why.what());
  auto others = identity_.members;
  std::erase_if(others, [&](const auto& member) { return member.id == identity_.node; });
  return begin_anew("damaged", std::move(others));
}

// The files go aside, into a folder named after `reason`; what comes is a member that never was before, and asks `known`.
Status Runtime::begin_anew(const std::string& reason, std::vector<raft::Member> known) {
  const std::string aside = io::join(folder_, reason + "-" + std::to_string(identity_.incarnation.value()));
  if (auto done = disk_.make_folder(aside); !done) return done;
  for (const char* name : {"identity.json", "vote", "progress", "log", "snapshot"}) {
    const auto path = io::join(folder_, name);
    if (!disk_.info(path).ok()) continue;
    if (auto done = disk_.rename(path, io::join(aside, name)); !done) return done;
  }
  LOG_INFO("the files of before are kept in {}", aside);
  auto fresh = storage::new_identity(random_);
  fresh.incarnation = Incarnation(1);
  fresh.self = identity_.self;
  fresh.members = std::move(known);
  identity_ = std::move(fresh);
  return storage::store_identity(disk_, identity_path(), identity_);
}

void Runtime::make_host() {
  Guard guard(mutex_);
  raft::Options core;
  core.seed = random_.next();
  core.beat_interval = config_.heartbeat_interval;
  if (config_.election_timeout) {
    core.silence_default = *config_.election_timeout;
    core.silence_fixed = true;
  }
  core.silence_min = std::max(kSilenceMin, 3 * config_.heartbeat_interval);
  core.silence_default = std::max(core.silence_default, core.silence_min);
  if (config_.election_timeout) core.silence_default = *config_.election_timeout;
  if (clock_may_stop()) {
    if (auto vmclock = io::posix::VmClock::open()) vmclock_ = std::move(*vmclock);
  }
  leases_ = lease_policy(config_.leader_lease, config_.lease_reads, config_.election_timeout,
                         clock_may_stop() && vmclock_ == nullptr);
  if (!leases_.remark.empty()) LOG_INFO("{}", leases_.remark);
  core.touched = [](const Entry& entry) { return topology::keys_changed_by(bytes_of(entry.data.view())); };
  core.lease_length = leases_.length;
  // What the core hands out must fit into the segment in reserve (core/raft/core.h, DiskChanged).
  core.append_bytes_max = std::min<std::size_t>(core.append_bytes_max, config_.segment_bytes / 8);
  core.proposals_bytes_max = config_.segment_bytes / 2;
  core.log_tail_bytes_max = 2 * config_.segment_bytes;
  watch_ = std::make_unique<Watch>(Watch::Options{.folder = config_.folder,
                                                  .self = text(config_.self),
                                                  .view = [this] { return host_->view(); },
                                                  .discovered = [this] { return discovered(); },
                                                  .send = [this](NodeId to, const std::string& bytes) { send_datagram(to, bytes); }},
                                   clock_);
  host_ = std::make_unique<RaftHost>(RaftHost::Options{.self = identity_.node,
                                                       .incarnation = identity_.incarnation,
                                                       .process = process_,
                                                       .address = text(config_.self),
                                                       .feature_level = config_.feature_level,
                                                       .core = core,
                                                       .snapshot_entries = config_.snapshot_entries,
                                                       .snapshot_log_bytes = config_.snapshot_log_bytes,
                                                       .entries_kept = config_.entries_kept,
                                                       .feed = config_.feed,
                                                       .on_fatal = [this](const std::string& why) { fatal(why); },
                                                       .on_lease_event = [this](LeaseEvent event) { watch_->happened(std::move(event)); },
                                                       .on_datagram = [this](BytesView datagram) { watch_->received(datagram); },
                                                       .guardian = config_.guardian.get(),
                                                       .vmclock = vmclock_.get()},
                                     clock_, state_);
  if (!config_.witness_wanted || !config_.volume_servers) return;
  witness_policy_.emplace(WitnessPolicy::Hooks{
      .wanted = config_.witness_wanted,
      .volume_servers = config_.volume_servers,
      .meet =
          [this](const std::string& address, std::function<void(Result<RaftGreeting>)> done) {
            RaftGreeting greeting;
            greet(&greeting);
            calls_.meet(address, greeting, std::move(done));
          },
      .change = [this](raft::Change change, std::function<void(Status)> done) { host_->change(change, std::move(done)); }});
}

// ---------------------------------------------------------------------------------------------------- start and stop

Status Runtime::start() {
  CHECK(!started_);
  if (!config_.vip.is_empty()) {
    auto keeper = VipKeeper::start(
        config_.vip, clock_, config_.guardian.get(),
        {.facts = [this] { return host_->lead_facts(); },
         .farewells = [this](Term term, Duration free_in) { return host_->farewells(term, free_in); },
         .hand_over = [this] { host_->transfer(std::nullopt, [](const Status&) {}, true); }});
    if (!keeper) return keeper.error();
    vip_ = std::move(*keeper);
  }
  auto beats = io::posix::UdpSocket::bind(config_.bind_host, config_.self.grpc_port_or_default());
  if (beats) {
    beats_.emplace(std::move(*beats));
  } else {
    LOG_WARNING("heartbeats take the slower way through the masters' streams: {}", beats.error().what());
  }
  take_discovered();
  if (opened_) {
    discovery_->wait_until_known(kNamesPatienceOfMembers);
    take_discovered();
    if (auto done = refuse_copy(); !done) return done;
    if (auto done = refuse_second_successor(); !done) return done;
    compare_with_peers();
    auto opened = std::move(*opened_);
    opened_.reset();
    if (auto done = take_part(std::move(opened)); !done) return done;
  }
  watch_->start();
  started_ = true;
  began_ = clock_.now();
  thread_ = std::thread([this] { run(); });
  return {};
}

// A folder that served under another address may be a copy, its original alive: two processes with one identity could
// both vote in one term. So whoever moved asks at the old address, and at every other one it knows of, before its first
// word; the process that started later is the one to go.
Status Runtime::refuse_copy() {
  std::set<std::string> places;
  {
    Guard guard(mutex_);
    if (was_called_.empty()) return {};
    places.insert(was_called_);
    for (const auto& [name, answer] : listed_) places.insert(name);
    for (const auto& member : identity_.members) places.insert(member.address);
    places.erase("");
    places.erase(identity_.self);
  }
  RaftGreeting greeting;
  greet(&greeting);
  for (const auto& [place, answer] : calls_.ask(places, greeting, clock_, kFirstWordPatience)) {
    if (answer.node() != greeting.node() || answer.process() == greeting.process()) continue;
    return Error{Code::refused, "the master at " + place + " runs with the identity of " + folder_ +
                                    ": this folder is a copy of its folder. Remove " + folder_ +
                                    " and start again: then this master joins as a new member"};
  }
  return {};
}

// Two masters were recovered from one lost cluster, by mistake: the one that is at work stays, for volume servers may have
// followed it already. Asked before the first word of this one.
Status Runtime::refuse_second_successor() {
  std::set<std::string> places;
  std::set<ClusterId> ours;
  {
    Guard guard(mutex_);
    for (auto& place : former_places()) places.insert(std::move(place));
    ours.insert(identity_.superseded.begin(), identity_.superseded.end());
  }
  if (places.empty()) return {};
  RaftGreeting greeting;
  greet(&greeting);
  for (const auto& [place, answer] : calls_.ask(places, greeting, clock_, kFirstWordPatience)) {
    const ClusterId theirs(uuid_of(answer.cluster()));
    Guard guard(mutex_);
    const bool same_origin = std::any_of(answer.superseded().begin(), answer.superseded().end(),
                                         [&](const auto& id) { return ours.contains(ClusterId(uuid_of(id))); });
    if (same_origin && theirs != identity_.cluster) return Error{Code::refused, twice_text(theirs, place)};
  }
  return {};
}

// Where members of a cluster were whose place this one has taken, and where no member is now.
std::vector<std::string> Runtime::former_places() {
  std::vector<std::string> places;
  for (const auto& place : identity_.former) {
    const bool is_member = std::any_of(identity_.members.begin(), identity_.members.end(),
                                       [&](const auto& member) { return same_address(member.address, place); });
    if (!is_member) places.push_back(place);
  }
  return places;
}

// A master that was once started without -peers has founded a cluster of its own. When -peers names masters of another
// one now, and nothing was ever stored in the own one, it is given up: this master joins those as a new member, and
// never votes as the old one. Before its first word, so nobody can have been promised anything since the last start.
Status Runtime::give_up_lone_cluster() {
  if (config_.peers.empty() || may_hold_data(*opened_, config_.feature_level)) return {};
  discovery_->wait_until_known(kNamesPatience);
  std::set<std::string> places;
  RaftGreeting greeting;
  ClusterId own;
  {
    Guard guard(mutex_);
    for (const auto& peer : discovery_->found()) {
      if (!(peer == config_.self)) places.insert(text(peer));
    }
    if (places.empty() || !is_lone(*opened_, identity_.node)) return {};
    own = identity_.cluster;
    greeting.set_format(kGreetingFormat);
    greeting.set_node(uuid_bytes(identity_.node.value()));
    greeting.set_process(uuid_bytes(process_));
    greeting.set_incarnation(identity_.incarnation.value());
    greeting.set_feature_level(config_.feature_level);
    greeting.set_address(identity_.self);
    greeting.set_phase(RAFT_PHASE_NEW);
  }
  std::map<std::string, Answer> answers;
  for (const auto& [place, answer] : calls_.ask(places, greeting, clock_, kFirstWordPatience)) answers.emplace(place, answer_of(answer));
  const auto target = cluster_to_join(own, answers);
  if (!target) return {};
  Guard guard(mutex_);
  LOG_WARNING("this master once founded cluster {} by itself, and nothing was stored in it; -peers names masters of "
              "cluster {}: it gives up its own and joins them as a new member", text(own), text(*target));
  opened_.reset();
  return begin_anew("given-up", {});
}

void Runtime::stop(Duration transfer_wait_max) {
  if (discovery_) discovery_->stop();
  if (!started_) return;
  started_ = false;
  if (host_->view()->is_leader() && host_->view()->members.size() > 1) {
    auto ended = std::make_shared<std::pair<Mutex, Condition>>();
    auto over = std::make_shared<bool>(false);
    host_->transfer(std::nullopt, [ended, over](const Status& status) {
      if (!status) LOG_WARNING("leadership was not handed over: {}", status.error().what());
      Guard guard(ended->first);
      *over = true;
      ended->second.notify_all();
    });
    Guard guard(ended->first);
    while (!*over) {
      if (ended->second.wait_for(ended->first, transfer_wait_max) == std::cv_status::timeout) break;
    }
  }
  std::shared_ptr<PeerLinks> links;
  {
    Guard guard(mutex_);
    stopping_ = true;
    links = links_;
  }
  woken_.notify_all();
  if (thread_.joinable()) thread_.join();
  calls_.stop();
  if (vip_) vip_->stop();
  host_->stop();
  watch_->stop();
  if (links) links->stop();
  lock_.reset();
}

// ---------------------------------------------------------------------------------------------------- taking part

Status Runtime::take_part(storage::RaftStore::Opened opened) {
  std::shared_ptr<PeerLinks> links;
  ClusterId cluster;
  {
    Guard guard(mutex_);
    cluster = identity_.cluster;
    const auto* beats = beats_ ? &*beats_ : nullptr;
    links = std::make_shared<PeerLinks>(
        identity_.node, process_, cluster, clock_, beats, config_.heartbeat_interval,
        PeerLinks::Hooks{.received = [this](std::vector<raft::Message> messages) { host_->received(std::move(messages)); },
                         .lost = [this](NodeId peer) { host_->link_lost(peer); },
                         .greet = [this](RaftGreeting* greeting) { greet(greeting); },
                         .greeted =
                             [this](const RaftGreeting& from) {
                               {
                                 Guard guard(mutex_);
                                 for (const auto& id : from.superseded()) superseded_heard_.emplace(uuid_of(id));
                               }
                               nudge();
                             },
                         .must_stop =
                             [this](const std::string& why) {
                               host_->silence();
                               fatal(why);
                             },
                         .seal = &seal_});
    links_ = links;
    joining_ = true;  // until the configuration says otherwise
  }
  LOG_INFO("takes part in cluster {} as {}, start number {}", text(cluster), text(config_.self),
           host_->view()->incarnation.value());
  return host_->begin(cluster, std::move(opened.store), std::move(opened.start), *links, beats_ ? &*beats_ : nullptr);
}

Status Runtime::found(ClusterId cluster, const raft::Configuration& configuration) {
  if (config_.read_only) return Error{Code::refused, "with -readOnly a master joins others, whom -peers must name"};
  storage::Identity identity;
  {
    Guard guard(mutex_);
    identity = identity_;
  }
  identity.cluster = cluster;
  identity.founding = configuration;
  identity.members = configuration.members();
  if (auto done = storage::RaftStore::found(disk_, random_, folder_, store_options(identity), configuration); !done) {
    return done;
  }
  if (auto done = storage::store_identity(disk_, identity_path(), identity); !done) return done;
  auto opened = storage::RaftStore::open(disk_, random_, folder_, store_options(identity));
  if (!opened) return opened.error();
  {
    Guard guard(mutex_);
    identity_ = std::move(identity);
  }
  LOG_INFO("begins cluster {} with {}", text(cluster), raft::text(configuration));
  if (const auto warning = even_count_warning(configuration.voter_count()); !warning.empty()) LOG_WARNING("{}", warning);
  return take_part(std::move(*opened));
}

Status Runtime::enter(const Entrance& entrance) {
  if (config_.read_only && !entrance.founding.empty() && entrance.founding.is_voter(identity_node())) {
    return Error{Code::refused, "this master was started with -readOnly, and the others count on its vote: take it out of their "
                                "-peers"};
  }
  storage::Identity identity;
  {
    Guard guard(mutex_);
    identity = identity_;
  }
  if (entrance.founding.find(identity.node) != nullptr) return found(entrance.cluster, entrance.founding);
  identity.cluster = entrance.cluster;
  identity.members = entrance.configuration.members();
  if (auto done = storage::RaftStore::begin(disk_, random_, folder_, store_options(identity)); !done) return done;
  if (auto done = storage::store_identity(disk_, identity_path(), identity); !done) return done;
  auto opened = storage::RaftStore::open(disk_, random_, folder_, store_options(identity));
  if (!opened) return opened.error();
  {
    Guard guard(mutex_);
    identity_ = std::move(identity);
    join_at_ = entrance.found_at;
  }
  LOG_INFO("joins cluster {}, found at {}", text(entrance.cluster), entrance.found_at);
  return take_part(std::move(*opened));
}

// ---------------------------------------------------------------------------------------------------- the thread

void Runtime::nudge() {
  {
    Guard guard(mutex_);
    awake_ = true;
  }
  woken_.notify_all();
}

// False when stopping.
bool Runtime::pause(Duration duration) {
  const Instant until = clock_.now() + duration;
  Guard guard(mutex_);
  while (!stopping_ && !awake_) {
    const Duration left = until - clock_.now();
    if (left <= Duration(0)) break;
    (void)woken_.wait_for(mutex_, left);
  }
  awake_ = false;
  return !stopping_;
}

void Runtime::fatal(const std::string& why) {
  if (failed_.exchange(true)) return;
  LOG_ERROR("{}", why);
  if (config_.on_fatal) config_.on_fatal(why);
}

std::vector<DiscoveredMaster> Runtime::discovered() {
  const auto configuration = host_->configuration();
  Guard guard(mutex_);
  const auto cluster = links_ ? identity_.cluster : ClusterId();
  return discovered_masters(listed_, not_found_, configuration.get(), cluster, identity_.node, identity_.self);
}

void Runtime::send_datagram(NodeId to, const std::string& datagram) {
  std::shared_ptr<PeerLinks> links;
  {
    Guard guard(mutex_);
    links = links_;
  }
  if (links) links->send_datagram(to, bytes_of(datagram));
}

void Runtime::run() {
  for (;;) {
    const Instant now = clock_.now();
    bool takes_part = false;
    take_discovered();
    {
      Guard guard(mutex_);
      takes_part = links_ != nullptr;
    }
    const Duration wait = takes_part ? member_turn(now) : bootstrap_turn(now);
    if (!pause(wait)) return;
  }
}

void Runtime::tell(Instant now, const std::string& what) {
  host_->set_waiting(what);
  if (now < told_at_ + kTellInterval && told_at_ != kDistantPast) return;
  // The first time after a moment only: most starts are over by then.
  if (told_at_ == kDistantPast && now < began_ + 1s) return;
  told_at_ = now;
  LOG_INFO("{}", what);
}

Duration Runtime::bootstrap_turn(Instant now) {
  std::optional<Entrance> entrance;
  BootstrapSelf self;
  std::map<std::string, std::optional<Answer>> listed;
  std::vector<raft::Member> known;
  {
    Guard guard(mutex_);
    entrance = invitation_;
    self = {.node = identity_.node,
            .process = process_,
            .address = identity_.self,
            .drawn_cluster = identity_.drawn_cluster,
            .told_cluster = told_cluster_,
            .told_by = told_by_};
    listed = listed_;
    known = identity_.members;
    // A member that begins anew knows whom to ask even without -peers.
    for (const auto& member : known) listed_[member.address];
    if (!known.empty()) listed = listed_;
  }
  Status done;
  if (entrance) {
    done = enter(*entrance);
  } else if (listed.empty()) {
    if (now < began_ + kLoneWait) return kLoneWait;
    done = found(self.drawn_cluster, raft::Configuration({{.id = self.node, .address = self.address, .voter = true}}));
  } else {
    auto step = next_step(self, listed);
    if (auto* founding = std::get_if<Found>(&step)) {
      done = found(founding->cluster, founding->configuration);
    } else if (auto* joining = std::get_if<Join>(&step); joining != nullptr && !all_answered(listed) &&
                                                         now < began_ + kOtherAnswersWait) {
      meet_listed(now, kMeetInterval);
      return kMeetInterval;
    } else if (joining != nullptr) {
      done = enter({.cluster = joining->cluster,
                    .founding = joining->founding,
                    .configuration = joining->configuration,
                    .found_at = ""});
    } else if (auto* refusal = std::get_if<Refuse>(&step)) {
      fatal(refusal->why);
      return kIdleInterval;
    } else {
      tell(now, std::get<Wait>(step).why);
      const Duration interval = now < began_ + kMeetQuickFor ? kMeetInterval : kMeetIntervalLater;
      meet_listed(now, interval);
      return interval;
    }
  }
  if (!done) {
    fatal("cannot take part: " + done.error().what());
    return kIdleInterval;
  }
  return Duration(0);
}

void Runtime::told_of(const ClusterHint& hint) {
  {
    Guard guard(mutex_);
    // Whoever was given -peers, or remembers other members, knows better whom to ask.
    const bool knows_better = links_ || !config_.peers.empty() || !identity_.members.empty();
    if (knows_better || hint.cluster.value().empty() || !told_cluster_.value().empty()) return;
    const auto is_here = [&](const Address& address) { return address == config_.self || address == hint.called_as; };
    if (std::none_of(hint.masters.begin(), hint.masters.end(), is_here)) return;
    if (std::all_of(hint.masters.begin(), hint.masters.end(), is_here)) return;  // nobody there who could remember it
    told_cluster_ = hint.cluster;
    told_by_ = hint.from;
    for (const auto& master : hint.masters) {
      if (!is_here(master)) listed_[text(master)];
    }
  }
  LOG_INFO("volume server {} knows this master's address as one of cluster {}", hint.from, text(hint.cluster));
  nudge();
}

// Keeps listed_ what -peers stands for. A name is listed as itself while it has no address, so that bootstrap waits for
// it. What it no longer stands for stays a member if it is one: members are removed by operators, not by name servers.
void Runtime::take_discovered() {
  std::set<std::string> wanted;
  std::set<std::string> not_found;
  for (const auto& place : discovery_->places()) {
    if (!place.is_known) not_found.insert(text(place.asked));
    for (const auto& address : place.stands_for) wanted.insert(text(address));
  }
  while (wanted.size() > raft::kMembersMax) {
    LOG_ONCE("-peers stands for {} masters, and a cluster has {} at most: the first ones count", wanted.size(),
             raft::kMembersMax);
    wanted.erase(std::prev(wanted.end()));
  }
  wanted.insert(not_found.begin(), not_found.end());
  Guard guard(mutex_);
  not_found_ = std::move(not_found);
  if (wanted == from_peers_) return;
  for (const auto& name : from_peers_) {
    const bool is_member = std::any_of(identity_.members.begin(), identity_.members.end(),
                                       [&](const auto& member) { return member.address == name; });
    if (!wanted.contains(name) && !(links_ == nullptr && is_member)) listed_.erase(name);
  }
  for (const auto& name : wanted) listed_[name];
  from_peers_ = std::move(wanted);
}

void Runtime::meet_listed(Instant now, Duration interval) {
  if (now < met_at_ + interval && met_at_ != kDistantPast) return;
  met_at_ = now;
  std::vector<std::string> names;
  {
    Guard guard(mutex_);
    for (const auto& [name, answer] : listed_) {
      // A name without an address is not dialled: of several masters behind it, one would seem to be all of them.
      if (!not_found_.contains(name) && asked_.insert(name).second) names.push_back(name);
    }
  }
  RaftGreeting greeting;
  greet(&greeting);
  for (const auto& name : names) {
    calls_.meet(name, greeting, [this, name](Result<RaftGreeting> answer) {
      if (answer && heed(*answer)) return;
      std::shared_ptr<PeerLinks> links;
      bool news = false;
      std::optional<Answer> heard;
      std::optional<ClusterId> foreign_cluster;
      if (answer) heard = answer_of(*answer);
      {
        Guard guard(mutex_);
        asked_.erase(name);
        const auto place = listed_.find(name);
        if (place == listed_.end()) return;  // -peers does not stand for it any more
        auto& slot = place->second;
        news = heard.has_value() && (!slot || slot->listed != heard->listed || slot->listed_all != heard->listed_all ||
                                     slot->cluster != heard->cluster || slot->node != heard->node);
        // Gone again: a master that does not answer now must not count as seen.
        slot = std::move(heard);
        links = links_;
        if (links && slot && slot->cluster != identity_.cluster) {
          links = nullptr;
          if (!slot->cluster.value().empty()) foreign_cluster = slot->cluster;
        }
      }
      if (foreign_cluster) tell_of_foreign(name, *foreign_cluster);
      if (links && answer) {
        links->learn(*answer, false);
        links->hint(NodeId(uuid_of(answer->node())), name);
      }
      if (news) nudge();
    });
  }
}

// ---------------------------------------------------------------------------------------------------- as a member

Duration Runtime::member_turn(Instant now) {
  const auto view = host_->view();
  const auto configuration = host_->configuration();
  const bool is_member = configuration && configuration->find(view->self) != nullptr;
  {
    Guard guard(mutex_);
    joining_ = !is_member;
  }
  if (!is_member) {
    // One that voted here was removed: the leader's notice is on its way. To ask for admission would undo the removal.
    if (configuration && was_voter()) {
      tell(now, "this master was removed from its cluster; to bring it back as a new member remove " + folder_ +
                    " and start it again");
    } else {
      ask_to_join(now);
    }
    return kJoinInterval;
  }
  keep_members();
  meet_former(now);
  Duration wait = kIdleInterval;
  if (view->is_leader()) announce_addresses(*view);
  if (view->is_leader()) turn_on_leases(*view);
  if (view->is_leader() && witness_policy_) {
    witness_policy_->look(now, *view, *configuration);
    wait = std::min<Duration>(wait, 1s);
  } else if (witness_policy_) {
    witness_policy_->rest();
  }
  if (const auto interval = listed_interval(*configuration)) {
    meet_listed(now, *interval);
    wait = std::min(wait, *interval);
  }
  const bool all_connected =
      std::all_of(view->members.begin(), view->members.end(), [](const auto& member) { return member.connected; });
  if (!all_connected) {
    // -peers and former addresses are hints where the missing ones may be.
    meet_listed(now, kHintInterval);
    wait = kHintInterval;
  }
  return wait;
}

// Members of a cluster whose place this one has taken may be up again somewhere, and do not know it yet.
void Runtime::meet_former(Instant now) {
  std::vector<std::string> places;
  {
    Guard guard(mutex_);
    if (!std::exchange(former_wanted_, false) && now < former_met_at_ + kForeignInterval && former_met_at_ != kDistantPast) {
      return;
    }
    places = former_places();
  }
  former_met_at_ = now;
  if (places.empty()) return;
  RaftGreeting greeting;
  greet(&greeting);
  for (const auto& place : places) {
    calls_.meet(place, greeting, [this](Result<RaftGreeting> answer) {
      if (answer) heed(*answer);
    });
  }
}

// How often to call the listed masters that are no members: those without state are invited by that. Empty: there are none.
std::optional<Duration> Runtime::listed_interval(const raft::Configuration& configuration) {
  Guard guard(mutex_);
  std::optional<Duration> interval;
  for (const auto& [name, answer] : listed_) {
    const bool is_member = answer ? configuration.find(answer->node) != nullptr
                                  : std::any_of(configuration.members().begin(), configuration.members().end(),
                                                [&, n = &name](const auto& m) { return same_address(m.address, *n); });
    if (is_member) continue;
    const bool is_foreign = answer && !answer->cluster.value().empty() && answer->cluster != identity_.cluster;
    interval = std::min(interval.value_or(kForeignInterval), is_foreign ? kForeignInterval : kListedInterval);
  }
  return interval;
}

// A listed master belongs to another cluster: says once what the operator can do.
void Runtime::tell_of_foreign(const std::string& name, ClusterId theirs) {
  const auto configuration = host_->configuration();
  const bool lone = configuration && configuration->members().size() == 1;
  const auto view = host_->view();
  // What it holds is known when it has applied its log, an entry of its own term at the end; the next look tells.
  if (lone && !(view->is_leader() && view->commit > view->commit_at_election && view->applied >= view->commit)) return;
  const bool holds_data = !config_.holds_data || config_.holds_data();
  Guard guard(mutex_);
  if (!told_.insert("foreign " + name + text(theirs)).second) return;
  if (std::find(identity_.superseded.begin(), identity_.superseded.end(), theirs) != identity_.superseded.end()) {
    LOG_WARNING("the master at {} still belongs to cluster {}, in whose place this one, {}, is since a recovery: it is told "
                "to stop", name, text(theirs), text(identity_.cluster));
    return;
  }
  std::string advice = "Name masters of one cluster only";
  if (lone && !holds_data) {
    advice = "Nothing is stored under this one, which it founded by itself: start it again with the same -peers, and it "
             "joins them as a new member";
  } else if (lone) {
    advice = "Both may hold files, so they cannot become one. To bring this master there: copy out what is stored under "
             "it, stop it, remove " + folder_ + " and start it again with the same -peers";
  }
  LOG_ERROR("-peers names {}, a master of cluster {}; this one belongs to cluster {}. {}", name, text(theirs),
            text(identity_.cluster), advice);
}

std::vector<std::string> Runtime::join_targets() {
  Guard guard(mutex_);
  std::vector<std::string> out;
  const auto add = [&](const std::string& address) {
    if (!address.empty() && address != identity_.self && std::find(out.begin(), out.end(), address) == out.end()) {
      out.push_back(address);
    }
  };
  add(join_at_);
  for (const auto& member : identity_.members) add(member.address);
  for (const auto& [name, answer] : listed_) add(name);
  return out;
}

// As far as the members last kept tell. A learner may be out again because the entry that added it was never committed.
bool Runtime::was_voter() {
  Guard guard(mutex_);
  return std::any_of(identity_.members.begin(), identity_.members.end(),
                     [&](const auto& member) { return member.id == identity_.node && member.voter; });
}

void Runtime::ask_to_join(Instant now) {
  if (now < joined_at_ + kJoinInterval && joined_at_ != kDistantPast) return;
  joined_at_ = now;
  const auto targets = join_targets();
  if (targets.empty()) return;
  RaftGreeting greeting;
  greet(&greeting);
  std::string target;
  {
    Guard guard(mutex_);
    target = targets[join_attempt_++ % targets.size()];
    if (!asked_.insert("join " + target).second) return;
  }
  calls_.join(target, greeting, [this, target](Result<RaftJoinReply> reply) {
    Guard guard(mutex_);
    asked_.erase("join " + target);
    if (!reply) {
      if (join_at_ == target) join_at_.clear();
      return;
    }
    if (!reply->leader().empty()) {
      join_at_ = reply->leader();
      join_attempt_ = 0;
    }
    if (!reply->text().empty()) join_answer_ = reply->text();
    if (reply->accepted()) join_answer_.clear();
  });
  std::string answer;
  {
    Guard guard(mutex_);
    answer = join_answer_;
  }
  if (now >= told_at_ + kTellInterval && now >= began_ + 1s) {
    told_at_ = now;
    LOG_INFO("is not a member of the cluster yet{}{}", answer.empty() ? "" : ": ", answer);
  }
}

// A member that announces another address than the configuration has: the change is committed, one at a time.
void Runtime::announce_addresses(const View& view) {
  const auto configuration = host_->configuration();
  std::shared_ptr<PeerLinks> links;
  {
    Guard guard(mutex_);
    links = links_;
    if (readdressing_) return;
  }
  if (!configuration) return;
  std::vector<std::pair<NodeId, std::string>> announced{{view.self, text(config_.self)}};
  for (const auto& info : links->peers()) {
    if (info.connected && !info.address.empty()) announced.emplace_back(info.id, info.address);
  }
  for (const auto& [id, address] : announced) {
    const auto* member = configuration->find(id);
    if (member == nullptr || member->address == address) continue;
    LOG_INFO("the master at {} is now called {}", member->address, address);
    {
      Guard guard(mutex_);
      readdressing_ = true;
    }
    host_->change(raft::SetAddress{.id = id, .address = address}, [this, id = id](const Status& status) {
      if (!status) LOG_V(1, "address of {}: {}", text(id), status.error().what());
      {
        Guard guard(mutex_);
        readdressing_ = false;
      }
      if (status) nudge();  // for the next one
    });
    return;
  }
}

// A leader whose leases would be longer than the configuration allows has it allow them, once every master understands.
// It never lowers what another may need.
void Runtime::turn_on_leases(const View& view) {
  if (leases_.cap <= view.lease.cap || !config_.leases_understood || !config_.leases_understood()) return;
  if (changing_leases_.exchange(true)) return;
  host_->change(raft::SetLeaseCap{leases_.cap}, [this](const Status& status) {
    if (status) {
      LOG_INFO("leaders answer reads by leases of up to {} ms from now on", milliseconds(leases_.cap));
    } else {
      LOG_V(1, "leases: {}", status.error().what());
    }
    changing_leases_ = false;
  });
}

// The members last known are where to dial after the next start.
void Runtime::keep_members() {
  const auto configuration = host_->configuration();
  if (!configuration) return;
  storage::Identity identity;
  bool is_news = false;
  bool others = false;
  {
    Guard guard(mutex_);
    const auto known = [&](ClusterId id) {
      return std::find(identity_.superseded.begin(), identity_.superseded.end(), id) != identity_.superseded.end();
    };
    for (const auto id : std::exchange(superseded_heard_, {})) {
      if (known(id) || identity_.superseded.size() >= kSupersededMax) continue;
      identity_.superseded.push_back(id);
      is_news = true;
    }
    others = identity_.members != configuration->members();
    if (!others && !is_news) return;
    identity_.members = configuration->members();
    identity = identity_;
  }
  if (others) LOG_INFO("members: {}", raft::text(*configuration));
  if (const auto warning = even_count_warning(configuration->voter_count()); others && !warning.empty()) {
    LOG_WARNING("{}", warning);
  }
  if (auto done = storage::store_identity(disk_, identity_path(), identity); !done) {
    LOG_WARNING("members last known: {}", done.error().what());
  }
}

// One line about what -peers says otherwise than the stored members; those rule.
void Runtime::compare_with_peers() {
  const auto peers = discovery_->found();
  if (peers.empty()) return;
  Guard guard(mutex_);
  std::string missing;
  std::string extra;
  for (const auto& member : identity_.members) {
    const bool named = std::any_of(peers.begin(), peers.end(),
                                   [&](const auto& peer) { return same_address(member.address, text(peer)); });
    if (!named && member.id != identity_.node) missing += " " + member.address;
  }
  for (const auto& peer : peers) {
    const bool known = std::any_of(identity_.members.begin(), identity_.members.end(),
                                   [&](const auto& member) { return same_address(member.address, text(peer)); });
    if (!known && !(peer == config_.self)) extra += " " + text(peer);
  }
  if (missing.empty() && extra.empty()) return;
  LOG_INFO("-peers differs from the stored members, which rule:{}{}{}{}", missing.empty() ? "" : " not named, stay members:",
           missing, extra.empty() ? "" : (missing.empty() ? " named, join when new:" : "; named, join when new:"), extra);
}

void Runtime::admit(const Address& address, bool voter, NodeId replaces, std::function<void(Status)> done) {
  RaftGreeting greeting;
  greet(&greeting);
  calls_.meet(text(address), greeting, [this, voter, replaces, at = text(address),
                                        done = std::move(done)](Result<RaftGreeting> answer) {
    if (!answer) {
      return done(Error{answer.error().code(), "the master at " + at + " does not answer (" + answer.error().what() +
                                                   "): start it first, with -peers naming one of this cluster; then it "
                                                   "joins by itself"});
    }
    const auto who = answer_of(*answer);
    const auto cluster = host_->view()->cluster_id;
    if (voter && answer->read_only()) {
      return done(Error{Code::refused, "the master at " + who.address + " was started with -readOnly: it never votes. Start it "
                                           "again without"});
    }
    if (!who.cluster.value().empty() && who.cluster != cluster) {
      const bool lone = who.configuration.members().size() == 1 && !who.holds_data;
      return done(Error{Code::refused, "the master at " + who.address + " belongs to another cluster, " +
                                           text(who.cluster) +
                                           (lone ? ", which it founded by itself and which holds nothing: start it again "
                                                   "with -peers=" + text(config_.self) + ", and it joins this one"
                                                 : ": stop it, remove its member folder and start it again")});
    }
    const auto configuration = host_->configuration();
    const auto* member = configuration ? configuration->find(who.node) : nullptr;
    if (member != nullptr && member->id == replaces) {
      return done(Error{Code::invalid, at + " is the master that is to be replaced"});
    }
    if (member != nullptr && !replaces.value().empty()) {  // it has joined by itself: only the old one is to go
      const auto drop = [this, replaces, done](const Status& promoted) {
        if (!promoted) return done(promoted);
        host_->change(raft::RemoveMember{replaces}, done);
      };
      return member->voter ? drop({}) : host_->change(raft::PromoteMember{who.node}, drop);
    }
    if (member != nullptr && voter && !member->voter) return host_->change(raft::PromoteMember{who.node}, done);
    host_->change(raft::AddMember{{.id = who.node, .address = who.address, .voter = false, .promote = voter, .replaces = replaces}},
                  done);
  });
}

// ---------------------------------------------------------------------------------------------------- called

void Runtime::greet(RaftGreeting* greeting) {
  const auto view = host_->view();
  const auto configuration = host_->configuration();
  greeting->set_holds_data(!config_.holds_data || config_.holds_data());
  Guard guard(mutex_);
  greeting->set_format(kGreetingFormat);
  greeting->set_node(uuid_bytes(identity_.node.value()));
  greeting->set_process(uuid_bytes(process_));
  greeting->set_incarnation(identity_.incarnation.value());
  greeting->set_feature_level(config_.feature_level);
  greeting->set_address(identity_.self);
  greeting->set_read_only(config_.read_only);
  greeting->set_term(view->term.value());
  if (view->leader) greeting->set_leader(uuid_bytes(view->leader->value()));
  if (links_ == nullptr) {
    greeting->set_phase(RAFT_PHASE_NEW);
    greeting->set_drawn_cluster(uuid_bytes(identity_.drawn_cluster.value()));
    const BootstrapSelf self{.node = identity_.node, .process = process_};
    for (const auto& node : seen(self, listed_)) greeting->add_listed(uuid_bytes(node.value()));
    // Nobody founds a cluster with one that only reads: those that list it wait, and say for whom.
    greeting->set_listed_all(!config_.read_only && !listed_.empty() && all_answered(listed_));
    return;
  }
  greeting->set_cluster(uuid_bytes(identity_.cluster.value()));
  for (const auto& id : identity_.superseded) greeting->add_superseded(uuid_bytes(id.value()));
  greeting->set_phase(joining_ ? RAFT_PHASE_JOINING : RAFT_PHASE_MEMBER);
  if (!identity_.founding.empty()) greeting->set_founding(raft::encode(identity_.founding));
  if (configuration) {
    greeting->set_configuration(raft::encode(*configuration));
  } else if (!identity_.members.empty() && identity_.members.size() <= raft::kMembersMax) {
    greeting->set_configuration(raft::encode(raft::Configuration(identity_.members)));
  }
}

// A cluster calls us while we have none: its list names our address or our UUID, or its operator named us.
void Runtime::consider_invitation(const RaftGreeting& from) {
  if (from.cluster().empty() || from.phase() != RAFT_PHASE_MEMBER) return;
  {
    Guard guard(mutex_);
    if (links_ != nullptr || invitation_) return;
    auto configuration = decoded(from.configuration());
    const bool listed =
        std::any_of(configuration.members().begin(), configuration.members().end(), [&](const auto& member) {
          return member.id == identity_.node || same_address(member.address, identity_.self);
        });
    const bool named = same_address(from.dialled(), identity_.self);
    if (!listed && !named) return;
    invitation_ = Entrance{.cluster = ClusterId(uuid_of(from.cluster())),
                           .founding = decoded(from.founding()),
                           .configuration = std::move(configuration),
                           .found_at = from.address()};
  }
  nudge();
}

// Why this member must stop if what `from` says is true; empty: it need not.
std::string Runtime::superseded_by(const RaftGreeting& from) {
  if (links_ == nullptr || from.cluster().empty() || from.cluster() == uuid_bytes(identity_.cluster.value())) return "";
  const ClusterId theirs(uuid_of(from.cluster()));
  std::set<ClusterId> gone;
  for (const auto& id : from.superseded()) gone.emplace(uuid_of(id));
  if (gone.contains(identity_.cluster)) return recovered_text(identity_.cluster, theirs, from.address());
  const auto& ours = identity_.superseded;
  const bool twice = std::any_of(ours.begin(), ours.end(), [&](ClusterId id) { return gone.contains(id); });
  if (!twice || identity_.cluster < theirs) return "";
  return twice_text(theirs, from.address());
}

std::string Runtime::twice_text(ClusterId theirs, const std::string& at) {
  return "two masters were recovered from one lost cluster, and each began another: this one cluster " +
         text(identity_.cluster) + ", the one at " + at + " cluster " + text(theirs) +
         ". Only that one may go on: remove " + folder_ + " and start this master again with -peers=" + at +
         "; then it joins as a new member";
}

// An answer at an address this master knows itself. Whoever calls may be anybody: that is told of in the log only.
bool Runtime::heed(const RaftGreeting& from) {
  std::string why;
  {
    Guard guard(mutex_);
    why = superseded_by(from);
  }
  if (why.empty()) return false;
  host_->silence();
  fatal(why);
  return true;
}

// Whether `from` belongs to another cluster than ours; then the answer says so, and once our log.
bool Runtime::foreign(const RaftGreeting& from, RaftGreeting* answer) {
  Guard guard(mutex_);
  if (from.cluster().empty() || links_ == nullptr || from.cluster() == uuid_bytes(identity_.cluster.value())) return false;
  const ClusterId theirs(uuid_of(from.cluster()));
  if (const auto why = superseded_by(from); !why.empty() && told_.insert("superseded " + from.cluster()).second) {
    former_wanted_ = true;
    awake_ = true;
    woken_.notify_all();
    LOG_WARNING("the master at {} called and says: {}. This one goes on until it hears that at an address of a master it "
                "knows", from.address(), why);
  }
  if (std::find(identity_.superseded.begin(), identity_.superseded.end(), theirs) != identity_.superseded.end()) {
    answer->set_refusal(recovered_text(theirs, identity_.cluster, identity_.self));
    answer->set_must_stop(true);
    if (told_.insert(from.cluster() + from.address()).second && told_.size() < 1000) {
      LOG_WARNING("the master at {} comes from cluster {}, in whose place this one, {}, is since a recovery: it is told to "
                  "stop", from.address(), text(theirs), text(identity_.cluster));
    }
    return true;
  }
  answer->set_refusal("the master at " + identity_.self + " belongs to cluster " + text(identity_.cluster) + ", not to " +
                      text(theirs));
  if (told_.insert(from.cluster() + from.address()).second && told_.size() < 1000) {
    LOG_WARNING(
        "the master at {} belongs to another cluster, {}; this one to {}. If it should be one: stop the one without "
        "data, remove its member folder and start it again",
        from.address(), text(theirs), text(identity_.cluster));
  }
  return true;
}

void Runtime::meet(const RaftGreeting& from, RaftGreeting* answer) {
  greet(answer);
  consider_invitation(from);
  if (foreign(from, answer)) return;
  bool waits = false;
  {
    // A listed master that is up: ask it back at once instead of at the next turn.
    Guard guard(mutex_);
    waits = links_ == nullptr && !listed_.empty() && !all_answered(listed_);
  }
  if (waits) nudge();
}

std::unique_ptr<IncomingLink> Runtime::opened(const RaftGreeting& from, RaftGreeting* answer) {
  greet(answer);
  consider_invitation(from);
  if (foreign(from, answer)) return nullptr;
  if (from.format() != kGreetingFormat) {
    answer->set_refusal("speaks format " + std::to_string(from.format()) + ", this master " +
                        std::to_string(kGreetingFormat) + ": bring them to versions that fit");
    return nullptr;
  }
  std::shared_ptr<PeerLinks> links;
  {
    Guard guard(mutex_);
    links = links_;
    if (!from.expected().empty() && from.expected() != uuid_bytes(identity_.node.value())) {
      answer->set_refusal("this is another master than expected: " + text(identity_.node));
      return nullptr;
    }
    if (from.node() == uuid_bytes(identity_.node.value())) {
      answer->set_refusal("this master has the same identity as the caller: one folder is a copy of the other");
      return nullptr;
    }
  }
  if (!links || from.cluster().empty()) {
    answer->set_refusal("this master belongs to no cluster yet");
    return nullptr;
  }
  if (const auto why = links->impostor(from); !why.empty()) {
    LOG_ERROR("refused: {}", why);
    answer->set_refusal(why);
    answer->set_must_stop(true);
    return nullptr;
  }
  auto link = links->accept(from);
  if (!link) answer->set_refusal("this master is stopping");
  nudge();
  return link;
}

void Runtime::join(const RaftGreeting& from, RaftJoinReply* answer) {
  const auto view = host_->view();
  const auto configuration = host_->configuration();
  const NodeId id(uuid_of(from.node()));
  if (!configuration || ClusterId(uuid_of(from.cluster())) != view->cluster_id || id.value().empty()) {
    answer->set_text("this master is of another cluster, or of none yet");
    return;
  }
  if (!view->is_leader()) {
    if (const auto* leader = view->leader ? configuration->find(*view->leader) : nullptr) answer->set_leader(leader->address);
    answer->set_text(view->leader ? "" : "the cluster has no leader: " + view->last_change);
    return;
  }
  if (configuration->find(id) != nullptr) {
    answer->set_accepted(true);
    return;
  }
  NodeId replaced;
  for (const auto& member : view->members) {
    if (member.id == id || !same_address(configuration->find(member.id) ? configuration->find(member.id)->address : "",
                                         from.address())) {
      continue;
    }
    // A living member answers this leader's beats. An open connection says less: that of a machine that lost its power
    // stays open for a while.
    const auto quiet_for = member.silent_for.value_or(
        view->leader_since ? clock_.now() - *view->leader_since : Duration(0));
    if (quiet_for < kAliveWithin) {
      answer->set_text("a living member already has the address " + from.address() +
                       "; if it is gone, this master takes its place in a moment");
      return;
    }
    replaced = member.id;
  }
  bool first = false;
  {
    Guard guard(mutex_);
    first = told_.insert("join " + text(id)).second;
  }
  if (first) {
    LOG_INFO("the master at {} joins as {}{}", from.address(), text(id),
             replaced.value().empty() ? "" : ", in place of the one there before, whose disk is gone");
  }
  host_->change(raft::AddMember{{.id = id,
                                 .address = from.address(),
                                 .voter = false,
                                 .promote = !from.read_only(),
                                 .replaces = replaced}},
                [](const Status& status) {
                  if (!status) LOG_V(1, "a new member: {}", status.error().what());
                });
  answer->set_accepted(true);
}

}  // namespace

Status validate(const RuntimeConfig& config) {
  if (config.folder.empty()) return Error{Code::invalid, "-mdir is empty"};
  if (config.self.empty()) return Error{Code::invalid, "this master has no address: give it -ip and -port"};
  if (config.heartbeat_interval <= Duration(0)) return Error{Code::invalid, "-heartbeatInterval must be above 0"};
  if (config.election_timeout && config.heartbeat_interval * 3 > *config.election_timeout) {
    return Error{Code::invalid,
                 "-heartbeatInterval of " + std::to_string(milliseconds(config.heartbeat_interval)) +
                     " ms is above a third of -electionTimeout, " +
                     std::to_string(milliseconds(*config.election_timeout)) +
                     " ms: a single lost heartbeat would look like a lost leader. Shorten the one or lengthen the other"};
  }
  if (config.read_only && config.peers.empty()) {
    return Error{Code::invalid, "-readOnly needs -peers: the masters of the cluster to read from"};
  }
  if (auto done = validate_lease(config.leader_lease, config.heartbeat_interval); !done) return done;
  if (auto done = validate(config.vip); !done) return done;
  if (config.segment_bytes < 4 * kEntryBytesMax) return Error{Code::invalid, "log segments must hold at least 4 MiB"};
  if (config.peers.size() > raft::kMembersMax) {
    return Error{Code::invalid, "-peers names more than " + std::to_string(raft::kMembersMax) + " masters"};
  }
  return {};
}

Result<std::unique_ptr<MasterRuntime>> MasterRuntime::open(RuntimeConfig config, io::Disk& disk, io::Clock& clock,
                                                           io::Random& random, topology::StateMachine& state) {
  if (auto done = validate(config); !done) return done.error();
  auto runtime = std::make_unique<Runtime>(std::move(config), disk, clock, random, state);
  if (auto done = runtime->open(); !done) return done.error();
  return std::unique_ptr<MasterRuntime>(std::move(runtime));
}

}  // namespace holdfast::master
