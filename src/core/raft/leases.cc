// Leases in the core: asked for with beats and appends, granted with their replies, reported with votes, given up, waited
// for. What the parts mean stands in lease.h, why it is right in docs/leases.md.
#include <algorithm>

#include "core/raft/core_impl.h"

namespace holdfast::raft {
namespace {

constexpr Duration kCompareClocksEvery = 1s;
constexpr Duration kClocksReadApart = 1ms;  // two clocks are not read at one instant

}  // namespace

// -------------------------------------------------------------------------------------------------- granting

// What an earlier process may have granted. The first one had none before it; a sole voter grants to nobody, since a
// leader that is no voter holds no lease. A hole in the log may have held the cap.
Duration Core::Impl::lease_forgotten(const Start& start) const {
  if (options_.incarnation <= Incarnation(1) || mutated(Mutation::lease_forgotten)) return Duration(0);
  if (start.damage) return options_.lease_cap_max;
  if (configuration().voter_count() == 1 && configuration().is_voter(options_.self)) return Duration(0);
  Duration cap{};
  for (const auto& [index, one] : configurations_) cap = std::max(cap, one.lease_cap());
  return std::min(cap, options_.lease_cap_max);
}

// The cap that a restart would find, so that nothing longer is granted than it would report.
Duration Core::Impl::cap_on_disk() const {
  if (mutated(Mutation::lease_unasked_voter)) return configuration().lease_cap();
  const auto beyond = configurations_.upper_bound(durable_);
  // The first came with a snapshot, when it is not 0; that is on disk.
  const auto& on_disk = beyond == configurations_.begin() ? beyond->second : std::prev(beyond)->second;
  return std::min(on_disk.lease_cap(), options_.lease_cap_max);
}

Lease Core::Impl::grant(const Message& m, const Lease& asked) {
  if (asked.epoch == 0 || asked.length <= Duration(0) || asked.length > cap_on_disk()) return {};
  if (mutated(Mutation::lease_newest_grant)) grants_->forget();
  grants_->add(m.term, m.from, m.incarnation, asked, time_);
  return asked;
}

// --------------------------------------------------------------------------------------------------- holding

// The configurations by which somebody may have been elected, or may be: the last one known as committed, and after it.
std::map<Index, Configuration>::const_iterator Core::Impl::configurations_that_count() const {
  return std::prev(configurations_.upper_bound(commit_));
}

Lease Core::Impl::lease_to_ask() const {
  const auto* leading = leader();
  if (leading == nullptr || stopped_ || leading->lease_revoked) return {};
  const bool given_up = leading->transfer && leading->transfer->sent != kDistantPast;
  const bool kept = mutated(Mutation::lease_kept_in_hand_over) || mutated(Mutation::lease_same_epoch);
  if (given_up && !kept) return {};
  auto length = std::min(options_.lease_length, options_.lease_cap_max);
  for (auto it = configurations_that_count(); it != configurations_.end(); ++it) {
    if (!it->second.is_voter(options_.self)) return {};
    length = std::min(length, it->second.lease_cap());
  }
  if (leading->lease_limit) length = std::min(length, *leading->lease_limit);
  if (length <= Duration(0)) return {};
  return {leading->lease_epoch, length, time_.raw};
}

Lease Core::Impl::ask_lease() {
  const auto lease = lease_to_ask();
  if (lease.epoch != 0) leader()->lease_asked = true;
  return lease;
}

void Core::Impl::granted(Peer& peer, const Lease& lease, Stamp sent) {
  if (lease.epoch == 0 || lease.epoch != leader()->lease_epoch) return;
  Time asked(sent, lease.raw);
  if (asked.boot > time_.boot || asked.raw > time_.raw) return;  // never said by this process
  if (mutated(Mutation::lease_from_receipt)) asked = time_;
  if (asked.boot < peer.lease_sent.boot) return;
  peer.lease_sent = asked;
  peer.lease_length = lease.length;
}

LeaseHeld Core::Impl::lease_held() const {
  LeaseHeld held{.term = term_, .until = kDistantPast, .in_wait = !own_term_committed()};
  const auto* leading = leader();
  if (leading == nullptr || stopped_ || leading->lease_revoked || clocks_apart_) return held;
  const auto own = lease_to_ask();
  if (own.epoch == 0) return held;
  Time until = kDistantFuture;
  for (auto it = configurations_that_count(); it != configurations_.end(); ++it) {
    // Each voter's grant by its end, those that run longest first.
    std::vector<Time> ends;
    for (const auto& member : it->second.members()) {
      if (!member.voter && !mutated(Mutation::lease_of_learners)) continue;
      auto sent = time_;
      auto length = own.length;
      if (member.id != options_.self) {
        const auto found = leading->peers.find(member.id);
        if (found == leading->peers.end() || found->second.state == PeerState::refused) continue;
        sent = found->second.lease_sent;
        length = found->second.lease_length;
      }
      if (length <= Duration(0)) continue;
      const auto runs = usable(length, drift());
      ends.emplace_back(sent.boot + runs, sent.raw + runs);
    }
    const auto majority = it->second.majority();
    if (ends.size() < majority) return held;
    std::sort(ends.begin(), ends.end(), [this](const Time& a, const Time& b) {
      return std::min(a.boot - time_.boot, a.raw - time_.raw) > std::min(b.boot - time_.boot, b.raw - time_.raw);
    });
    for (std::size_t i = 0; i < majority; ++i) {
      until.boot = std::min(until.boot, ends[i].boot);
      until.raw = std::min(until.raw, ends[i].raw);
    }
  }
  if (mutated(Mutation::lease_one_clock)) until.raw = kDistantFuture;
  held.until = until;
  return held;
}

std::optional<ReadBy> Core::Impl::lease_serves(const Time& now, const std::optional<std::string>& key) const {
  const auto held = lease_held();
  if (now.boot >= held.until.boot || now.raw >= held.until.raw) return std::nullopt;
  if (!held.in_wait) return ReadBy::lease;
  const auto* leading = leader();
  if (mutated(Mutation::lease_no_limbo)) return ReadBy::lease_in_wait;
  if (leading->limbo_everything) return std::nullopt;
  const bool touched = key ? leading->limbo.contains(*key) : !leading->limbo.empty();
  return touched ? std::nullopt : std::optional(ReadBy::lease_in_wait);
}

// A time daemon that hurries a clock, or a machine that slept: not wrong yet, but no lease while it lasts.
void Core::Impl::watch_clocks() {
  const auto boot = time_.boot - clocks_compared_.boot;
  const auto raw = time_.raw - clocks_compared_.raw;
  if (std::max(boot, raw) < kCompareClocksEvery) return;
  const auto allowed = static_cast<double>(std::max(boot, raw).count()) * options_.clocks_apart_max;
  const auto apart = boot > raw ? boot - raw : raw - boot;
  clocks_apart_ = apart > kClocksReadApart + Duration(static_cast<std::int64_t>(allowed));
  clocks_compared_ = time_;
}

// -------------------------------------------------------------------------------------------------- giving up

// Before the hand-over leaves: no read here is answered by what was granted until now, not even if it fails.
void Core::Impl::give_up_lease() {
  auto* leading = leader();
  if (!leading->lease_asked) return;
  leading->transfer->release = release_of_own(leading->lease_epoch);
  if (mutated(Mutation::lease_kept_in_hand_over)) return;
  if (!mutated(Mutation::lease_same_epoch)) ++leading->lease_epoch;
  for (auto& [id, peer] : leading->peers) {
    peer.lease_sent = kDistantPast;
    peer.lease_length = Duration(0);
  }
  ++counters_.leases_released;
}

void Core::Impl::take_releases(const std::vector<Release>& releases) {
  for (auto release : releases) {
    if (mutated(Mutation::lease_release_any_epoch)) release.epoch = kEveryEpoch;
    releases_.add(release);
  }
}

void Core::Impl::on(const LeaseRevoked& input) {
  auto* leading = leader();
  if (input.node == options_.self) {
    if (leading != nullptr && input.term == term_ && input.incarnation == options_.incarnation) {
      leading->lease_revoked = true;
    }
    return;
  }
  releases_.add({input.term, kEveryEpoch, input.node});
  if (input.term == term_ && (leader_ == input.node || (!leader_ && suspect_ == input.node))) certified_at_ = now_;
}

// --------------------------------------------------------------------------------------------------- waiting

// Elected: leases of earlier terms may run, and others may have committed what follows our commit index.
void Core::Impl::begin_wait(LeaseWait wait) {
  auto* leading = leader();
  for (const auto& report : grants_->report(term_, time_)) wait.add(report, time_);
  leading->wait = std::move(wait);
  if (wait_left() > Duration(0)) {
    ++counters_.waits;
  } else if (leading->wait.left(Releases(), time_, drift()) > Duration(0)) {
    ++counters_.waits_released;
  }
  if (configuration().lease_cap() == Duration(0)) {
    leading->limbo_everything = true;
    return;
  }
  for (auto i = commit_.next(); i < leading->term_start; i = i.next()) {
    const auto& entry = log_.at(i);
    if (entry.kind == EntryKind::term_start) continue;
    auto keys = entry.kind == EntryKind::command && options_.touched ? options_.touched(entry) : std::nullopt;
    if (!keys) {
      leading->limbo_everything = true;
      return;
    }
    for (auto& key : *keys) leading->limbo.insert(std::move(key));
  }
}

Duration Core::Impl::wait_left() const {
  const auto* leading = leader();
  if (leading == nullptr || leading->waited || mutated(Mutation::lease_no_wait)) return Duration(0);
  return leading->wait.left(releases_, time_, drift());
}

// ------------------------------------------------------------------------------------------------------- cap

// A lower cap may be appended once nothing longer than it can still run: then a member that restarts and finds only the
// lower one forgets nothing. Leases of earlier terms are over, since an entry of this term is committed.
bool Core::Impl::may_lower_cap(Duration cap, std::string* why) {
  auto* leading = leader();
  const auto old = configuration().lease_cap();
  if (cap >= old || mutated(Mutation::lease_cap_falls_at_once)) return true;
  if (!leading->lease_limit || cap < *leading->lease_limit) {
    leading->lease_limit = cap;
    leading->lease_limit_since = time_;
  }
  const auto left = surely_over(old, options_.clock_drift) - passed_shorter(leading->lease_limit_since, time_);
  if (left <= Duration(0)) return true;
  *why = "leases of up to " + std::to_string(milliseconds(old)) + " ms may still run; ask again in " +
         std::to_string(milliseconds(left) + 1) + " ms";
  return false;
}

}  // namespace holdfast::raft
