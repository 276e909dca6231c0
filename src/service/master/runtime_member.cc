#include "service/master/runtime_impl.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/log.h"

namespace holdfast::master {

namespace {

constexpr Duration kJoinInterval = 100ms;
constexpr Duration kHintInterval = 500ms;
constexpr Duration kForeignInterval = 5s;      // between looks at listed masters of another cluster
constexpr std::size_t kSupersededMax = 64;     // clusters one after the other, each of which lost its majority
constexpr Duration kListedInterval = 300ms;    // between looks at listed masters that are no members (below kLoneWait)

}  // namespace

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

// The members last known to be committed are where to dial after the next start, beside those of the log.
void Runtime::keep_members() {
  const auto configuration = host_->committed_configuration();
  if (!configuration) return;
  const Guard writing(identity_file_);
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

// Whoever is asked to recover this folder one day must know: others have gone on without it.
void Runtime::note_removal() {
  const Guard writing(identity_file_);
  storage::Identity identity;
  {
    Guard guard(mutex_);
    if (std::exchange(identity_.removed, true)) return;
    identity = identity_;
  }
  if (auto done = storage::store_identity(disk_, identity_path(), identity); !done) LOG_WARNING("{}", done.error().what());
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

}  // namespace holdfast::master
