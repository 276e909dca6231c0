// Leases: what lets a leader answer reads without asking anyone, and makes its successors wait before they commit.
//
// A voter that takes a Beat or Append of a leader grants it `Lease::length`, counted by the leader from the sending. While
// a majority's grants run, no later leader can commit: any majority of votes has one of those voters in it, and it tells
// with its vote how long its grants may still run (Grants). The winner commits nothing until the longest has run out
// (LeaseWait), unless it was told that the lease is over (Releases). Nobody waits to vote or to replicate.
//
// Time. Clocks may be off by `drift` in either direction: a holder takes off as much from its lease, granter and waiter
// allow for as much on top. Lengths travel, instants do not. Two clocks count at every member, and one of the two is
// trusted: a holder takes what has passed longer, a granter or waiter what has passed shorter.
//
// Pure; not thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/time.h"
#include "core/raft/messages.h"

namespace holdfast::raft {

// One moment on two clocks. `boot` goes on through suspend but is slewed by time daemons (CLOCK_BOOTTIME); `raw` is
// slewed by nobody (CLOCK_MONOTONIC_RAW). Everything but leases uses `boot`. From one Instant: a host with one clock.
struct Time {
  Instant boot;
  Instant raw;

  constexpr Time() = default;
  constexpr Time(Instant both) : boot(both), raw(both) {}  // NOLINT: a clock stands for both
  constexpr Time(Instant on_boot, Instant on_raw) : boot(on_boot), raw(on_raw) {}
};

inline constexpr Duration passed_longer(const Time& since, const Time& now) {
  return std::max(now.boot - since.boot, now.raw - since.raw);
}
inline constexpr Duration passed_shorter(const Time& since, const Time& now) {
  return std::min(now.boot - since.boot, now.raw - since.raw);
}

// `drift` bounds how much a clock's second differs from a true one. These round against whoever asks.
Duration usable(Duration length, double drift);    // of a lease, on its holder's clocks
Duration surely_over(Duration length, double drift);  // to be counted off on a waiter's clocks before `length` is over
Duration surely_passed(Duration counted, double drift);  // of true time, when a granter has counted this much

// A voter's part: of every term whose grant may still run, since one of several may be released before the others.
class Grants {
 public:
  // `forgotten`: the longest lease that an earlier process of this member may have granted; 0: it granted none.
  Grants(const Time& started, Duration forgotten, double drift);

  void add(Term term, NodeId holder, Incarnation incarnation, const Lease& lease, const Time& now);

  void forget() { grants_.clear(); }  // a mutant's

  // What may still run of grants to leaders of terms before `below`.
  std::vector<LeaseReport> report(Term below, const Time& now) const;

 private:
  struct Grant {
    NodeId holder;
    Incarnation incarnation;
    std::uint64_t epoch = 0;
    Duration length{};
    Time received;
  };
  Duration left(Duration length, const Time& since, const Time& now) const;

  // Constant after construction.
  const Time started_;
  const Duration forgotten_;
  const double drift_;

  std::map<Term, Grant> grants_;
};

// What is known of leases that are over. Forgetting is safe, it only makes waits longer; so both maps are bounded.
class Releases {
 public:
  void add(const Release& release);

  // A process of `node` is heard, so all before it are dead: the lock on the data folder proves it.
  void heard(NodeId node, Incarnation incarnation);

  bool cover(const LeaseReport& report) const;

  // The newest, for a message.
  std::vector<Release> newest() const;

 private:
  std::map<Term, Release> released_;
  std::map<NodeId, Incarnation> heard_;
};

// A new leader's part.
class LeaseWait {
 public:
  void add(const LeaseReport& report, const Time& received) { reports_.push_back({report, received}); }

  // What must still be counted on this member's clocks before anything is committed; 0: nothing.
  Duration left(const Releases& known, const Time& now, double drift) const;

 private:
  struct Reported {
    LeaseReport report;
    Time received;
  };
  std::vector<Reported> reports_;
};

}  // namespace holdfast::raft
