#include "service/master/master.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>

#include "api/pulse.h"
#include "core/topology/registry.h"
#include "service/master/fakes.h"
#include "service/master/leftovers.h"
#include "service/master/published_registry.h"

namespace holdfast::master {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One or several masters of one group, each with the same clock, and volume servers that report to all of them.
class Cluster {
 public:
  explicit Cluster(int masters = 1, Options options = {}) : group(masters) {
    for (int i = 0; i < masters; ++i) {
      masters_.push_back(Master::create(options, clock, random));
      group.attach(i, masters_.back()->state_machine());
      masters_.back()->start(group.consensus(i), orders);
    }
  }
  ~Cluster() {
    orders.release();
    for (auto& master : masters_) master->stop();
  }

  Master& master(int i = 0) { return *masters_[static_cast<std::size_t>(i)]; }

  // Server n opens a stream to every master.
  void connect(const topology::Report& report) {
    auto& sessions = sessions_[report.ip];
    sessions.clear();
    for (auto& master : masters_) {
      sessions.push_back(master->open_session(report.ip));
      (void)sessions.back()->on_report(report);
    }
  }
  void connect(int n, std::uint32_t slots = 10) { connect(fake_report(n, slots)); }
  void pulse(int n) {
    topology::Report report;
    report.process = Uuid{500, static_cast<std::uint64_t>(n)};
    report.pulse = 250ms;
    for (auto& session : sessions_["10.0.0." + std::to_string(n)]) (void)session->on_report(report);
  }
  void tell(int n, const topology::Report& report) {
    for (auto& session : sessions_["10.0.0." + std::to_string(n)]) (void)session->on_report(report);
  }
  void disconnect(int n) { sessions_.erase("10.0.0." + std::to_string(n)); }

  OrRefusal<AssignAnswer> assign(const AssignRequest& request = {}, int i = 0) {
    std::promise<OrRefusal<AssignAnswer>> answer;
    master(i).assign(request, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
    return answer.get_future().get();
  }
  // Waits (really) for what the master's loop is about to do.
  template <typename Condition>
  bool eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  FakeClock clock;
  FakeRandom random{7};
  FakeGroup group;
  FakeOrders orders;

 private:
  std::vector<std::unique_ptr<Master>> masters_;
  std::map<std::string, std::vector<std::unique_ptr<ReportSession>>> sessions_;
};

AssignAnswer answer_of(const OrRefusal<AssignAnswer>& outcome) {
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    ADD_FAILURE() << refusal->text;
    return {};
  }
  return std::get<AssignAnswer>(outcome);
}
Refusal refusal_of(const OrRefusal<AssignAnswer>& outcome) {
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) return *refusal;
  ADD_FAILURE() << "not refused";
  return {};
}

TEST(Master, TheFirstAssignMakesVolumesAndTheNextOnesAreAnsweredAtOnce) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  const AssignAnswer first = answer_of(cluster.assign());
  EXPECT_EQ(first.fid.key, NeedleId(1));
  EXPECT_EQ(first.locations->places[0].url, "10.0.0.1:8080");
  ASSERT_TRUE(cluster.eventually([&] { return cluster.orders.orders().size() == 7; }));

  const auto second = cluster.master().try_assign({.count = 5});
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->fid.key, NeedleId(2));
  EXPECT_EQ(cluster.master().try_assign({})->fid.key, NeedleId(7));

  const auto order = cluster.orders.orders().front();
  EXPECT_EQ(order.address, "10.0.0.1:18080");
  EXPECT_EQ(order.fence.cluster_id, FakeGroup::cluster());
  EXPECT_EQ(order.fence.generation, Generation(1));
  EXPECT_EQ(order.fence.term, Term(1));
  EXPECT_GT(order.fence.sequence, 0u);
}

TEST(Master, AllCopiesOfAVolumeAreNamedAndLieOnDifferentServers) {
  Cluster cluster;
  cluster.group.lead(0);
  for (int n = 1; n <= 3; ++n) cluster.connect(n);
  const AssignAnswer answer = answer_of(cluster.assign({.replication = "002"}));
  std::set<std::string> urls;
  for (const Location& place : answer.locations->places) urls.insert(place.url);
  EXPECT_EQ(urls.size(), 3u);
  const auto found = cluster.master().lookup(answer.fid.volume, "");
  ASSERT_NE(found.locations, nullptr);
  EXPECT_EQ(found.locations->places.size(), 3u);
}

TEST(Master, AFollowerAnswersLookupsAndSendsAssignsToTheLeader) {
  Cluster cluster(3);
  cluster.group.lead(1);
  cluster.connect(1);
  const AssignAnswer answer = answer_of(cluster.assign({}, 1));
  EXPECT_EQ(refusal_of(cluster.assign({}, 0)).kind, Refusal::Kind::not_leader);
  EXPECT_FALSE(cluster.master(0).try_assign({}).has_value());
  EXPECT_EQ(cluster.master(0).leader()->http, "localhost:9334");
  EXPECT_TRUE(cluster.master(1).leader()->self);

  topology::Report report;
  report.full = true;
  report.ip = "10.0.0.1", report.port = 8080;
  VolumeInfo info;
  info.id = answer.fid.volume;
  report.volumes = {info};
  report.process = Uuid{500, 1};
  report.location_uuids = fake_report(1).location_uuids;
  cluster.connect(report);
  EXPECT_NE(cluster.master(0).lookup(answer.fid.volume, "").locations, nullptr);
  EXPECT_NE(cluster.master(2).lookup(answer.fid.volume, "").locations, nullptr);
}

TEST(Master, ALookupAtAFollowerWaitsForAVolumeThatWasJustMade) {
  Cluster cluster(2);
  cluster.group.lead(0);
  cluster.clock.advance(10s);  // nobody is warming up
  auto at_leader = cluster.master(0).open_session("x");
  (void)at_leader->on_report(fake_report(1));
  const AssignAnswer answer = answer_of(cluster.assign());
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master(1).lookup(answer.fid.volume, "").may_appear; }));
  EXPECT_FALSE(cluster.master(1).lookup(answer.fid.volume + 100, "").may_appear);

  const auto look = [&](std::promise<LookupAnswer>& found) {
    cluster.master(1).lookup_soon(answer.fid.volume, "", [&](LookupAnswer a) { found.set_value(std::move(a)); });
  };
  std::promise<LookupAnswer> in_vain;
  look(in_vain);
  cluster.clock.advance(kLookupWait);
  EXPECT_EQ(in_vain.get_future().get().locations, nullptr);

  std::promise<LookupAnswer> found;
  look(found);
  auto at_follower = cluster.master(1).open_session("x");
  topology::Report report = fake_report(1);
  VolumeInfo info;
  info.id = answer.fid.volume;
  report.volumes = {info};
  (void)at_follower->on_report(report);
  EXPECT_NE(found.get_future().get().locations, nullptr);

  cluster.clock.advance(20s);
  ASSERT_TRUE(cluster.eventually([&] { return !cluster.master(0).lookup(answer.fid.volume + 6, "").may_appear; }));
}

TEST(Master, AFollowerThatHasHeardOfOneCopyOfANewVolumeKnowsThatMoreMayAppear) {
  Cluster cluster(2);
  cluster.group.lead(0);
  for (int n = 1; n <= 2; ++n) cluster.connect(n);
  const AssignAnswer answer = answer_of(cluster.assign({.replication = "001"}));
  VolumeInfo info;
  info.replica_placement = *ReplicaPlacement::parse("001");
  const auto holder = [&](int n, VolumeId id) {
    topology::Report report = fake_report(n);
    info.id = id;
    report.volumes = {info};
    return report;
  };
  const auto may_appear = [&](VolumeId id) {
    const auto found = cluster.master(1).lookup(id, "");
    return found.locations && found.copies_may_appear;
  };
  cluster.tell(1, holder(1, answer.fid.volume));
  EXPECT_TRUE(may_appear(answer.fid.volume));
  cluster.tell(2, holder(2, answer.fid.volume));
  EXPECT_FALSE(may_appear(answer.fid.volume));
  const VolumeId unheard = answer.fid.volume + 100;  // of an id that this master has yet to hear of
  cluster.tell(1, holder(1, unheard));
  EXPECT_TRUE(may_appear(unheard));

  // A copy that is lost later is nothing that the leader would know of.
  cluster.disconnect(2);
  ASSERT_TRUE(cluster.eventually([&] {
    cluster.clock.advance(1s);
    cluster.connect(holder(1, answer.fid.volume));
    const auto found = cluster.master(1).lookup(answer.fid.volume, "");
    return found.locations && found.locations->places.size() == 1 && !found.copies_may_appear;
  }));
}

TEST(Master, ANewLeaderAssignsAtOnceFromItsOwnBlockWithoutAProposal) {
  Cluster cluster(3);
  cluster.group.lead(0);
  cluster.connect(1);
  const AssignAnswer before = answer_of(cluster.assign());
  topology::Report report = fake_report(1);
  VolumeInfo info;
  info.id = before.fid.volume;
  report.volumes = {info};
  cluster.connect(report);
  // Reserves are there for all three before they are needed.
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master(0).cluster_status().next_key >= 1 + (3u << 20); }));

  cluster.group.lead(2);
  cluster.group.set_quorum(false);  // nothing can be committed ...
  cluster.group.set_quorum(true);
  std::optional<AssignAnswer> after;
  ASSERT_TRUE(cluster.eventually([&] { return (after = cluster.master(2).try_assign({})).has_value(); }));
  EXPECT_GE(after->fid.key.value(), 1u << 20);
  EXPECT_FALSE(cluster.master(0).try_assign({}).has_value());
}

TEST(Master, AnAssignWithoutALeaderWaitsForOne) {
  Cluster cluster(3);
  cluster.connect(1);
  std::promise<OrRefusal<AssignAnswer>> answer;
  cluster.master(0).assign({}, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
  cluster.clock.advance(1s);
  cluster.pulse(1);
  cluster.group.lead(0);
  const AssignAnswer got = answer_of(answer.get_future().get());
  EXPECT_GT(got.fid.key.value(), 0u);
}

TEST(Master, AnAssignThatFindsNoLeaderWithinTheBoundIsToldWhatGoesOn) {
  Cluster cluster(3);
  std::promise<OrRefusal<AssignAnswer>> answer;
  cluster.master(0).assign({}, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
  cluster.clock.advance(2s);
  const Refusal refusal = refusal_of(answer.get_future().get());
  EXPECT_EQ(refusal.kind, Refusal::Kind::unavailable);
  EXPECT_EQ(refusal.retry_after, 1s);
  EXPECT_THAT(refusal.text, HasSubstr("no master leads"));
  EXPECT_THAT(refusal.text, HasSubstr("an election should end this within a second"));
}

TEST(Master, WithoutAMajorityTheRefusalSaysHowManyAreNeeded) {
  Cluster cluster(3);
  cluster.group.set_lost(1, true);
  cluster.group.set_lost(2, true);
  const Refusal refusal = cluster.master(0).no_leader_refusal();
  EXPECT_THAT(refusal.text, HasSubstr("1 of 3 masters"));
  EXPECT_THAT(refusal.text, HasSubstr("2 are needed"));
}

TEST(Master, ALeaderWithoutAQuorumAssignsNothing) {
  Cluster cluster(3);
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  cluster.group.set_quorum(false);
  EXPECT_FALSE(cluster.master(0).try_assign({}).has_value());
}

TEST(Master, BadParametersAreRefusedInUpstreamsWords) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  EXPECT_EQ(refusal_of(cluster.assign({.replication = "-1"})).text, "unknown replication type: 0-1");
  EXPECT_EQ(refusal_of(cluster.assign({.ttl = "zz"})).text, "strconv.Atoi: parsing \"z\": invalid syntax");
  EXPECT_EQ(refusal_of(cluster.assign({.ttl = "zz"})).kind, Refusal::Kind::not_acceptable);
  EXPECT_EQ(refusal_of(cluster.assign({.count = kAssignCountMax + 1})).kind, Refusal::Kind::not_acceptable);
}

TEST(Master, ACollectionNameThatNoFileCanHaveIsRefusedBeforeAnythingIsMade) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  const Refusal refusal = refusal_of(cluster.assign({.collection = "../x"}));
  EXPECT_EQ(refusal.kind, Refusal::Kind::not_acceptable);
  EXPECT_THAT(refusal.text, HasSubstr("collection"));
  EXPECT_EQ(cluster.master().cluster_status().max_volume_id, VolumeId());
}

TEST(Master, WithoutRoomAnAssignIsRefusedWithTheOptionsItHad) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1, 1);
  (void)answer_of(cluster.assign());
  cluster.clock.advance(1s);
  cluster.pulse(1);
  cluster.clock.advance(3s);  // past the time in which a server that has yet to report is waited for
  cluster.pulse(1);
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers_silent == 0; }));
  const Refusal refusal = refusal_of(cluster.assign({.collection = "a<b", .ttl = "3h"}));
  EXPECT_EQ(refusal.kind, Refusal::Kind::not_acceptable);
  EXPECT_EQ(refusal.text,
            "failed to find writable volumes for collection:a<b replication:000 ttl:3h error: No writable volumes and "
            "no free volumes left for {\"collection\":\"a\\u003cb\",\"replication\":{},\"ttl\":{\"Count\":3,"
            "\"Unit\":2},\"version\":3}");
}

TEST(Master, WithoutGrowthAnAssignWaitsForVolumesOfOthersAndThenSaysThatThereAreNone) {
  Options options;
  options.growth_disabled = true;
  Cluster cluster(1, options);
  cluster.group.lead(0);
  cluster.connect(1);
  // Until then the refusal would be that servers are not heard yet.
  ASSERT_TRUE(cluster.eventually([&] {
    const auto status = cluster.master().topology_status(false);
    return status.data_centers.size() == 1 && status.data_centers[0].racks[0].servers[0].writable;
  }));
  std::promise<OrRefusal<AssignAnswer>> answer;
  cluster.master().assign({}, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
  auto waiting = answer.get_future();
  for (int i = 0; i < 20; ++i) {
    cluster.clock.advance(500ms);
    cluster.pulse(1);
  }
  const Refusal refusal = refusal_of(waiting.get());
  EXPECT_EQ(refusal.kind, Refusal::Kind::not_acceptable);
  EXPECT_EQ(refusal.text,
            "failed to find writable volumes for collection: replication:000 ttl: error: No writable volumes");
}

TEST(Master, ACodeThatTheServersCannotSatisfyIsRefusedWithTheReason) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  cluster.clock.advance(4s);
  cluster.pulse(1);
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers_silent == 0; }));
  const Refusal refusal = refusal_of(cluster.assign({.replication = "001"}));
  EXPECT_EQ(refusal.kind, Refusal::Kind::busy);
  EXPECT_THAT(refusal.text, HasSubstr("no writable volumes for {\"replication\":{\"node\":1}"));
  EXPECT_THAT(refusal.text, HasSubstr("Only has 0 racks with more than 2 free data nodes, not enough for 1."));
}

TEST(Master, AnUnknownDataCenterIsRefusedAtOnceToWhoAsksForThat) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  cluster.clock.advance(4s);
  cluster.pulse(1);
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers_silent == 0; }));
  AssignRequest request;
  request.data_center = "dc9";
  EXPECT_EQ(refusal_of(cluster.assign(request)).kind, Refusal::Kind::busy);
  request.known_data_center_only = true;
  const Refusal refusal = refusal_of(cluster.assign(request));
  EXPECT_EQ(refusal.kind, Refusal::Kind::bad_request);
  EXPECT_EQ(refusal.text, "data center dc9 not found in topology");
}

TEST(Master, AVolumeThatLacksACopyIsDeletedAgain) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  cluster.connect(2);
  cluster.orders.fail("10.0.0.2:18080", Error(Code::no_space, "No more free space left"));
  std::promise<OrRefusal<GrowAnswer>> answer;
  cluster.eventually([&] { return cluster.master().topology_status(false).free == 20; });
  cluster.eventually([&] {
    return cluster.master().topology_status(false).data_centers[0].racks[0].servers[1].writable;
  });
  cluster.master().grow({.count = 2, .replication = "001"},
                        [&](OrRefusal<GrowAnswer> a) { answer.set_value(std::move(a)); });
  const auto outcome = answer.get_future().get();
  ASSERT_TRUE(std::holds_alternative<Refusal>(outcome));
  EXPECT_THAT(std::get<Refusal>(outcome).text, HasSubstr("No more free space left"));
  std::multiset<std::string> what;
  for (const auto& order : cluster.orders.orders()) what.insert(order.what + " " + order.address);
  EXPECT_EQ(what.count("delete 10.0.0.1:18080"), 2u);
  EXPECT_EQ(what.count("delete 10.0.0.2:18080"), 0u);
  EXPECT_EQ(cluster.master().topology_status(false).free, 20);
}

TEST(Master, AGrowthWhoseLeaderLosesItsPlaceAnswersThatTheOutcomeIsUnknown) {
  Cluster cluster(3);
  cluster.group.lead(0);
  cluster.connect(1);
  ASSERT_TRUE(cluster.eventually([&] {
    const auto status = cluster.master().topology_status(false);
    return status.data_centers.size() == 1 && status.data_centers[0].racks[0].servers[0].writable;
  }));
  cluster.orders.hold();
  std::promise<OrRefusal<GrowAnswer>> answer;
  cluster.master().grow({.count = 1}, [&](OrRefusal<GrowAnswer> a) { answer.set_value(std::move(a)); });
  ASSERT_TRUE(cluster.eventually([&] { return !cluster.orders.orders().empty(); }));
  cluster.group.lead(1);
  EXPECT_EQ(std::get<Refusal>(answer.get_future().get()).kind, Refusal::Kind::outcome_unknown);
}

// A growth of three volumes with two copies each, whose leader dies when some of the orders had been obeyed.
class HalfAGrowth : public ::testing::Test {
 protected:
  HalfAGrowth() : cluster_(3) {
    cluster_.group.lead(0);
    cluster_.connect(1);
    cluster_.connect(2);
    cluster_.eventually([&] {
      const auto status = cluster_.master().topology_status(false);
      if (status.data_centers.empty() || status.data_centers[0].racks[0].servers.size() != 2) return false;
      const auto& servers = status.data_centers[0].racks[0].servers;
      return servers[0].writable && servers[1].writable;
    });
    cluster_.orders.hold();
    cluster_.master().grow({.count = 3, .replication = "001"}, [](const OrRefusal<GrowAnswer>&) {});
    cluster_.eventually([&] { return cluster_.orders.orders().size() == 6; });
    cluster_.group.lead(1);
    cluster_.orders.lose();
  }

  static VolumeInfo copy(std::uint32_t id) {
    VolumeInfo info;
    info.id = VolumeId(id);
    info.replica_placement = *ReplicaPlacement::parse("001");
    info.size = 8;
    return info;
  }
  void tell(int n, const std::vector<VolumeInfo>& volumes) {
    topology::Report report;
    report.process = Uuid{500, static_cast<std::uint64_t>(n)};
    report.pulse = 250ms;
    report.full = true;
    report.volumes = volumes;
    cluster_.tell(n, report);
  }
  // Lets time pass, pulse by pulse, until the condition holds or `time` is over.
  template <typename Condition>
  bool within(Duration time, Condition condition) {
    const Instant end = cluster_.clock.now() + time;
    return cluster_.eventually([&] {
      cluster_.clock.advance(250ms);
      cluster_.pulse(1);
      cluster_.pulse(2);
      return condition() || cluster_.clock.now() >= end;
    }) && condition();
  }
  std::vector<FakeOrders::Order> deletions() {
    std::vector<FakeOrders::Order> found;
    for (const auto& order : cluster_.orders.orders()) {
      if (order.what == "delete") found.push_back(order);
    }
    return found;
  }
  topology::VolumeSet unsettled() {
    return *dynamic_cast<PublishedRegistry&>(cluster_.master(1).state_machine()).state()->unsettled;
  }

  Cluster cluster_;
};

TEST_F(HalfAGrowth, TheNextLeaderDeletesWhatHasNoFileAndLacksCopies) {
  tell(1, {copy(1), copy(2)});
  tell(2, {copy(1)});
  EXPECT_FALSE(within(kLeftoverWait - 10s, [&] { return !deletions().empty(); }));
  ASSERT_TRUE(within(1h, [&] { return !deletions().empty(); }));
  const auto order = deletions().front();
  EXPECT_EQ(order.address, "10.0.0.1:18080");
  EXPECT_EQ(order.volume, VolumeId(2));
  EXPECT_TRUE(order.only_empty);
  EXPECT_EQ(order.fence.term, Term(2));
  EXPECT_TRUE(within(1h, [&] { return cluster_.master(1).lookup(VolumeId(2), "").locations == nullptr; }));
  EXPECT_FALSE(within(2 * kLeftoverWait, [&] { return deletions().size() > 1; }));
  EXPECT_TRUE(cluster_.master(1).lookup(VolumeId(1), "").locations != nullptr);
}

TEST_F(HalfAGrowth, ACompleteVolumeIsSettledAndStaysWhenItsOtherServerGoesAway) {
  tell(1, {copy(1)});
  tell(2, {copy(1)});
  ASSERT_TRUE(within(1h, [&] { return !unsettled().contains(VolumeId(1)); }));
  EXPECT_EQ(unsettled().size(), 2u);  // nobody knows yet what became of the others
  cluster_.disconnect(2);
  EXPECT_FALSE(within(2 * kLeftoverWait, [&] { return !deletions().empty(); }));
}

TEST_F(HalfAGrowth, ACopyWithAFileOrOfSomeoneElsesVolumeIsNeverDeleted) {
  auto written = copy(1), emptied = copy(2);
  written.file_count = 1;
  written.max_key = NeedleId(9);
  emptied.max_key = NeedleId(8);
  tell(1, {written, emptied, copy(77)});  // 77 came in with a folder: no growth of ours made it
  EXPECT_FALSE(within(2 * kLeftoverWait, [&] { return !deletions().empty(); }));
}

TEST_F(HalfAGrowth, ALeaderThatDoesNotHearAHolderWaits) {
  tell(1, {copy(1)});
  EXPECT_FALSE(within(kLeftoverWait - 10s, [&] { return !deletions().empty(); }));
  cluster_.disconnect(1);
  EXPECT_FALSE(within(2 * kLeftoverWait, [&] { return !deletions().empty(); }));
}

// What a growth could not make and has deleted again is settled: nothing is left to look for.
TEST(Master, AGrowthThatFailsLeavesNothingUnsettled) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  cluster.connect(2);
  cluster.orders.fail("10.0.0.2:18080", Error(Code::no_space, "No more free space left"));
  cluster.eventually([&] {
    const auto status = cluster.master().topology_status(false);
    if (status.data_centers.empty() || status.data_centers[0].racks[0].servers.size() != 2) return false;
    const auto& servers = status.data_centers[0].racks[0].servers;
    return servers[0].writable && servers[1].writable;
  });
  std::promise<void> ended;
  cluster.master().grow({.count = 2, .replication = "001"}, [&](const OrRefusal<GrowAnswer>&) { ended.set_value(); });
  ended.get_future().get();
  const auto& registry = dynamic_cast<PublishedRegistry&>(cluster.master().state_machine());
  EXPECT_EQ(registry.state()->max_volume_id, VolumeId(2));
  EXPECT_TRUE(cluster.eventually([&] {
    cluster.clock.advance(100ms);
    return registry.state()->unsettled->empty();
  }));
}

// An assign with two copies, made on two servers of which the second has frozen.
class GrowthOnAFrozenServer : public ::testing::Test {
 protected:
  GrowthOnAFrozenServer() {
    cluster_.group.lead(0);
    cluster_.connect(1);
    cluster_.connect(2);
    EXPECT_TRUE(cluster_.eventually([&] { return cluster_.master().topology_status(false).free == 20; }));
    cluster_.orders.freeze("10.0.0.2:18080");
    cluster_.master().assign({.replication = "001"}, [this](OrRefusal<AssignAnswer> a) { answer_.set_value(std::move(a)); });
    EXPECT_TRUE(cluster_.eventually([&] { return count("allocate", "10.0.0.2:18080") == kVolumes; }));
  }
  ~GrowthOnAFrozenServer() override { cluster_.orders.release(); }

  static constexpr std::size_t kVolumes = 6;  // that a growth of two copies makes

  std::size_t count(const std::string& what, const std::string& address) const {
    const auto orders = cluster_.orders.orders();
    return static_cast<std::size_t>(std::count_if(
        orders.begin(), orders.end(), [&](const auto& order) { return order.what == what && order.address == address; }));
  }
  // Lets three pulses pass, of which the second server sends none.
  void pass_three_pulses(std::initializer_list<int> well) {
    for (int i = 0; i < 3; ++i) {
      cluster_.clock.advance(250ms);
      for (const int n : well) cluster_.pulse(n);
    }
  }

  std::promise<OrRefusal<AssignAnswer>> answer_;
  Cluster cluster_;
};

TEST_F(GrowthOnAFrozenServer, GoesOnElsewhereOnceThatServerHasMissedItsPulses) {
  cluster_.connect(3);
  pass_three_pulses({1, 3});
  auto future = answer_.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  const auto answer = answer_of(future.get());
  ASSERT_NE(answer.locations, nullptr);
  std::set<std::string> urls;
  for (const auto& place : answer.locations->places) urls.insert(place.url);
  EXPECT_EQ(urls, (std::set<std::string>{"10.0.0.1:8080", "10.0.0.3:8080"}));

  // What may exist of the first ones goes again, the frozen server's copies too should it ever hear that.
  EXPECT_EQ(count("delete", "10.0.0.1:18080"), kVolumes);
  EXPECT_EQ(count("delete", "10.0.0.2:18080"), kVolumes);
  EXPECT_EQ(count("allocate", "10.0.0.2:18080"), kVolumes);

  // Its late answers make nothing of volumes that were given up.
  cluster_.orders.release();
  cluster_.pulse(2);
  const auto& registry = dynamic_cast<PublishedRegistry&>(cluster_.master().state_machine());
  EXPECT_TRUE(cluster_.eventually([&] {
    cluster_.clock.advance(100ms);
    return !registry.state()->unsettled->contains(VolumeId(1));
  }));
  EXPECT_EQ(cluster_.master().lookup(VolumeId(1), "").locations, nullptr);
  EXPECT_EQ(count("allocate", "10.0.0.1:18080"), 2 * kVolumes);
}

TEST_F(GrowthOnAFrozenServer, WaitsForItWhereThereIsNoOther) {
  pass_three_pulses({1});
  // The master has looked at it since: a second server is known to be away.
  EXPECT_TRUE(cluster_.eventually([&] {
    const auto status = cluster_.master().topology_status(false);
    return !status.data_centers[0].racks[0].servers[1].writable;
  }));
  cluster_.orders.release();
  cluster_.pulse(2);
  auto future = answer_.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(answer_of(future.get()).locations->places.size(), 2u);
  EXPECT_EQ(count("allocate", "10.0.0.2:18080"), kVolumes);
  EXPECT_EQ(count("delete", "10.0.0.1:18080"), 0u);
}

TEST(Master, OrdersCarryTheIdOfTheRequestThatCausedThem) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  {
    const api::RequestScope scope("of-an-assign");
    (void)answer_of(cluster.assign());
  }
  ASSERT_TRUE(cluster.eventually([&] { return cluster.orders.orders().size() == 7; }));
  {
    const api::RequestScope scope("of-a-deletion");
    std::promise<void> deleted;
    cluster.master().delete_collection("", [&](const OrRefusal<Done>&) { deleted.set_value(); });
    deleted.get_future().wait();
  }
  std::promise<void> grown;
  cluster.master().grow({.count = 2}, [&](const OrRefusal<GrowAnswer>&) { grown.set_value(); });
  grown.get_future().wait();
  const auto orders = cluster.orders.orders();
  ASSERT_EQ(orders.size(), 10u);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(orders[i].request_id, "of-an-assign");
  EXPECT_EQ(orders[7].request_id, "of-a-deletion");
  // Nobody's: a new one, the same for all that belongs together.
  EXPECT_EQ(orders[8].request_id.size(), 24u);
  EXPECT_EQ(orders[9].request_id, orders[8].request_id);
}

TEST(Master, VolumesAreMadeWithTheMemoryMapSizeThatWasAskedFor) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign({.memory_map_max_size_mb = 9}));
  ASSERT_TRUE(cluster.eventually([&] { return cluster.orders.orders().size() == 7; }));
  std::promise<void> grown;
  cluster.master().grow({.count = 2, .memory_map_max_size_mb = 5}, [&](const OrRefusal<GrowAnswer>&) { grown.set_value(); });
  grown.get_future().wait();
  const auto orders = cluster.orders.orders();
  ASSERT_EQ(orders.size(), 9u);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(orders[i].memory_map_max_size_mb, i < 7 ? 9u : 5u) << i;
}

TEST(Master, GrowCountsReplicasAndSaysWhenThereIsNoRoom) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  cluster.connect(2);
  ASSERT_TRUE(cluster.eventually([&] {
    const auto status = cluster.master().topology_status(false);
    return status.free == 20 && status.data_centers[0].racks[0].servers[1].writable;
  }));
  const auto grow = [&](GrowRequest request) {
    std::promise<OrRefusal<GrowAnswer>> answer;
    cluster.master().grow(std::move(request), [&](OrRefusal<GrowAnswer> a) { answer.set_value(std::move(a)); });
    return answer.get_future().get();
  };
  EXPECT_EQ(std::get<GrowAnswer>(grow({.count = 2, .replication = "001"})).replicas, 4u);
  EXPECT_EQ(std::get<GrowAnswer>(grow({.count = 0})).replicas, 0u);
  EXPECT_EQ(std::get<Refusal>(grow({.count = 17})).text, "only 16 volumes left, not enough for 17");
  EXPECT_EQ(std::get<Refusal>(grow({.count = 1, .data_center = "x"})).text,
            "No matching data node found! \nDefaultDataCenter:Not matching preferred data center:x");
  EXPECT_EQ(std::get<Refusal>(grow({.count = 1, .data_node = "x"})).text,
            "No matching data node found! \n10.0.0.1:8080:Not matching preferred data node:x\n"
            "10.0.0.2:8080:Not matching preferred data node:x");
}

TEST(Master, DeletingACollectionOrdersEveryServerThatHasItAndForgetsItsVolumes) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  const AssignAnswer answer = answer_of(cluster.assign({.collection = "pics"}));
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().collection_details("pics").size() == 1 &&
                                              cluster.master().collection_details("pics")[0].volumes == 7; }));
  const auto remove = [&](const std::string& name) {
    std::promise<OrRefusal<Done>> done;
    cluster.master().delete_collection(name, [&](OrRefusal<Done> d) { done.set_value(std::move(d)); });
    return done.get_future().get();
  };
  EXPECT_EQ(std::get<Refusal>(remove("none")).text, "collection none does not exist");
  EXPECT_TRUE(std::holds_alternative<Done>(remove("pics")));
  EXPECT_EQ(cluster.orders.orders().back().what, "delete collection");
  EXPECT_EQ(cluster.master().lookup(answer.fid.volume, "").locations, nullptr);
  EXPECT_TRUE(cluster.master().collections().empty());
}

// Volume servers refuse orders with a lower number than one they have obeyed. Deletions once had numbers of their own,
// far above growth's, so after the first deletion no volume could be made until the next election.
TEST(Master, GrowthAfterADeletionHasAHigherNumber) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign({.collection = "pics"}));
  std::promise<void> deleted;
  cluster.master().delete_collection("pics", [&](const OrRefusal<Done>&) { deleted.set_value(); });
  deleted.get_future().wait();
  (void)answer_of(cluster.assign({.collection = "music"}));
  const auto orders = cluster.orders.orders();
  std::uint64_t of_deletion = 0;
  std::size_t later = 0;
  for (const auto& order : orders) {
    if (order.what == "delete collection") of_deletion = order.fence.sequence;
    if (order.what != "allocate" || order.collection != "music") continue;
    EXPECT_GT(order.fence.sequence, of_deletion);
    ++later;
  }
  EXPECT_GT(of_deletion, 0u);
  EXPECT_GT(later, 0u);
}

TEST(Master, ASilentServerIsNotPickedAndReturnsWithItsNextReport) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  cluster.clock.advance(749ms);
  EXPECT_TRUE(cluster.master().try_assign({}).has_value());
  cluster.clock.advance(1ms);
  EXPECT_FALSE(cluster.master().try_assign({}).has_value());
  cluster.pulse(1);
  EXPECT_TRUE(cluster.master().try_assign({}).has_value());
}

TEST(Master, AServerWhoseStreamBreaksIsNotPickedButStillNamedForAMoment) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  const AssignAnswer answer = answer_of(cluster.assign());
  cluster.disconnect(1);
  EXPECT_FALSE(cluster.master().try_assign({}).has_value());
  EXPECT_NE(cluster.master().lookup(answer.fid.volume, "").locations, nullptr);
  cluster.clock.advance(5s);
  EXPECT_TRUE(cluster.eventually([&] { return cluster.master().lookup(answer.fid.volume, "").locations == nullptr; }));
}

TEST(Master, AServerInTheProcessOfALostLeaderIsNotPickedUntilItIsHeardAgain) {
  Cluster cluster(3);
  cluster.group.lead(0);
  topology::Report report = fake_report(1);
  report.process = FakeGroup::process(0);
  cluster.connect(report);
  const AssignAnswer answer = answer_of(cluster.assign());
  VolumeInfo info;
  info.id = answer.fid.volume;
  report.volumes = {info};
  cluster.connect(report);
  // Two answers of its loop: it has seen who leads.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(refusal_of(cluster.assign({}, 1)).kind, Refusal::Kind::not_leader);
  cluster.group.set_lost(0, true);
  cluster.group.lead(-1);  // an election lies between
  cluster.group.lead(1);
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master(1).cluster_status().servers_silent == 1; }));
  EXPECT_FALSE(cluster.master(1).try_assign({}).has_value());
  cluster.connect(report);
  EXPECT_TRUE(cluster.eventually([&] { return cluster.master(1).try_assign({}).has_value(); }));
}

// Two volume servers that hold writable volumes, the first on the host of the masters.
class TwoHosts {
 public:
  TwoHosts() {
    cluster.group.lead(0);
    reports[0].ip = "localhost";  // as the masters are called here
    for (auto& report : reports) cluster.connect(report);
    // Each makes volumes of its own: where growth picks freely, one may get none.
    for (auto& report : reports) {
      const std::string node = report.ip + ":" + std::to_string(report.port);
      std::set<VolumeId> volumes;
      for (int i = 0; i < 20; ++i) volumes.insert(answer_of(cluster.assign({.data_node = node})).fid.volume);
      for (const VolumeId volume : volumes) {
        VolumeInfo info;
        info.id = volume;
        report.volumes.push_back(info);
      }
    }
    CHECK(!reports[0].volumes.empty() && !reports[1].volumes.empty());
    for (auto& report : reports) cluster.connect(report);
  }
  int picks_of_the_masters_host(int leader) {
    int count = 0;
    for (int i = 0; i < 100; ++i) {
      const auto answer = cluster.master(leader).try_assign({});
      count += !answer || answer->locations->places[0].url == "localhost:8080" ? 1 : 0;
    }
    return count;
  }

  Cluster cluster{3};
  std::array<topology::Report, 2> reports{fake_report(1), fake_report(2)};
};

TEST(Master, AServerOnTheHostOfALostLeaderIsPickedOnlyIfThereIsNoOtherUntilItIsHeardAgain) {
  TwoHosts hosts;
  auto& cluster = hosts.cluster;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(refusal_of(cluster.assign({}, 1)).kind, Refusal::Kind::not_leader);
  cluster.group.set_lost(0, true);
  cluster.group.lead(-1);
  cluster.group.lead(1);
  EXPECT_TRUE(cluster.eventually([&] { return hosts.picks_of_the_masters_host(1) == 0; }));
  cluster.connect(hosts.reports[0]);
  EXPECT_TRUE(cluster.eventually([&] { return hosts.picks_of_the_masters_host(1) > 0; }));
}

// The machine of a leader may say its last word in a pulse, after its last beat.
TEST(Master, ALatePulseBeforeTheSilenceDoesNotHideALostHost) {
  TwoHosts hosts;
  auto& cluster = hosts.cluster;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(refusal_of(cluster.assign({}, 1)).kind, Refusal::Kind::not_leader);
  cluster.group.set_silent(0, 90ms);
  cluster.connect(hosts.reports[0]);
  cluster.group.lead(-1);
  cluster.group.lead(1);
  EXPECT_TRUE(cluster.eventually([&] { return hosts.picks_of_the_masters_host(1) == 0; }));
}

TEST(Master, AServerOnTheHostOfASilentFollowerIsPickedOnlyIfThereIsNoOtherUntilItIsHeardAgain) {
  TwoHosts hosts;
  EXPECT_GT(hosts.picks_of_the_masters_host(0), 0);
  hosts.cluster.group.set_silent(2, 120ms);
  EXPECT_TRUE(hosts.cluster.eventually([&] { return hosts.picks_of_the_masters_host(0) == 0; }));
  hosts.cluster.connect(hosts.reports[0]);
  EXPECT_TRUE(hosts.cluster.eventually([&] { return hosts.picks_of_the_masters_host(0) > 0; }));
}

TEST(Master, TheFirstGrowthWaitsForServersThatAreJustComing) {
  Options options;
  options.gather_servers = 100ms;
  Cluster cluster(1, options);
  cluster.group.lead(0);
  cluster.connect(1);
  std::promise<OrRefusal<AssignAnswer>> answer;
  auto answered = answer.get_future();
  cluster.master().assign({}, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
  for (int n = 2; n <= 4; ++n) {
    cluster.clock.advance(60ms);
    std::this_thread::sleep_for(60ms);  // its loop has looked
    EXPECT_EQ(answered.wait_for(0s), std::future_status::timeout);
    cluster.connect(n);
  }
  std::this_thread::sleep_for(60ms);
  cluster.clock.advance(101ms);
  (void)answer_of(answered.get());
  std::set<std::string> urls;
  for (int i = 0; i < 100; ++i) urls.insert(answer_of(cluster.assign()).locations->places[0].url);
  EXPECT_GE(urls.size(), 3u);
}

TEST(Master, VolumesFromElsewhereAreWrittenToOnlyWithKeysAboveAllOfTheirs) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());  // keys are being given from a block that begins at 1
  topology::Report report = fake_report(2);
  VolumeInfo info;
  info.id = VolumeId(50);
  info.collection = "old";
  info.max_key = NeedleId(500);  // below keys already reserved here: as dangerous as one above
  report.volumes = {info};
  cluster.connect(report);
  std::optional<AssignAnswer> answer;
  ASSERT_TRUE(cluster.eventually([&] { return (answer = cluster.master().try_assign({.collection = "old"})).has_value(); }));
  EXPECT_GE(answer->fid.key.value(), 500 + topology::kKeySkip);
  EXPECT_GE(cluster.master().cluster_status().max_volume_id, VolumeId(50));
}

TEST(Master, NewMastersTakeOverTheVolumesOfLostOnesAndTheirOrdersOutrankTheirs) {
  Cluster cluster(3);
  cluster.group.lead(0);
  const auto old_server = [](int n, std::uint64_t key) {
    topology::Report report = fake_report(n);
    report.cluster_id = ClusterId(Uuid{999, 9});
    report.generation = Generation(4);
    VolumeInfo info;
    info.id = VolumeId(static_cast<std::uint32_t>(n));
    info.max_key = NeedleId(key);
    report.volumes = {info};
    return report;
  };
  cluster.connect(old_server(1, 5000));
  std::optional<AssignAnswer> answer;
  ASSERT_TRUE(cluster.eventually([&] { return (answer = cluster.master().try_assign({})).has_value(); }));
  EXPECT_EQ(answer->fid.volume, VolumeId(1));
  EXPECT_GE(answer->fid.key.value(), 5000 + topology::kKeySkip);
  EXPECT_EQ(cluster.master().cluster_status().generation, Generation(5));

  // The second of the lost cluster's servers comes later and is welcome too.
  cluster.connect(old_server(2, 9000));
  ASSERT_TRUE(cluster.eventually([&] {
    answer = cluster.master().try_assign({.data_node = "10.0.0.2:8080"});
    return answer.has_value();
  }));
  EXPECT_GE(answer->fid.key.value(), 9000 + topology::kKeySkip);
  EXPECT_EQ(cluster.master().cluster_status().generation, Generation(5));

  (void)answer_of(cluster.assign({.collection = "new"}));
  const auto order = cluster.orders.orders().front();
  EXPECT_EQ(order.fence.cluster_id, FakeGroup::cluster());
  EXPECT_EQ(order.fence.generation, Generation(5));
  EXPECT_GT(order.volume, VolumeId(topology::kVolumeIdSkip));
}

TEST(Master, WhileServersAreNotHeardAnAssignIsToldToComeBackNotThatAllIsFull) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  cluster.clock.advance(10s);
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers_silent == 1; }));
  std::promise<OrRefusal<AssignAnswer>> answer;
  cluster.master().assign({}, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
  cluster.clock.advance(2s);
  const Refusal refusal = refusal_of(answer.get_future().get());
  EXPECT_EQ(refusal.kind, Refusal::Kind::busy);
  EXPECT_GT(refusal.retry_after, Duration(0));
}

TEST(Master, FoldersOfAnotherClusterAreRefusedOnceThisOneHasVolumes) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  topology::Report report = fake_report(2);
  report.cluster_id = ClusterId(Uuid{999, 9});
  report.volumes.emplace_back().id = VolumeId(3);
  auto session = cluster.master().open_session("x");
  const auto reply = session->on_report(report);
  ASSERT_TRUE(reply.has_value());
  EXPECT_FALSE(reply->accepted);
  EXPECT_THAT(reply->refusal, HasSubstr("holdfast.json"));
}

// A server that can pulse by datagram, and one master that is told where they come to.
TEST(Master, PulsesByDatagramKeepAServerInTheWritableSet) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.master().take_pulses_at(19333);
  std::mutex mutex;
  std::vector<bool> told;
  auto session = cluster.master().open_session("x", [&](const ReportReply& reply) {
    std::lock_guard guard(mutex);
    EXPECT_TRUE(reply.says_only_pulse);
    told.push_back(reply.datagrams->heard);
  });
  const auto last_told = [&] {
    std::lock_guard guard(mutex);
    return told.empty() ? std::optional<bool>() : told.back();
  };
  auto report = fake_report(1);
  report.pulses_by_datagram = true;
  const auto reply = session->on_report(report);
  ASSERT_TRUE(reply && reply->datagrams);
  EXPECT_EQ(reply->datagrams->port, 19333);
  EXPECT_FALSE(reply->datagrams->heard);
  (void)answer_of(cluster.assign());

  std::uint64_t number = 0;
  const auto pulse = [&] {
    cluster.clock.advance(250ms);
    const auto bytes = api::encode_pulse({reply->datagrams->line, ++number}, reply->datagrams->key);
    cluster.master().received_pulse(bytes_of(bytes));
  };
  for (int i = 0; i < 20; ++i) {
    pulse();
    EXPECT_TRUE(cluster.master().try_assign({}).has_value()) << i;
  }
  EXPECT_TRUE(cluster.eventually([&] { return last_told() == true; }));
  EXPECT_EQ(cluster.master().cluster_status().servers_silent, 0u);

  // They stop: the server hears of it in time to be heard otherwise.
  cluster.clock.advance(600ms);
  EXPECT_TRUE(cluster.eventually([&] { return last_told() == false; }));
  EXPECT_TRUE(cluster.master().try_assign({}).has_value());
  cluster.clock.advance(200ms);
  EXPECT_FALSE(cluster.master().try_assign({}).has_value());
  EXPECT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers_silent == 1; }));

  // And come again.
  pulse();
  EXPECT_TRUE(cluster.eventually([&] { return cluster.master().try_assign({}).has_value(); }));
  EXPECT_TRUE(cluster.eventually([&] { return last_told() == true; }));

  // The end of the stream ends them.
  session->closed();
  pulse();
  EXPECT_FALSE(cluster.master().try_assign({}).has_value());
}

TEST(Master, ThereAreNoTermsForServersThatKnowNoDatagramsOrWhereNoneCome) {
  Cluster cluster;
  cluster.group.lead(0);
  auto report = fake_report(1);
  report.pulses_by_datagram = true;
  auto without_port = cluster.master().open_session("x", [](const ReportReply&) {});
  EXPECT_FALSE(without_port->on_report(report)->datagrams);
  cluster.master().take_pulses_at(19333);
  auto old_server = cluster.master().open_session("y", [](const ReportReply&) {});
  EXPECT_FALSE(old_server->on_report(fake_report(2))->datagrams);
}

// A volume server that was started with masters of its own by mistake, and holds nothing yet.
TEST(Master, AnEmptyVolumeServerOfAnotherClusterMayComeOver) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  topology::Report report = fake_report(2);
  report.cluster_id = ClusterId(Uuid{999, 9});
  report.generation = Generation(5);
  auto session = cluster.master().open_session("x");
  std::optional<ReportReply> reply;
  ASSERT_TRUE(cluster.eventually([&] {
    cluster.clock.advance(100ms);
    cluster.pulse(1);
    if (auto next = session->on_report(report)) reply = next;
    return reply && reply->accepted && !reply->adopted_dirs.empty();
  }));
  const auto& registry = dynamic_cast<PublishedRegistry&>(cluster.master().state_machine());
  EXPECT_EQ(registry.state()->generation, Generation(1));
  const auto writable = [&] {
    const auto status = cluster.master().topology_status(false);
    for (const auto& server : status.data_centers[0].racks[0].servers) {
      if (server.url == "10.0.0.2:8080") return server.writable;
    }
    return false;
  };
  EXPECT_FALSE(writable());  // it would refuse our orders still
  const Index applied = registry.applied();
  for (int i = 0; i < 100; ++i) {
    cluster.clock.advance(100ms);
    (void)session->on_report(report);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_LE(registry.applied().value(), applied.value() + 3);  // it is not adopted again and again
  report.cluster_id = FakeGroup::cluster();
  report.generation = Generation(0);
  (void)session->on_report(report);
  EXPECT_TRUE(cluster.eventually(writable));
  EXPECT_EQ(registry.state()->generation, Generation(1));
}

TEST(Master, AVolumeServerLearnsTheClusterItsMastersAndWhatWasAdopted) {
  Cluster cluster(3);
  cluster.group.lead(1);
  auto session = cluster.master(0).open_session("x");
  topology::Report report = fake_report(1);
  const auto first = session->on_report(report);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->masters.size(), 3u);
  EXPECT_EQ(first->masters[2].http, "localhost:9335");
  EXPECT_TRUE(first->accepted);
  EXPECT_TRUE(first->leader_hint.empty());

  // The leader must hear of the folder itself.
  auto at_leader = cluster.master(1).open_session("x");
  (void)at_leader->on_report(report);
  std::optional<ReportReply> later;
  ASSERT_TRUE(cluster.eventually([&] {
    auto reply = session->on_report(report);
    if (reply) later = reply;
    return later && later->adopted_dirs == report.location_uuids;
  }));
  EXPECT_EQ(later->cluster_id, FakeGroup::cluster());
  // Other entries (the feature level, say) may still be news; then there is none.
  EXPECT_TRUE(cluster.eventually([&] { return !session->on_report(report).has_value(); }));
}

TEST(Master, OtherStoresForVolumesAreToldWithTheNextReport) {
  Cluster cluster(1);
  cluster.group.lead(0);
  auto& master = cluster.master(0);
  master.set_tiers({{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}}}});
  auto session = master.open_session("x");
  const auto report = fake_report(1);
  const auto first = session->on_report(report);
  ASSERT_TRUE(first.has_value());
  ASSERT_EQ(first->tiers->size(), 1u);
  EXPECT_EQ(first->tiers->front().name(), "s3.cold");
  ASSERT_TRUE(cluster.eventually([&] { return !session->on_report(report).has_value(); }));
  master.set_tiers({});
  const auto next = session->on_report(report);
  ASSERT_TRUE(next.has_value());
  EXPECT_TRUE(next->tiers->empty());
}

TEST(Master, UpstreamsVolumeServerIsSentToTheLeader) {
  Cluster cluster(3);
  topology::Report report = fake_report(1);
  report.process.reset();
  report.pulse.reset();
  auto session = cluster.master(0).open_session("x");
  EXPECT_EQ(session->on_report(report)->end_with_error, "raft.Server: Not current leader");
  cluster.group.lead(2);
  auto again = cluster.master(0).open_session("x");
  EXPECT_EQ(again->on_report(report)->leader_hint, "localhost:9335.19335");
  auto at_leader = cluster.master(2).open_session("x");
  const auto reply = at_leader->on_report(report);
  EXPECT_TRUE(reply->leader_hint.empty());
  EXPECT_FALSE(reply->end_with_error.has_value());
}

TEST(Master, TwoServersOnOneFolderAreToldApart) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  topology::Report other = fake_report(2);
  other.location_uuids = fake_report(1).location_uuids;
  auto session = cluster.master().open_session("x");
  const auto reply = session->on_report(other);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->duplicated_uuids, other.location_uuids);
  EXPECT_TRUE(reply->end_with_error.has_value());
  // The same server opening a second stream is no such case.
  auto again = cluster.master().open_session("x");
  EXPECT_TRUE(again->on_report(fake_report(1))->duplicated_uuids.empty());
}

TEST(Master, AWatcherGetsThePictureAndEveryLaterChange) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  ASSERT_TRUE(cluster.eventually([&] { return cluster.master().topology_status(false).volumes == 7; }));
  Mutex mutex;
  std::vector<LocationChange> changes;
  std::vector<LocationChange> initial;
  auto subscription = cluster.master().subscribe(
      [&](const LocationChange& change) {
        Guard guard(mutex);
        changes.push_back(change);
      },
      &initial);
  ASSERT_EQ(initial.size(), 1u);
  EXPECT_EQ(initial[0].added.size(), 7u);
  EXPECT_EQ(initial[0].leader, "localhost:9333.19333");

  topology::Report report;
  report.process = Uuid{500, 2};
  report.ip = "10.0.0.2", report.port = 8080;
  report.full = true;
  VolumeInfo info;
  info.id = VolumeId(1);
  report.volumes = {info};
  cluster.connect(report);
  ASSERT_TRUE(cluster.eventually([&] {
    Guard guard(mutex);
    return changes.size() == 1;
  }));
  EXPECT_EQ(changes[0].url, "10.0.0.2:8080");
  EXPECT_THAT(changes[0].added, ElementsAre(VolumeId(1)));
  subscription.reset();
  cluster.disconnect(2);
  cluster.clock.advance(10s);
  EXPECT_TRUE(cluster.eventually([&] { return cluster.master().cluster_status().servers == 1; }));
  EXPECT_EQ(changes.size(), 1u);
}

TEST(Master, AHundredParallelFirstAssignsAreAllAnsweredByOneGrowth) {
  Cluster cluster;
  cluster.group.lead(0);
  cluster.connect(1);
  std::atomic<int> good{0}, bad{0};
  for (int i = 0; i < 100; ++i) {
    cluster.master().assign({}, [&](OrRefusal<AssignAnswer> a) { ++(std::holds_alternative<AssignAnswer>(a) ? good : bad); });
  }
  ASSERT_TRUE(cluster.eventually([&] { return good + bad == 100; }));
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(cluster.orders.orders().size(), 7u);
}

TEST(Master, UnusedAssignsCloseNoVolume) {
  Options options;
  options.volume_size_limit = 64ull << 20;
  Cluster cluster(1, options);
  cluster.group.lead(0);
  cluster.connect(1);
  (void)answer_of(cluster.assign());
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(cluster.master().try_assign({}).has_value());
}

TEST(Master, ABlockIsRefilledBeforeItEnds) {
  Options options;
  options.key_block = 1000;
  Cluster cluster(3, options);
  cluster.group.lead(0);
  cluster.connect(1);
  std::set<std::uint64_t> keys;
  keys.insert(answer_of(cluster.assign()).fid.key.value());
  for (int i = 0; i < 20'000; ++i) {
    auto quick = cluster.master().try_assign({});
    const AssignAnswer answer = quick ? *quick : answer_of(cluster.assign());
    ASSERT_TRUE(keys.insert(answer.fid.key.value()).second);
  }
  // More at once than a block holds.
  EXPECT_EQ(answer_of(cluster.assign({.count = 5000})).count, 5000u);
}

TEST(Master, StoppingAnswersEverybodyWhoWaits) {
  Cluster cluster(3);
  std::promise<OrRefusal<AssignAnswer>> assign;
  std::promise<OrRefusal<GrowAnswer>> grow;
  cluster.master().assign({}, [&](OrRefusal<AssignAnswer> a) { assign.set_value(std::move(a)); });
  cluster.master().grow({.count = 1}, [&](OrRefusal<GrowAnswer> a) { grow.set_value(std::move(a)); });
  cluster.master().stop();
  EXPECT_EQ(refusal_of(assign.get_future().get()).kind, Refusal::Kind::unavailable);
  EXPECT_EQ(std::get<Refusal>(grow.get_future().get()).kind, Refusal::Kind::unavailable);
}

}  // namespace
}  // namespace holdfast::master
