// Mutation: a rule of the core taken out, so that the simulator can show that it would notice.
//
// Each must be caught by test/sim within its budget (`make mutants`). Only builds with HOLDFAST_MUTANTS look at
// Options::mutation, those of the simulator and of the unit tests; the program has none of it. Numbers are stable:
// test/sim/seeds.txt names them.
#pragma once

#include <cstdint>

namespace holdfast::raft {

enum class Mutation : std::uint8_t {
  none = 0,
  vote_before_sync = 1,           // I6: says a vote before it is on disk
  ack_before_sync = 2,            // I6: acknowledges entries before they are on disk
  vote_twice = 3,                 // I5: forgets whom it voted for in this term
  vote_without_log_check = 4,     // I4: votes for a log that ends before its own
  commit_older_term = 5,          // I7: commits entries of earlier terms by counting
  commit_without_majority = 6,    // I3: one ack less than a majority is enough
  truncate_always = 7,            // I3: a late Append cuts off what followed it
  count_self_before_sync = 8,     // I6: the leader counts its own unsynced entries
  read_without_round = 9,         // reads are answered without asking whether one still leads
  read_before_own_commit = 10,    // reads are answered before an entry of the own term is committed
  round_not_counted = 11,         // answers to an old round confirm a new one (etcd #20418)
  change_before_own_commit = 12,  // 4.1: changes members before an entry of the own term is committed
  change_two_at_once = 13,        // 4.1: a second change before the first is committed
  vote_of_other_incarnation = 14, // counts votes asked for before a crash
  commit_unmatched = 15,          // a follower commits what it has not compared with this leader
  commit_hint_unsynced = 16,      // the commit index on disk runs ahead of the log on disk
  damage_forgotten = 17,          // a log with a hole votes as if it ended at the hole
  no_check_quorum = 18,           // a leader without a majority goes on assigning
  self_vote_before_sync = 19,     // I6: the candidate counts its own unsynced vote
  snapshot_keeps_suffix = 20,     // an installed snapshot leaves a log that does not contain its last entry

  // Leases: those of raft-and-leases 7 in its order, then some of ours.
  lease_forgotten = 21,           // a restarted voter does not report what it may have granted before
  lease_from_receipt = 22,        // a lease is counted from the receipt of its grants
  lease_no_limbo = 23,            // reads in the wait do not look at what others may have committed
  lease_no_wait = 24,             // a new leader commits while an earlier lease runs
  lease_no_drift = 25,            // all clocks are taken for right
  lease_newest_grant = 26,        // a voter remembers the grant to the newest leader only
  lease_clock_stops = 27,         // (the simulator's) clocks stand still while a machine is paused
  lease_kept_by_voter = 28,       // an old leader says that it gave up its lease for a later term, and does not
  lease_stale_grant = 29,         // a voter grants to a leader of the past
  lease_kept_in_hand_over = 30,   // a hand-over promises that the lease is over, and it is not
  lease_same_epoch = 31,          // what is granted after a hand-over cannot be told from what was given up
  lease_word_not_set = 32,        // (the simulator's) a guardian certifies without stopping the reads
  lease_of_learners = 33,         // the grants of learners count
  lease_one_clock = 34,           // the second clock is not looked at
  lease_release_any_epoch = 35,   // a release counts for later epochs, too
  lease_cap_falls_at_once = 36,   // a lower cap is appended while longer grants may run
  lease_unasked_voter = 37,       // a voter grants by a cap that is not on its disk

  // Witnesses: those of model/InSync.tla, then some of the code's own.
  witness_votes_for_anyone = 38,     // the witness votes for one that its record does not name
  alone_before_witness_knows = 39,   // a leader commits alone before the witness has recorded it
  witness_takes_old_term = 40,       // the witness takes a record of a term below its own
  joins_without_catching_up = 41,    // both are recorded before the other has everything
  joins_without_being_needed = 42,   // both are recorded before commits wait for both
  witness_forgets_record = 43,       // a restarted witness has no record
  witness_forgets_vote = 44,         // a restarted witness votes again in the same term
  witness_speaks_before_sync = 45,   // I6: votes and records are told before they are on the witness's disk
  witness_counts = 46,               // the witness counts as one who has the log
  witness_takes_older_record = 47,   // a record that was overtaken replaces a later one
  elected_by_master_goes_alone = 48, // elected without the witness, a leader counts on nobody else
  voters_change_while_apart = 49,    // masters and witnesses come and go whatever the register says
  witness_forgets_leases = 50,       // a restarted witness does not report what it may have granted before
  given_up_while_asked = 51,         // goes on alone while a record of both is on its way
};
inline constexpr std::uint8_t kMutationLast = 51;

}  // namespace holdfast::raft
