// What a host does for leases: reads by them, on the core's thread and beside it, and what the guardian is to say.
#include <algorithm>

#include "base/log.h"
#include "service/master/raft_host.h"

namespace holdfast::master {
namespace {

// Addresses of members change seldom: the guardian hears of it this much later.
constexpr Duration kTellGuardianInterval = 100ms;

}  // namespace

// ---------------------------------------------------------------------------------------------------- asking

void RaftHost::confirm_read(ReadDone done) {
  std::optional<Error> refusal;
  {
    Guard guard(mutex_);
    if (!begun_ || ended_ || stopping_) {
      refusal = Error{Code::unavailable, "this master takes no part yet, or no more"};
    } else if (reads_.size() >= kReadsWaitingMax) {
      refusal = Error{Code::busy, "too many reads wait to be confirmed"};
    } else {
      reads_.push_back(std::move(done));
    }
  }
  if (refusal) {
    done(*refusal);
  } else {
    wake();
  }
}

// Everything that waits is confirmed as one.
void RaftHost::take_reads(std::vector<raft::Input>* inputs) {
  std::vector<ReadDone> reads;
  {
    Guard guard(mutex_);
    reads.swap(reads_);
  }
  if (reads.empty()) return;
  const auto tag = next_tag_++;
  reads_under_way_.emplace(tag, std::move(reads));
  inputs->emplace_back(raft::ReadRequested{tag});
}

// ---------------------------------------------------------------------------------------------------- answering

void RaftHost::answer_reads(const std::vector<raft::ReadState>& reads) {
  std::vector<raft::Input> again;
  for (const auto& read : reads) {
    auto found = reads_under_way_.extract(read.tag);
    if (found.empty()) continue;
    if (!read.ok) {
      for (const auto& done : found.mapped()) done(Error{Code::unavailable, "no leader could be confirmed"});
    } else if (read.by != raft::ReadBy::round && is_revoked()) {
      const auto tag = next_tag_++;
      reads_under_way_.emplace(tag, std::move(found.mapped()));
      again.emplace_back(raft::ReadRequested{.tag = tag, .by_round = true});
    } else {
      reads_confirmed_.emplace(read.index, std::move(found.mapped()));
    }
  }
  if (!again.empty()) post(std::move(again));
  while (!reads_confirmed_.empty() && reads_confirmed_.begin()->first <= applied_) {
    const auto ready = reads_confirmed_.extract(reads_confirmed_.begin());
    for (const auto& done : ready.mapped()) done(ready.key());
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

// ---------------------------------------------------------------------------------------------------- telling

void RaftHost::tell_guardian(bool changed) {
  if (options_.guardian == nullptr) return;
  const Instant now = clock_.now();
  if (!changed && now < guardian_told_at_ + kTellGuardianInterval) return;
  guardian_told_at_ = now;
  if (const auto pid = options_.guardian->pid(); options_.guardian->has_died()) {
    LOG_WARNING("the guardian of this master (process {}) has ended: should this master die, its lease has to run out. A "
                "restart brings a new one", pid);
  }
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
