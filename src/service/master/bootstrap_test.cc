#include "service/master/bootstrap.h"

#include <gtest/gtest.h>

#include "api/raft.pb.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{n, n}); }

class BootstrapTest : public ::testing::Test {
 protected:
  // An answer of a new master that sees `listed`.
  Answer fresh(std::uint64_t n, std::vector<NodeId> listed, bool all = true) {
    return {.node = node(n),
            .process = Uuid{n, 7},
            .address = "host" + std::to_string(n) + ":9333",
            .drawn_cluster = ClusterId(Uuid{n, 100}),
            .listed = std::move(listed),
            .listed_all = all};
  }
  Answer member(std::uint64_t n, raft::Configuration founding) {
    auto answer = fresh(n, {});
    answer.cluster = ClusterId(Uuid{55, 55});
    answer.configuration = founding;
    answer.founding = std::move(founding);
    return answer;
  }
  std::string why(const BootstrapStep& step) { return std::get<Wait>(step).why; }

  const BootstrapSelf self{.node = node(2), .process = Uuid{2, 7}, .address = "host2:9333",
                           .drawn_cluster = ClusterId(Uuid{2, 100})};
  const std::vector<NodeId> three{node(1), node(2), node(3)};
  std::map<std::string, std::optional<Answer>> listed;
};

TEST_F(BootstrapTest, WaitsForEveryListedMasterAndNamesTheMissing) {
  listed["a:1"] = fresh(1, three);
  listed["b:1"] = fresh(2, three);
  listed["c:1"] = std::nullopt;
  EXPECT_NE(why(next_step(self, listed)).find("c:1"), std::string::npos);
  EXPECT_FALSE(all_answered(listed));
}

TEST_F(BootstrapTest, FoundsWhenAllAreNewAndSeeTheSame) {
  listed["a:1"] = fresh(1, three);
  listed["localhost:1"] = fresh(2, three);
  listed["c:1"] = fresh(3, three);
  const auto step = next_step(self, listed);
  ASSERT_TRUE(std::holds_alternative<Found>(step));
  const auto& found = std::get<Found>(step);
  EXPECT_EQ(found.cluster, ClusterId(Uuid{1, 100}));  // the least node's
  EXPECT_EQ(found.configuration.voter_count(), 3u);
  EXPECT_EQ(found.configuration.find(node(2))->address, "host2:9333");  // as it calls itself, not as it was listed
}

// Masters that were started alone before they were told of one another: whichever restarts first, all end in one cluster.
TEST_F(BootstrapTest, OfSeveralLoneMastersAllGoToTheLeastCluster) {
  const auto cluster = [](std::uint64_t n) { return ClusterId(Uuid{n, n}); };
  const auto lone = [&](std::uint64_t n, bool holds_data = false) {
    auto answer = fresh(n, {});
    answer.cluster = cluster(n);
    answer.configuration = raft::Configuration({{.id = node(n), .address = answer.address, .voter = true}});
    answer.holds_data = holds_data;
    return answer;
  };
  EXPECT_EQ(cluster_to_join(cluster(1), {{"b", lone(2)}, {"c", lone(3)}}), std::nullopt);
  EXPECT_EQ(cluster_to_join(cluster(2), {{"a", lone(1)}, {"c", lone(3)}}), cluster(1));
  EXPECT_EQ(cluster_to_join(cluster(3), {{"a", lone(1)}, {"b", lone(2)}}), cluster(1));
  // One that holds files cannot go anywhere, so the others come to it; two such are the operator's to decide.
  EXPECT_EQ(cluster_to_join(cluster(1), {{"b", lone(2, true)}, {"c", lone(3)}}), cluster(2));
  EXPECT_EQ(cluster_to_join(cluster(1), {{"b", lone(2, true)}, {"c", lone(3, true)}}), std::nullopt);

  // One that has given its own up, or is new, goes the same way.
  listed = {{"a", lone(3)}, {"b", fresh(2, {})}, {"c", lone(1)}};
  EXPECT_EQ(std::get<Join>(next_step(self, listed)).cluster, cluster(1));
  listed["a"] = lone(3, true);
  EXPECT_EQ(std::get<Join>(next_step(self, listed)).cluster, cluster(3));
  listed["c"] = lone(1, true);
  EXPECT_TRUE(std::holds_alternative<Refuse>(next_step(self, listed)));
}

TEST_F(BootstrapTest, ATaleOfAVolumeServerIsWaitedForAndNeverFoundedUpon) {
  auto told = self;
  told.told_cluster = ClusterId(Uuid{55, 55});
  told.told_by = "store1:8080";
  listed["a:1"] = std::nullopt;
  listed["c:1"] = std::nullopt;
  EXPECT_NE(why(next_step(told, listed)).find("a:1, c:1"), std::string::npos);
  EXPECT_NE(why(next_step(told, listed)).find("-peers=host2:9333"), std::string::npos);
  // Others that are as new as this one, or that went elsewhere, are nobody to begin or to go along with.
  listed["a:1"] = fresh(1, three);
  listed["c:1"] = fresh(3, three);
  EXPECT_TRUE(std::holds_alternative<Wait>(next_step(told, listed)));
  auto elsewhere = member(1, raft::Configuration({{.id = node(1), .address = "a:1", .voter = true}}));
  elsewhere.cluster = ClusterId(Uuid{66, 66});
  listed["a:1"] = elsewhere;
  EXPECT_TRUE(std::holds_alternative<Wait>(next_step(told, listed)));
  listed["c:1"] = member(3, raft::Configuration({{.id = node(3), .address = "c:1", .voter = true}}));
  const auto step = next_step(told, listed);
  ASSERT_TRUE(std::holds_alternative<Join>(step));
  EXPECT_EQ(std::get<Join>(step).cluster, told.told_cluster);
  EXPECT_TRUE(std::get<Join>(step).founding.empty());
}

TEST_F(BootstrapTest, EveryFounderComesToTheSameList) {
  std::map<std::string, std::optional<Answer>> theirs;
  listed["a:1"] = theirs["x:1"] = fresh(1, three);
  listed["b:1"] = theirs["y:1"] = fresh(2, three);
  listed["c:1"] = theirs["z:1"] = fresh(3, three);
  const BootstrapSelf other{.node = node(3), .process = Uuid{3, 7}, .address = "host3:9333",
                            .drawn_cluster = ClusterId(Uuid{3, 100})};
  const auto mine = std::get<Found>(next_step(self, listed));
  const auto others = std::get<Found>(next_step(other, theirs));
  EXPECT_EQ(mine.configuration, others.configuration);
  EXPECT_EQ(mine.cluster, others.cluster);
}

TEST_F(BootstrapTest, DoesNotFoundWhileAnotherStillWaits) {
  listed["a:1"] = fresh(1, {node(1), node(2)}, false);
  listed["b:1"] = fresh(2, three);
  listed["c:1"] = fresh(3, three);
  EXPECT_NE(why(next_step(self, listed)).find("waits for a:1"), std::string::npos);
}

TEST_F(BootstrapTest, ListsThatDifferFoundNothing) {
  listed["a:1"] = fresh(1, {node(1), node(2), node(4)});
  listed["b:1"] = fresh(2, three);
  listed["c:1"] = fresh(3, three);
  EXPECT_NE(why(next_step(self, listed)).find("another -peers"), std::string::npos);
}

TEST_F(BootstrapTest, JoinsAClusterThatIsThereEvenIfOthersAreSilent) {
  listed["a:1"] = member(1, raft::Configuration({{.id = node(1), .voter = true}}));
  listed["b:1"] = std::nullopt;
  const auto step = next_step(self, listed);
  ASSERT_TRUE(std::holds_alternative<Join>(step));
  EXPECT_TRUE(std::get<Join>(step).founding.empty());
  EXPECT_EQ(std::get<Join>(step).configuration.members().size(), 1u);
}

TEST_F(BootstrapTest, AFounderThatComesLastBeginsAsAFounder) {
  listed["a:1"] = member(1, raft::Configuration({{.id = node(1), .voter = true}, {.id = node(2), .voter = true}}));
  const auto step = next_step(self, listed);
  ASSERT_TRUE(std::holds_alternative<Join>(step));
  EXPECT_NE(std::get<Join>(step).founding.find(node(2)), nullptr);
}

TEST_F(BootstrapTest, MastersOfTwoClustersAreRefused) {
  listed["a:1"] = member(1, {});
  listed["b:1"] = member(3, {});
  listed["b:1"]->cluster = ClusterId(Uuid{66, 66});
  EXPECT_TRUE(std::holds_alternative<Refuse>(next_step(self, listed)));
}

TEST_F(BootstrapTest, AnotherProcessWithOurIdentityIsRefused) {
  listed["a:1"] = fresh(2, three);
  listed["a:1"]->process = Uuid{9, 9};
  EXPECT_TRUE(std::holds_alternative<Refuse>(next_step(self, listed)));
}

TEST_F(BootstrapTest, AListWithoutOneselfJoinsAndNeverFounds) {
  listed["a:1"] = fresh(1, {node(1), node(3)});
  listed["c:1"] = fresh(3, {node(1), node(3)});
  EXPECT_NE(why(next_step(self, listed)).find("only other masters"), std::string::npos);
}

TEST(EvenCount, IsWarnedAboutWithWhatOneMoreOrLessWouldGive) {
  EXPECT_EQ(even_count_warning(3), "");
  EXPECT_EQ(even_count_warning(1), "");
  EXPECT_EQ(even_count_warning(4), "4 masters survive the loss of 1, as 3 would; 5 survive the loss of 2");
  EXPECT_EQ(even_count_warning(2), "2 masters survive the loss of 0, as 1 would; 3 survive the loss of 1");
}

// ---------------------------------------------------------------------------------------------------- the wire

raft::Message message(raft::Body body) {
  return {.from = node(1), .to = node(2), .term = Term(7), .incarnation = Incarnation(3), .body = std::move(body)};
}

void expect_round_trip(raft::Body body) {
  const auto sent = message(std::move(body));
  RaftMessage wire;
  to_wire(sent, &wire);
  std::string bytes;
  ASSERT_TRUE(wire.SerializeToString(&bytes));
  RaftMessage again;
  ASSERT_TRUE(again.ParseFromString(bytes));
  const auto received = from_wire(again);
  ASSERT_TRUE(received.ok()) << received.error().what();
  RaftMessage twice;
  to_wire(*received, &twice);
  std::string bytes_again;
  ASSERT_TRUE(twice.SerializeToString(&bytes_again));
  EXPECT_EQ(bytes, bytes_again) << raft::text(sent);
  EXPECT_EQ(raft::text(sent), raft::text(*received));
  EXPECT_EQ(sent.body.index(), received->body.index());
}

TEST(RaftWire, EveryMessageComesThroughUnchanged) {
  const raft::LogPosition position{.term = Term(5), .index = Index(9)};
  const raft::Stamp stamp = at(123456789ns);
  const raft::SnapshotMeta meta{.last = position,
                                .configuration = raft::Configuration({{.id = node(1), .address = "a:1", .voter = true}}),
                                .configuration_index = Index(4),
                                .bytes = 77};
  expect_round_trip(raft::VoteRequest{.pre = true, .transfer = true, .link_lost = true, .last = position});
  expect_round_trip(raft::VoteReply{.pre = true,
                                    .granted = true,
                                    .request_term = Term(8),
                                    .candidate_incarnation = Incarnation(2),
                                    .reports = {{.term = Term(6), .left = 5ms}}});
  expect_round_trip(raft::Append{.previous = position,
                                 .entries = {{.term = Term(5), .index = Index(10), .data = std::string("x\0y", 3)},
                                             {.term = Term(5), .index = Index(11), .kind = EntryKind::term_start}},
                                 .commit = Index(8),
                                 .round = raft::Round(2),
                                 .sent = stamp});
  expect_round_trip(raft::AppendReply{.result = raft::AppendResult::conflict,
                                      .match = Index(1),
                                      .hint_term = Term(2),
                                      .hint_index = Index(3),
                                      .durable = Index(4),
                                      .round = raft::Round(5),
                                      .sent = stamp});
  expect_round_trip(raft::Beat{
      .commit = Index(1), .sent = stamp, .sequence = 2, .round = raft::Round(3), .heirs = {node(3), node(4)}});
  expect_round_trip(raft::BeatReply{.sent = stamp,
                                    .sequence = 2,
                                    .round = raft::Round(3),
                                    .last = Index(4),
                                    .durable = Index(5),
                                    .disk_full = true,
                                    .damaged = true});
  expect_round_trip(raft::TimeoutNow{});
  expect_round_trip(raft::SnapshotPiece{.meta = meta, .offset = 10, .data = "piece", .last = true, .sent = stamp});
  expect_round_trip(raft::SnapshotReply{.snapshot = position, .next_offset = 11, .stored = true, .sent = stamp});
  expect_round_trip(raft::ReadQuery{.request = 4});
  expect_round_trip(raft::ReadAnswer{.request = 4, .asker = Incarnation(2), .ok = true, .index = Index(3)});
  expect_round_trip(raft::Notice{
      .kind = raft::NoticeKind::regressed, .as_of = Index(3), .incarnation = Incarnation(4), .text = "why"});
}

// None of it is on the wire while there is none: the first release's masters get the bytes they know.
TEST(RaftWire, LeasesComeThroughWholeOrNotAtAll) {
  const raft::Lease lease{.epoch = 3, .length = 80ms, .raw = at(77ns)};
  const raft::Release release{.term = Term(4), .epoch = raft::kEveryEpoch, .holder = node(3)};
  const auto taken = [](raft::Body body) {
    RaftMessage wire;
    to_wire(message(std::move(body)), &wire);
    return from_wire(wire)->body;
  };
  EXPECT_EQ(std::get<raft::Beat>(taken(raft::Beat{.lease = lease})).lease, lease);
  EXPECT_EQ(std::get<raft::BeatReply>(taken(raft::BeatReply{.lease = lease})).lease, lease);
  EXPECT_EQ(std::get<raft::Append>(taken(raft::Append{.lease = lease})).lease, lease);
  EXPECT_EQ(std::get<raft::AppendReply>(taken(raft::AppendReply{.lease = lease})).lease, lease);
  EXPECT_EQ(std::get<raft::TimeoutNow>(taken(raft::TimeoutNow{release})).release, release);
  EXPECT_EQ(std::get<raft::VoteRequest>(taken(raft::VoteRequest{.released = {release}})).released[0], release);
  const auto reply = std::get<raft::VoteReply>(taken(raft::VoteReply{
      .reports = {{.term = Term(6), .epoch = 2, .left = 5ms, .holder = node(9), .incarnation = Incarnation(8)}},
      .released = {release}}));
  EXPECT_EQ(reply.released[0], release);
  ASSERT_EQ(reply.reports.size(), 1u);
  EXPECT_EQ(reply.reports[0].term, Term(6));
  EXPECT_EQ(reply.reports[0].epoch, 2u);
  EXPECT_EQ(reply.reports[0].left, 5ms);
  EXPECT_EQ(reply.reports[0].holder, node(9));
  EXPECT_EQ(reply.reports[0].incarnation, Incarnation(8));

  const auto none = [](raft::Body body) {
    RaftMessage wire;
    to_wire(message(std::move(body)), &wire);
    return wire;
  };
  EXPECT_FALSE(none(raft::Beat{}).beat().has_lease());
  EXPECT_FALSE(none(raft::BeatReply{}).beat_reply().has_lease());
  EXPECT_FALSE(none(raft::Append{}).append().has_lease());
  EXPECT_FALSE(none(raft::AppendReply{}).append_reply().has_lease());
  EXPECT_FALSE(none(raft::TimeoutNow{}).timeout_now().has_release());
}

TEST(RaftWire, AWitnesssRecordComesThrough) {
  const raft::InSync record{Term(5), 2, {node(1), node(2)}};
  const auto taken = [](raft::Body body) {
    RaftMessage wire;
    to_wire(message(std::move(body)), &wire);
    return from_wire(wire);
  };
  EXPECT_EQ(std::get<raft::RegisterRequest>(taken(raft::RegisterRequest{record})->body).record, record);
  EXPECT_EQ(std::get<raft::RegisterReply>(taken(raft::RegisterReply{record})->body).record, record);
  EXPECT_EQ(std::get<raft::VoteReply>(taken(raft::VoteReply{.in_sync = record})->body).in_sync, record);
  EXPECT_FALSE(std::get<raft::VoteReply>(taken(raft::VoteReply{})->body).in_sync);
  EXPECT_FALSE(taken(raft::RegisterRequest{{Term(5), 2, {node(2), node(1)}}}));  // out of order
  EXPECT_FALSE(taken(raft::RegisterRequest{{Term(5), 2, std::vector<NodeId>(raft::kMembersMax + 1, node(1))}}));
}

TEST(RaftWire, LeasesLongerThanAnyAreRefused) {
  RaftMessage wire;
  to_wire(message(raft::Beat{.lease = {.epoch = 1, .length = raft::kLeaseCapMax + 1ns}}), &wire);
  EXPECT_EQ(std::get<raft::Beat>(from_wire(wire)->body).lease, raft::Lease());
  to_wire(message(raft::VoteReply{.reports = {{.left = raft::kLeaseCapMax + 1ns}}}), &wire);
  EXPECT_FALSE(from_wire(wire).ok());
  to_wire(message(raft::VoteReply{.released = std::vector<raft::Release>(raft::kReleasesMax + 1)}), &wire);
  EXPECT_FALSE(from_wire(wire).ok());
}

TEST(RaftWire, WhatIsNotUnderstoodIsAnError) {
  RaftMessage wire;
  EXPECT_FALSE(from_wire(wire).ok());
  wire.set_from(uuid_bytes(node(1).value()));
  wire.set_to(uuid_bytes(node(2).value()));
  EXPECT_EQ(from_wire(wire).error().code(), Code::unsupported);
  wire.mutable_append()->add_entries()->set_kind(9);
  EXPECT_EQ(from_wire(wire).error().code(), Code::invalid);
  wire.mutable_snapshot_piece()->mutable_meta()->set_configuration("rubbish");
  EXPECT_FALSE(from_wire(wire).ok());
}

TEST(RaftWire, ADatagramIsOfOurClusterOrNothing) {
  const ClusterId ours(Uuid{1, 1});
  const auto bytes = encode_datagram(ours, Uuid{4, 4}, message(raft::Beat{.sequence = 1}));
  ASSERT_TRUE(decode_datagram(ours, bytes_of(bytes)).ok());
  EXPECT_EQ(decode_datagram(ours, bytes_of(bytes))->process, (Uuid{4, 4}));
  EXPECT_EQ(decode_datagram(ClusterId(Uuid{2, 2}), bytes_of(bytes)).error().code(), Code::refused);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(decode_datagram(ours, bytes_of(damaged)).ok()) << i;
    EXPECT_FALSE(decode_datagram(ours, bytes_of(bytes).first(i)).ok()) << i;
  }
  const auto vote = encode_datagram(ours, Uuid{4, 4}, message(raft::VoteRequest{.pre = true}));
  EXPECT_TRUE(decode_datagram(ours, bytes_of(vote)).ok());
}

TEST(RaftWire, ABeatWithAllHeirsFitsItsBound) {
  raft::Beat beat{.commit = Index(UINT64_MAX), .sent = at(1h), .sequence = UINT64_MAX, .round = raft::Round(UINT64_MAX)};
  for (std::uint64_t i = 0; i < raft::kMembersMax; ++i) beat.heirs.push_back(node(i + 1));
  beat.lease = {.epoch = UINT64_MAX, .length = raft::kLeaseCapMax, .raw = at(1h)};
  EXPECT_LE(encode_datagram(ClusterId(Uuid{1, 1}), Uuid{4, 4}, message(beat)).size(), raft::kBeatBytesMax);
}

}  // namespace
}  // namespace holdfast::master
