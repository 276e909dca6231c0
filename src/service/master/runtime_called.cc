#include "service/master/runtime_impl.h"

#include <algorithm>

#include "api/raft.pb.h"
#include "base/log.h"

namespace holdfast::master {

namespace {

// A member that was heard within this time is not replaced by a newcomer at its address.
constexpr Duration kAliveWithin = 3s;

}  // namespace

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

}  // namespace holdfast::master
