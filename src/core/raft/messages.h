// What masters say to each other.
//
// Any message may be lost, doubled, delayed or overtaken, also across restarts of either side: nothing here relies on
// order. Which promise a message makes is said with it; a message that promises something on disk leaves only after
// the sync (Output::messages_after_sync).
//
// A `Beat` and its reply are small enough for one UDP datagram (kBeatBytesMax); all others go through the stream.
//
// Every message carries the sender's incarnation: a vote asked for before a crash is never counted after it, since the
// log it spoke of may have been longer than what reached the disk.
//
// Leases (lease.h) ride on what is said anyway: a Beat or Append asks for one, its reply grants it, a vote reports what
// was granted to others. Their fields are empty while no lease is in use, and then take nothing on the wire.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "core/raft/configuration.h"
#include "model/entry.h"
#include "model/ids.h"

namespace holdfast::raft {

// A beat with kMembersMax heirs, encoded plainly, stays below every usual MTU.
inline constexpr std::size_t kBeatBytesMax = 1200;

// A leader's own clock when it sent something, echoed by the answer. Means nothing to anyone else, so a replay from
// before a restart is told apart by the incarnation, not by the stamp.
using Stamp = Instant;

// A round of beats sent to confirm that this leader still leads. Counts up within one term of one leader and is never
// used again: (term, round) names one round for ever (raft-and-leases 3.2).
using Round = StrongId<struct RoundTag, std::uint64_t>;

// Where a log ends; compared first by term, then by index ("more up to date", Raft 5.4.1).
struct LogPosition {
  Term term;
  Index index;
  friend auto operator<=>(const LogPosition&, const LogPosition&) = default;
};

// A lease as it is asked for and granted. Stamps and length are the leader's; a grant is the question given back, so it
// means nothing to anyone but its leader. Epoch 0: none asked for, none granted.
struct Lease {
  std::uint64_t epoch = 0;  // counts up within a term whenever the leader gives up what it holds
  Duration length{};        // from the sending of the question, on the leader's clocks
  Stamp raw{};              // when that was, on the second clock (lease.h); `sent` beside it is the first
  friend bool operator==(const Lease&, const Lease&) = default;
};

// Leases of `holder` in `term` of this epoch and of lower ones are over for ever. Only made when the reads that they
// covered have stopped (I10).
struct Release {
  Term term;
  std::uint64_t epoch = 0;  // kEveryEpoch: whatever it held in that term
  NodeId holder;
  friend bool operator==(const Release&, const Release&) = default;
};
inline constexpr std::uint64_t kEveryEpoch = UINT64_MAX;
inline constexpr std::size_t kReleasesMax = 8;  // told in one message

// Whose disks hold all that is committed, as the leader of `term` said in its `number`-th record: what a witness keeps
// (witness.h). Of two records the one with the higher (term, number) is the later. No members: nobody has said anything
// yet, and all full voters are meant.
struct InSync {
  Term term;
  std::uint64_t number = 0;
  std::vector<NodeId> members;  // sorted

  bool later_than(const InSync& other) const {
    return term > other.term || (term == other.term && number > other.number);
  }
  bool allows(NodeId id) const;
  friend bool operator==(const InSync&, const InSync&) = default;
};

// Asks for a vote in Message::term. With `pre` it changes nothing at either side: "would you, if I asked?"
struct VoteRequest {
  bool pre = false;
  bool transfer = false;   // the old leader asked for this election (TimeoutNow)
  bool link_lost = false;  // pre-vote after a broken connection to the leader: a hint, the receiver must confirm it
  LogPosition last;        // of the candidate's log, unsynced entries included
  std::vector<Release> released;  // leases known to be over
};

// How long a lease that this voter granted may still run, in true time, counted from the sending of this report; late
// arrival only makes the wait longer. Term 0: what it may have granted before it restarted; no release covers that.
struct LeaseReport {
  Term term;
  std::uint64_t epoch = 0;
  Duration left{};
  NodeId holder;
  Incarnation incarnation;  // of the holder
};
inline constexpr std::size_t kLeaseReportsMax = 32;

// Promises (without `pre`): this member votes for nobody else in `request_term`, across restarts.
struct VoteReply {
  bool pre = false;
  bool granted = false;
  Term request_term;                  // of the request
  Incarnation candidate_incarnation;  // of the request; votes for another incarnation do not count
  std::vector<LeaseReport> reports;   // with a granted vote: of leases of earlier terms
  std::vector<Release> released;      // leases known to be over; those of the sender itself among them
  std::optional<InSync> in_sync;      // a witness's record; granted: it takes none but the candidate's from now on
};

// Entries after `previous`. Also repeats the commit index, so a busy leader needs no beats for that.
struct Append {
  LogPosition previous;
  std::vector<Entry> entries;  // may be empty: a probe
  Index commit;
  Round round;
  Stamp sent{};
  Lease lease;
};

enum class AppendResult : std::uint8_t {
  accepted = 1,
  conflict = 2,   // `previous` is not in the log; see the hint
  disk_full = 3,  // read, not kept: this member votes but does not ack
};

// Promises (when accepted): the log up to `match` equals the sender's and is on disk.
struct AppendReply {
  AppendResult result = AppendResult::accepted;
  Index match;  // accepted: last index the Append covered

  // A conflict's hint (Raft 5.3, end): the term this member has at `previous.index` and where that term begins here;
  // term 0: the log ends before, at hint_index - 1.
  Term hint_term;
  Index hint_index;

  Index durable;  // last index known to be on disk; lets a leader notice a log that shrank
  Round round;
  Stamp sent{};  // echoed
  Lease lease;   // echoed when granted
};

// "I lead." Sent every beat_interval and whenever the commit index moves.
struct Beat {
  Index commit;
  Stamp sent{};
  std::uint64_t sequence = 0;  // counts beats of this leader in this term; gaps tell loss
  Round round;
  std::vector<NodeId> heirs;  // who should follow this leader, best first
  Lease lease;
};

// Promises nothing that is not on disk already: "I heard you, and I know of no later term; my log equals yours up to
// `last`, and what lies at or below `durable` is on my disk", so min(last, durable) counts as an ack.
struct BeatReply {
  Stamp sent{};                // echoed
  std::uint64_t sequence = 0;  // echoed
  Round round;                 // echoed
  Index last;                  // of its log that is known to equal the leader's, unsynced included
  Index durable;               // last index on its disk
  bool disk_full = false;
  bool damaged = false;  // its log has a hole that it is waiting to be sent again
  Lease lease;           // echoed when granted
};

// From a leader to its heir: stand for election now, without a pre-vote. Only sent when the heir's log is complete, and
// after the leader has given up its lease.
struct TimeoutNow {
  Release release;  // of that lease; term 0: there was none
};

// A leader's record for the witness. Sent again until it is confirmed.
struct RegisterRequest {
  InSync record;
};
// Promises: this record is on the witness's disk.
struct RegisterReply {
  InSync record;
};

// The state up to and including an entry, as stored beside the log.
struct SnapshotMeta {
  LogPosition last;             // the last entry it covers
  Configuration configuration;  // in force at that entry
  Index configuration_index;    // where that configuration was appended
  std::uint64_t bytes = 0;      // length of the whole

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

// A piece of a snapshot for a member that needs entries the leader no longer has.
struct SnapshotPiece {
  SnapshotMeta meta;
  std::uint64_t offset = 0;
  Payload data;
  bool last = false;
  Stamp sent{};
};

// Promises (with `stored`): the state up to `index` is on disk and applied.
struct SnapshotReply {
  LogPosition snapshot;          // which one
  std::uint64_t next_offset = 0;  // send on from here; 0 starts again
  bool stored = false;
  Stamp sent{};  // echoed
};

// A follower asks for the index at which a read is linearizable; the leader confirms itself and answers.
// `request` is the follower's own counter, never reused within its incarnation.
struct ReadQuery {
  std::uint64_t request = 0;
};
struct ReadAnswer {
  std::uint64_t request = 0;
  Incarnation asker;
  bool ok = false;
  Index index;
};

// A leader tells a member why it takes no part. The receiver stops in words (Output::notices).
enum class NoticeKind : std::uint8_t {
  removed = 1,    // no longer a member, as of a committed configuration
  regressed = 2,  // its log lost entries it had acknowledged: a folder rolled back or restored from a copy
  duplicate = 3,  // an older incarnation, or a second one, of the same UUID
};
struct Notice {
  NoticeKind kind = NoticeKind::removed;
  Index as_of;  // removed: the index of the configuration that says so; a member that knows a later one ignores it
  Incarnation incarnation;  // regressed: the one that is meant; duplicate: the newest, all others are meant
  std::string text;
};

using Body = std::variant<VoteRequest, VoteReply, Append, AppendReply, Beat, BeatReply, TimeoutNow, SnapshotPiece,
                          SnapshotReply, ReadQuery, ReadAnswer, Notice, RegisterRequest, RegisterReply>;

struct Message {
  NodeId from;
  NodeId to;
  Term term;  // the sender's, except in a pre-vote: there the term it would stand in
  Incarnation incarnation;  // the sender's
  Body body;
};

// Whether it may go by UDP: Beat and BeatReply.
inline bool is_beat(const Message& message) {
  return std::holds_alternative<Beat>(message.body) || std::holds_alternative<BeatReply>(message.body);
}

// "a->b t3 append 7.. (2) commit 6": one line, for traces and logs. Stable, golden tests compare it.
std::string text(const Message& message);

// Bytes this message is about to take on the wire; for bounds, not exact.
std::size_t bytes_of(const Message& message);

}  // namespace holdfast::raft
