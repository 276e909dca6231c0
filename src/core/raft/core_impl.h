// Core::Impl: the state behind Core, and how its parts are spread over files. Private to core/raft.
//
//   core.cc         start, step, what comes due, what goes out
//   election.cc     suspicion, pre-vote, votes, becoming follower or leader, hand-over
//   replication.cc  appends and their answers, beats, commit, flow control, commands
//   membership.cc   changes of members, learners that grow up, members that are refused
//   reads.cc        rounds that confirm leadership, reads of followers
//   leases.cc       leases asked for, granted, held and given up; the wait of a new leader
//   in_sync.cc      whose disks count when there is a witness
//   snapshots.cc    snapshots taken, sent and received
//
// One step: `now_` is set, inputs are handled in order, then tick() does what is due, then finish() fills the output.
// Handlers change state and add to `out_`; nothing else leaves.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <set>

#include "base/check.h"
#include "core/raft/core.h"
#include "core/raft/disk_pace.h"
#include "core/raft/log.h"
#include "core/raft/mutation.h"
#include "core/raft/silence.h"

namespace holdfast::raft {

// What a leader knows of another member.
struct Peer {
  PeerState state = PeerState::probe;
  Index next;   // to be sent next
  Index match;  // on its disk and equal to ours

  Incarnation incarnation;              // newest heard; 0 before
  Instant incarnation_since{};          // own clock when that one was first heard
  bool vetted = false;                  // this incarnation has shown that it holds what the last one acknowledged
  Instant heard = kDistantPast;         // by receipt
  Instant back_at = kDistantPast;       // heard again after a silence that would have cost a leader its place
  Stamp answered = kDistantPast;        // newest sending time it has answered
  Round round;                          // newest round it has answered
  bool disk_full = false;
  bool damaged = false;
  bool witness = false;  // has no log
  bool leaving = false;  // no longer in the configuration; told so once that is committed

  // The newest grant of this epoch: when it was asked for, and for how long. Length 0: none.
  Time lease_sent = kDistantPast;
  Duration lease_length{};

  // probe: at most one Append is out. replicate: a window of them.
  bool probe_out = false;
  Stamp probe_sent{};
  struct InFlight {
    Index last;
    Stamp sent{};
  };
  std::deque<InFlight> in_flight;

  // Entries that are on disk only are being read for it.
  bool fetching = false;
  Instant fetch_since{};
  Index fetch_from;  // first entry of the read that is out

  // snapshot: one piece at a time.
  LogPosition snapshot;
  std::uint64_t snapshot_offset = 0;
  Instant snapshot_since{};  // last piece asked for or sent
  std::uint64_t snapshot_tries = 0;
};

struct RoundRead {
  NodeId from;  // self, or the follower that asked
  Incarnation incarnation;
  std::uint64_t request = 0;
  Index index;
  Round round;
};

struct Follower {};

struct Candidate {
  bool pre = true;
  bool transfer = false;
  bool link_lost = false;
  std::map<NodeId, bool> replies;
  LeaseWait wait;  // as reported with the votes
  std::optional<InSync> in_sync;  // as the witness told it with its vote
  Stamp asked{};
  Instant retry_at{};
  Duration patience{};              // how long replies may take once the own vote is on disk
  std::uint64_t vote_sequence = 0;  // the write that holds the own vote
  bool vote_durable = false;
};

struct Transfer {
  NodeId target;
  Instant give_up_at{};
  Instant sent = kDistantPast;  // TimeoutNow
  Release release;              // goes with it
};

struct Leader {
  Instant since{};
  Index term_start;          // the first entry of this term
  Index commit_at_election;
  Instant next_beat{};
  bool beat_due = false;     // something moved that followers should hear at once
  std::uint64_t sequence = 0;
  std::vector<NodeId> heirs;
  std::map<NodeId, Peer> peers;
  std::optional<Transfer> transfer;
  std::map<Index, Tag> proposals;  // appended here, not yet handed out as committed
  std::size_t proposals_bytes = 0;
  Instant disk_retry_at = kDistantPast;
  Instant write_since{};                    // the oldest write that is not synced began then,
  std::optional<Instant> overtaken_since;   // and another voter is known to have more than is synced here since then

  Round round;                    // newest begun
  std::deque<RoundRead> waiting;  // for the next round
  std::deque<RoundRead> asking;   // their round has begun

  // With a witness and at most two full voters.
  std::set<NodeId> needed;      // a commit waits for their disks; empty: not in use
  std::optional<InSync> known;  // what the witness surely has
  std::optional<InSync> made;   // the last record of our own; on its way unless it is `known`
  std::uint64_t records = 0;    // made in this term
  Index needed_since;           // where the log ended when the other's disk began to be needed
  Index other_match;            // the other's progress as last seen to move, and when that was
  Instant other_moved_at{};
  bool certain = false;         // elected on a certificate: the old leader is gone
  std::optional<NodeId> shunned;  // is to be removed: not taken into the set any more
  Instant shunned_until{};
  bool witness_unwanted = false;  // is to be removed, since a change of masters waits for that

  std::uint64_t lease_epoch = 1;
  bool lease_asked = false;    // in this term, ever
  bool lease_revoked = false;  // for the rest of the term
  std::optional<Duration> lease_limit;  // a lower cap is to come: nothing longer is asked for since
  Time lease_limit_since;
  LeaseWait wait;
  bool waited = false;  // it is over, once and for all
  bool limbo_everything = false;
  std::set<std::string> limbo;  // keys of the entries that others may have committed
};

class Core::Impl {
 public:
  Impl(Options options, Start start, Time now);

  Output step(Time now, std::span<const Input> inputs);
  CoreStatus status() const;
  const Configuration& configuration() const { return configurations_.rbegin()->second; }
  const Configuration& configuration_at(Index index) const;
  SnapshotMeta snapshot_meta(Index index, Term term) const;
  std::optional<ReadBy> lease_serves(const Time& now, const std::optional<std::string>& key) const;

 private:
  // core.cc
  void on(const Received& input);
  void on(const Proposed& input);
  void on(const ChangeProposed& input);
  void on(const Persisted& input);
  void on(const LinkLost& input);
  void on(const TransferRequested& input);
  void on(const ReadRequested& input);
  void on(const SnapshotTaken& input);
  void on(const EntriesFetched& input);
  void on(const SnapshotPieceRead& input);
  void on(const SnapshotPieceWritten& input);
  void on(const DiskChanged& input);
  void on(const LeaseRevoked& input);
  void on(const Woken&) {}
  void tick();
  Output finish();
  void hand_out();
  Instant wake_at() const;
  void announce();
  void append_entry(EntryKind kind, Payload data);
  void log_changed_from(Index index);
  void send_now(NodeId to, Body body) { out_.messages_now.push_back(made(to, std::move(body))); }
  void send_after_sync(NodeId to, Body body) {
    out_.messages_after_sync.push_back(made(to, std::move(body)));
  }
  Message made(NodeId to, Body body) const {
    return Message{options_.self, to, term_, options_.incarnation, std::move(body)};
  }
  // Only in builds for tests (mutation.h); elsewhere the compiler leaves nothing of it.
#ifdef HOLDFAST_MUTANTS
  bool mutated(Mutation m) const { return options_.mutation == m; }
#else
  static constexpr bool mutated(Mutation) { return false; }
#endif
  void halt(std::string why);

  // election.cc
  LogPosition claimed() const;
  bool electable() const;
  std::size_t rank() const;
  bool link_is_down(Instant heard) const;
  bool waits_for_own_disk() const;
  bool hears_leader(Duration within) const;
  Instant suspect_at() const;
  std::string suspicion() const;
  void set_term(Term term);
  void become_follower(Term term, std::string why);
  void follow(NodeId leader);
  void start_prevote();
  void start_election(bool transfer, std::string why);
  void count_votes();
  void become_leader();
  void lead_no_more();
  void receive(const Message& m, const VoteRequest& request);
  void receive(const Message& m, const VoteReply& reply);
  void receive(const Message& m, const TimeoutNow& order);
  std::optional<NodeId> best_heir() const;
  void start_transfer(std::optional<NodeId> target);
  void drive_transfer();
  void tick_election();
  Duration jitter();

  // replication.cc
  void receive(const Message& m, const Append& append);
  void receive(const Message& m, const AppendReply& reply);
  void receive(const Message& m, const Beat& beat);
  void receive(const Message& m, const BeatReply& reply);
  void tell_term(const Message& m);
  bool take_entries(const std::vector<Entry>& entries);
  void advance_commit(Index index);
  void commit_by_majority();
  void replicate(NodeId id, Peer& peer);
  void send_entries(NodeId id, Peer& peer, LogPosition previous, std::vector<Entry> entries);
  void acknowledged(Peer& peer, Index match);
  void back_to_probe(Peer& peer, Index next);
  Peer* answering_peer(const Message& m, Stamp sent);
  void beat();
  void order_heirs();
  Instant majority_answered() const;
  Duration resend_after() const;
  void tick_leader();

  // in_sync.cc
  bool register_in_use() const;
  bool voters_settled() const;
  bool register_at_rest(const std::set<NodeId>& needed) const;
  std::optional<NodeId> other_master() const;
  std::set<NodeId> all_full() const;
  void begin_register(const std::optional<InSync>& told);
  void register_follows_configuration();
  void drive_register();
  bool other_is_gone(const Peer& peer);
  void make_record(std::set<NodeId> members);
  void send_record();
  Index commit_index_by_witness(Index own) const;
  std::optional<Error> held_by_witness(const Configuration& next, const Change& change);
  void receive(const Message& m, const RegisterRequest& request);
  void receive(const Message& m, const RegisterReply& reply);

  // membership.cc
  void configuration_appended(Index index);
  void follow_configuration();
  Configuration without_master(NodeId id) const;
  Result<Configuration> changed(const Change& change);
  bool change_possible() const;
  bool live_after(const Configuration& next) const;
  void drive_membership();
  void receive(const Message& m, const Notice& notice);
  bool vet(const Message& m, Peer& peer, Index durable, bool damaged);
  void refuse(NodeId id, Peer& peer, NoticeKind kind);
  std::string label(NodeId id) const;

  // reads.cc
  void receive(const Message& m, const ReadQuery& query);
  void receive(const Message& m, const ReadAnswer& answer);
  bool own_term_committed() const;
  void ask_for_read(std::uint64_t request);
  void begin_round();
  void confirm_reads();
  void answer_read(const RoundRead& read, ReadBy by);
  void answer_by_lease();
  void tick_reads();

  // leases.cc
  double drift() const { return mutated(Mutation::lease_no_drift) ? 0 : options_.clock_drift; }
  Duration lease_forgotten(const Start& start) const;
  Duration cap_on_disk() const;
  Lease lease_to_ask() const;
  Lease grant(const Message& m, const Lease& asked);
  std::map<Index, Configuration>::const_iterator configurations_that_count() const;
  Lease ask_lease();
  void granted(Peer& peer, const Lease& lease, Stamp sent);
  LeaseHeld lease_held() const;
  void give_up_lease();
  Release release_of_own(std::uint64_t epoch) const { return {term_, epoch, options_.self}; }
  void take_releases(const std::vector<Release>& releases);
  Duration wait_left() const;
  void begin_wait(LeaseWait wait);
  bool may_lower_cap(Duration cap, std::string* why);
  void watch_clocks();

  // snapshots.cc
  void receive(const Message& m, const SnapshotPiece& piece);
  void receive(const Message& m, const SnapshotReply& reply);
  void begin_snapshot(NodeId id, Peer& peer);
  void ask_snapshot_piece(NodeId id, Peer& peer);
  void install(const SnapshotMeta& meta);

  Leader* leader() { return std::get_if<Leader>(&role_); }
  const Leader* leader() const { return std::get_if<Leader>(&role_); }
  Candidate* candidate() { return std::get_if<Candidate>(&role_); }
  const Candidate* candidate() const { return std::get_if<Candidate>(&role_); }

  // The value that a majority of the voters has reached: `self` stands for this member's own.
  // `of`: the value of a Peer.
  template <typename T, typename Of>
  T majority_value(T self, Of of) const;

  // Constant after construction.
  const Options options_;

  // What is on disk, or on its way there in an Output.
  Term term_;
  NodeId vote_;
  std::uint64_t vote_sequence_ = 0;  // the write that holds the vote given to another; 0: it is on disk
  Instant vote_given_at_ = kDistantPast;
  Log log_;
  std::map<Index, Configuration> configurations_;  // by the index that appended each; never empty
  std::optional<SnapshotMeta> snapshot_;           // the newest stored
  Index disk_first_;                               // first entry that can be read from disk
  std::optional<LogPosition> claimed_;             // damaged: where the log once ended
  HardState written_;                              // as last put out

  // What of it is known to be on disk.
  struct PendingWrite {
    std::uint64_t sequence = 0;
    Index last;  // durable_ once it is done
    Instant since{};
  };
  Index durable_;
  std::deque<PendingWrite> pending_;
  std::uint64_t sequence_ = 0;
  DiskCondition disk_ = DiskCondition::good;
  DiskPace disk_pace_;

  // Raft's volatile state.
  Index commit_;
  Index handed_out_;
  std::variant<Follower, Candidate, Leader> role_;
  bool stopped_ = false;  // refused or halted: takes no part

  // What is known of the leader of this term, and of its silence.
  std::optional<NodeId> leader_;
  std::optional<NodeId> suspect_;  // whom the pre-vote is about
  Index matched_;                  // the log up to here equals that of this term's leader
  Instant heard_;                  // from the leader, or when a vote was given
  Instant drafted_until_ = kDistantPast;  // a learner that must be ready to stand, see electable()
  Instant beat_at_ = kDistantPast;
  std::uint64_t beat_sequence_ = 0;
  Instant link_lost_at_ = kDistantPast;
  std::vector<NodeId> heirs_;
  Silence silence_;
  std::size_t elections_failed_ = 0;  // in a row
  std::optional<InSync> barred_;  // the witness's record, when it does not name this member
  std::uint64_t random_;

  // Reads asked for here.
  struct LocalRead {
    Tag tag = 0;
    Instant give_up_at{};
    Instant asked_at = kDistantPast;
    std::optional<std::string> key;
    bool by_round = false;
  };
  std::map<std::uint64_t, LocalRead> reads_;
  std::uint64_t read_counter_ = 0;

  // A snapshot on its way in.
  struct Incoming {
    SnapshotMeta meta;
    std::uint64_t next_offset = 0;
    bool writing = false;
    NodeId from;
    Stamp sent{};
  };
  std::optional<Incoming> incoming_;

  // A hand-over that was begun here and whose outcome is not known yet.
  std::optional<Transfer> handing_over_;

  // Leases, as a voter; and what is known to be over.
  std::optional<Grants> grants_;  // always, after construction
  Releases releases_;
  Instant certified_at_ = kDistantPast;  // a guardian said that the leader of this term is gone
  Time clocks_compared_;
  bool clocks_apart_ = false;

  // This step.
  Instant now_;  // on the first clock, for all but leases
  Time time_;
  Instant promised_wake_ = kDistantFuture;
  Instant resumed_at_ = kDistantPast;  // when this member last came back from standing still
  Output out_;
  std::optional<Index> changed_from_;  // lowest log index written in this step
  std::optional<LeadershipChange> announced_;
  std::string why_;
  Counters counters_;
};

template <typename T, typename Of>
T Core::Impl::majority_value(T self, Of of) const {
  const auto* leading = leader();
  CHECK(leading != nullptr);
  std::array<T, kMembersMax> values;
  std::size_t count = 0;
  for (const auto& member : configuration().members()) {
    if (!member.voter) continue;
    CHECK(count < values.size());
    if (member.id == options_.self) {
      values[count++] = self;
    } else {
      const auto found = leading->peers.find(member.id);
      values[count++] = found == leading->peers.end() ? of(Peer{}) : of(found->second);
    }
  }
  if (count == 0) return of(Peer{});
  std::sort(values.begin(), values.begin() + count, std::greater<>());
  return values[count / 2];
}

}  // namespace holdfast::raft
