// The log: appends, their answers, beats, and when an entry is committed.
#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {
namespace {

// An unanswered Append counts as lost after S, but not before this: a stream may be busy with a large one.
constexpr Duration kResendMin = 50ms;

// A sync that takes this long, and far longer than is usual here, while another voter is done makes the leader hand over.
constexpr Duration kSyncStall = 300ms;
// And it must have taken so many times as long as the other's: of disks that are slow alike one is always done earlier.
constexpr int kOvertakenTimes = 2;

constexpr Duration kDiskRetry = 1s;  // between attempts to hand over because of the own disk

// Entries must follow one another, in terms that do not fall and are none later than the sender's.
bool well_formed(const Message& m, const Append& append) {
  auto last = append.previous;
  for (const auto& entry : append.entries) {
    if (entry.index != last.index.next() || entry.term < last.term || entry.term > m.term) return false;
    last = {entry.term, entry.index};
  }
  return append.previous.term <= m.term;
}

}  // namespace

// ------------------------------------------------------------------------------------------------ commands

void Core::Impl::on(const Proposed& input) {
  auto refuse = [&](ProposalOutcome outcome) { out_.proposals.push_back({input.tag, outcome, term_, {}, {}}); };
  auto* leading = leader();
  if (leading == nullptr) return refuse(ProposalOutcome::not_leader);
  if (input.data.size() > kEntryBytesMax) return refuse(ProposalOutcome::too_large);
  if (leading->transfer) return refuse(ProposalOutcome::held);
  if (disk_ == DiskCondition::full) return refuse(ProposalOutcome::disk_full);
  if (leading->proposals.size() >= options_.proposals_in_flight_max ||
      leading->proposals_bytes + input.data.size() > options_.proposals_bytes_max) {
    return refuse(ProposalOutcome::busy);
  }
  append_entry(EntryKind::command, input.data);
  leading->proposals[log_.last_index()] = input.tag;
  leading->proposals_bytes += input.data.size();
}

// ------------------------------------------------------------------------------------------------ followers

// Tells a leader of the past that it is one. Never by an answer to what it asked: that would carry the new term, and if
// it leads that one as well by then, it would take what it asked in the old one for asked in this one.
void Core::Impl::tell_term(const Message& m) {
  send_now(m.from, VoteReply{.request_term = m.term, .candidate_incarnation = m.incarnation});
}

void Core::Impl::receive(const Message& m, const Append& append) {
  if (m.term < term_) {
    tell_term(m);
    return;
  }
  CHECK(leader() == nullptr);  // I1: nobody else leads the term this member leads
  follow(m.from);
  if (!well_formed(m, append)) {
    ++counters_.messages_dropped;
    return;
  }
  AppendReply reply{.round = append.round, .sent = append.sent, .lease = grant(m, append.lease)};
  reply.durable = durable_;

  // What lies at or below the commit index is the same in every leader's log, looked at or not.
  const bool known = append.previous.index <= commit_;
  const auto here = log_.term_at(append.previous.index);
  if (!known && here != append.previous.term) {
    ++counters_.conflicts;
    reply.result = AppendResult::conflict;
    reply.hint_index = log_.last_index().next();
    if (here) {
      reply.hint_term = *here;
      reply.hint_index = std::max(log_.first_of_term(append.previous.index), commit_.next());
    }
    send_now(m.from, reply);
    return;
  }
  if (disk_ == DiskCondition::full && !append.entries.empty()) {
    reply.result = AppendResult::disk_full;
    send_now(m.from, reply);
    return;
  }
  if (!take_entries(append.entries)) return;
  const auto covered = append.previous.index + append.entries.size();
  matched_ = std::max(matched_, std::min(covered, log_.last_index()));
  advance_commit(std::min(append.commit, matched_));
  reply.match = covered;
  if (mutated(Mutation::ack_before_sync)) {
    send_now(m.from, reply);
  } else {
    send_after_sync(m.from, reply);
  }
}

// Adds what is missing; replaces a suffix only where a term differs. False: could not be taken, there is no answer.
bool Core::Impl::take_entries(const std::vector<Entry>& entries) {
  for (const auto& entry : entries) {
    if (entry.index <= log_.base().index) continue;  // applied long ago
    if (const auto here = log_.term_at(entry.index)) {
      if (*here == entry.term && !(mutated(Mutation::truncate_always) && entry.index > commit_)) continue;
      CHECK(entry.index > commit_);  // I3: what is committed is never replaced
      ++counters_.truncations;
      log_.truncate_from(entry.index);
      configurations_.erase(configurations_.lower_bound(entry.index), configurations_.end());
      if (configurations_.empty()) configurations_[Index(0)] = Configuration();
      out_.configuration = configuration();
      log_changed_from(entry.index);
    }
    if (entry.format > options_.entry_format) {
      halt("the leader sends entries of format " + std::to_string(entry.format) +
           ", this build understands up to " + std::to_string(options_.entry_format));
      return false;
    }
    if (entry.term < log_.last().term) {  // no leader sends that; it is not worth stopping for
      ++counters_.messages_dropped;
      return false;
    }
    log_.append(entry);
    log_changed_from(entry.index);
    configuration_appended(entry.index);
  }
  if (claimed_ && log_.last() >= *claimed_) {
    claimed_.reset();
    ++counters_.damage_repaired;
  }
  return true;
}

void Core::Impl::receive(const Message& m, const Beat& beat) {
  if (m.term < term_) {
    if (mutated(Mutation::lease_stale_grant)) {
      send_now(m.from, BeatReply{.sent = beat.sent, .sequence = beat.sequence, .lease = beat.lease});
      out_.messages_now.back().term = m.term;
      return;
    }
    tell_term(m);
    return;
  }
  if (leader() != nullptr) {  // a forged datagram must not stop a leader; a real second one shows in its Appends
    ++counters_.messages_dropped;
    return;
  }
  // A gap in which this member itself stood still says nothing about the leader.
  if (beat_at_ >= resumed_at_ && beat_at_ != kDistantPast && beat.sequence > beat_sequence_) {
    silence_.observe_gap(now_ - beat_at_);
  }
  if (beat.sequence > beat_sequence_) {
    beat_at_ = now_;
    beat_sequence_ = beat.sequence;
    heirs_ = beat.heirs;
  }
  follow(m.from);
  BeatReply reply{.sent = beat.sent, .sequence = beat.sequence, .round = beat.round};
  advance_commit(std::min(beat.commit, mutated(Mutation::commit_unmatched) ? log_.last_index() : matched_));
  reply.last = matched_;
  reply.durable = durable_;
  reply.disk_full = disk_ == DiskCondition::full;
  reply.damaged = claimed_.has_value();
  reply.lease = grant(m, beat.lease);
  send_now(m.from, reply);
}

void Core::Impl::advance_commit(Index index) {
  if (index <= commit_) return;
  CHECK(index <= log_.last_index());
  commit_ = index;
}

// --------------------------------------------------------------------------------------------------- leader

// The peer behind an answer of this term, noted as heard; null when there is nothing to be learned from it.
Peer* Core::Impl::answering_peer(const Message& m, Stamp sent) {
  auto* leading = leader();
  if (leading == nullptr || m.term != term_) return nullptr;
  const auto found = leading->peers.find(m.from);
  if (found == leading->peers.end() || found->second.state == PeerState::refused) return nullptr;
  auto& peer = found->second;
  if (m.incarnation < peer.incarnation) {
    // An answer of a process that has died since is only late, unless what it answers was sent after its successor
    // had been heard: then both are alive.
    if (sent > peer.incarnation_since) refuse(m.from, peer, NoticeKind::duplicate);
    return nullptr;
  }
  if (m.incarnation > peer.incarnation) {
    peer.incarnation = m.incarnation;
    peer.incarnation_since = now_;
    peer.vetted = peer.match == Index(0);  // else it must show that it still has that
    peer.in_flight.clear();
    if (peer.state == PeerState::replicate) back_to_probe(peer, peer.match.next());
  }
  if (now_ - peer.heard > silence_.timeout()) peer.back_at = now_;
  peer.heard = now_;
  if (sent <= now_) peer.answered = std::max(peer.answered, sent);
  return &peer;
}

void Core::Impl::receive(const Message& m, const AppendReply& reply) {
  auto* peer = answering_peer(m, reply.sent);
  if (peer == nullptr || !peer->vetted) {
    ++counters_.messages_dropped;
    return;
  }
  peer->round = std::max(peer->round, reply.round);
  granted(*peer, reply.lease, reply.sent);
  switch (reply.result) {
    case AppendResult::accepted:
      // Says nothing of room on the disk: an Append without entries needs none. Replies to beats tell when there is
      // room again; to take this for it sent a full member all its entries at the speed of the network.
      acknowledged(*peer, std::min(reply.match, log_.last_index()));
      return;
    case AppendResult::disk_full:
      peer->disk_full = true;
      back_to_probe(*peer, peer->match.next());
      return;
    case AppendResult::conflict:
      break;
  }
  if (peer->state == PeerState::snapshot) return;
  if (peer->state == PeerState::probe && reply.sent != peer->probe_sent) return;  // of an earlier probe
  auto next = reply.hint_index;
  if (reply.hint_term != Term(0)) {
    if (const auto same = log_.last_of_term(reply.hint_term, reply.hint_index, peer->next.previous())) {
      next = same->next();
    }
  }
  // Never forward: then two such answers in a row would chase each other. Never below what is acknowledged.
  next = std::min(next, peer->next == Index(0) ? Index(0) : peer->next.previous());
  back_to_probe(*peer, std::max(next, peer->match.next()));
}

void Core::Impl::receive(const Message& m, const BeatReply& reply) {
  auto* leading = leader();
  auto* peer = answering_peer(m, reply.sent);
  if (peer == nullptr) {
    ++counters_.messages_dropped;
    return;
  }
  // What was sent while this member or that one stood still says nothing about how long a beat takes.
  if (reply.sent >= std::max(resumed_at_, peer->back_at) && reply.sent <= now_) {
    silence_.observe_round_trip(now_ - reply.sent);
  }
  if (!peer->vetted && !vet(m, *peer, reply.durable, reply.damaged)) return;
  peer->round = std::max(peer->round, mutated(Mutation::round_not_counted) ? leading->round : reply.round);
  granted(*peer, reply.lease, reply.sent);
  peer->disk_full = reply.disk_full;
  peer->damaged = reply.damaged;
  const auto both = std::min(reply.last, reply.durable);
  if (both > peer->match) acknowledged(*peer, std::min(both, log_.last_index()));

  // It answered a beat that left well after the oldest Append it has not taken: that one is lost.
  if (peer->state == PeerState::replicate && !peer->in_flight.empty()) {
    const auto& oldest = peer->in_flight.front();
    if (reply.last < oldest.last && reply.sent > oldest.sent + resend_after()) {
      back_to_probe(*peer, peer->match.next());
    }
  }
  if (peer->state == PeerState::probe && reply.sent > peer->probe_sent + resend_after() / 2) peer->probe_out = false;
}

Duration Core::Impl::resend_after() const { return std::max<Duration>(kResendMin, silence_.timeout()); }

void Core::Impl::acknowledged(Peer& peer, Index match) {
  peer.match = std::max(peer.match, match);
  while (!peer.in_flight.empty() && peer.in_flight.front().last <= peer.match) peer.in_flight.pop_front();
  if (peer.state == PeerState::probe ||
      (peer.state == PeerState::snapshot && peer.match >= peer.snapshot.index)) {
    peer.state = PeerState::replicate;
    peer.in_flight.clear();
    peer.next = peer.match.next();
    peer.fetching = false;
  }
  peer.next = std::max(peer.next, peer.match.next());
}

void Core::Impl::back_to_probe(Peer& peer, Index next) {
  peer.state = PeerState::probe;
  peer.next = std::min(next, log_.last_index().next());
  peer.in_flight.clear();
  peer.probe_out = false;
  peer.fetching = false;
}

// Sends what there is to send to one member, within its window.
void Core::Impl::replicate(NodeId id, Peer& peer) {
  if (peer.state == PeerState::refused || peer.witness) return;
  if (peer.state == PeerState::snapshot) {
    if (now_ - peer.snapshot_since >= 2 * resend_after()) ask_snapshot_piece(id, peer);
    return;
  }
  if (peer.fetching && now_ - peer.fetch_since < 10 * resend_after()) return;
  for (;;) {
    const bool probing = peer.state == PeerState::probe;
    if (probing) {
      // One that does not answer beats is not sent entries again and again.
      const bool answers = peer.heard != kDistantPast && now_ - peer.heard < resend_after();
      const auto pause = answers ? resend_after() : 10 * resend_after();
      if (peer.probe_out && now_ - peer.probe_sent < pause) return;
      if (peer.disk_full && peer.probe_out) return;
    } else if (peer.next > log_.last_index() || peer.disk_full ||
               peer.in_flight.size() >= options_.in_flight_messages_max) {
      return;
    }
    const auto previous = peer.next.previous();
    const auto term = log_.term_at(previous);
    if (!term) {
      // Before what is in memory: from disk, or a snapshot when it is gone there too.
      if (peer.next < disk_first_ || (peer.next == disk_first_ && disk_first_ > Index(1) &&
                                      !(snapshot_ && snapshot_->last.index == previous))) {
        begin_snapshot(id, peer);
      } else {
        peer.fetching = true;
        peer.fetch_since = now_;
        peer.fetch_from = peer.next;
        out_.log_reads.push_back({id, peer.next, options_.append_bytes_max});
      }
      return;
    }
    auto entries = log_.slice(peer.next, options_.append_entries_max, options_.append_bytes_max);
    if (peer.disk_full) entries.clear();
    send_entries(id, peer, {*term, previous}, std::move(entries));
    if (probing) return;
  }
}

void Core::Impl::send_entries(NodeId id, Peer& peer, LogPosition previous, std::vector<Entry> entries) {
  const auto count = entries.size();
  send_now(id, Append{.previous = previous,
                      .entries = std::move(entries),
                      .commit = commit_,
                      .round = leader()->round,
                      .sent = now_,
                      .lease = ask_lease()});
  if (peer.state == PeerState::probe) {
    peer.probe_out = true;
    peer.probe_sent = now_;
  } else if (count > 0) {
    peer.next = previous.index + count + 1;
    peer.in_flight.push_back({previous.index + count, now_});
  }
}

void Core::Impl::on(const EntriesFetched& input) {
  auto* leading = leader();
  if (leading == nullptr) return;
  const auto found = leading->peers.find(input.peer);
  if (found == leading->peers.end()) return;
  auto& peer = found->second;
  if (!peer.fetching || peer.fetch_from != input.from) return;
  peer.fetching = false;
  if (peer.next != input.from) return;  // acknowledged meanwhile: what comes next is read at the end of this step
  if (input.entries.empty()) {
    begin_snapshot(input.peer, peer);
    return;
  }
  // Only what has left memory is sure never to change; the rest is sent from memory.
  auto entries = input.entries;
  std::erase_if(entries, [&](const Entry& entry) { return entry.index > log_.base().index; });
  if (entries.empty() || entries.front().index != input.from) return;
  send_entries(input.peer, peer, {input.previous_term, input.from.previous()}, std::move(entries));
}

// I7: an entry of an earlier term is only committed along with one of this term.
void Core::Impl::commit_by_majority() {
  const auto own = mutated(Mutation::count_self_before_sync) ? log_.last_index() : durable_;
  auto index = configuration().witness() ? commit_index_by_witness(own) : majority_value<Index>(own, [](const Peer& peer) {
    return peer.state == PeerState::refused ? Index(0) : peer.match;
  });
  if (mutated(Mutation::commit_without_majority)) {
    for (const auto& [id, peer] : leader()->peers) {
      if (configuration().is_voter(id)) index = std::max(index, std::min(peer.match, own));
    }
    if (configuration().voter_count() > 1) index = std::max(index, own);
  }
  if (index <= commit_) return;
  // I7: an earlier lease may still let its holder read what is committed without this.
  if (wait_left() > Duration(0)) return;
  leader()->waited = true;
  if (log_.term_at(index) != term_ && !mutated(Mutation::commit_older_term)) return;
  advance_commit(index);
  leader()->beat_due = true;
  // Removed members have been told what they could be told.
  if (configurations_.rbegin()->first > commit_) return;
  for (auto it = leader()->peers.begin(); it != leader()->peers.end();) {
    if (!it->second.leaving) {
      ++it;
      continue;
    }
    send_now(it->first, Notice{.kind = NoticeKind::removed,
                               .as_of = configurations_.rbegin()->first,
                               .text = label(it->first) + " was removed from the cluster"});
    it = leader()->peers.erase(it);
  }
}

void Core::Impl::beat() {
  auto* leading = leader();
  ++leading->sequence;
  order_heirs();
  const auto lease = ask_lease();
  for (const auto& [id, peer] : leading->peers) {
    if (peer.state == PeerState::refused) continue;
    send_now(id, Beat{.commit = commit_,
                      .sent = now_,
                      .sequence = leading->sequence,
                      .round = leading->round,
                      .heirs = leading->heirs,
                      .lease = lease});
  }
  send_record();
  leading->beat_due = false;
  if (now_ >= leading->next_beat) {
    // On schedule when the loop is a little late, from now on when it was away.
    leading->next_beat += options_.beat_interval;
    if (leading->next_beat <= now_) leading->next_beat = now_ + options_.beat_interval;
  }
}

// Best first: those that answer, hold all that is committed and have a sound disk; else the order stays as it was, so
// that members that missed a beat agree on it all the same.
void Core::Impl::order_heirs() {
  auto* leading = leader();
  auto& heirs = leading->heirs;
  std::erase_if(heirs, [&](NodeId id) { return !configuration().is_full(id); });
  for (const auto& member : configuration().members()) {
    if (configuration().is_full(member.id) && member.id != options_.self &&
        std::find(heirs.begin(), heirs.end(), member.id) == heirs.end()) {
      heirs.push_back(member.id);
    }
  }
  auto fit = [&](NodeId id) {
    const auto found = leading->peers.find(id);
    if (found == leading->peers.end()) return 0;
    const auto& peer = found->second;
    if (peer.state == PeerState::refused || now_ - peer.answered > silence_.timeout()) return 0;
    if (peer.damaged) return 1;
    if (peer.match < commit_ || peer.disk_full) return 2;
    return 3;
  };
  std::stable_sort(heirs.begin(), heirs.end(), [&](NodeId a, NodeId b) { return fit(a) > fit(b); });
}

// The newest instant such that a majority has answered something sent then or later.
Instant Core::Impl::majority_answered() const {
  const auto answered = majority_value<Instant>(now_, [](const Peer& peer) {
    return peer.state == PeerState::refused ? kDistantPast : peer.answered;
  });
  return answered;
}

void Core::Impl::tick_leader() {
  auto* leading = leader();
  const auto timeout = silence_.timeout();
  if (!mutated(Mutation::no_check_quorum) && now_ >= leading->since + timeout &&
      now_ >= majority_answered() + timeout) {
    ++counters_.quorum_lost;
    become_follower(term_, "no leader: " + label(options_.self) + " stepped down, no majority answered for " +
                               std::to_string(milliseconds(timeout)) + " ms");
    return;
  }
  if (!configuration().is_voter(options_.self) && configurations_.rbegin()->first <= commit_ &&
      own_term_committed()) {
    become_follower(term_, "no leader: " + label(options_.self) + " is no voter any more");
    return;
  }
  // A disk that cannot take entries, or takes far longer than another's, must not lead.
  const bool stalled = !pending_.empty() && now_ - pending_.front().since > disk_pace_.patience(kSyncStall);
  const auto heir = best_heir();
  const bool ahead = heir && !pending_.empty() && leading->peers.at(*heir).match > durable_;
  if (!ahead || leading->write_since != pending_.front().since) leading->overtaken_since.reset();
  if (ahead && !leading->overtaken_since) {
    leading->write_since = pending_.front().since;
    leading->overtaken_since = now_;
  }
  if ((disk_ == DiskCondition::good && !stalled) || leading->transfer || now_ < leading->disk_retry_at || !heir) return;
  if (disk_ != DiskCondition::full &&
      (!ahead || now_ - leading->write_since < kOvertakenTimes * (*leading->overtaken_since - leading->write_since))) {
    return;
  }
  leading->disk_retry_at = now_ + kDiskRetry;
  start_transfer(heir);
}

}  // namespace holdfast::raft
