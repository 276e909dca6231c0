// Core: one member's part in Raft. It is told what happened and answers with what to do.
//
// `step(now, inputs)` is everything: no clock, thread, file, socket or random source inside, so a seed replays a whole
// cluster. The host (service/master/raft_host.h, or the simulator) owns the loop:
//
//   out = core.step(clock.now(), inbox.take_all(wake_at));
//   net.send(out.messages_now);
//   log_thread.enqueue(out)      // strictly in the order of steps, see Output::write_sequence
//   apply: out.restore, then out.committed, in this order
//   wake_at = out.wake_at
//
// What it holds to (raft-and-leases 6): one leader per term (I1); a leader's log holds all that was committed before
// its term (I4); nobody truncates below its commit (I3); term, commit and applied never go back (I5); what is said
// about the disk is said after the sync (I6); only entries of the own term are committed by count (I7).
//
// Leadership. A follower that hears no beat for the silence timeout S asks for pre-votes; the leader names an order
// of heirs in its beats, and heir r waits r * heir_step, so there is no lottery. S adapts between silence_min and
// silence_max to the gaps seen, unless fixed. LinkLost about the leader is a hint: the member asks for pre-votes at
// once, and another that still hears the leader refuses. A leader that no majority has answered for S steps down.
//
// Reads. ReadRequested ends in a ReadState: the state machine may answer it once it has applied `index`. A leader that
// holds a lease (lease.h) answers at once, any other after a round. Leases are in use while the configuration has a
// lease cap; they delay no election, a new leader only commits nothing until the leases before its own are over.
// Meanwhile it answers reads of what the entries that may have been committed by others do not touch.
//
// Witness. Beside an even number of masters one more voter may have no log (witness.h). Four masters commit by three. Two
// commit by both, or by one alone once the witness has that on its disk; it then votes for that one only.
//
// Not thread-safe: belongs to the thread that runs it. Checks on its own invariants stay on in release builds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "core/raft/configuration.h"
#include "core/raft/lease.h"
#include "core/raft/messages.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::raft {

// Chosen by the host, given back with the answer; the core only compares it.
using Tag = std::uint64_t;

// ---------------------------------------------------------------------------------------------------- options

// Bugs that the simulator must be able to find: each removes one rule. Always `none` outside tests.
enum class Mutation : std::uint8_t;

struct Options {
  NodeId self;
  Incarnation incarnation;  // of this start; on disk before the core is made
  std::uint64_t seed = 0;   // of the small jitter after a failed election; random in production

  Duration beat_interval = 10ms;
  Duration silence_default = 100ms;  // S until gaps have been seen
  Duration silence_min = 60ms;
  Duration silence_max = 2s;
  bool silence_fixed = false;  // S = silence_default always (an explicit -electionTimeout)
  Duration heir_step = 8ms;    // about a pre-vote round and a sync on a LAN: heir r+1 stays still when r succeeds
  Duration transfer_wait_max = 1s;  // a hand-over that takes longer is given up, writes go on here
  Duration read_wait_max = 1s;      // then a ReadRequested fails

  // Leases. The configuration's cap bounds the length, and turns them on. All members should have the same drift.
  Duration lease_length{};         // to be asked for when leading, at least two beats long; 0: never
  Duration lease_cap_max = kLeaseCapMax;  // no cap above this is accepted, nothing longer is granted
  double clock_drift = 0.005;      // between any member's better clock and true time, either way
  double clocks_apart_max = 0.02;  // rates of this member's two clocks that differ by more: no lease is held here

  // The keys that a command touches, for reads while a new leader may not commit; nothing: it may touch everything.
  std::function<std::optional<std::vector<std::string>>(const Entry&)> touched;

  std::uint16_t entry_format = kEntryFormat;  // of entries made here, and the highest understood

  // Bounds.
  std::size_t append_bytes_max = 1 << 20;         // entries in one Append (at least one entry goes)
  std::size_t append_entries_max = 1024;          // likewise
  std::size_t in_flight_messages_max = 64;        // unanswered Appends to one follower
  std::size_t proposals_in_flight_max = 4096;     // appended here, not yet committed
  std::size_t proposals_bytes_max = 64u << 20;    // likewise
  std::size_t reads_in_flight_max = 16384;        // waiting for their round
  std::size_t log_tail_bytes_max = 32u << 20;     // applied entries kept in memory for followers that lag a little
  std::size_t committed_bytes_per_step_max = 8u << 20;  // then the rest comes with the next step, at once
  std::size_t snapshot_piece_bytes = 256u << 10;

  Mutation mutation{};
};

// ------------------------------------------------------------------------------------------------------ start

struct HardState {
  Term term;
  NodeId vote;   // empty: none given in `term`
  Index commit;  // a hint that saves work after a restart; need not be synced, never ahead of the synced log

  friend bool operator==(const HardState&, const HardState&) = default;
};

// A hole that the disk left in the log: entries from `first` on cannot be read though the log once reached `last`
// (a bad middle, not a torn tail). The member votes as one whose log ends at `last`, never leads, and is sent them.
struct Damage {
  Index first;
  LogPosition last;
};

// What the disk holds at a start. A member that has nothing passes an empty one: it waits to be added by a leader.
// A founding member writes bootstrap_entry() and HardState{term 1, no vote, commit 1} first and passes those.
struct Start {
  HardState hard_state;
  std::optional<SnapshotMeta> snapshot;  // the newest; the state machine stands there
  std::vector<Entry> entries;            // all that follow the snapshot (from index 1 without one), in order
  Index disk_first{1};                   // first index still readable from disk, at most entries.front().index
  std::optional<Damage> damage;
  bool disk_full = false;
};

// ----------------------------------------------------------------------------------------------------- inputs

struct Received {
  NodeId from;  // as proven by the connection; a message that claims another sender is dropped
  Message message;
};

// A command for the log. Answered exactly once in Output::proposals.
struct Proposed {
  Tag tag = 0;
  Payload data;
};

// A change of members. Answered exactly once in Output::proposals.
struct ChangeProposed {
  Tag tag = 0;
  Change change;
};

// Everything of every step up to the one whose Output::write_sequence is `sequence` is on disk.
struct Persisted {
  std::uint64_t sequence = 0;
};

// The connection to `peer` broke or was refused: a hint, never a proof of anything.
struct LinkLost {
  NodeId peer;
};

// Hand leadership to `target`, or to the best heir. Ends in Output::transfer_done. Ignored when not leading.
struct TransferRequested {
  std::optional<NodeId> target;
  bool or_anew = false;  // without an heir: lead no more, and stand for election like anybody. A later term is wanted
};

// Wants to read what is committed now. Answered exactly once in Output::reads. Also at followers (asks the leader).
struct ReadRequested {
  Tag tag = 0;
  std::optional<std::string> key;  // as Options::touched names it; nothing: may depend on everything
  bool by_round = false;           // not by the lease
};

// A guardian's certificate: leases of `node` in `incarnation` and `term` are over, its reads have been stopped first. At
// that node itself: it holds no lease for the rest of the term, though it may lead on. Elsewhere it is a release, and
// reason enough to stand for election without a pre-vote.
struct LeaseRevoked {
  NodeId node;
  Incarnation incarnation;
  Term term;
};

// The state up to `index` (applied) is on disk as a snapshot of `bytes`; log entries below `disk_first` are gone from
// disk. Keep some entries before the snapshot, so that a member that was away for seconds needs no snapshot.
struct SnapshotTaken {
  Index index;  // at most CoreStatus::handed_out
  std::uint64_t bytes = 0;
  Index disk_first;
  Term term;  // of the entry at `index`
};

// Answer to Output::log_reads: entries [from, ...) in order, at least one, and the term of the entry at from - 1.
// No entries: they are not readable (compacted meanwhile, or damaged).
struct EntriesFetched {
  NodeId peer;
  Index from;
  Term previous_term;
  std::vector<Entry> entries;
};

// Answer to Output::snapshot_reads. `meta` is that of the snapshot read, the newest at hand; when it differs from the
// one asked for, the piece starts at offset 0 of the new one. Empty `data` without `last`: could not be read.
struct SnapshotPieceRead {
  NodeId peer;
  SnapshotMeta meta;
  std::uint64_t offset = 0;
  Payload data;
  bool last = false;
};

// Answer to Output::snapshot_writes. With `complete` the whole is on disk, synced and its checksum right, and the
// host will find it at the next start. `failed`: begin again.
struct SnapshotPieceWritten {
  SnapshotMeta meta;
  std::uint64_t next_offset = 0;
  bool complete = false;
  bool failed = false;
};

// What the host knows about its disk. `full`: no room beyond what is preallocated, which always suffices for what the
// core has handed out before (keep proposals_bytes_max + append_bytes_max * 2 in reserve): a leader hands over,
// a follower votes but does not ack. `slow`: a sync takes far longer than is usual here (disk_pace.h): a leader hands
// over to one that has more on its disk by now.
enum class DiskCondition : std::uint8_t { good, slow, full };
struct DiskChanged {
  DiskCondition condition = DiskCondition::good;
};

// Time passed; says nothing that `now` does not say.
struct Woken {};

using Input = std::variant<Received, Proposed, ChangeProposed, Persisted, LinkLost, TransferRequested, ReadRequested,
                           SnapshotTaken, EntriesFetched, SnapshotPieceRead, SnapshotPieceWritten, DiskChanged, LeaseRevoked, Woken>;

// ----------------------------------------------------------------------------------------------------- output

enum class ProposalOutcome : std::uint8_t {
  committed,   // stands at (term, index) for ever; the entry itself came in Output::committed in this step or before
  not_leader,  // surely without effect: ask the leader (Status::leader)
  held,        // surely without effect: leadership is being handed over, ask again
  busy,        // surely without effect: a bound is reached
  too_large,   // surely without effect
  disk_full,   // surely without effect
  refused,     // surely without effect; `text` says why (changes of members)
  unknown,     // leadership was lost first: it may or may not be committed
};
struct ProposalDone {
  Tag tag = 0;
  ProposalOutcome outcome = ProposalOutcome::committed;
  Term term;
  Index index;
  std::string text;
};

// `ok`: once the state machine has applied `index`, it answers the read. Not ok: no leader could be confirmed.
// By lease the answer holds for the `now` of the step; a host whose lease a guardian may revoke looks at that word after
// the step and before it answers, and asks again `by_round` when it is set.
enum class ReadBy : std::uint8_t {
  round,
  lease,
  lease_in_wait,  // the key asked for is not touched by what may have been committed by others
};
struct ReadState {
  Tag tag = 0;
  bool ok = false;
  Index index;
  ReadBy by = ReadBy::round;
};

// What a leader may do by its lease. For threads beside the core's: read the state, then look at both clocks, then answer.
// In the past when no lease is held. Valid until the next step; to be published before that step's messages leave.
struct LeaseHeld {
  Term term;
  Time until = kDistantPast;  // both clocks must be below; strictly
  bool in_wait = false;       // only what others' entries do not touch, see CoreStatus::lease
};

struct LogRead {
  NodeId peer;
  Index from;  // never below Start::disk_first / SnapshotTaken::disk_first
  std::size_t bytes_max = 0;
};
struct SnapshotRead {
  NodeId peer;
  LogPosition snapshot;  // the one in transfer; see SnapshotPieceRead
  std::uint64_t offset = 0;
  std::size_t bytes_max = 0;
};
struct SnapshotWrite {
  SnapshotMeta meta;
  std::uint64_t offset = 0;  // 0 begins a new file; others follow without gaps
  Payload data;
  bool last = false;
};

enum class Role : std::uint8_t { learner, follower, candidate, leader };
const char* text(Role role);

// Leadership changed as seen from here. `why` is a sentence for the log:
// "a leads since term 5: b handed over", "no leader: nothing heard from a for 103 ms".
struct LeadershipChange {
  Role role = Role::follower;
  Term term;
  std::optional<NodeId> leader;
  std::string why;
};

struct TransferDone {
  bool ok = false;
  std::string why;
};

struct Output {
  // For the disk, in this order, in the order of steps: the log thread handles one Output after the other and says
  // Persisted{write_sequence} after the sync that covers it (several may share a sync). 0: nothing for the disk and
  // no messages_after_sync. Non-zero with nothing to write happens: then the messages wait for earlier steps only.
  std::uint64_t write_sequence = 0;
  std::optional<SnapshotMeta> log_reset;  // drop the whole log; it begins after this snapshot, which is stored
  std::optional<HardState> hard_state;
  std::vector<Entry> appended;  // replaces everything in the log from appended.front().index on

  std::vector<Message> messages_now;         // promise nothing
  std::vector<Message> messages_after_sync;  // votes and acks: a crash must not break them

  // For the state machine, in this order.
  std::optional<SnapshotMeta> restore;  // replace the state with this stored snapshot; always with log_reset
  std::vector<Entry> committed;         // apply in this order, each once, of every kind

  std::vector<ProposalDone> proposals;
  std::vector<ReadState> reads;
  std::vector<LogRead> log_reads;
  std::vector<SnapshotRead> snapshot_reads;
  std::vector<SnapshotWrite> snapshot_writes;

  std::optional<LeadershipChange> leadership;
  std::optional<TransferDone> transfer_done;
  std::optional<Configuration> configuration;  // the one in force changed: open and close links
  std::vector<Notice> notices;                 // a leader refuses this member: say it, stop the process
  std::optional<std::string> halt;             // cannot go on (an entry of an unknown format): say it, stop

  // Until when this leader may assign: S after the newest sending time that a majority has answered. In the past
  // when not leading. Valid until the next step; may be published to other threads.
  Instant assign_until = kDistantPast;

  LeaseHeld lease;

  Instant wake_at = kDistantFuture;  // call again by then at the latest
};

// ----------------------------------------------------------------------------------------------------- status

enum class PeerState : std::uint8_t { probe, replicate, snapshot, refused };
const char* text(PeerState state);

struct PeerStatus {
  NodeId id;
  PeerState state = PeerState::probe;
  Index match;                         // on its disk and equal to ours
  Incarnation incarnation;             // 0: not heard yet
  Instant heard = kDistantPast;        // its newest message, by receipt
  Instant answered = kDistantPast;     // newest sending time of ours that it has answered
  bool disk_full = false;
  bool damaged = false;
};

struct Counters {
  std::uint64_t prevotes_started = 0;
  std::uint64_t elections_started = 0;
  std::uint64_t elections_won = 0;
  std::uint64_t leaders_seen = 0;
  std::uint64_t wrong_suspicions = 0;  // suspected a leader that then went on in the same term
  std::uint64_t quorum_lost = 0;       // stepped down because no majority answered
  std::uint64_t transfers_started = 0;
  std::uint64_t transfers_failed = 0;
  std::uint64_t conflicts = 0;          // appends refused for a gap or another term
  std::uint64_t truncations = 0;        // suffixes of the log replaced
  std::uint64_t snapshots_sent = 0;
  std::uint64_t snapshots_installed = 0;
  std::uint64_t damage_repaired = 0;
  std::uint64_t members_refused = 0;    // regressed or duplicated
  std::uint64_t messages_dropped = 0;   // stale, misaddressed or from strangers
  std::uint64_t reads_by_round = 0;
  std::uint64_t reads_by_lease = 0;
  std::uint64_t reads_in_wait = 0;      // by lease, before this leader could commit
  std::uint64_t waits = 0;              // elections won that had to wait for an earlier lease
  std::uint64_t waits_released = 0;     // elections won that a release, or several, freed from waiting
  std::uint64_t leases_released = 0;    // given up here: by hand-over, or for a later term
  std::uint64_t went_alone = 0;         // a witness took the record that this leader alone has everything
  std::uint64_t joined_again = 0;       // a witness took the record that the other master has everything, too
  std::uint64_t elections_barred = 0;   // refused by the witness's record
};

// With a witness and at most two full voters (in_sync.cc).
struct InSyncStatus {
  std::optional<NodeId> witness;
  std::vector<NodeId> needed;     // leading: whose disks a commit waits for
  std::optional<InSync> known;    // leading: what the witness surely has
  bool asked = false;             // leading: a later record is on its way
  std::optional<InSync> barred;   // not leading: the witness's record, which does not name this member: it lacks what
                                  // those that it names have acknowledged, and is not elected without one of them
};

struct LeaseStatus {
  Duration cap{};            // of the configuration in force; 0: leases are off
  Duration asked{};          // leading: the length asked for now
  std::uint64_t epoch = 0;   // leading
  LeaseHeld held;
  Duration wait_left{};      // leading: until it may commit
  bool revoked = false;      // leading: by its guardian, for this term
  bool clocks_apart = false;
};

struct CoreStatus {
  Role role = Role::learner;
  Term term;
  std::optional<NodeId> leader;  // who leads this term, as far as known and still heard
  Index last;                    // end of the log, unsynced included
  Term last_term;
  Index durable;                 // end of what is on disk
  Index commit;
  Index handed_out;              // last index given in Output::committed or restore
  Index snapshot;
  Term snapshot_term;
  Index configuration;           // the entry that made the configuration in force
  Duration silence_timeout{};
  bool transferring = false;
  Index commit_at_election;  // leading: the commit index known when elected (assign only from blocks at or below it)
  std::vector<PeerStatus> peers;  // leading: all other members
  LeaseStatus lease;
  InSyncStatus in_sync;
  Counters counters;
};

// ------------------------------------------------------------------------------------------------------- core

class Core {
 public:
  Core(Options options, Start start, Time now);
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  // Handles `inputs` in order, then whatever `now` makes due. `now` never goes back on either clock, and is to be taken
  // after the inputs: the core counts on it that they came before.
  Output step(Time now, std::span<const Input> inputs);

  CoreStatus status() const;

  // What a read by lease may do at `now`, which may be later than the last step.
  std::optional<ReadBy> lease_serves(const Time& now, const std::optional<std::string>& key) const;

  // The configuration in force (the last appended), and the one in force at a committed index since the snapshot.
  const Configuration& configuration() const;
  const Configuration& configuration_at(Index index) const;

  // The head of a snapshot of the state up to `index` (handed out, of `term`); the host fills in `bytes`.
  SnapshotMeta snapshot_meta(Index index, Term term) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::raft
