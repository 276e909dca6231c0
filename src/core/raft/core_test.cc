#include "core/raft/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/raft/mutation.h"
#include "core/raft/story_test.h"

namespace holdfast::raft {
namespace {

using story::Cluster;
using story::node;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ------------------------------------------------------------------------------------------------- elections

TEST(Election, AFreshClusterHasALeaderWithinAFewRoundTrips) {
  Cluster c(3);
  c.run(10ms);
  ASSERT_TRUE(c.leader());
  EXPECT_EQ(c.status(*c.leader()).term, Term(2));
}

TEST(Election, ASingleMemberLeadsAtOnce) {
  Cluster c(1);
  c.run(2ms);
  EXPECT_EQ(c.leader(), 1);
  const auto tag = c.propose(1, "x");
  c.run(2ms);
  EXPECT_EQ(c.member(1).proposals[tag].outcome, ProposalOutcome::committed);
}

TEST(Election, FollowersLearnTheLeaderAndSayWhy) {
  Cluster c(3);
  c.elect();
  EXPECT_EQ(c.status(2).leader, c.status(1).leader);
  EXPECT_THAT(c.member(2).leaderships, Contains(HasSubstr("leads since term 2")));
}

TEST(Election, ASilentLeaderIsReplacedWithinTheSilenceTimeoutAndAFewRounds) {
  Cluster c(3);
  const auto old = c.elect();
  c.run(1s);
  const auto before = c.now;
  c.isolate(old);
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != old; }));
  EXPECT_LE(c.now - before, 110ms);
}

// The syncs of the votes take longer than any patience that heartbeats alone would teach. Nobody may stand again
// meanwhile: the second election would need the same disks.
TEST(Election, SlowDisksMakeAnElectionLongerButNeedNoSecondOne) {
  for (const Duration sync : {40ms, 60ms, 90ms, 150ms, 400ms, 1000ms}) {
    Cluster c(3);
    const auto old = c.elect();
    c.run(1s);
    const auto term = c.status(old).term;
    c.sync = sync;
    c.run(5 * sync);
    const auto before = c.now;
    c.kill(old);
    ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
    EXPECT_EQ(c.status(*c.leader()).term, term.next()) << milliseconds(sync) << " ms";
    EXPECT_LE(c.now - before, 110ms + sync);
    c.run(10 * sync + 1s);
    EXPECT_EQ(c.status(*c.leader()).term, term.next()) << milliseconds(sync) << " ms";
  }
}

// All disks are slow alike, and now one is ahead, now another: leadership stays where it is.
TEST(Election, DisksThatAreSlowAlikeMoveNoLeadership) {
  for (const Duration sync : {100ms, 280ms, 450ms, 900ms}) {
    Cluster c(3);
    c.elect();
    c.sync = sync;
    c.run(10 * sync);
    const auto leader = c.leader().value_or(0);
    const auto term = c.status(leader).term;
    for (int i = 0; i < 200; ++i) {
      for (std::uint64_t n = 1; n <= 3; ++n) c.member(n).sync_factor = 0.7 + 0.3 * ((i / 10 + n) % 3);
      c.propose(leader, "x");
      c.run(37ms);
    }
    EXPECT_EQ(c.status(leader).term, term) << milliseconds(sync) << " ms";
    EXPECT_EQ(c.status(leader).counters.transfers_started, 0u) << milliseconds(sync) << " ms";
    EXPECT_GT(c.status(leader).commit.value(), 150u);
  }
}

// The leader's alone hangs: the others go on without it.
TEST(Election, ALeaderWhoseDiskHangsHandsOverToOneThatIsAhead) {
  Cluster c(3);
  const auto old = c.elect();
  c.run(1s);
  c.member(old).disk_stuck = true;
  for (int i = 0; i < 20; ++i) {
    c.propose(old, "x");
    c.run(20ms);
  }
  EXPECT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != old; }));
  EXPECT_EQ(c.status(old).term, c.status(*c.leader()).term);
}

// Patience with a disk ends: one that hangs does not keep the others from standing.
TEST(Election, ACandidateWhoseDiskHangsIsPassedOver) {
  Cluster c(5);
  const auto old = c.elect();
  c.run(1s);
  const auto first_heir = old == 1 ? 2u : 1u;
  c.member(first_heir).disk_stuck = true;
  c.kill(old);
  const auto before = c.now;
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  EXPECT_NE(*c.leader(), first_heir);
  EXPECT_LE(c.now - before, 300ms);
}

// The same for one who waits for its own vote alone: it tries again in the end, and wins.
TEST(Election, ACandidateWhoseDiskHungStandsAgain) {
  Cluster c(3);
  const auto old = c.elect();
  c.run(1s);
  for (std::uint64_t n = 1; n <= 3; ++n) c.member(n).disk_stuck = n != old;
  c.kill(old);
  c.run(1s);
  EXPECT_FALSE(c.leader());
  for (std::uint64_t n = 1; n <= 3; ++n) c.unstick(n);
  EXPECT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
}

// A follower that was stopped answers all the beats of its pause at once: that tells nothing of the network, and must
// not make this member patient with the next leader.
TEST(Election, TheLateAnswersOfAMemberThatStoodStillMakeNobodyPatient) {
  Cluster c(3);
  const auto l = c.elect();
  const auto frozen = l == 1 ? 2u : 1u;
  c.run(5s);
  const auto before = c.status(l).silence_timeout;
  const auto term = c.status(l).term;
  c.isolate(frozen);
  c.run(500ms);
  for (const Duration age : {490ms, 300ms, 50ms}) {
    c.deliver(frozen, l, Message{.term = term, .incarnation = Incarnation(1), .body = BeatReply{.sent = c.now - age}});
  }
  c.run(1ms);
  EXPECT_EQ(c.status(l).silence_timeout, before);
  // One that only is slow does count.
  const auto slow = 6 - l - frozen;
  c.deliver(slow, l, Message{.term = term, .incarnation = Incarnation(1), .body = BeatReply{.sent = c.now - 300ms}});
  c.run(1ms);
  EXPECT_GT(c.status(l).silence_timeout, before);
}

TEST(Election, ABrokenLinkToADeadLeaderNeedsNoTimeout) {
  Cluster c(3);
  const auto old = c.elect();
  c.run(1s);
  const auto before = c.now;
  c.kill_and_break_links(old);
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  EXPECT_LE(c.now - before, 6ms);
}

TEST(Election, ABrokenLinkToALivingLeaderChangesNothing) {
  Cluster c(3);
  const auto old = c.elect();
  const auto term = c.status(old).term;
  const auto other = old == 1 ? 2 : 1;
  c.give(other, LinkLost{node(old)});
  c.run(1s);
  EXPECT_EQ(c.leader(), old);
  EXPECT_EQ(c.status(old).term, term);
  EXPECT_EQ(c.status(other).counters.elections_started, 0u);
  EXPECT_EQ(c.status(other).leader, node(old));
}

TEST(Election, AMemberThatWasCutOffDoesNotDisturbWhenItReturns) {
  Cluster c(3);
  const auto old = c.elect();
  const auto term = c.status(old).term;
  const auto other = old == 1 ? 2 : 1;
  c.isolate(other);
  c.run(5s);
  c.heal();
  c.run(1s);
  EXPECT_EQ(c.leader(), old);
  EXPECT_EQ(c.status(old).term, term);
}

TEST(Election, ALeaderWithoutAMajorityStepsDownAndStopsAssigning) {
  Cluster c(3);
  const auto old = c.elect();
  c.run(100ms);
  EXPECT_GT(c.member(old).assign_until, c.now);
  const auto cut_at = c.now;
  c.isolate(old);
  c.run(200ms);
  EXPECT_NE(c.status(old).role, Role::leader);
  EXPECT_LE(c.member(old).assign_until, cut_at + 110ms);
  EXPECT_THAT(c.member(old).leaderships.back(), HasSubstr("no majority answered"));
}

TEST(Election, AOneWayCutLeaderIsReplaced) {
  Cluster c(3);
  const auto old = c.elect();
  for (std::uint64_t n = 1; n <= 3; ++n) {
    if (n != old) c.cut_one_way(n, old);  // it speaks, but hears nobody
  }
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != old && c.status(old).role != Role::leader; }));
}

TEST(Election, AMemberCutOffFromTheLeaderAloneDoesNotUnseatIt) {
  Cluster c(3);
  const auto old = c.elect();
  const auto other = old == 1 ? 2 : 1;
  c.cut(old, other);
  c.run(3s);
  EXPECT_EQ(c.leader(), old);
}

TEST(Election, TheVoteLeavesOnlyAfterTheSync) {
  Cluster c(3);
  c.member(2).disk_stuck = c.member(3).disk_stuck = true;
  c.run(500ms);
  EXPECT_FALSE(c.leader());
}

TEST(Election, TheOwnVoteCountsOnlyWhenItIsOnDisk) {
  Cluster c(1);
  c.kill(1);
  c.start(1);
  c.member(1).disk_stuck = true;
  c.run(500ms);
  EXPECT_FALSE(c.leader());
}

TEST(Election, AVoteIsRememberedAcrossARestart) {
  Cluster c(3);
  c.elect();
  c.kill(3);
  c.start(3);
  Message ask{.term = Term(9), .incarnation = Incarnation(1), .body = VoteRequest{.last = {Term(9), Index(99)}}};
  c.isolate(3);
  c.deliver(1, 3, ask);
  c.run(1ms);
  EXPECT_EQ(c.member(3).disk.hard_state.vote, node(1));
  c.kill(3);
  c.start(3);
  c.deliver(2, 3, ask);
  c.run(1ms);
  EXPECT_EQ(c.member(3).disk.hard_state.vote, node(1));
}

// A member stands, crashes before that is on disk, and stands again in the same term with a log that may be shorter.
// A vote given to the first asking must not elect the second. True when it did.
bool elected_by_a_vote_for_its_former_self(Mutation mutation) {
  Cluster c(3, [&](Options& o) { o.mutation = mutation; });
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  c.isolate(other);
  c.kill(other);
  c.start(other);
  c.run(300ms);
  const auto next = c.status(other).term.next();
  const auto vote = [&](bool pre, std::uint64_t incarnation) {
    c.deliver(3, other,
              Message{.term = pre ? c.status(other).term : next, .incarnation = Incarnation(1),
                      .body = VoteReply{.pre = pre, .granted = true, .request_term = next,
                                        .candidate_incarnation = Incarnation(incarnation)}});
    c.run(1ms);
  };
  vote(true, 2);
  EXPECT_EQ(c.status(other).role, Role::candidate);
  EXPECT_EQ(c.status(other).term, next);
  vote(false, 1);
  const bool elected = c.status(other).role == Role::leader;
  vote(false, 2);
  EXPECT_EQ(c.status(other).role, Role::leader);
  return elected;
}

TEST(Election, AVoteAskedForBeforeACrashDoesNotCountAfterIt) {
  EXPECT_FALSE(elected_by_a_vote_for_its_former_self(Mutation::none));
  EXPECT_TRUE(elected_by_a_vote_for_its_former_self(Mutation::vote_of_other_incarnation)) << "this test is blind";
}

TEST(Election, AShorterLogGetsNoVote) {
  Cluster c(3);
  const auto l = c.elect();
  const auto late = l == 1 ? 2 : 1;
  c.isolate(late);
  const auto tag = c.propose(l, "kept");
  c.run(50ms);
  ASSERT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
  c.heal();
  c.kill(l);
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  EXPECT_NE(c.leader(), late);
  c.run(100ms);
  EXPECT_THAT(c.commands(late), ElementsAre("kept"));
}

TEST(Election, AWrongSuspicionIsCounted) {
  Cluster c(3);
  const auto l = c.elect();
  c.run(1s);
  const auto other = l == 1 ? 2 : 1;
  c.cut(l, other);
  c.run(300ms);
  c.heal();
  c.run(100ms);
  EXPECT_EQ(c.status(other).counters.wrong_suspicions, 1u);
  EXPECT_EQ(c.status(other).leader, node(l));
}

TEST(Election, AFixedTimeoutStaysFixed) {
  Cluster c(3, [](Options& o) {
    o.silence_fixed = true;
    o.silence_default = 400ms;
  });
  const auto l = c.elect();
  c.run(1s);
  EXPECT_EQ(c.status(l).silence_timeout, 400ms);
  EXPECT_EQ(c.status(l == 1 ? 2 : 1).silence_timeout, 400ms);
}

TEST(Election, SecondDeathOneSecondAfterAReturnIsNoSlower) {
  Cluster c(3);
  const auto first = c.elect();
  c.run(1s);
  c.kill_and_break_links(first);
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  const auto second = *c.leader();
  c.run(500ms);
  c.start(first);
  c.run(1s);
  const auto before = c.now;
  c.kill_and_break_links(second);
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  EXPECT_LE(c.now - before, 12ms);
}

// ----------------------------------------------------------------------------------------------- replication

TEST(Replication, ACommandIsCommittedInOneRoundAndApplyEverywhere) {
  Cluster c(3);
  const auto l = c.elect();
  const auto before = c.now;
  const auto tag = c.propose(l, "hello");
  ASSERT_TRUE(c.run_until([&] { return c.member(l).proposals.contains(tag); }));
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
  EXPECT_LE(c.now - before, 3ms);
  c.run(5ms);
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_THAT(c.commands(n), ElementsAre("hello"));
}

TEST(Replication, AFollowerRefusesACommandAndNamesTheLeader) {
  Cluster c(3);
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  const auto tag = c.propose(other, "x");
  EXPECT_EQ(c.member(other).proposals[tag].outcome, ProposalOutcome::not_leader);
  EXPECT_EQ(c.status(other).leader, node(l));
}

TEST(Replication, WhatWasUnderWayWhenLeadershipEndsIsUnknownAtOnce) {
  Cluster c(3);
  const auto l = c.elect();
  c.isolate(l);
  const auto tag = c.propose(l, "lost?");
  c.run(300ms);
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::unknown);
}

TEST(Replication, AnUncommittedSuffixIsReplacedByTheNextLeaders) {
  Cluster c(3);
  const auto old = c.elect();
  c.isolate(old);
  c.propose(old, "never");
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != old; }));
  const auto next = *c.leader();
  c.propose(next, "instead");
  c.run(50ms);
  c.heal();
  c.run(500ms);
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_THAT(c.commands(n), ElementsAre("instead"));
  EXPECT_EQ(c.status(old).counters.truncations, 1u);
}

TEST(Replication, AFollowerThatLostMessagesCatchesUp) {
  Cluster c(3);
  const auto l = c.elect();
  const auto late = l == 1 ? 2 : 1;
  int lost = 0;
  c.drop = [&](const Message& m) {
    return std::holds_alternative<Append>(m.body) && m.to == node(late) && lost++ < 3;
  };
  for (int i = 0; i < 10; ++i) c.propose(l, std::to_string(i));
  c.run(500ms);
  EXPECT_EQ(c.commands(late).size(), 10u);
}

TEST(Replication, AMajorityIsEnoughWithOneDiskStuck) {
  Cluster c(3);
  const auto l = c.elect();
  c.member(l == 1 ? 2 : 1).disk_stuck = true;
  const auto tag = c.propose(l, "x");
  c.run(20ms);
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
}

TEST(Replication, NothingIsCommittedWhileOnlyTheLeaderHasItOnDisk) {
  Cluster c(3);
  const auto l = c.elect();
  for (std::uint64_t n = 1; n <= 3; ++n) c.member(n).disk_stuck = n != l;
  const auto tag = c.propose(l, "x");
  c.run(50ms);
  EXPECT_FALSE(c.member(l).proposals.contains(tag));
}

TEST(Replication, TheLeaderMayCommitWhatTheOthersHaveBeforeItsOwnDiskHasIt) {
  Cluster c(3);
  const auto l = c.elect();
  c.member(l).disk_stuck = true;
  const auto tag = c.propose(l, "x");
  c.run(20ms);
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
}

// The paper's figure 8: an entry of an earlier term on a majority is not committed by counting.
TEST(Replication, AnEntryOfAnEarlierTermIsNotCommittedByCountingAlone) {
  Cluster c(3);
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  const auto third = 6 - l - other;
  c.isolate(l);
  c.propose(l, "old");  // only on l
  c.run(5ms);
  const auto index = c.status(l).last;
  c.kill(l);
  c.start(l);
  c.heal();
  c.kill(third);
  // Let l win again, but lose every Append that carries an entry of its new term.
  c.drop = [&](const Message& m) {
    const auto* a = std::get_if<Append>(&m.body);
    return a != nullptr && m.from == node(l) && !a->entries.empty() && a->entries.back().term == m.term &&
           a->entries.size() == 1;
  };
  ASSERT_TRUE(c.run_until([&] { return c.leader() == l; }));
  c.deliver(other, l,
            Message{.term = c.status(l).term, .incarnation = Incarnation(1),
                    .body = BeatReply{.sent = c.now, .last = index, .durable = index}});
  EXPECT_LT(c.status(l).commit, index);
}

TEST(Replication, ABusyLeaderRefusesBeyondItsBounds) {
  Cluster c(3, [](Options& o) { o.proposals_in_flight_max = 4; });
  const auto l = c.elect();
  c.isolate(l);
  std::vector<Tag> tags;
  for (int i = 0; i < 5; ++i) tags.push_back(c.propose(l, "x"));
  EXPECT_EQ(c.member(l).proposals[tags[4]].outcome, ProposalOutcome::busy);
  const auto big = c.propose(l, std::string(kEntryBytesMax + 1, 'x'));
  EXPECT_EQ(c.member(l).proposals[big].outcome, ProposalOutcome::too_large);
}

TEST(Replication, EntriesThatLeftMemoryAreReadFromDisk) {
  Cluster c(3, [](Options& o) { o.log_tail_bytes_max = 100; });
  const auto l = c.elect();
  const auto late = l == 1 ? 2 : 1;
  c.isolate(late);
  for (int i = 0; i < 50; ++i) {
    c.propose(l, std::to_string(i));
    c.run(3ms);
  }
  c.heal();
  c.run(500ms);
  EXPECT_EQ(c.commands(late).size(), 50u);
}

// What was being read for it is of no use any more when the member has meanwhile acknowledged more; to wait for the
// answer of that read for another ten silence timeouts held a member up that was only a little behind.
TEST(Replication, AReadThatWasOvertakenByAnAnswerIsFollowedByTheNextAtOnce) {
  Cluster c(3, [](Options& o) {
    o.log_tail_bytes_max = 100;
    o.append_bytes_max = 10;
  });
  const auto l = c.elect();
  const auto late = l == 1 ? 2 : 1;
  c.run(1s);
  const auto before = c.status(l).last;
  c.isolate(late);
  for (int i = 0; i < 50; ++i) {
    c.propose(l, std::to_string(i));
    c.run(3ms);
  }
  c.slow_fetches = true;
  c.heal();
  ASSERT_TRUE(c.run_until([&] { return c.fetches_held() > 0; }));
  c.release_fetches();  // the first is for a probe
  ASSERT_TRUE(c.run_until([&] { return c.fetches_held() > 0; }));
  // An Append from before the cut arrives after all.
  Append overtaking{.previous = {c.status(l).term, before}, .commit = before, .sent = c.now};
  for (const auto& entry : c.member(l).disk.entries) {
    if (entry.index > before && entry.index <= before + 30) overtaking.entries.push_back(entry);
  }
  ASSERT_EQ(overtaking.entries.size(), 30u);
  c.deliver(l, late, Message{.term = c.status(l).term, .incarnation = Incarnation(1), .body = std::move(overtaking)});
  c.run(10ms);
  c.slow_fetches = false;
  c.release_fetches();
  c.run(100ms);
  EXPECT_EQ(c.commands(late).size(), 50u);
}

TEST(Replication, AFullDiskVotesButDoesNotAck) {
  Cluster c(3);
  const auto l = c.elect();
  const auto full = l == 1 ? 2 : 1;
  const auto third = 6 - l - full;
  c.give(full, DiskChanged{DiskCondition::full});
  c.kill(third);
  const auto tag = c.propose(l, "x");
  c.run(300ms);
  EXPECT_FALSE(c.member(l).proposals.contains(tag));
  c.give(full, DiskChanged{DiskCondition::good});
  c.run(300ms);
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
}

TEST(Replication, ALeaderWithAFullDiskHandsOver) {
  Cluster c(3);
  const auto l = c.elect();
  c.give(l, DiskChanged{DiskCondition::full});
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != l; }));
  EXPECT_EQ(c.status(l).counters.transfers_started, 1u);
}

TEST(Replication, AnEntryOfALaterFormatStopsTheMemberInWords) {
  Cluster c(3);
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  const auto s = c.status(other);
  c.deliver(l, other,
            Message{.term = s.term, .incarnation = Incarnation(1),
                    .body = Append{.previous = {s.term, s.last},
                                   .entries = {Entry{.term = s.term, .index = s.last.next(), .format = 99}}}});
  ASSERT_TRUE(c.member(other).halted);
  EXPECT_THAT(*c.member(other).halted, HasSubstr("format 99"));
}

// --------------------------------------------------------------------------------------------------- restart

TEST(Restart, EverythingCommittedIsThereAgain) {
  Cluster c(3);
  const auto l = c.elect();
  c.propose(l, "a");
  c.propose(l, "b");
  c.run(50ms);
  for (std::uint64_t n = 1; n <= 3; ++n) c.kill(n);
  for (std::uint64_t n = 1; n <= 3; ++n) c.start(n);
  c.elect();
  for (std::uint64_t n = 1; n <= 3; ++n) EXPECT_THAT(c.commands(n), ElementsAre("a", "b"));
}

// The hint is written without a sync and may survive a power loss that the entries before it do not; then the log could
// still end in what they were to replace.
Index commit_hint_with_a_stuck_disk(Mutation mutation) {
  Cluster c(3, [&](Options& o) { o.mutation = mutation; });
  const auto l = c.elect();
  const auto slow = l == 1 ? 2 : 1;
  c.member(slow).disk_stuck = true;
  for (int i = 0; i < 3; ++i) {
    c.propose(l, "x");
    c.run(30ms);
  }
  EXPECT_EQ(c.status(slow).commit, Index(5));
  Index hint;
  for (const auto& out : c.member(slow).unwritten) {
    if (out.hard_state) hint = std::max(hint, out.hard_state->commit);
  }
  return hint;
}

TEST(Restart, TheCommitIndexOnDiskIsNeverAheadOfTheLogOnDisk) {
  EXPECT_LE(commit_hint_with_a_stuck_disk(Mutation::none), Index(2));
  EXPECT_GT(commit_hint_with_a_stuck_disk(Mutation::commit_hint_unsynced), Index(2)) << "this test is blind";
}

TEST(Restart, ADamagedMiddleIsSentAgainAndNeverLeadsBefore) {
  Cluster c(3);
  const auto l = c.elect();
  const auto hurt = l == 1 ? 2 : 1;
  for (int i = 0; i < 5; ++i) c.propose(l, std::to_string(i));
  c.run(50ms);
  c.kill(hurt);
  const auto last = c.member(hurt).disk.entries.back();
  c.start(hurt, Damage{.first = Index(3), .last = {last.term, last.index}});
  EXPECT_EQ(c.status(hurt).last, Index(2));
  c.run(300ms);
  EXPECT_EQ(c.status(hurt).counters.damage_repaired, 1u);
  EXPECT_EQ(c.commands(hurt).size(), 5u);
}

// Found by the simulator: the snapshot replaced the hole, and the member went on as if it had one: it never led again.
TEST(Restart, ASnapshotThatCoversAHoleEndsTheDamage) {
  Cluster c(3, [](Options& options) { options.log_tail_bytes_max = 0; });
  const auto l = c.elect();
  const auto hurt = l == 1 ? 2 : 1;
  for (int i = 0; i < 5; ++i) c.propose(l, std::to_string(i));
  c.run(50ms);
  c.kill(hurt);
  for (int i = 0; i < 5; ++i) c.propose(l, "later");
  c.run(50ms);
  const auto index = c.status(l).commit;
  auto& disk = c.member(l).disk;
  SnapshotMeta meta;
  meta.last = {disk.entries.back().term, index};
  meta.configuration = c.core(l).configuration_at(index);
  meta.configuration_index = Index(1);
  disk.snapshot = meta;
  disk.entries.clear();
  disk.disk_first = index.next();
  c.give(l, SnapshotTaken{.index = index, .disk_first = index.next(), .term = meta.last.term});
  const auto last = c.member(hurt).disk.entries.back();
  ASSERT_LT(last.index, index);
  c.start(hurt, Damage{.first = Index(3), .last = {last.term, last.index}});
  c.run(500ms);
  EXPECT_EQ(c.status(hurt).counters.snapshots_installed, 1u);
  EXPECT_EQ(c.status(hurt).counters.damage_repaired, 1u);
  EXPECT_GE(c.status(hurt).last, index);
  c.give(l, TransferRequested{node(hurt)});
  EXPECT_TRUE(c.run_until([&] { return c.leader() == hurt; }));
}

TEST(Restart, ADamagedMemberDoesNotVoteForALogThatMayLackWhatItLost) {
  Cluster c(3);
  const auto l = c.elect();
  const auto hurt = l == 1 ? 2 : 1;
  const auto late = 6 - l - hurt;
  c.isolate(late);
  const auto tag = c.propose(l, "kept");
  c.run(50ms);
  ASSERT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
  c.kill(l);
  c.kill(hurt);
  const auto last = c.member(hurt).disk.entries.back();
  c.heal();
  c.start(hurt, Damage{.first = last.index, .last = {last.term, last.index}});
  c.run(3s);
  EXPECT_FALSE(c.leader());  // unavailable rather than wrong
  c.start(l);
  c.elect();
  c.run(100ms);
  EXPECT_THAT(c.commands(late), ElementsAre("kept"));
}

TEST(Restart, AMemberThatLostAcknowledgedEntriesIsRefusedInWords) {
  Cluster c(3);
  const auto l = c.elect();
  const auto back = l == 1 ? 2 : 1;
  const auto copy = c.member(back).disk;
  for (int i = 0; i < 5; ++i) c.propose(l, std::to_string(i));
  c.run(50ms);
  c.kill(back);
  c.member(back).disk = copy;
  c.start(back);
  c.run(100ms);
  ASSERT_EQ(c.member(back).notices.size(), 1u);
  EXPECT_EQ(c.member(back).notices[0].kind, NoticeKind::regressed);
  EXPECT_EQ(c.status(l).counters.members_refused, 1u);
}

TEST(Restart, AVoteOlderThanTheLogGivesItsTermToNobody) {
  Cluster c(3);
  const auto l = c.elect();
  const auto back = l == 1 ? 2 : 1;
  c.kill(back);
  c.member(back).disk.hard_state = {Term(1), NodeId(), Index(1)};
  c.start(back);
  c.isolate(back);
  const auto asked = c.status(back).term;
  c.deliver(3, back, Message{.term = asked, .incarnation = Incarnation(1),
                             .body = VoteRequest{.last = {Term(9), Index(99)}}});
  c.run(1ms);
  EXPECT_NE(c.member(back).disk.hard_state.vote, node(3));
}

TEST(Restart, TheOlderOfTwoProcessesWithOneIdentityIsToldSo) {
  Cluster c(3);
  const auto l = c.elect();
  const auto twin = l == 1 ? 2 : 1;
  c.kill(twin);
  c.start(twin);
  c.run(50ms);  // the leader has heard the second incarnation
  std::vector<Message> notices;
  c.drop = [&](const Message& m) {
    if (std::holds_alternative<Notice>(m.body)) notices.push_back(m);
    return false;
  };
  const auto term = c.status(l).term;
  const auto old_process_answers = [&](Instant sent) {
    c.deliver(twin, l, Message{.term = term, .incarnation = Incarnation(1), .body = BeatReply{.sent = sent}});
  };
  old_process_answers(at(1s));  // only late
  EXPECT_TRUE(notices.empty());
  old_process_answers(c.now);  // alive: it answers what was sent after its successor had been heard
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(std::get<Notice>(notices[0].body).kind, NoticeKind::duplicate);
  c.run(50ms);
  EXPECT_TRUE(c.member(twin).notices.empty());  // the one that was started last goes on
}

// -------------------------------------------------------------------------------------------------- transfer

TEST(Transfer, LeadershipMovesInAFewMillisecondsWithoutAPreVote) {
  Cluster c(3);
  const auto l = c.elect();
  c.run(200ms);
  const auto before = c.now;
  c.give(l, TransferRequested{});
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != l; }));
  EXPECT_LE(c.now - before, 5ms);
  c.run(50ms);
  ASSERT_TRUE(c.member(l).transfer_done);
  EXPECT_TRUE(c.member(l).transfer_done->ok);
  EXPECT_EQ(c.status(*c.leader()).counters.prevotes_started, 0u);
}

TEST(Transfer, WritesAreHeldMeanwhileAndGoOnWhenItFails) {
  Cluster c(3);
  const auto l = c.elect();
  const auto target = l == 1 ? 2 : 1;
  c.run(100ms);
  c.drop = [&](const Message& m) { return std::holds_alternative<TimeoutNow>(m.body); };
  c.give(l, TransferRequested{node(target)});
  const auto held = c.propose(l, "x");
  EXPECT_EQ(c.member(l).proposals[held].outcome, ProposalOutcome::held);
  c.run(1100ms);
  ASSERT_TRUE(c.member(l).transfer_done);
  EXPECT_FALSE(c.member(l).transfer_done->ok);
  const auto tag = c.propose(l, "y");
  c.run(50ms);
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::committed);
}

TEST(Transfer, WhoIsElectedAgainBeforeTheEndSaysThatItFailedAndRests) {
  Cluster c(3);
  const auto l = c.elect();
  c.run(100ms);
  c.drop = [&](const Message& m) {
    const bool stands = std::holds_alternative<VoteRequest>(m.body);
    return std::holds_alternative<TimeoutNow>(m.body) || (stands && m.from != node(l));
  };
  c.give(l, TransferRequested{node(l == 1 ? 2 : 1)});
  c.isolate(l);
  ASSERT_TRUE(c.run_until([&] { return !c.leader(); }));
  EXPECT_FALSE(c.member(l).transfer_done) << "another may still turn out to lead";
  c.heal();
  ASSERT_TRUE(c.run_until([&] { return c.leader() == l; }));
  ASSERT_TRUE(c.member(l).transfer_done);
  EXPECT_FALSE(c.member(l).transfer_done->ok);
  c.run(3s);  // no turn without something to do
  EXPECT_EQ(c.leader(), l);
}

TEST(Transfer, AloneThereIsNobodyToHandOverTo) {
  Cluster c(1);
  c.elect();
  c.give(1, TransferRequested{});
  ASSERT_TRUE(c.member(1).transfer_done);
  EXPECT_FALSE(c.member(1).transfer_done->ok);
  EXPECT_EQ(c.leader(), 1);
}

TEST(Transfer, WhoMustGiveItsTermUpAndHasNoHeirLeadsALaterOne) {
  Cluster c(1);
  c.elect();
  const auto before = c.status(1).term;
  c.give(1, TransferRequested{.target = {}, .or_anew = true});
  EXPECT_FALSE(c.leader());
  ASSERT_TRUE(c.run_until([&] { return c.leader() == 1; }));
  EXPECT_GT(c.status(1).term, before);

  Cluster three(3);
  const auto old = three.elect();
  three.run(200ms);
  three.give(old, TransferRequested{.target = {}, .or_anew = true});
  EXPECT_EQ(three.leader(), old) << "with an heir it is a hand-over like any other";
  ASSERT_TRUE(three.run_until([&] { return three.leader() && *three.leader() != old; }));
}

// ----------------------------------------------------------------------------------------------- membership

TEST(Membership, ALearnerCatchesUpAndBecomesAVoter) {
  Cluster c(3);
  const auto l = c.elect();
  for (int i = 0; i < 20; ++i) c.propose(l, std::to_string(i));
  c.start_empty(4);
  c.change(l, AddMember{{.id = node(4), .address = "m4", .promote = true}});
  c.run(500ms);
  EXPECT_EQ(c.core(l).configuration().voter_count(), 4u);
  EXPECT_EQ(c.commands(4).size(), 20u);
}

// Found by the simulator. One voter's log makes a learner a voter; the learner's own, of a later term, does not know of
// that and is ahead of everyone's. The voter needs its vote and cannot have it, so the learner itself must stand.
TEST(Membership, ALearnerThatIsAheadOfEveryVoterStandsWhenAVoterNeedsIt) {
  Cluster c(4);
  const auto configuration = [](std::uint64_t term, std::uint64_t index, bool promoted) {
    auto members = story::voters(4).members();
    members[3].voter = promoted;
    return Entry{Term(term), Index(index), EntryKind::configuration, kEntryFormat, encode(Configuration(members))};
  };
  const std::vector<Entry> common{bootstrap_entry(story::voters(3)), configuration(2, 2, false)};
  for (std::uint64_t n = 1; n <= 4; ++n) {
    c.kill(n);
    c.member(n).disk.entries = common;
    c.member(n).disk.hard_state = {Term(5), NodeId(), Index(2)};
  }
  c.member(1).disk.entries.push_back(configuration(4, 3, true));
  c.member(4).disk.entries.push_back(Entry{Term(5), Index(3), EntryKind::term_start, kEntryFormat, {}});
  for (const std::uint64_t n : {1, 3, 4}) c.start(n);  // 2 led term 5, and is gone
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  EXPECT_EQ(*c.leader(), 4u);
  EXPECT_TRUE(c.run_until([&] { return c.status(4).commit >= Index(4); }));
}

TEST(Membership, AWipedMemberIsReplacedByItsNewSelf) {
  Cluster c(3);
  const auto l = c.elect();
  const auto gone = l == 1 ? 2 : 1;
  c.kill(gone);
  c.start_empty(9);
  c.change(l, AddMember{{.id = node(9), .address = "m9", .promote = true, .replaces = node(gone)}});
  c.run(500ms);
  const auto& now = c.core(l).configuration();
  EXPECT_EQ(now.voter_count(), 3u);
  EXPECT_TRUE(now.is_voter(node(9)));
  EXPECT_EQ(now.find(node(gone)), nullptr);
}

TEST(Membership, OneChangeAtATime) {
  Cluster c(3);
  const auto l = c.elect();
  const auto first = c.change(l, SetAddress{node(1), "elsewhere"});
  const auto second = c.change(l, SetAddress{node(2), "elsewhere too"});
  EXPECT_EQ(c.member(l).proposals[second].outcome, ProposalOutcome::busy);
  c.run(50ms);
  EXPECT_EQ(c.member(l).proposals[first].outcome, ProposalOutcome::committed);
  EXPECT_EQ(c.core(3).configuration().find(node(1))->address, "elsewhere");
}

TEST(Membership, ARemovedMemberIsToldAndStaysQuiet) {
  Cluster c(3);
  const auto l = c.elect();
  const auto gone = l == 1 ? 2 : 1;
  c.change(l, RemoveMember{node(gone)});
  c.run(300ms);
  ASSERT_EQ(c.member(gone).notices.size(), 1u);
  EXPECT_EQ(c.member(gone).notices[0].kind, NoticeKind::removed);
  c.run(2s);
  EXPECT_EQ(c.leader(), l);
}

TEST(Membership, AMemberRemovedWhileAwayIsToldWhenItReturns) {
  Cluster c(3);
  const auto l = c.elect();
  const auto gone = l == 1 ? 2 : 1;
  c.kill(gone);
  c.change(l, RemoveMember{node(gone)});
  c.run(300ms);
  c.start(gone);
  c.run(500ms);
  ASSERT_GE(c.member(gone).notices.size(), 1u);
  EXPECT_EQ(c.leader(), l);
}

TEST(Membership, ARemovalThatWouldStopTheClusterIsRefusedInWords) {
  Cluster c(3);
  const auto l = c.elect();
  const auto dead = l == 1 ? 2 : 1;
  const auto alive = 6 - l - dead;
  c.kill(dead);
  c.run(300ms);
  const auto tag = c.change(l, RemoveMember{node(alive)});
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::refused);
  EXPECT_THAT(c.member(l).proposals[tag].text, HasSubstr("no majority would be alive"));
}

TEST(Membership, TheLeaderHandsOverBeforeItIsRemoved) {
  Cluster c(3);
  const auto l = c.elect();
  c.run(100ms);
  const auto tag = c.change(l, RemoveMember{node(l)});
  EXPECT_EQ(c.member(l).proposals[tag].outcome, ProposalOutcome::held);
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != l; }));
  c.run(50ms);
  const auto next = *c.leader();
  c.change(next, RemoveMember{node(l)});
  c.run(300ms);
  EXPECT_EQ(c.core(next).configuration().voter_count(), 2u);
  EXPECT_EQ(c.leader(), next);
}

// Found by the simulator: the log with the removal was the longest, and its only whole copy was the removed one's.
TEST(Membership, AMemberWhoseRemovalIsNotCommittedMayStillBeElected) {
  Cluster c(4);
  const auto l = c.elect();
  const auto gone = l == 4 ? 3 : 4;
  c.drop = [&](const Message& m) {  // only the removed one hears of its removal
    return m.from == node(l) && m.to != node(gone) && std::holds_alternative<Append>(m.body);
  };
  c.change(l, RemoveMember{node(gone)});
  c.run(10ms);
  ASSERT_EQ(c.core(gone).configuration().find(node(gone)), nullptr);
  c.kill(l);
  c.drop = nullptr;
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
}

// ------------------------------------------------------------------------------------------------- snapshots

TEST(Snapshot, AMemberThatIsFarBehindGetsTheStateInPieces) {
  Cluster c(3);
  const auto l = c.elect();
  const auto late = l == 1 ? 2 : 1;
  c.kill(late);
  for (int i = 0; i < 20; ++i) c.propose(l, std::to_string(i));
  c.run(100ms);
  const auto index = c.status(l).commit;
  auto& disk = c.member(l).disk;
  SnapshotMeta meta;
  meta.last = {disk.entries.back().term, index};
  meta.configuration = c.core(l).configuration_at(index);
  meta.configuration_index = Index(1);
  disk.snapshot = meta;
  disk.entries.clear();
  disk.disk_first = index.next();
  c.give(l, SnapshotTaken{.index = index, .disk_first = index.next(), .term = meta.last.term});
  c.start(late);
  // The log is still in memory; a snapshot is needed only once the tail is gone.
  c.run(300ms);
  EXPECT_EQ(c.status(late).last, index);
  for (std::uint64_t n = 1; n <= 3; ++n) {
    if (n != l) c.kill(n);
  }
  c.kill(l);
  c.start(l);
  c.start_empty(4);
  for (std::uint64_t n = 1; n <= 3; ++n) {
    if (n != l) c.start(n);
  }
  c.cut(1, 2);
  ASSERT_TRUE(c.run_until([&] { return c.leader().has_value(); }));
  c.heal();
  c.give(*c.leader(), TransferRequested{node(l)});
  ASSERT_TRUE(c.run_until([&] { return c.leader() == l; }));
  c.run(50ms);
  c.change(l, AddMember{{.id = node(4), .address = "m4", .promote = true}});
  c.run(500ms);
  EXPECT_EQ(c.status(4).counters.snapshots_installed, 1u);
  EXPECT_GE(c.status(4).last, index);
  EXPECT_TRUE(c.core(l).configuration().is_voter(node(4)));
}

// A deposed leader holds entries beyond a snapshot whose last entry it does not have: they follow something else.
Index last_after_a_foreign_snapshot(Mutation mutation) {
  Cluster c(3, [&](Options& o) { o.mutation = mutation; });
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  c.isolate(l);
  for (int i = 0; i < 10; ++i) c.propose(l, "never");
  c.run(300ms);
  SnapshotMeta meta;
  meta.last = {Term(8), Index(6)};
  meta.configuration = story::voters(3);
  meta.configuration_index = Index(1);
  c.deliver(other, l, Message{.term = Term(9), .incarnation = Incarnation(1),
                              .body = SnapshotPiece{.meta = meta, .data = "state", .last = true}});
  return c.status(l).last;
}

TEST(Snapshot, ALogThatDoesNotLeadUpToItIsDropped) {
  EXPECT_EQ(last_after_a_foreign_snapshot(Mutation::none), Index(6));
  EXPECT_GT(last_after_a_foreign_snapshot(Mutation::snapshot_keeps_suffix), Index(6)) << "this test is blind";
}

// ----------------------------------------------------------------------------------------------------- reads

TEST(Read, TheLeaderConfirmsItselfBeforeItAnswers) {
  Cluster c(3);
  const auto l = c.elect();
  c.propose(l, "x");
  c.run(20ms);
  const auto tag = c.read(l);
  EXPECT_FALSE(c.member(l).reads.contains(tag));
  c.run(3ms);
  ASSERT_TRUE(c.member(l).reads[tag].ok);
  EXPECT_EQ(c.member(l).reads[tag].index, c.status(l).commit);
}

TEST(Read, AFollowerAsksTheLeader) {
  Cluster c(3);
  const auto l = c.elect();
  c.propose(l, "x");
  c.run(20ms);
  const auto other = l == 1 ? 2 : 1;
  const auto tag = c.read(other);
  c.run(20ms);
  ASSERT_TRUE(c.member(other).reads[tag].ok);
  EXPECT_EQ(c.member(other).reads[tag].index, c.status(l).commit);
}

TEST(Read, ALeaderThatWasReplacedAnswersNothing) {
  Cluster c(3);
  const auto l = c.elect();
  c.isolate(l);
  const auto tag = c.read(l);
  c.run(3s);
  EXPECT_FALSE(c.member(l).reads[tag].ok);
}

TEST(Read, ALateAnswerToAnOldRoundConfirmsNothing) {
  Cluster c(3);
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  c.read(l);
  c.run(5ms);
  c.isolate(l);
  const auto tag = c.read(l);
  c.deliver(other, l,
            Message{.term = c.status(l).term, .incarnation = Incarnation(1),
                    .body = BeatReply{.sent = c.now, .round = Round(1)}});
  EXPECT_FALSE(c.member(l).reads.contains(tag));
}

// Found by the simulator: the answer carried the new term, so it counted as an answer to this term's leader; it could
// confirm a round nobody had answered, and made a healthy member look as if it had lost its log.
TEST(Read, AnAnswerToABeatOfAnEarlierTermCountsForNothingInALaterOne) {
  Cluster c(3);
  const auto l = c.elect();
  const auto other = l == 1 ? 2 : 1;
  std::vector<Message> replies;
  c.drop = [&](const Message& m) {
    if (m.from == node(other) && m.to == node(l)) replies.push_back(m);
    return false;
  };
  c.deliver(l, other, Message{.term = Term(1), .incarnation = Incarnation(1), .body = Beat{.sent = c.now, .round = Round(9)}});
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_FALSE(is_beat(replies[0]));
  EXPECT_GT(replies[0].term, Term(1));
}

// Found by the simulator: a follower that reported a full disk was sent empty Appends without end within one step.
TEST(Replication, AFullDiskWhileReplicatingDoesNotMakeTheLeaderSendWithoutEnd) {
  Cluster c(3);
  const auto l = c.elect();
  const auto full = l == 1 ? 2 : 1;
  c.give(full, DiskChanged{DiskCondition::full});
  c.run(30ms);
  int appends = 0;
  c.drop = [&](const Message& m) {
    appends += m.to == node(full) && std::holds_alternative<Append>(m.body) ? 1 : 0;
    return false;
  };
  c.propose(l, "x");
  c.run(200ms);
  EXPECT_LE(appends, 20);
}

// Found by the simulator (seed 828): a new leader does not know yet what a full member holds. It took the answer to an
// empty Append for room on the disk and sent everything, again and again, at the speed of the network.
TEST(Replication, ANewLeaderDoesNotFloodAMemberWhoseDiskIsFull) {
  Cluster c(3);
  const auto l = c.elect();
  const auto full = l == 1 ? 2 : 1;
  const auto third = 6 - l - full;
  for (int i = 0; i < 20; ++i) c.propose(l, "x");
  c.run(50ms);
  c.give(full, DiskChanged{DiskCondition::full});
  for (int i = 0; i < 20; ++i) c.propose(l, "y");
  c.run(50ms);
  c.give(l, TransferRequested{node(third)});
  ASSERT_TRUE(c.run_until([&] { return c.leader() && *c.leader() == third; }));
  int appends = 0;
  c.drop = [&](const Message& m) {
    appends += m.to == node(full) && std::holds_alternative<Append>(m.body) ? 1 : 0;
    return false;
  };
  c.run(300ms);
  EXPECT_LE(appends, 60);
  c.give(full, DiskChanged{DiskCondition::good});
  c.run(300ms);
  EXPECT_EQ(c.commands(full).size(), 40u);
}

// ---------------------------------------------------------------------------------------------------- traces

// One event a line: what a hand-over looks like on the wire.
TEST(Story, HandOver) {
  Cluster c(3);
  ASSERT_EQ(c.elect(), 1u);
  c.run(100ms);
  c.start_trace();
  c.give(1, TransferRequested{node(2)});
  c.run(6ms);
  EXPECT_THAT(c.trace, ElementsAre("1 n1->n2 t2 timeout-now",            //
                                   "2 n2->n1 t3 vote? transfer last 2.2",  //
                                   "2 n2->n3 t3 vote? transfer last 2.2",  //
                                   "3 n1->n2 t3 vote yes for t3",          //
                                   "3 n3->n2 t3 vote yes for t3",          //
                                   "4 n2->n1 t3 append after 2.2 +1 commit 2",
                                   "4 n2->n3 t3 append after 2.2 +1 commit 2",  //
                                   "5 n1->n2 t3 ack 3", "5 n3->n2 t3 ack 3"));
}

// The first election of a cluster, up to the first committed entry.
TEST(Story, Founding) {
  Cluster c(3);
  c.start_trace();
  c.run(6ms);
  EXPECT_THAT(c.trace, ElementsAre("1 n1->n2 t2 pre-vote? last 1.1",
                                   "1 n1->n3 t2 pre-vote? last 1.1",
                                   "2 n2->n1 t1 pre-vote yes for t2",
                                   "2 n3->n1 t1 pre-vote yes for t2",
                                   "3 n1->n2 t2 vote? last 1.1",
                                   "3 n1->n3 t2 vote? last 1.1",
                                   "4 n2->n1 t2 vote yes for t2",
                                   "4 n3->n1 t2 vote yes for t2",
                                   "5 n1->n2 t2 append after 1.1 +1 commit 1",
                                   "5 n1->n3 t2 append after 1.1 +1 commit 1"));
}

// The leader's process dies: both others learn of it by their broken connections, the first heir stands.
TEST(Story, DeathOfTheLeader) {
  Cluster c(3);
  ASSERT_EQ(c.elect(), 1u);
  c.run(100ms);
  c.start_trace();
  c.kill_and_break_links(1);
  c.run(7ms);
  EXPECT_THAT(c.trace, ElementsAre("1 n2->n3 t3 pre-vote? link-lost last 2.2",
                                   "2 n3->n2 t2 pre-vote yes for t3",
                                   "3 n2->n3 t3 vote? last 2.2",
                                   "4 n3->n2 t3 vote yes for t3",
                                   "5 n2->n3 t3 append after 2.2 +1 commit 2",
                                   "6 n3->n2 t3 ack 3"));
}

// A deposed leader returns with an entry nobody else has; it is replaced.
TEST(Story, AForgottenSuffix) {
  Cluster c(3);
  ASSERT_EQ(c.elect(), 1u);
  c.isolate(1);
  c.propose(1, "never");
  ASSERT_TRUE(c.run_until([&] { return c.leader() == 2u; }));
  c.run(100ms);
  c.start_trace();
  c.heal();
  c.run(110ms);
  std::vector<std::string> about;
  for (const auto& line : c.trace) {
    if (line.find("append") != std::string::npos || line.find("ack") != std::string::npos ||
        line.find("conflict") != std::string::npos) {
      about.push_back(line.substr(line.find(' ') + 1));
    }
  }
  EXPECT_THAT(about, ElementsAre("n2->n1 t3 append after 2.2 +1 commit 3",
                                   "n1->n2 t3 ack 3"));
}

}  // namespace
}  // namespace holdfast::raft
