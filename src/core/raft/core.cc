#include "core/raft/core.h"

#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {

Core::Core(Options options, Start start, Time now)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(start), now)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

Output Core::step(Time now, std::span<const Input> inputs) { return impl_->step(now, inputs); }
CoreStatus Core::status() const { return impl_->status(); }
std::optional<ReadBy> Core::lease_serves(const Time& now, const std::optional<std::string>& key) const {
  return impl_->lease_serves(now, key);
}
const Configuration& Core::configuration() const { return impl_->configuration(); }
const Configuration& Core::configuration_at(Index index) const { return impl_->configuration_at(index); }

SnapshotMeta Core::snapshot_meta(Index index, Term term) const { return impl_->snapshot_meta(index, term); }

namespace {

LogPosition base_of(const Start& start) {
  return start.snapshot ? start.snapshot->last : LogPosition{};
}

// A cluster that has only its founding entry, or a member alone, has no leader to wait for.
bool has_nobody_to_wait_for(const Configuration& configuration, NodeId self, const Log& log) {
  const bool fresh = log.last() <= LogPosition{Term(1), Index(1)};
  return configuration.is_voter(self) && (fresh || configuration.voter_count() == 1);
}

}  // namespace

Core::Impl::Impl(Options options, Start start, Time now)
    : options_(std::move(options)),
      term_(start.hard_state.term),
      vote_(start.hard_state.vote),
      log_(base_of(start)),
      snapshot_(start.snapshot),
      disk_first_(start.disk_first),
      written_(start.hard_state),
      disk_(start.disk_full ? DiskCondition::full : DiskCondition::good),
      heard_(now.boot),
      silence_({.interval = options_.beat_interval,
                .initial = options_.silence_default,
                .min = options_.silence_min,
                .max = options_.silence_max,
                .fixed = options_.silence_fixed}),
      random_(options_.seed),
      clocks_compared_(now),
      now_(now.boot),
      time_(now) {
  configurations_[Index(0)] = Configuration();
  if (snapshot_) {
    configurations_.clear();
    configurations_[snapshot_->configuration_index] = snapshot_->configuration;
  }
  for (auto& entry : start.entries) {
    if (start.damage && entry.index >= start.damage->first) break;
    if (entry.format > options_.entry_format) {
      halt("the log holds entries of format " + std::to_string(entry.format) +
           ", this build understands up to " + std::to_string(options_.entry_format));
      break;
    }
    log_.append(std::move(entry));
    configuration_appended(log_.last_index());
  }
  if (start.damage && start.damage->last > log_.last()) claimed_ = start.damage->last;
  durable_ = log_.last_index();
  handed_out_ = base_of(start).index;
  commit_ = std::max(handed_out_, std::min(start.hard_state.commit, log_.last_index()));
  if (has_nobody_to_wait_for(configuration(), options_.self, log_)) heard_ = now_ - silence_.timeout();
  // The log knows a later term than the vote: what was voted in that one is not known any more, so nobody gets it.
  if (log_.last().term > term_) {
    term_ = log_.last().term;
    vote_ = options_.self;
  }
  grants_.emplace(now, lease_forgotten(start), drift());
  out_.configuration.reset();
}

Output Core::Impl::step(Time now, std::span<const Input> inputs) {
  CHECK(now.boot >= time_.boot && now.raw >= time_.raw);
  time_ = now;
  now_ = now.boot;
  if (now_ > promised_wake_ + 2 * options_.beat_interval) resumed_at_ = now_;
  watch_clocks();
  for (const auto& input : inputs) {
    if (stopped_ && !std::holds_alternative<Persisted>(input)) continue;
    std::visit([this](const auto& one) { on(one); }, input);
  }
  if (!stopped_) tick();
  return finish();
}

// ----------------------------------------------------------------------------------------------------- inputs

void Core::Impl::on(const Received& input) {
  const auto& m = input.message;
  if (m.to != options_.self || m.from != input.from || m.from == options_.self) {
    ++counters_.messages_dropped;
    return;
  }
  releases_.heard(m.from, m.incarnation);
  // A pre-vote speaks of a term that nobody has entered yet; everything else carries the sender's own.
  const auto* request = std::get_if<VoteRequest>(&m.body);
  const bool hypothetical = request != nullptr && request->pre;
  if (mutated(Mutation::lease_kept_by_voter) && request != nullptr && !hypothetical && m.term > term_ &&
      leader() != nullptr) {
    VoteReply said{.request_term = m.term, .candidate_incarnation = m.incarnation};
    said.released = {release_of_own(kEveryEpoch)};
    send_now(m.from, said);
    out_.messages_now.back().term = m.term;
    return;
  }
  if (!hypothetical && m.term > term_ && !std::holds_alternative<Notice>(m.body)) {
    become_follower(m.term, "a later term, " + text(m.term) + ", is known to " + label(m.from));
  }
  std::visit([&](const auto& body) { receive(m, body); }, m.body);
}

void Core::Impl::on(const Persisted& input) {
  while (!pending_.empty() && pending_.front().sequence <= input.sequence) {
    durable_ = std::max(durable_, pending_.front().last);
    disk_pace_.observe(now_ - pending_.front().since);
    pending_.pop_front();
  }
  CHECK(durable_ <= log_.last_index());
  if (auto* standing = candidate();
      standing != nullptr && !standing->pre && input.sequence >= standing->vote_sequence) {
    standing->vote_durable = true;
    // The others' disks may be as slow as this one.
    standing->retry_at = now_ + std::max(standing->patience, now_ - standing->asked);
    count_votes();
  }
  if (vote_sequence_ != 0 && input.sequence >= vote_sequence_) {
    vote_sequence_ = 0;
    // The vote leaves only now: from here on its candidate may be expected to lead.
    if (!leader_) heard_ = now_;
  }
}

void Core::Impl::on(const DiskChanged& input) {
  disk_ = input.condition;
  if (auto* leading = leader()) leading->disk_retry_at = now_;
}

void Core::Impl::on(const LinkLost& input) {
  if (auto* leading = leader()) {
    const auto found = leading->peers.find(input.peer);
    if (found != leading->peers.end() && found->second.state == PeerState::replicate) {
      back_to_probe(found->second, found->second.match.next());
    }
    return;
  }
  // The hint: suspect_at() now counts what was heard until here for nothing.
  if (leader_ == input.peer) link_lost_at_ = now_;
}

void Core::Impl::halt(std::string why) {
  stopped_ = true;
  if (!out_.halt) out_.halt = std::move(why);
}

// ----------------------------------------------------------------------------------------------- what is due

void Core::Impl::tick() {
  silence_.passed(now_);
  if (leader() != nullptr) tick_leader();
  if (leader() == nullptr) tick_election();
  tick_reads();
  if (handing_over_ && leader() == nullptr && now_ >= handing_over_->give_up_at) {
    out_.transfer_done = TransferDone{false, "nobody leads yet"};
    handing_over_.reset();
  }
}

Instant Core::Impl::wake_at() const {
  if (stopped_) return kDistantFuture;
  if (handed_out_ < commit_) return now_;
  auto wake = kDistantFuture;
  if (const auto* leading = leader()) {
    wake = leading->next_beat;
    if (const auto left = wait_left(); left > Duration(0)) wake = std::min(wake, now_ + std::max<Duration>(left, 50us));
  } else if (const auto* standing = candidate()) {
    wake = standing->retry_at;
  } else {
    wake = suspect_at();
  }
  if (!reads_.empty()) wake = std::min(wake, now_ + options_.beat_interval);
  if (handing_over_) wake = std::min(wake, handing_over_->give_up_at);
  return std::max(wake, now_);
}

// ----------------------------------------------------------------------------------------------- what goes out

void Core::Impl::append_entry(EntryKind kind, Payload data) {
  const auto index = log_.last_index().next();
  log_.append(Entry{term_, index, kind, options_.entry_format, std::move(data)});
  log_changed_from(index);
  configuration_appended(index);
}

void Core::Impl::log_changed_from(Index index) {
  changed_from_ = std::min(changed_from_.value_or(index), index);
  durable_ = std::min(durable_, index.previous());
  for (auto& write : pending_) write.last = std::min(write.last, index.previous());
}

void Core::Impl::hand_out() {
  std::size_t bytes = 0;
  while (handed_out_ < commit_ && bytes < options_.committed_bytes_per_step_max) {
    const auto& entry = log_.at(handed_out_.next());
    bytes += entry.data.size() + 1;
    out_.committed.push_back(entry);
    handed_out_ = entry.index;
    auto* leading = leader();
    if (leading == nullptr) continue;
    const auto found = leading->proposals.find(entry.index);
    if (found == leading->proposals.end()) continue;
    out_.proposals.push_back({found->second, ProposalOutcome::committed, entry.term, entry.index, {}});
    leading->proposals_bytes -= entry.data.size();
    leading->proposals.erase(found);
  }
}

void Core::Impl::announce() {
  LeadershipChange state{.role = Role::follower, .term = term_, .leader = leader_, .why = {}};
  if (leader() != nullptr) state.role = Role::leader;
  if (candidate() != nullptr) state.role = Role::candidate;
  if (state.role == Role::follower && !configuration().is_voter(options_.self)) state.role = Role::learner;
  const bool known = announced_ && announced_->leader;
  if (!known && !state.leader) return;  // none before, none now: terms that come and go are no news
  if (known && announced_->leader == state.leader && announced_->term == state.term) return;
  state.why = why_;
  announced_ = state;
  out_.leadership = std::move(state);
}

Output Core::Impl::finish() {
  if (auto* leading = leader(); leading != nullptr && !stopped_) {
    drive_register();
    commit_by_majority();
    confirm_reads();
    begin_round();
    drive_membership();
    drive_transfer();
  }
  if (auto* leading = leader(); leading != nullptr && !stopped_) {
    for (auto& [id, peer] : leading->peers) replicate(id, peer);
    if (leading->beat_due || now_ >= leading->next_beat) beat();
  }
  CHECK(commit_ <= log_.last_index());
  hand_out();
  announce();

  if (changed_from_ && *changed_from_ <= log_.last_index()) {
    out_.appended = log_.slice(*changed_from_, SIZE_MAX, SIZE_MAX);
  }
  changed_from_.reset();
  const auto hint = mutated(Mutation::commit_hint_unsynced) ? commit_ : std::min(commit_, durable_);
  const HardState wanted{term_, vote_, std::max(hint, written_.commit)};
  // With a witness, whether a configuration is committed decides what may be recorded: that is not to be forgotten.
  const auto newest = configurations_.rbegin()->first;
  const bool settled = configuration().witness() && newest <= wanted.commit && newest > written_.commit;
  const bool must = wanted.term != written_.term || wanted.vote != written_.vote || settled;
  if (must || (!out_.appended.empty() && wanted != written_)) {
    CHECK(wanted.term >= written_.term);
    out_.hard_state = wanted;
    written_ = wanted;
  }
  if (out_.hard_state || out_.log_reset || !out_.appended.empty() || !out_.messages_after_sync.empty()) {
    out_.write_sequence = ++sequence_;
    pending_.push_back({sequence_, log_.last_index(), now_});
  }
  log_.trim(std::min(handed_out_, durable_), options_.log_tail_bytes_max);
  if (leader() != nullptr && !stopped_) {
    out_.assign_until = majority_answered() + silence_.timeout();
    if (mutated(Mutation::no_check_quorum)) out_.assign_until = kDistantFuture;
    out_.lease = lease_held();
  }
  out_.wake_at = promised_wake_ = wake_at();
  return std::exchange(out_, Output());
}

CoreStatus Core::Impl::status() const {
  CoreStatus s;
  s.role = leader() != nullptr                           ? Role::leader
           : candidate() != nullptr                      ? Role::candidate
           : configuration().is_voter(options_.self) ? Role::follower
                                                         : Role::learner;
  s.term = term_;
  s.leader = leader_;
  s.last = log_.last_index();
  s.last_term = log_.last().term;
  s.durable = durable_;
  s.commit = commit_;
  s.handed_out = handed_out_;
  if (snapshot_) {
    s.snapshot = snapshot_->last.index;
    s.snapshot_term = snapshot_->last.term;
  }
  s.configuration = configurations_.empty() ? Index(0) : configurations_.rbegin()->first;
  s.silence_timeout = silence_.timeout();
  s.counters = counters_;
  s.in_sync.witness = configuration().witness();
  if (leader() == nullptr) s.in_sync.barred = barred_;
  s.lease.cap = configuration().lease_cap();
  s.lease.clocks_apart = clocks_apart_;
  if (const auto* leading = leader()) {
    s.lease.asked = lease_to_ask().length;
    s.lease.epoch = leading->lease_epoch;
    s.lease.held = lease_held();
    s.lease.wait_left = std::max(wait_left(), Duration(0));
    s.lease.revoked = leading->lease_revoked;
    s.in_sync.needed = {leading->needed.begin(), leading->needed.end()};
    s.in_sync.known = leading->known;
    s.in_sync.asked = leading->made && leading->known != leading->made;
    s.transferring = leading->transfer.has_value();
    s.commit_at_election = leading->commit_at_election;
    for (const auto& [id, peer] : leading->peers) {
      s.peers.push_back({id, peer.state, peer.match, peer.incarnation, peer.heard, peer.answered,
                         peer.disk_full, peer.damaged});
    }
  }
  return s;
}

const Configuration& Core::Impl::configuration_at(Index index) const {
  auto found = configurations_.upper_bound(index);
  CHECK(found != configurations_.begin());
  return std::prev(found)->second;
}

}  // namespace holdfast::raft
