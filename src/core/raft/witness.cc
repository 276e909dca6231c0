#include "core/raft/witness.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "core/raft/mutation.h"

namespace holdfast::raft {
namespace {

#ifdef HOLDFAST_MUTANTS
WitnessState forgotten(WitnessState state, Mutation mutation) {
  if (mutation == Mutation::witness_forgets_record) state.in_sync = {};
  if (mutation == Mutation::witness_forgets_vote) state.vote = NodeId();
  return state;
}
#else
WitnessState forgotten(WitnessState state, Mutation) { return state; }
#endif

}  // namespace

Witness::Witness(Options options, WitnessState state, Time now)
    : options_(std::move(options)),
      state_(forgotten(std::move(state), options_.mutation)),
      written_(state_),
      lease_on_disk_(state_.lease),
      grants_(now, mutated(Mutation::witness_forgets_leases) ? Duration(0) : state_.lease, options_.clock_drift),
      time_(now) {}

Witness::Output Witness::step(const Time& now, std::span<const Message> messages) {
  CHECK(now.boot >= time_.boot && now.raw >= time_.raw);
  time_ = now;
  for (const auto& message : messages) {
    if (!removed_) take(message);
  }
  if (state_ != written_) {
    const bool later = !written_.in_sync.later_than(state_.in_sync) || mutated(Mutation::witness_takes_older_record);
    CHECK(state_.term >= written_.term && later);  // I5
    out_.state = written_ = state_;
  }
  if (out_.state || !out_.after_sync.empty()) {
    out_.sequence = ++sequence_;
    pending_.push_back({sequence_, state_.lease});
  }
  return std::exchange(out_, Output());
}

void Witness::persisted(std::uint64_t sequence) {
  std::erase_if(pending_, [&](const Pending& write) {
    if (write.sequence > sequence) return false;
    lease_on_disk_ = std::max(lease_on_disk_, write.lease);
    return true;
  });
}

void Witness::promise(NodeId to, Body body) {
  if (mutated(Mutation::witness_speaks_before_sync)) return say(to, std::move(body));
  out_.after_sync.push_back({options_.self, to, state_.term, options_.incarnation, std::move(body)});
}

void Witness::take(const Message& m) {
  if (m.to != options_.self || m.from == options_.self) return;
  releases_.heard(m.from, m.incarnation);
  const auto* request = std::get_if<VoteRequest>(&m.body);
  const bool hypothetical = request != nullptr && request->pre;
  if (!hypothetical && m.term > state_.term && !std::holds_alternative<Notice>(m.body)) {
    state_.term = m.term;
    state_.vote = NodeId();
    leader_.reset();
  }
  if (request != nullptr) {
    on(m, *request);
  } else if (const auto* beat = std::get_if<Beat>(&m.body)) {
    on(m, *beat);
  } else if (const auto* record = std::get_if<RegisterRequest>(&m.body)) {
    on(m, *record);
  } else if (const auto* notice = std::get_if<Notice>(&m.body)) {
    on(m, *notice);
  }
}

void Witness::tell_term(const Message& m) {
  say(m.from, VoteReply{.request_term = m.term, .candidate_incarnation = m.incarnation});
}

// Logs are not compared, there is none here: whoever the record names has everything that is committed.
void Witness::on(const Message& m, const VoteRequest& request) {
  VoteReply reply{.pre = request.pre, .request_term = m.term, .candidate_incarnation = m.incarnation};
  reply.in_sync = state_.in_sync;
  const bool named = state_.in_sync.allows(m.from) || mutated(Mutation::witness_votes_for_anyone);
  if (request.pre) {
    // A hint must be confirmed by a beat or two that did not come.
    const auto within = request.link_lost ? options_.beat_interval * 3 / 2 : options_.leader_heard_within;
    const bool hears = leader_ && leader_ != m.from && time_.boot - heard_ < within;
    reply.granted = m.term > state_.term && named && !hears;
    return say(m.from, std::move(reply));
  }
  for (const auto& release : request.released) releases_.add(release);
  reply.granted = m.term == state_.term && named && (state_.vote.value().empty() || state_.vote == m.from);
  reply.released = releases_.newest();
  if (!reply.granted) return say(m.from, std::move(reply));
  reply.reports = grants_.report(m.term, time_);
  state_.vote = m.from;
  heard_ = time_.boot;
  promise(m.from, std::move(reply));
}

bool Witness::from_leader(const Message& m) {
  if (m.term < state_.term) return false;
  leader_ = m.from;
  heard_ = time_.boot;
  return true;
}

void Witness::on(const Message& m, const Beat& beat) {
  if (!from_leader(m)) return tell_term(m);
  say(m.from, BeatReply{.sent = beat.sent, .sequence = beat.sequence, .round = beat.round, .lease = grant(m, beat.lease)});
}

// Only what a restart would report. The first question of a length that is new only has it written down.
Lease Witness::grant(const Message& m, const Lease& asked) {
  if (asked.epoch == 0 || asked.length <= Duration(0) || asked.length > options_.lease_cap_max) return {};
  state_.lease = std::max(state_.lease, asked.length);
  if (asked.length > lease_on_disk_) return {};
  grants_.add(m.term, m.from, m.incarnation, asked, time_);
  return asked;
}

void Witness::on(const Message& m, const RegisterRequest& request) {
  const bool old_term = m.term < state_.term;
  if (old_term && !mutated(Mutation::witness_takes_old_term)) return tell_term(m);
  if (!old_term) from_leader(m);
  if (request.record.term != m.term || request.record.members.empty()) return;
  const bool later = request.record.later_than(state_.in_sync) || mutated(Mutation::witness_takes_older_record);
  if (later) state_.in_sync = request.record;
  if (state_.in_sync != request.record) return;
  promise(m.from, RegisterReply{request.record});
  if (old_term) out_.after_sync.back().term = m.term;  // a mutant's, which does not know better
}

void Witness::on(const Message& m, const Notice& notice) {
  if (m.term < state_.term || notice.kind != NoticeKind::removed) return;
  removed_ = out_.removed = true;
}

}  // namespace holdfast::raft
