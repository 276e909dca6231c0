#include "service/master/runtime_impl.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/log.h"

namespace holdfast::master {

namespace {

constexpr Duration kMeetInterval = 20ms;       // while bootstrap waits for others
constexpr Duration kMeetIntervalLater = 100ms; // after it has waited for a while
constexpr Duration kMeetQuickFor = 2s;
// A master that was given no -peers listens this long for a cluster that knows its address before it founds its own:
// the members of such a cluster redial a lost member at least every 300 ms (kRedialMax, and gRPC's jitter on it).
constexpr Duration kLoneWait = 400ms;
// One of the listed masters belongs to a cluster: so long the others may still say that they belong to another one.
constexpr Duration kOtherAnswersWait = 200ms;

}  // namespace

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
  LOG_INFO("joins cluster {}{}{}", text(entrance.cluster), entrance.found_at.empty() ? "" : ", found at ", entrance.found_at);
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

}  // namespace holdfast::master
