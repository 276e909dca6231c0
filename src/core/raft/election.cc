// Who leads: suspicion, pre-vote, votes, and handing leadership over.
#include <fmt/format.h>

#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {
namespace {

// How many beats may be missing before a member confirms another's hint that the leader is gone. A leader that is
// alive is heard within 1.x intervals on a machine that is not overloaded.
constexpr double kBeatsMissed = 1.5;

// How long a broken link makes silence suspicious sooner: the beats that still come may have been on their way.
constexpr int kHintBeats = 4;

constexpr int kBackoffMax = 5;  // doublings of the wait after elections without a winner

bool is_empty(NodeId id) { return id.value().empty(); }

}  // namespace

// Where this log ends as far as votes are concerned: a hole counts as if its entries were still there.
LogPosition Core::Impl::claimed() const {
  if (claimed_ && !mutated(Mutation::damage_forgotten)) return std::max(*claimed_, log_.last());
  return log_.last();
}

// One that is being removed may still be needed until that is committed: it may hold the only complete log that can
// get the votes (Ongaro 4.2.2). It does not count itself then.
bool Core::Impl::electable() const {
  const bool damaged = claimed_ && !mutated(Mutation::damage_forgotten);
  const bool voter = configuration().is_voter(options_.self) || configuration_at(commit_).is_voter(options_.self);
  return !stopped_ && !damaged && (voter || now_ < drafted_until_);
}

// The place among those who may follow the leader: as it named them, the others by id after those.
std::size_t Core::Impl::rank() const {
  std::size_t place = 0;
  for (const auto& id : heirs_) {
    if (id == options_.self) return place;
    if (id != suspect_ && id != leader_) ++place;
  }
  for (const auto& member : configuration().members()) {
    if (member.id == options_.self) break;
    if (configuration().is_full(member.id) && member.id != suspect_ && member.id != leader_ &&
        std::find(heirs_.begin(), heirs_.end(), member.id) == heirs_.end()) {
      ++place;
    }
  }
  return place;
}

// A beat that comes within one interval after the link broke may have been under way; the next one proves something.
bool Core::Impl::link_is_down(Instant heard) const {
  return link_lost_at_ != kDistantPast && heard <= link_lost_at_ + options_.beat_interval;
}

// A vote is on its way to the disk, and a candidate waits for it: whoever stood now would wait for the same disk again.
bool Core::Impl::waits_for_own_disk() const {
  return vote_sequence_ != 0 && now_ < vote_given_at_ + options_.silence_max;
}

// Whether a leader, or a candidate this member voted for, was heard of within that time and not cut off since.
bool Core::Impl::hears_leader(Duration within) const {
  if (!leader_ && waits_for_own_disk()) return true;
  const bool someone = leader_.has_value() || (!is_empty(vote_) && vote_ != options_.self);
  return someone && !link_is_down(heard_) && now_ - heard_ < within;
}

Instant Core::Impl::suspect_at() const {
  if (!electable()) return kDistantFuture;
  const auto patience = options_.heir_step * static_cast<std::int64_t>(rank());
  auto silent_at = heard_ + silence_.timeout() + patience;
  if (!leader_ && waits_for_own_disk()) silent_at = std::max(silent_at, vote_given_at_ + options_.silence_max);
  if (certified_at_ != kDistantPast) silent_at = std::min(silent_at, certified_at_ + patience);
  if (link_lost_at_ == kDistantPast) return silent_at;
  if (link_is_down(heard_)) return std::min(silent_at, link_lost_at_ + patience);
  // Heard again after the link broke: for a while, silence is suspicious sooner.
  if (heard_ > link_lost_at_ + options_.beat_interval * kHintBeats) return silent_at;
  const auto missed = std::chrono::duration_cast<Duration>(options_.beat_interval * kBeatsMissed);
  return std::min(silent_at, heard_ + missed + patience);
}

std::string Core::Impl::suspicion() const {
  const auto whom = leader_ ? leader_ : suspect_;
  if (!whom) return "there was none before";
  if (certified_at_ != kDistantPast) return "its guardian says that " + label(*whom) + " is gone";
  if (link_lost_at_ != kDistantPast && now_ < link_lost_at_ + silence_.timeout()) {
    return "the connection to " + label(*whom) + " broke";
  }
  return fmt::format("nothing heard from {} for {} ms", label(*whom), milliseconds(now_ - heard_));
}

Duration Core::Impl::jitter() {
  random_ += 0x9e3779b97f4a7c15u;  // splitmix64
  auto z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return Duration(static_cast<std::int64_t>(z % static_cast<std::uint64_t>(options_.beat_interval.count())));
}

// ------------------------------------------------------------------------------------------ changes of role

void Core::Impl::set_term(Term term) {
  CHECK(term > term_);  // I5
  term_ = term;
  vote_ = NodeId();
  vote_sequence_ = 0;
  matched_ = Index(0);
  leader_.reset();
  beat_at_ = kDistantPast;
  beat_sequence_ = 0;
  certified_at_ = kDistantPast;
}

void Core::Impl::become_follower(Term term, std::string why) {
  if (leader() != nullptr) {
    lead_no_more();
    heard_ = now_;
  }
  if (leader_) why_ = std::move(why);
  if (term > term_) set_term(term);
  leader_.reset();
  suspect_.reset();
  link_lost_at_ = kDistantPast;
  // Whoever raised the term gets the time of a round before this member thinks of standing.
  heard_ = std::max(heard_, now_ - silence_.timeout() + 3 * options_.beat_interval);
  role_ = Follower();
}

// A message of this term's leader.
void Core::Impl::follow(NodeId leader) {
  if (const auto* standing = candidate()) {
    if (standing->pre && standing->link_lost && link_is_down(now_)) {
      heard_ = now_;
      return;
    }
    if (standing->pre && suspect_ == leader) {
      ++counters_.wrong_suspicions;
      if (!standing->link_lost) silence_.suspected_wrongly(now_);
    }
    role_ = Follower();
  }
  if (leader_ != leader) {
    ++counters_.leaders_seen;
    why_ = suspect_ == leader ? label(leader) + " leads on, it was only late"
                              : label(leader) + " leads since term " + text(term_);
    suspect_.reset();
    leader_ = leader;
    if (handing_over_) {
      out_.transfer_done = TransferDone{true, why_};
      handing_over_.reset();
    }
  }
  heard_ = now_;
  certified_at_ = kDistantPast;
  barred_.reset();
  elections_failed_ = 0;
}

void Core::Impl::start_prevote() {
  const auto* standing = candidate();
  if (standing == nullptr || !standing->pre) ++counters_.prevotes_started;
  Candidate next;
  next.link_lost = link_lost_at_ != kDistantPast &&
                   now_ < link_lost_at_ + options_.beat_interval * kHintBeats;
  next.asked = now_;
  next.retry_at = now_ + std::max<Duration>(2 * options_.beat_interval, silence_.timeout() / 4) + jitter();
  if (leader_) {
    why_ = "no leader: " + suspicion();
    suspect_ = leader_;
    leader_.reset();
  }
  role_ = next;
  for (const auto& member : configuration().members()) {
    if (!member.voter || member.id == options_.self) continue;
    auto message = made(member.id, VoteRequest{.pre = true, .link_lost = next.link_lost, .last = claimed()});
    message.term = term_.next();
    out_.messages_now.push_back(std::move(message));
  }
  count_votes();
}

// The request promises nothing of ours, so it leaves at once; our own vote counts when it is on disk.
void Core::Impl::start_election(bool transfer, std::string why) {
  CHECK(electable());
  ++counters_.elections_started;
  why_ = std::move(why);
  set_term(term_.next());
  vote_ = options_.self;
  Candidate next;
  next.pre = false;
  next.transfer = transfer;
  next.asked = now_;
  const auto base = std::max<Duration>(4 * options_.heir_step, silence_.timeout() / 2);
  const auto backoff = std::min<std::size_t>(elections_failed_, kBackoffMax);
  next.patience = base * (1 << backoff) + options_.heir_step * static_cast<std::int64_t>(rank()) + jitter();
  // Persisted moves this nearer. A disk that hangs for longer than any leader may be silent is not waited for.
  next.retry_at = now_ + options_.silence_max;
  next.vote_sequence = sequence_ + 1;
  next.vote_durable = mutated(Mutation::self_vote_before_sync);
  role_ = next;
  for (const auto& member : configuration().members()) {
    if (!member.voter || member.id == options_.self) continue;
    send_now(member.id, VoteRequest{.transfer = transfer, .last = claimed(), .released = releases_.newest()});
  }
  count_votes();
}

void Core::Impl::count_votes() {
  const auto* standing = candidate();
  std::size_t yes = 0;
  for (const auto& member : configuration().members()) {
    if (!member.voter) continue;
    const auto reply = standing->replies.find(member.id);
    if (member.id == options_.self || (reply != standing->replies.end() && reply->second)) ++yes;
  }
  if (!electable() || yes < configuration().majority()) return;
  if (standing->pre) {
    start_election(false, suspicion());
  } else if (standing->vote_durable) {
    become_leader();
  }
}

void Core::Impl::become_leader() {
  const auto standing = *candidate();
  ++counters_.elections_won;
  Leader leading;
  leading.since = now_;
  leading.commit_at_election = commit_;
  leading.term_start = log_.last_index().next();
  leading.next_beat = now_;
  leading.certain = certified_at_ != kDistantPast;
  for (const auto& [id, granted] : standing.replies) {
    if (configuration().find(id) == nullptr) continue;
    auto& peer = leading.peers[id];
    peer.next = leading.term_start;
    peer.heard = now_;
    peer.answered = standing.asked;
  }
  role_ = std::move(leading);
  why_ = label(options_.self) + " leads since term " + text(term_) + ": " + why_;
  leader_ = options_.self;
  if (handing_over_) {
    out_.transfer_done = TransferDone{false, "this member was elected again meanwhile"};
    handing_over_.reset();
  }
  suspect_.reset();
  link_lost_at_ = kDistantPast;
  elections_failed_ = 0;
  incoming_.reset();
  barred_.reset();
  begin_register(standing.in_sync);
  follow_configuration();
  begin_wait(standing.wait);
  append_entry(EntryKind::term_start, {});
  order_heirs();
  for (auto& [request, read] : reads_) ask_for_read(request);
}

// What was proposed here may or may not survive; whoever waits hears so at once.
void Core::Impl::lead_no_more() {
  auto* leading = leader();
  for (const auto& [index, tag] : leading->proposals) {
    out_.proposals.push_back({tag, ProposalOutcome::unknown, term_, index, {}});
  }
  for (auto& [request, read] : reads_) read.asked_at = kDistantPast;
  heirs_ = leading->heirs;
  if (!leading->lease_asked) return;
  releases_.add(release_of_own(kEveryEpoch));
  ++counters_.leases_released;
}

void Core::Impl::tick_election() {
  if (!electable()) {
    if (candidate() != nullptr) role_ = Follower();
    return;
  }
  const auto* standing = candidate();
  // Nobody needs to be asked whether that leader is gone.
  const bool certain = certified_at_ != kDistantPast && (standing == nullptr || standing->pre);
  if (certain && now_ >= suspect_at()) {
    const auto why = suspicion();
    if (leader_) suspect_ = leader_;
    start_election(false, why);
  } else if (standing != nullptr) {
    if (now_ < standing->retry_at) return;
    if (!standing->pre) ++elections_failed_;
    start_prevote();
  } else if (now_ >= suspect_at()) {
    start_prevote();
  }
}

// ---------------------------------------------------------------------------------------------------- votes

void Core::Impl::receive(const Message& m, const VoteRequest& request) {
  VoteReply reply{.pre = request.pre, .request_term = m.term, .candidate_incarnation = m.incarnation};
  const bool complete = request.last >= claimed() || mutated(Mutation::vote_without_log_check);
  if (request.pre) {
    // Whoever knows by a committed configuration tells it: the removed one may know none of the later leaders.
    if (leader_ && configuration().find(m.from) == nullptr) {
      Notice notice{.kind = NoticeKind::removed,
                    .as_of = configurations_.rbegin()->first,
                    .text = label(m.from) + " is not a member of this cluster any more"};
      if (configurations_.rbegin()->first <= commit_) send_now(m.from, std::move(notice));
      return;
    }
    // One who still hears the leader says no; a hint must be confirmed by a beat or two that did not come.
    const auto missed = std::chrono::duration_cast<Duration>(options_.beat_interval * kBeatsMissed);
    const auto half = std::min(silence_.timeout(), options_.silence_default) / 2;
    const auto within = request.link_lost ? missed : std::max<Duration>(missed, half);
    reply.granted = m.term > term_ && complete && leader() == nullptr && !hears_leader(within);
    // A learner is only asked by a member whose log makes it a voter. If its own log is ahead of that one's, nobody may
    // be able to win but itself; it does not count itself as long as its own log does not make it a voter.
    if (!complete && !hears_leader(within) && configuration().find(m.from) != nullptr) {
      drafted_until_ = now_ + 2 * silence_.timeout();
    }
    send_now(m.from, reply);
    return;
  }
  take_releases(request.released);
  const bool free = is_empty(vote_) || vote_ == m.from || mutated(Mutation::vote_twice);
  reply.granted = m.term == term_ && complete && free && leader() == nullptr;
  reply.released = releases_.newest();
  if (!reply.granted) {
    send_now(m.from, reply);
    return;
  }
  reply.reports = grants_->report(m.term, time_);
  vote_ = m.from;
  vote_sequence_ = sequence_ + 1;
  vote_given_at_ = now_;
  heard_ = now_;
  link_lost_at_ = kDistantPast;
  if (candidate() != nullptr) role_ = Follower();
  if (mutated(Mutation::vote_before_sync)) {
    send_now(m.from, reply);
  } else {
    send_after_sync(m.from, reply);
  }
}

void Core::Impl::receive(const Message& m, const VoteReply& reply) {
  take_releases(reply.released);
  auto* standing = candidate();
  const bool own = reply.candidate_incarnation == options_.incarnation ||
                   mutated(Mutation::vote_of_other_incarnation);
  const auto asked = reply.pre ? term_.next() : term_;
  if (standing == nullptr || standing->pre != reply.pre || reply.request_term != asked || !own) {
    ++counters_.messages_dropped;
    return;
  }
  auto& known = standing->replies[m.from];
  if (reply.granted && !known) {
    for (const auto& report : reply.reports) standing->wait.add(report, time_);
    if (!reply.pre && configuration().witness() == m.from) standing->in_sync = reply.in_sync.value_or(InSync());
  }
  if (!reply.granted && reply.in_sync && !reply.in_sync->allows(options_.self) && configuration().witness() == m.from) {
    if (barred_ != reply.in_sync) ++counters_.elections_barred;
    barred_ = reply.in_sync;
  }
  known = known || reply.granted;
  count_votes();
}

// ------------------------------------------------------------------------------------------------ hand-over

void Core::Impl::receive(const Message& m, const TimeoutNow& order) {
  take_releases({order.release});
  if (m.term != term_ || leader_ != m.from || !electable() || leader() != nullptr) {
    ++counters_.messages_dropped;
    return;
  }
  start_election(true, label(m.from) + " handed over");
}

void Core::Impl::on(const TransferRequested& input) {
  if (leader() == nullptr) return;
  start_transfer(input.target);
  if (!input.or_anew || leader()->transfer) return;
  become_follower(term_, "no leader: " + label(options_.self) + " gave its term up, and no other voter answers");
}

std::optional<NodeId> Core::Impl::best_heir() const {
  const auto* leading = leader();
  std::optional<NodeId> best;
  Index best_match;
  for (const auto& id : leading->heirs) {
    const auto found = leading->peers.find(id);
    if (found == leading->peers.end() || !configuration().is_full(id)) continue;
    const auto& peer = found->second;
    const bool fit = peer.state != PeerState::refused && peer.vetted && !peer.disk_full && !peer.damaged &&
                     now_ - peer.answered < silence_.timeout();
    if (fit && (!best || peer.match > best_match)) {
      best = id;
      best_match = peer.match;
    }
  }
  return best;
}

void Core::Impl::start_transfer(std::optional<NodeId> target) {
  auto* leading = leader();
  if (leading->transfer) return;
  if (!target) target = best_heir();
  if (!target || *target == options_.self || !configuration().is_full(*target)) {
    out_.transfer_done = TransferDone{false, target ? "the target is no other voter" : "no other voter answers"};
    return;
  }
  ++counters_.transfers_started;
  leading->transfer = Transfer{*target, now_ + options_.transfer_wait_max};
  handing_over_ = leading->transfer;
}

// Writes are held back meanwhile, so the heir's log becomes complete and stays so.
void Core::Impl::drive_transfer() {
  auto* leading = leader();
  if (!leading->transfer) return;
  const auto found = leading->peers.find(leading->transfer->target);
  if (now_ >= leading->transfer->give_up_at || found == leading->peers.end()) {
    ++counters_.transfers_failed;
    out_.transfer_done = TransferDone{false, label(leading->transfer->target) + " did not take over in time"};
    leading->transfer.reset();
    handing_over_.reset();
    return;
  }
  const bool complete = found->second.match == log_.last_index();
  const bool first = leading->transfer->sent == kDistantPast;
  if (complete && (first || now_ - leading->transfer->sent >= options_.beat_interval)) {
    leading->transfer->sent = now_;
    if (first) give_up_lease();
    send_now(leading->transfer->target, TimeoutNow{leading->transfer->release});
  }
}

}  // namespace holdfast::raft
