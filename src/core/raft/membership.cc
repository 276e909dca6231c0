// Changes of members: one at a time, and those who may not take part.
#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {

std::string Core::Impl::label(NodeId id) const {
  const auto* member = configuration().find(id);
  if (member != nullptr && !member->address.empty()) return member->address;
  return text(id).substr(0, 8);
}

// The entry at `index` was just put into the log: a configuration holds from now on.
void Core::Impl::configuration_appended(Index index) {
  const auto& entry = log_.at(index);
  if (entry.kind != EntryKind::configuration) return;
  auto decoded = decode_configuration(entry.data.view());
  if (!decoded) {
    halt("log entry " + text(index) + ": " + decoded.error().what());
    return;
  }
  configurations_[index] = *decoded;
  out_.configuration = *decoded;
  if (leader() != nullptr) follow_configuration();
}

void Core::Impl::follow_configuration() {
  auto* leading = leader();
  for (const auto& member : configuration().members()) {
    if (member.id == options_.self) continue;
    const auto [found, fresh] = leading->peers.try_emplace(member.id);
    found->second.leaving = false;
    found->second.witness = member.witness;
    if (fresh) found->second.next = log_.last_index().next();
  }
  for (auto& [id, peer] : leading->peers) {
    if (configuration().find(id) == nullptr) peer.leaving = true;
  }
  register_follows_configuration();
}

// Raft 4.1 and its erratum: an entry of this term first, and one change after the other.
bool Core::Impl::change_possible() const {
  const bool settled = configurations_.rbegin()->first <= commit_ || mutated(Mutation::change_two_at_once);
  const bool own = own_term_committed() || mutated(Mutation::change_before_own_commit);
  return leader() != nullptr && !leader()->transfer && settled && own;
}

// Whether a majority of `next` is heard from right now: a change must not stop the cluster.
bool Core::Impl::live_after(const Configuration& next) const {
  std::size_t live = 0;
  for (const auto& member : next.members()) {
    if (!member.voter) continue;
    if (member.id == options_.self) {
      ++live;
      continue;
    }
    const auto found = leader()->peers.find(member.id);
    if (found != leader()->peers.end() && found->second.state != PeerState::refused &&
        now_ - found->second.answered < silence_.timeout()) {
      ++live;
    }
  }
  return live >= next.majority();
}

// Of two masters with a witness one goes together with the witness, which is of no use to the other: it could only stop it.
Configuration Core::Impl::without_master(NodeId id) const {
  const auto& now = configuration();
  const auto witness = now.witness();
  const bool last = witness && now.is_full(id) && now.full_voters().size() <= 2;
  return last ? now.without(id).without(*witness) : now.without(id);
}

Result<Configuration> Core::Impl::changed(const Change& change) {
  const auto& now = configuration();
  if (const auto* add = std::get_if<AddMember>(&change)) {
    auto member = add->member;
    if (member.id.value().empty()) return Error{Code::invalid, "a member needs an id"};
    if (member.address.size() > kAddressBytesMax) return Error{Code::invalid, "the address is too long"};
    if (now.find(member.id) != nullptr) return now;
    if (now.members().size() >= kMembersMax) {
      return Error{Code::busy, "a cluster has at most " + std::to_string(kMembersMax) + " members"};
    }
    if (member.witness) {
      if (now.witness()) return Error{Code::refused, label(*now.witness()) + " is the witness already"};
      if (now.full_voters().size() % 2 != 0) {
        return Error{Code::refused, "a witness makes the number of voters odd; it is odd already"};
      }
      member.voter = true;
      member.promote = false;
      member.replaces = NodeId();
      auto next = now.with(member);
      if (live_after(next)) return next;
      return Error{Code::unavailable, "a witness can come only while enough masters are alive"};
    }
    member.voter = false;
    if (now.find(member.replaces) == nullptr) member.replaces = NodeId();
    if (member.replaces == options_.self) {
      return Error{Code::refused, "the member to be replaced is alive: it leads"};
    }
    return now.with(member);
  }
  if (const auto* promote = std::get_if<PromoteMember>(&change)) {
    const auto* member = now.find(promote->id);
    if (member == nullptr) return Error{Code::not_found, label(promote->id) + " is no member"};
    if (member->voter) return now;
    auto voter = *member;
    voter.promote = true;  // drive_membership() does it as soon as it has caught up
    return now.with(voter);
  }
  if (const auto* address = std::get_if<SetAddress>(&change)) {
    const auto* member = now.find(address->id);
    if (member == nullptr) return Error{Code::not_found, label(address->id) + " is no member"};
    if (address->address.size() > kAddressBytesMax) return Error{Code::invalid, "the address is too long"};
    auto moved = *member;
    moved.address = address->address;
    return now.with(moved);
  }
  if (const auto* leases = std::get_if<SetLeaseCap>(&change)) {
    if (leases->cap < Duration(0) || leases->cap > options_.lease_cap_max) {
      return Error{Code::invalid, "leases can last up to " + std::to_string(milliseconds(options_.lease_cap_max)) + " ms"};
    }
    return now.with_lease_cap(leases->cap);
  }
  const auto id = std::get<RemoveMember>(change).id;
  if (now.find(id) == nullptr) return now;
  auto next = without_master(id);
  if (next.full_voters().empty()) return Error{Code::refused, "the last voter cannot be removed"};
  if (id == options_.self) {
    start_transfer(std::nullopt);
    if (!leader()->transfer) {
      return Error{Code::unavailable, "the leader can only be removed when another voter takes over, and none answers"};
    }
    return Error{Code::busy, "the leader hands over before it is removed: ask the next one"};
  }
  if (now.is_voter(id) && !live_after(next)) {
    return Error{Code::unavailable, "without " + label(id) + " no majority would be alive"};
  }
  return next;
}

void Core::Impl::on(const ChangeProposed& input) {
  auto refuse = [&](ProposalOutcome outcome, std::string why) {
    out_.proposals.push_back({input.tag, outcome, term_, {}, std::move(why)});
  };
  auto* leading = leader();
  if (leading == nullptr) return refuse(ProposalOutcome::not_leader, "");
  if (leading->transfer) return refuse(ProposalOutcome::held, "leadership is being handed over");
  if (disk_ == DiskCondition::full) return refuse(ProposalOutcome::disk_full, "");
  if (!change_possible()) return refuse(ProposalOutcome::busy, "another change of members is under way");
  auto next = changed(input.change);
  if (!next) {
    const bool hands_over = leading->transfer.has_value();  // the leader itself is to be removed
    return refuse(hands_over ? ProposalOutcome::held : ProposalOutcome::refused, next.error().what());
  }
  if (*next == configuration()) {
    out_.proposals.push_back({input.tag, ProposalOutcome::committed, term_, configurations_.rbegin()->first, {}});
    return;
  }
  if (const auto held = held_by_witness(*next, input.change)) return refuse(ProposalOutcome::busy, held->what());
  if (std::string why; !may_lower_cap(next->lease_cap(), &why)) return refuse(ProposalOutcome::busy, why);
  leading->lease_limit.reset();
  auto bytes = encode(*next);
  leading->proposals_bytes += bytes.size();
  append_entry(EntryKind::configuration, std::move(bytes));
  leading->proposals[log_.last_index()] = input.tag;
}

// Learners that have caught up become voters; one that takes the place of a lost member after that one is removed.
void Core::Impl::drive_membership() {
  if (!change_possible() || disk_ == DiskCondition::full) return;
  const auto append = [&](const Configuration& next) { append_entry(EntryKind::configuration, encode(next)); };
  if (const auto witness = configuration().witness(); witness && leader()->witness_unwanted) {
    const auto next = configuration().without(*witness);
    if (!live_after(next) || held_by_witness(next, RemoveMember{*witness})) return;
    leader()->witness_unwanted = false;
    return append(next);
  }
  leader()->witness_unwanted = false;
  for (const auto& member : configuration().members()) {
    if (member.voter || !member.promote) continue;
    const auto found = leader()->peers.find(member.id);
    if (found == leader()->peers.end()) continue;
    const auto& peer = found->second;
    const bool ready = peer.state == PeerState::replicate && peer.vetted && peer.match >= commit_ && !peer.damaged &&
                       !peer.disk_full && now_ - peer.answered < silence_.timeout();
    if (!ready) continue;
    Configuration next;
    if (configuration().find(member.replaces) != nullptr && member.replaces != options_.self) {
      next = without_master(member.replaces);
    } else {
      auto voter = member;
      voter.voter = true;
      voter.promote = false;
      voter.replaces = NodeId();
      next = configuration().with(voter);
    }
    if (held_by_witness(next, RemoveMember{member.replaces}) || !live_after(next)) continue;
    return append(next);
  }
}

// ---------------------------------------------------------------------------------- members that are refused

// A new incarnation speaks for the first time: does it still have what the one before acknowledged?
bool Core::Impl::vet(const Message& m, Peer& peer, Index durable, bool damaged) {
  if (damaged) {
    // It says so itself and waits to be sent what it lost; until then it acknowledges nothing of it.
    peer.match = std::min(peer.match, durable);
  } else if (durable < peer.match) {
    refuse(m.from, peer, NoticeKind::regressed);
    return false;
  }
  peer.vetted = true;
  if (peer.state == PeerState::replicate) back_to_probe(peer, peer.match.next());
  if (peer.state == PeerState::probe) peer.next = std::max(peer.next, peer.match.next());
  return true;
}

void Core::Impl::refuse(NodeId id, Peer& peer, NoticeKind kind) {
  ++counters_.members_refused;
  Notice notice{.kind = kind, .as_of = configurations_.rbegin()->first, .incarnation = {}, .text = {}};
  if (kind == NoticeKind::regressed) {
    peer.state = PeerState::refused;
    peer.in_flight.clear();
    notice.incarnation = peer.incarnation;
    notice.text = label(id) + " lost log entries up to " + text(peer.match) +
                  " that it had acknowledged: its folder was rolled back or restored from a copy; empty it, so that "
                  "it joins as a new member";
  } else {
    // Meant for every incarnation but the newest.
    notice.incarnation = peer.incarnation;
    notice.text = "a second process with the identity of " + label(id) +
                  " is running: its folder was copied; only the one started last may go on";
  }
  send_now(id, std::move(notice));
}

void Core::Impl::receive(const Message& m, const Notice& notice) {
  const auto own = options_.incarnation;
  const bool regressed = notice.kind == NoticeKind::regressed && notice.incarnation == own;
  const bool duplicate = notice.kind == NoticeKind::duplicate && own < notice.incarnation;
  const bool newer = configurations_.rbegin()->first > notice.as_of;
  const bool removed = notice.kind == NoticeKind::removed &&
                       !(newer && configuration().find(options_.self) != nullptr);
  if (m.term < term_ || !(regressed || duplicate || removed)) {
    ++counters_.messages_dropped;
    return;
  }
  if (leader() != nullptr) become_follower(term_, notice.text);
  role_ = Follower();
  leader_.reset();
  why_ = notice.text;
  stopped_ = true;
  out_.notices.push_back(notice);
}

}  // namespace holdfast::raft
