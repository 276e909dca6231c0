#include "service/master/runtime_impl.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/check.h"
#include "base/log.h"
#include "core/topology/registry.h"

namespace holdfast::master {

namespace {

constexpr Duration kFirstWordPatience = 300ms; // how long a master asks others before its own first word
constexpr Duration kNamesPatience = 1s;        // for the resolver, where a start needs to know whom -peers means
constexpr Duration kNamesPatienceOfMembers = 100ms;  // where it only helps to know
// On a machine whose cores are all busy a thread may wait 60 ms for its turn: below this a leader would be suspected for
// the load of its machine. A lost process is found by its connections long before.
constexpr Duration kSilenceMin = 100ms;

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

}  // namespace

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

std::string recovered_text(ClusterId lost, ClusterId successor, const std::string& at) {
  return "cluster " + text(lost) + " lost its majority and an operator had it go on as cluster " + text(successor) +
         " without this master: the one at " + at + " is of that. What this one holds is void; to bring it back as a new "
         "member remove its member folder and start it again with -peers=" + at;
}

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
                                                       .on_removed = [this] { note_removal(); },
                                                       .on_lease_event = [this](LeaseEvent event) { watch_->happened(std::move(event)); },
                                                       .on_datagram = [this](BytesView datagram) { watch_->received(datagram); },
                                                       .on_pulse = config_.on_pulse,
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
    if (config_.pulses_at) config_.pulses_at(beats_->port());
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

// ---------------------------------------------------------------------------------------------------- by a caller

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
