// What a host does for leases: reads by them, on the core's thread and beside it, and what the guardian is to say.
#include <algorithm>

#include "base/log.h"
#include "service/master/raft_host.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

// Addresses of members change seldom: the guardian hears of it this much later.
constexpr Duration kTellGuardianInterval = 100ms;
// Keys asked for in one turn by themselves; what comes beyond waits for all.
constexpr std::size_t kKeysAskedForMax = 256;

}  // namespace

// ---------------------------------------------------------------------------------------------------- asking

void RaftHost::confirm_read(ReadDone done) {
  add_read({std::nullopt, [done = std::move(done)](const Result<KeyRead>& read) {
              done(read ? Result<Index>(read->index) : Result<Index>(read.error()));
            }});
}

void RaftHost::confirm_read_of(std::string key, KeyReadDone done) { add_read({std::move(key), std::move(done)}); }

void RaftHost::add_read(WaitingRead read) {
  std::optional<Error> refusal;
  {
    Guard guard(mutex_);
    if (!begun_ || ended_ || stopping_) {
      refusal = Error{Code::unavailable, "this master takes no part yet, or no more"};
    } else if (reads_.size() >= kReadsWaitingMax) {
      refusal = Error{Code::busy, "too many reads wait to be confirmed"};
    } else {
      reads_.push_back(std::move(read));
    }
  }
  if (refusal) {
    read.done(*refusal);
  } else {
    wake();
  }
}

// Everything that waits is confirmed as one; each key by itself while this leader waits for an earlier lease, since then
// it matters which one is asked for.
void RaftHost::take_reads(std::vector<raft::Input>* inputs) {
  std::vector<WaitingRead> reads;
  {
    Guard guard(mutex_);
    reads.swap(reads_);
  }
  if (reads.empty()) return;
  std::map<std::optional<std::string>, std::vector<WaitingRead>> by_key;
  const bool in_wait = status_.role == raft::Role::leader && status_.lease.held.in_wait;
  for (auto& read : reads) {
    const bool alone = in_wait && by_key.size() < kKeysAskedForMax;
    by_key[alone ? read.key : std::nullopt].push_back(std::move(read));
  }
  for (auto& [key, same] : by_key) {
    const auto tag = next_tag_++;
    reads_under_way_.emplace(tag, std::move(same));
    inputs->emplace_back(raft::ReadRequested{.tag = tag, .key = key});
  }
}

// ---------------------------------------------------------------------------------------------------- answering

void RaftHost::answer_reads(const std::vector<raft::ReadState>& reads) {
  std::vector<raft::Input> again;
  for (const auto& read : reads) {
    auto found = reads_under_way_.extract(read.tag);
    if (found.empty()) continue;
    if (!read.ok) {
      for (const auto& one : found.mapped()) one.done(Error{Code::unavailable, "no leader could be confirmed"});
    } else if (read.by != raft::ReadBy::round && is_revoked()) {
      const auto tag = next_tag_++;
      reads_under_way_.emplace(tag, std::move(found.mapped()));
      again.emplace_back(raft::ReadRequested{.tag = tag, .by_round = true});
    } else {
      const bool whole = read.by != raft::ReadBy::lease_in_wait ||
                         core_->lease_serves(raft::Time(clock_.now(), clock_.raw()), std::nullopt).has_value();
      reads_confirmed_.emplace(read.index, ConfirmedReads{std::move(found.mapped()), whole});
    }
  }
  if (!again.empty()) post(std::move(again));
  while (!reads_confirmed_.empty() && reads_confirmed_.begin()->first <= applied_) {
    const auto ready = reads_confirmed_.extract(reads_confirmed_.begin());
    for (const auto& read : ready.mapped().reads) read.done(KeyRead{ready.key(), ready.mapped().whole});
  }
}

bool RaftHost::may_answer(Index applied) const {
  const auto held = lease_.covers(applied, raft::Time(clock_.now(), clock_.raw()));
  if (!held || silent_ || stopping_) return false;
  if (options_.guardian != nullptr && options_.guardian->revoked(held->term)) return false;
  if (options_.vmclock != nullptr && options_.vmclock->marker() != held->marker) return false;
  answered_by_lease_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Whether a lease read confirmed in this very step may not be answered after all.
bool RaftHost::is_revoked() const {
  if (options_.guardian != nullptr && options_.guardian->revoked(status_.term)) return true;
  return options_.vmclock != nullptr && options_.vmclock->marker() != pauses_seen_;
}

// Before each step: the core learns that it holds no lease any more, if that is so.
void RaftHost::look_at_the_word(std::vector<raft::Input>* inputs) {
  const bool revoked = is_revoked();
  if (options_.vmclock != nullptr) pauses_seen_ = options_.vmclock->marker();
  if (!revoked || status_.role != raft::Role::leader || status_.lease.revoked) return;
  inputs->emplace_back(raft::LeaseRevoked{options_.self, options_.incarnation, status_.term});
}

// Called before a step's messages leave, and again after what they tell of has been applied.
void RaftHost::publish_lease(const raft::LeaseHeld& held) {
  if (silent_ || status_.role != raft::Role::leader || applied_ != status_.commit) return lease_.withdraw();
  lease_.publish(held, state_.applied(), pauses_seen_);
}

// ---------------------------------------------------------------------------------------------------- the virtual IP

void RaftHost::note_lead(const raft::Output& out, const raft::CoreStatus& before) {
  const bool leads = status_.role == raft::Role::leader;
  if (!leads && before.role != raft::Role::leader) return;
  const bool is_new = leads && (before.role != raft::Role::leader || before.term != status_.term);
  Guard guard(mutex_);
  lead_.leads = leads;
  if (!leads) return;
  if (is_new) {
    lead_.term = status_.term;
    lead_.elected = clock_.now();
    lead_.has_committed = false;
    // The log may have grown in the very step in which it was elected.
    lead_.previous_term = before.last_term;
    for (const auto& entry : out.appended) {
      if (entry.term < status_.term) lead_.previous_term = std::max(lead_.previous_term, entry.term);
    }
  }
  lead_.answered = out.assign_until - status_.silence_timeout;
  for (const auto& entry : out.committed) lead_.has_committed = lead_.has_committed || entry.term == status_.term;
  lead_.revoked = status_.lease.revoked;
}

void RaftHost::note_address(const Datagram& datagram) {
  const auto& head = datagram.message;
  if (core_->configuration().find(head.from) == nullptr) return;
  // Counted from the receipt, and by a clock that may run fast: later than it is, never earlier.
  const Instant free_at = clock_.now() + *datagram.address_free_in + *datagram.address_free_in / 50;
  Guard guard(mutex_);
  auto& word = lead_.word;
  if (word && word->term > head.term) return;
  word = {head.term, word && word->term == head.term ? std::min(word->free_at, free_at) : free_at};
}

LeadFacts RaftHost::lead_facts() const {
  LeadFacts facts;
  bool alone = false;  // then there is nobody to whom the guardian could have said anything
  {
    Guard guard(mutex_);
    facts = lead_;
    alone = configuration_ && configuration_->members().size() == 1;
  }
  if (silent_ || stopping_) facts.leads = false;
  // Not only what the core has heard of: the guardian may have taken the address away a moment ago.
  if (options_.guardian != nullptr && facts.leads && options_.guardian->revoked(facts.term)) facts.revoked = true;
  if (alone) facts.revoked = false;
  return facts;
}

std::vector<Certificate> RaftHost::farewells(Term term, Duration free_in) const {
  bool begun = false;
  {
    Guard guard(mutex_);
    begun = begun_;
  }
  if (!begun) return {};
  return transport_->farewells({options_.self, options_.incarnation, term}, free_in);
}

// ---------------------------------------------------------------------------------------------------- telling

void RaftHost::tell_guardian(bool changed) {
  if (options_.guardian == nullptr) return;
  const Instant now = clock_.now();
  if (!changed && now < guardian_told_at_ + kTellGuardianInterval) return;
  guardian_told_at_ = now;
  options_.guardian->set_patience(std::max<Duration>(status_.silence_timeout, 3 * options_.core.beat_interval));
  if (status_.role != raft::Role::leader) return options_.guardian->follows();
  options_.guardian->prepare(status_.term, true,
                             transport_->certificates({options_.self, options_.incarnation, status_.term}));
}

LeaseView RaftHost::make_lease_view(Instant now) const {
  const auto& lease = status_.lease;
  LeaseView view{.cap = lease.cap,
                 .length = lease.asked,
                 .epoch = lease.epoch,
                 .clocks_apart = lease.clocks_apart,
                 .reads_by_lease =
                     status_.counters.reads_by_lease + answered_by_lease_.load(std::memory_order_relaxed),
                 .reads_in_wait = status_.counters.reads_in_wait,
                 .reads_by_round = status_.counters.reads_by_round};
  const auto& until = lease.held.until;
  const auto left = std::min(until.boot - now, until.raw - clock_.raw());
  if (left > Duration(0)) view.held_until = now + left;
  if (lease.wait_left > Duration(0)) view.commits_from = now + lease.wait_left;
  return view;
}

}  // namespace holdfast::master
