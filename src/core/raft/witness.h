// Witness: a voter that keeps a few hundred bytes and no log, so that two masters have a majority without each other.
//
// It votes, answers pre-votes and beats, grants leases, and keeps one record (InSync): whose disks hold all that is
// committed. It votes only for those, and takes a later record only from the leader of the newest term it has seen; that
// decides every race between a leader that goes on alone and another that stands. It never stands itself and counts for
// no commit. Why that is enough: model/InSync.tla; the masters' side: in_sync.cc.
//
// All of WitnessState is on disk before anything is said that depends on it (I6). A witness that lost its disk has a new
// identity: under the old one it would vote for somebody who lacks what was acknowledged. So has one that was removed.
//
// Pure, as Core is: the host gives it messages and the time, writes and syncs `state`, then says persisted() and sends
// `after_sync`. Not thread-safe.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/raft/core.h"

namespace holdfast::raft {

struct WitnessState {
  Term term;
  NodeId vote;        // empty: none given in `term`
  InSync in_sync;
  Duration lease{};   // the longest lease granted, ever: what a restart reports
  friend bool operator==(const WitnessState&, const WitnessState&) = default;
};

class Witness {
 public:
  struct Options {
    NodeId self;
    Incarnation incarnation;  // of this start; on disk before
    Duration beat_interval = 10ms;
    Duration leader_heard_within = 50ms;     // a leader heard so long ago is no reason to say yes to a pre-vote
    Duration lease_cap_max = kLeaseCapMax;   // nothing longer is granted
    double clock_drift = 0.005;
    Mutation mutation{};
  };

  struct Output {
    // In the order of steps: write and sync `state` when there is one, then persisted(sequence), then send `after_sync`.
    // Sequence 0: nothing for the disk, and nothing waits for it.
    std::uint64_t sequence = 0;
    std::optional<WitnessState> state;
    std::vector<Message> now;
    std::vector<Message> after_sync;
    bool removed = false;  // no member any more: this identity must never speak again
  };

  Witness(Options options, WitnessState state, Time now);

  Output step(const Time& now, std::span<const Message> messages);
  void persisted(std::uint64_t sequence);

  const WitnessState& state() const { return state_; }
  std::optional<NodeId> leader() const { return leader_; }
  // Whether it never said anything that binds it: only then may it become a member.
  bool virgin() const { return state_ == WitnessState(); }

 private:
  void take(const Message& m);
  void on(const Message& m, const VoteRequest& request);
  void on(const Message& m, const Beat& beat);
  void on(const Message& m, const RegisterRequest& request);
  void on(const Message& m, const Notice& notice);
  bool from_leader(const Message& m);
  Lease grant(const Message& m, const Lease& asked);
  void tell_term(const Message& m);
  void say(NodeId to, Body body) { out_.now.push_back({options_.self, to, state_.term, options_.incarnation, std::move(body)}); }
  void promise(NodeId to, Body body);
#ifdef HOLDFAST_MUTANTS
  bool mutated(Mutation m) const { return options_.mutation == m; }
#else
  static constexpr bool mutated(Mutation) { return false; }
#endif

  const Options options_;
  WitnessState state_;    // on disk, or on its way there
  WitnessState written_;  // as last put out
  Duration lease_on_disk_{};
  struct Pending {
    std::uint64_t sequence = 0;
    Duration lease{};
  };
  std::vector<Pending> pending_;
  std::uint64_t sequence_ = 0;
  std::optional<NodeId> leader_;  // of state_.term
  Instant heard_ = kDistantPast;
  Grants grants_;
  Releases releases_;
  bool removed_ = false;
  Time time_;
  Output out_;
};

}  // namespace holdfast::raft
