// Leases among members: each rule of docs/leases.md as a story, and the shy mutants that the simulator rarely meets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/raft/core.h"
#include "core/raft/mutation.h"
#include "core/raft/story_test.h"

namespace holdfast::raft {
namespace {

using story::Cluster;
using story::node;
using ::testing::HasSubstr;

constexpr Duration kCap = 400ms;

// A command "key=value" touches its key; anything else may touch everything.
std::optional<std::vector<std::string>> touched(const Entry& entry) {
  const auto text = entry.data.view();
  const auto sign = text.find('=');
  if (sign == std::string_view::npos) return std::nullopt;
  return std::vector<std::string>{std::string(text.substr(0, sign))};
}

void with_leases(Options& o) {
  o.lease_length = kCap;
  o.touched = touched;
}

bool holds_lease(Cluster& c, std::uint64_t n) {
  const auto held = c.status(n).lease.held;
  return held.until.boot > c.now && held.until.raw > c.now;
}

std::uint64_t other_than(std::uint64_t a, std::uint64_t b = 0) {
  for (std::uint64_t n = 1;; ++n) {
    if (n != a && n != b) return n;
  }
}

// Runs until somebody leads after `old`, which leads now or has died; fails the test when nobody does.
std::uint64_t successor(Cluster& c, std::uint64_t old) {
  const auto term = c.member(old).core ? c.status(old).term : Term(0);
  EXPECT_TRUE(c.run_until([&] { return c.leader() && *c.leader() != old && c.status(*c.leader()).term > term; }));
  return c.leader().value_or(0);
}

bool commits(Cluster& c, std::uint64_t n) { return c.status(n).commit == c.status(n).last; }

// ---------------------------------------------------------------------------------------------------- reads

TEST(Lease, ALeaderAnswersReadsAtOnce) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  const auto tag = c.read(leader);
  ASSERT_TRUE(c.member(leader).reads.contains(tag));
  EXPECT_EQ(c.member(leader).reads[tag].by, ReadBy::lease);
  EXPECT_EQ(c.status(leader).counters.reads_by_round, 0u);
}

TEST(Lease, WithoutACapInTheConfigurationNobodySpeaksOfLeases) {
  Cluster c(3, with_leases);
  bool spoken = false;
  c.drop = [&](const Message& m) {
    if (const auto* beat = std::get_if<Beat>(&m.body)) spoken |= beat->lease.epoch != 0;
    if (const auto* append = std::get_if<Append>(&m.body)) spoken |= append->lease.epoch != 0;
    if (const auto* reply = std::get_if<VoteReply>(&m.body)) spoken |= !reply->reports.empty() || !reply->released.empty();
    return false;
  };
  const auto leader = c.elect();
  const auto tag = c.read(leader);
  EXPECT_FALSE(c.member(leader).reads.contains(tag));
  c.run(10ms);
  EXPECT_EQ(c.member(leader).reads[tag].by, ReadBy::round);
  for (std::uint64_t n = 1; n <= 3; ++n) {
    c.kill(n);
    c.start(n);
  }
  c.elect();
  EXPECT_FALSE(spoken);
}

TEST(Lease, ALeaderThatAsksForNoneReadsByRound) {
  Cluster c(3, [](Options& o) { o.lease_length = Duration(0); }, kCap);
  const auto leader = c.elect();
  c.read(leader);
  c.run(10ms);
  EXPECT_EQ(c.status(leader).counters.reads_by_round, 1u);
}

TEST(Lease, IsNoLongerThanTheCap) {
  Cluster c(3, [](Options& o) { o.lease_length = 2s; }, kCap);
  const auto leader = c.elect();
  EXPECT_EQ(c.status(leader).lease.asked, kCap);
  EXPECT_LE(c.status(leader).lease.held.until.boot - c.now, kCap);
}

TEST(Lease, AnsweredFollowersCountFromTheSendingOfWhatTheyAnswered) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  c.latency = 30ms;
  c.run(1s);
  // Asked for every 10 ms; what was sent 60 ms ago is the newest that has been answered.
  EXPECT_LE(c.status(leader).lease.held.until.boot - c.now, usable(kCap, Options().clock_drift) - 55ms);
}

TEST(Lease, EndsWhenAMajorityGrantsNoMore) {
  Cluster c(5, with_leases, kCap);
  const auto leader = c.elect();
  c.isolate(leader);
  c.run(kCap);
  EXPECT_FALSE(holds_lease(c, leader));
}

TEST(Lease, GrantsOfLearnersCountForNothing) {
  for (const auto mutation : {Mutation::none, Mutation::lease_of_learners}) {
    Cluster c(3, [&](Options& o) { with_leases(o); o.mutation = mutation; }, kCap);
    const auto leader = c.elect();
    c.start_empty(4);
    c.change(leader, AddMember{{.id = node(4), .address = "m4"}});
    c.run(100ms);
    ASSERT_FALSE(c.core(leader).configuration().is_voter(node(4)));
    for (std::uint64_t n = 1; n <= 3; ++n) {
      if (n != leader) c.cut(leader, n);
    }
    c.run(30ms);
    const auto until = c.status(leader).lease.held.until.boot;
    c.run(10ms);
    ASSERT_EQ(c.leader(), leader);  // still
    const bool moved = c.status(leader).lease.held.until.boot != until;
    EXPECT_EQ(moved, mutation == Mutation::lease_of_learners);  // what it hears from the learner moves nothing
  }
}

TEST(Lease, AGuardiansWordEndsItForTheTermButNotLeadership) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  c.give(leader, LeaseRevoked{node(leader), c.member(leader).incarnation, c.status(leader).term});
  EXPECT_FALSE(holds_lease(c, leader));
  c.run(1s);
  EXPECT_EQ(c.leader(), leader);
  EXPECT_FALSE(holds_lease(c, leader));
  c.read(leader);
  c.run(10ms);
  EXPECT_EQ(c.status(leader).counters.reads_by_round, 1u);
}

TEST(Lease, AWordAboutAnotherTermOrProcessIsNotMeant) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  c.give(leader, LeaseRevoked{node(leader), c.member(leader).incarnation, c.status(leader).term.previous()});
  c.give(leader, LeaseRevoked{node(leader), Incarnation(99), c.status(leader).term});
  EXPECT_TRUE(holds_lease(c, leader));
}

TEST(Lease, AReadMayInsistOnARound) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  c.give(leader, ReadRequested{.tag = 77, .key = "x", .by_round = true});
  EXPECT_FALSE(c.member(leader).reads.contains(77));
  c.run(10ms);
  EXPECT_EQ(c.member(leader).reads[77].by, ReadBy::round);
}

TEST(Lease, AFollowersReadNeedsOneTripToTheLeaderOnly) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  const auto follower = other_than(leader);
  const auto tag = c.read(follower);
  c.run(2 * c.latency + 100us);
  EXPECT_TRUE(c.member(follower).reads[tag].ok);
}

TEST(Lease, ClocksThatRunApartHoldNone) {
  Options options;
  options.self = node(1);
  options.incarnation = Incarnation(1);
  options.lease_length = kCap;
  Start start;
  start.hard_state = {Term(1), NodeId(), Index(1)};
  start.entries = {bootstrap_entry(story::voters(1).with_lease_cap(kCap))};
  Core core(options, start, Time(at(1s), at(1s)));
  std::uint64_t synced = 0;
  auto step = [&](Duration boot, Duration raw) {
    std::vector<Input> inputs;
    if (synced != 0) inputs.emplace_back(Persisted{std::exchange(synced, 0)});
    const auto out = core.step(Time(at(boot), at(raw)), inputs);
    synced = out.write_sequence;
    return out;
  };
  step(1s, 1s);
  step(1001ms, 1001ms);
  const auto held = step(1002ms, 1002ms).lease.until;
  EXPECT_GT(held.boot, at(1002ms));
  EXPECT_TRUE(core.lease_serves(Time(at(1003ms), at(1003ms)), std::nullopt));
  EXPECT_FALSE(core.lease_serves(Time(held.boot, at(1003ms)), std::nullopt));  // over on either clock is over
  EXPECT_FALSE(core.lease_serves(Time(at(1003ms), held.raw), std::nullopt));
  step(3s, 2s);  // asleep for a second, or slewed
  EXPECT_TRUE(core.status().lease.clocks_apart);
  EXPECT_LT(step(3001ms, 2001ms).lease.until.boot, at(3001ms));
  step(4100ms, 3100ms);
  EXPECT_FALSE(core.status().lease.clocks_apart);
  EXPECT_GT(step(4101ms, 3101ms).lease.until.boot, at(4101ms));
}

// ----------------------------------------------------------------------------------------------- the wait

TEST(LeaseWait, ANewLeaderIsElectedAtOnceAndCommitsWhenTheOldLeaseIsOver) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(1s);
  const auto cut = c.now;
  c.isolate(old);
  const auto fresh = successor(c, old);
  EXPECT_LE(c.now - cut, 130ms);
  EXPECT_GT(c.status(fresh).lease.wait_left, 200ms);
  ASSERT_TRUE(c.run_until([&] { return commits(c, fresh); }));
  EXPECT_GE(c.now - cut, kCap - 10ms);
  EXPECT_LE(c.now - cut, kCap + 60ms);
  EXPECT_EQ(c.status(fresh).counters.waits, 1u);
}

TEST(LeaseWait, WritesAreReplicatedMeanwhileAndAcknowledgedAtItsEnd) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.isolate(old);
  const auto fresh = successor(c, old);
  const auto tag = c.propose(fresh, "x=1");
  c.run(50ms);
  EXPECT_EQ(c.status(other_than(old, fresh)).durable, c.status(fresh).last);
  EXPECT_FALSE(c.member(fresh).proposals.contains(tag));
  c.run(kCap);
  EXPECT_EQ(c.member(fresh).proposals[tag].outcome, ProposalOutcome::committed);
}

TEST(LeaseWait, ReadsOfWhatOthersCannotHaveChangedAreAnswered) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.propose(old, "x=1");
  c.run(100ms);
  // "y" reaches the others, but not the news that it is committed.
  c.drop = [](const Message& m) {
    if (const auto* beat = std::get_if<Beat>(&m.body)) return beat->commit > Index(3);
    return false;
  };
  ASSERT_EQ(c.status(old).commit, Index(3));
  c.propose(old, "y=1");
  c.run(5ms);
  c.isolate(old);
  c.drop = nullptr;
  const auto fresh = successor(c, old);
  ASSERT_EQ(c.status(fresh).commit, Index(3));
  c.run(20ms);
  ASSERT_GT(c.status(fresh).lease.wait_left, 100ms);
  const auto x = c.read(fresh, "x");
  const auto y = c.read(fresh, "y");
  const auto all = c.read(fresh);
  EXPECT_EQ(c.member(fresh).reads[x].by, ReadBy::lease_in_wait);
  EXPECT_FALSE(c.member(fresh).reads.contains(y));
  EXPECT_FALSE(c.member(fresh).reads.contains(all));
  c.run(kCap);
  EXPECT_EQ(c.member(fresh).reads[y].by, ReadBy::lease);
  EXPECT_EQ(c.member(fresh).reads[all].by, ReadBy::lease);
}

TEST(LeaseWait, AnEntryThatMayTouchEverythingHoldsAllReads) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(100ms);
  c.drop = [commit = c.status(old).commit](const Message& m) {
    const auto* beat = std::get_if<Beat>(&m.body);
    return beat != nullptr && beat->commit > commit;
  };
  c.propose(old, "no key");
  c.run(5ms);
  c.isolate(old);
  c.drop = nullptr;
  const auto fresh = successor(c, old);
  c.run(20ms);
  ASSERT_GT(c.status(fresh).lease.wait_left, 100ms);
  const auto tag = c.read(fresh, "x");
  EXPECT_FALSE(c.member(fresh).reads.contains(tag));
}

TEST(LeaseWait, AClusterThatBeginsWaitsForNothing) {
  Cluster c(3, [](Options& o) { o.lease_length = 10s; }, 10s);
  c.run(15ms);
  ASSERT_TRUE(c.leader());
  EXPECT_TRUE(commits(c, *c.leader()));
}

TEST(LeaseWait, ARestartedVoterReportsWhatItMayHaveForgotten) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  const auto restarted = other_than(old);
  const auto third = other_than(old, restarted);
  c.kill(third);
  c.run(50ms);
  c.isolate(old);
  c.kill(restarted);
  c.start(restarted);
  const auto since = c.now;
  c.start(third);
  const auto fresh = successor(c, old);
  ASSERT_TRUE(c.run_until([&] { return commits(c, fresh); }));
  EXPECT_GE(c.now - since, kCap);
}

TEST(LeaseWait, ASoleVoterGoesOnAtOnceAfterARestart) {
  Cluster c(1, [](Options& o) { o.lease_length = 10s; }, 10s);
  c.run(100ms);
  c.kill(1);
  c.start(1);
  c.run(5ms);
  EXPECT_TRUE(commits(c, 1));
  EXPECT_TRUE(holds_lease(c, 1));
}

TEST(LeaseWait, AHoleInTheLogMayHaveHeldAnyCap) {
  Cluster c(1, [](Options& o) { o.lease_cap_max = 300ms; });
  c.run(100ms);
  c.kill(1);
  c.start(1, Damage{.first = Index(2), .last = {Term(2), Index(2)}});
  Message request{.term = c.status(1).term.next(), .incarnation = Incarnation(1)};
  request.body = VoteRequest{.last = {Term(9), Index(9)}};
  std::vector<LeaseReport> reports;
  c.drop = [&](const Message& m) {
    if (const auto* reply = std::get_if<VoteReply>(&m.body)) reports = reply->reports;
    return false;
  };
  c.deliver(2, 1, request);
  c.run(5ms);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_GT(reports[0].left, 290ms);
}

// ------------------------------------------------------------------------------------------------- releases

TEST(LeaseRelease, AHandOverLeavesNoWait) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  const auto before = c.now;
  c.give(old, TransferRequested{});
  const auto fresh = successor(c, old);
  ASSERT_TRUE(c.run_until([&] { return commits(c, fresh); }));
  EXPECT_LE(c.now - before, 10ms);
  EXPECT_EQ(c.status(fresh).counters.waits, 0u);
  EXPECT_EQ(c.status(fresh).counters.waits_released, 1u);
}

TEST(LeaseRelease, AFailedHandOverEarnsANewEpochAndItsOrderCoversNoMoreThanTheOld) {
  Cluster c(3, [](Options& o) { with_leases(o); o.transfer_wait_max = 50ms; }, kCap);
  const auto old = c.elect();
  std::optional<Message> order;
  c.drop = [&](const Message& m) {
    if (!std::holds_alternative<TimeoutNow>(m.body)) return false;
    order = m;
    return true;
  };
  c.give(old, TransferRequested{});
  c.run(20ms);
  ASSERT_TRUE(order);
  EXPECT_FALSE(holds_lease(c, old));
  c.run(100ms);
  EXPECT_TRUE(holds_lease(c, old));
  EXPECT_EQ(c.status(old).lease.epoch, std::get<TimeoutNow>(order->body).release.epoch + 1);
  // The order comes late. The heir is elected at once, but waits for the lease that was earned since.
  c.isolate(old);
  c.drop = nullptr;
  c.give(story::number(order->to), Received{order->from, *order});
  const auto fresh = successor(c, old);
  EXPECT_GT(c.status(fresh).lease.wait_left, 100ms);
}

TEST(LeaseRelease, AnOldLeadersOwnVoteEndsItsLease) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  // One stands for election though the leader is alive, as by a forged order.
  Message order{.term = c.status(old).term, .incarnation = c.member(old).incarnation};
  order.body = TimeoutNow{};
  const auto before = c.now;
  c.deliver(old, other_than(old), order);
  const auto fresh = successor(c, old);
  ASSERT_TRUE(c.run_until([&] { return commits(c, fresh); }));
  EXPECT_LE(c.now - before, 15ms);
}

TEST(LeaseRelease, ThatComesAfterTheElectionEndsTheWaitAsWell) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  c.isolate(old);
  const auto fresh = successor(c, old);
  c.run(10ms);
  ASSERT_GT(c.status(fresh).lease.wait_left, 100ms);
  c.give(fresh, LeaseRevoked{node(old), c.member(old).incarnation, c.status(fresh).term.previous()});
  EXPECT_EQ(c.status(fresh).lease.wait_left, Duration(0));
  c.run(5ms);
  EXPECT_TRUE(commits(c, fresh));
}

TEST(LeaseRelease, ANewIncarnationOfTheOldLeaderEndsTheWait) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  c.kill(old);
  const auto fresh = successor(c, old);
  ASSERT_GT(c.status(fresh).lease.wait_left, 100ms);
  c.start(old);
  c.run(30ms);
  EXPECT_EQ(c.status(fresh).lease.wait_left, Duration(0));
  EXPECT_TRUE(commits(c, fresh));
}

TEST(LeaseRelease, AGuardiansCertificateNeedsNeitherPreVoteNorWait) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  const LeaseRevoked certificate{node(old), c.member(old).incarnation, c.status(old).term};
  c.kill(old);
  const auto before = c.now;
  for (std::uint64_t n = 1; n <= 3; ++n) {
    if (n != old) c.give(n, certificate);
  }
  const auto fresh = successor(c, old);
  ASSERT_TRUE(c.run_until([&] { return commits(c, fresh); }));
  EXPECT_LE(c.now - before, 6ms);
  EXPECT_EQ(c.status(fresh).counters.prevotes_started, 0u);
}

TEST(LeaseRelease, ACertificateOfAnotherNodeIsNone) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  c.run(200ms);
  const auto term = c.status(old).term;
  c.isolate(old);
  const auto fresh = successor(c, old);
  c.give(fresh, LeaseRevoked{node(other_than(old, fresh)), Incarnation(1), term});
  EXPECT_GT(c.status(fresh).lease.wait_left, 100ms);
}

// One that is late with its beats after all is followed on.
TEST(LeaseRelease, ACertifiedLeaderThatIsHeardAgainIsFollowed) {
  Cluster c(3, with_leases, kCap);
  const auto old = c.elect();
  const auto second = other_than(old);
  const auto third = other_than(old, second);
  c.run(200ms);
  const auto term = c.status(old).term;
  c.cut(second, third);
  c.give(third, LeaseRevoked{node(old), c.member(old).incarnation, term});
  c.give(old, LeaseRevoked{node(old), c.member(old).incarnation, term});
  c.run(2s);
  ASSERT_TRUE(c.leader());
  EXPECT_TRUE(commits(c, *c.leader()));
}

// A grant that was overtaken by a later one still runs. Only the later one is released; who forgets the earlier commits
// while its holder reads. Mutant 26.
bool commits_while_an_older_lease_runs(Mutation mutation) {
  Cluster c(5, [&](Options& o) {
    with_leases(o);
    o.mutation = mutation;
    o.silence_fixed = true;
    o.silence_default = o.silence_max;  // the first does not notice that it is alone
  }, kCap);
  const auto first = c.elect();
  c.run(200ms);
  c.isolate(first);
  for (std::uint64_t n = 1; n <= 5; ++n) {
    if (n != first) c.give(n, LinkLost{node(first)});
  }
  const auto second = successor(c, first);
  c.run(15ms);  // the other three have granted to both
  // Elected by those three; the second has granted to the first only.
  c.drop = [&](const Message& m) { return m.from == node(second) && std::holds_alternative<VoteReply>(m.body); };
  c.give(second, TransferRequested{});
  const auto third = successor(c, second);
  EXPECT_TRUE(holds_lease(c, first));
  while (holds_lease(c, first)) {
    if (commits(c, third)) return true;
    c.run(1ms);
  }
  return false;
}

TEST(LeaseRelease, OfOneTermLeavesTheWaitForAnother) {
  EXPECT_FALSE(commits_while_an_older_lease_runs(Mutation::none));
  EXPECT_TRUE(commits_while_an_older_lease_runs(Mutation::lease_newest_grant));
}

// ------------------------------------------------------------------------------------------------------- cap

TEST(LeaseCap, TurnsLeasesOnWhenCommitted) {
  Cluster c(3, with_leases);
  const auto leader = c.elect();
  EXPECT_FALSE(holds_lease(c, leader));
  const auto tag = c.change(leader, SetLeaseCap{kCap});
  EXPECT_EQ(c.status(leader).lease.asked, Duration(0));  // not before
  c.run(30ms);
  EXPECT_EQ(c.member(leader).proposals[tag].outcome, ProposalOutcome::committed);
  EXPECT_TRUE(holds_lease(c, leader));
}

TEST(LeaseCap, FallsOnlyWhenLongerLeasesHaveRunOut) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  const auto early = c.change(leader, SetLeaseCap{100ms});
  EXPECT_EQ(c.member(leader).proposals[early].outcome, ProposalOutcome::busy);
  EXPECT_THAT(c.member(leader).proposals[early].text, HasSubstr("ask again in"));
  EXPECT_EQ(c.status(leader).lease.asked, 100ms);  // nothing longer from now on
  c.run(kCap - 10ms);
  EXPECT_EQ(c.member(leader).proposals[c.change(leader, SetLeaseCap{100ms})].outcome, ProposalOutcome::busy);
  c.run(20ms);
  const auto tag = c.change(leader, SetLeaseCap{100ms});
  c.run(20ms);
  EXPECT_EQ(c.member(leader).proposals[tag].outcome, ProposalOutcome::committed);
  EXPECT_EQ(c.status(leader).lease.cap, 100ms);
  EXPECT_TRUE(holds_lease(c, leader));
}

TEST(LeaseCap, OfNothingTurnsLeasesOffAgain) {
  Cluster c(3, with_leases, kCap);
  const auto leader = c.elect();
  c.change(leader, SetLeaseCap{Duration(0)});
  c.run(kCap + 10ms);
  c.change(leader, SetLeaseCap{Duration(0)});
  c.run(20ms);
  EXPECT_EQ(c.status(leader).lease.cap, Duration(0));
  EXPECT_FALSE(holds_lease(c, leader));
  c.isolate(leader);
  const auto fresh = successor(c, leader);
  c.run(10ms);
  EXPECT_TRUE(commits(c, fresh));
}

TEST(LeaseCap, HasABound) {
  Cluster c(3, with_leases);
  const auto leader = c.elect();
  const auto tag = c.change(leader, SetLeaseCap{11s});
  EXPECT_EQ(c.member(leader).proposals[tag].outcome, ProposalOutcome::refused);
  EXPECT_THAT(c.member(leader).proposals[tag].text, HasSubstr("10000 ms"));
}

TEST(LeaseCap, AVoterGrantsNothingThatItsDiskDoesNotKnowOf) {
  for (const auto mutation : {Mutation::none, Mutation::lease_unasked_voter}) {
    Cluster c(3, [&](Options& o) { with_leases(o); o.mutation = mutation; });
    const auto leader = c.elect();
    const auto slow = other_than(leader);
    c.member(slow).disk_stuck = true;
    bool granted = false;
    c.drop = [&](const Message& m) {
      const auto* reply = std::get_if<BeatReply>(&m.body);
      if (reply != nullptr && story::number(m.from) == slow && reply->lease.epoch != 0) granted = true;
      return false;
    };
    c.change(leader, SetLeaseCap{kCap});
    c.run(100ms);
    EXPECT_TRUE(holds_lease(c, leader));  // by the third
    EXPECT_EQ(granted, mutation == Mutation::lease_unasked_voter);
  }
}

// The lower cap is all that a restarted member finds: nothing longer may run by then. Mutant 36.
TEST(LeaseCap, MayBeLoweredOnlyWhenNothingLongerCanRun) {
  for (const auto mutation : {Mutation::none, Mutation::lease_cap_falls_at_once}) {
    Cluster c(3, [&](Options& o) { with_leases(o); o.mutation = mutation; }, kCap);
    const auto leader = c.elect();
    const auto tag = c.change(leader, SetLeaseCap{20ms});
    c.run(20ms);
    EXPECT_EQ(c.member(leader).proposals[tag].outcome == ProposalOutcome::committed,
              mutation == Mutation::lease_cap_falls_at_once);
  }
}

}  // namespace
}  // namespace holdfast::raft
