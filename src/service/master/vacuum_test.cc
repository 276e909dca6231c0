#include "service/master/vacuum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <random>

#include "service/master/fakes.h"

namespace holdfast::master {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Options options(Duration pass = Duration(0)) {
  Options out;
  out.vacuum_pass = pass;
  out.copy_2 = 1;
  return out;
}

// A leader with one volume in two copies, at 10.0.0.1 and 10.0.0.2.
class VacuumOrdersTest : public testing::Test {
 protected:
  explicit VacuumOrdersTest(Options options_given = options())
      : master(Master::create(options_given, clock, random)), other(Master::create(options_given, clock, random)) {
    for (int i = 0; i < 2; ++i) group.set_feature_level(i, options_given.feature_level);
    group.attach(0, master->state_machine());
    group.attach(1, other->state_machine());
    master->start(group.consensus(0), orders);
    other->start(group.consensus(1), orders);
    group.lead(0);
    for (int n = 1; n <= 2; ++n) {
      sessions.push_back(master->open_session("10.0.0." + std::to_string(n)));
      (void)sessions.back()->on_report(fake_report(n));
    }
    std::promise<void> grown;
    master->assign({.replication = "001"}, [&](const OrRefusal<AssignAnswer>& answer) {
      EXPECT_TRUE(std::holds_alternative<AssignAnswer>(answer));
      grown.set_value();
    });
    grown.get_future().get();
    made = orders.orders().size();
  }
  ~VacuumOrdersTest() override {
    orders.release();
    master->stop();
    other->stop();
  }

  // "compact 1", ... in the order they were given, since the volume was made.
  std::vector<std::string> given() const {
    std::vector<std::string> out;
    const auto all = orders.orders();
    for (std::size_t i = made; i < all.size(); ++i) out.push_back(all[i].what + " " + all[i].address.substr(7, 1));
    return out;
  }
  bool takes_writes() { return master->try_assign({.replication = "001"}).has_value(); }
  std::future<OrRefusal<Done>> vacuum(VacuumRequest request = {}) {
    auto answer = std::make_shared<std::promise<OrRefusal<Done>>>();
    master->vacuum(std::move(request), [answer](OrRefusal<Done> done) { answer->set_value(std::move(done)); });
    return answer->get_future();
  }
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
  FakeGroup group{2};
  FakeOrders orders;
  std::unique_ptr<Master> master;
  std::unique_ptr<Master> other;
  std::vector<std::unique_ptr<ReportSession>> sessions;
  std::size_t made = 0;
};

bool is_done(const OrRefusal<Done>& answer) { return std::holds_alternative<Done>(answer); }

TEST_F(VacuumOrdersTest, AllCopiesCompactThenAllCommit) {
  orders.set_ratio("10.0.0.1:18080", 0.5);
  orders.set_ratio("10.0.0.2:18080", 0.4);
  EXPECT_TRUE(is_done(vacuum().get()));
  const auto all = given();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_THAT(std::vector(all.begin(), all.begin() + 2), UnorderedElementsAre("compact 1", "compact 2"));
  EXPECT_THAT(std::vector(all.begin() + 2, all.end()), UnorderedElementsAre("commit 1", "commit 2"));
  const auto last = orders.orders().back();
  EXPECT_EQ(last.fence.cluster_id, FakeGroup::cluster());
  EXPECT_EQ(last.fence.term, Term(1));
  EXPECT_GT(last.fence.sequence, 0u);
  EXPECT_TRUE(takes_writes());
}

TEST_F(VacuumOrdersTest, ACopyWithTooLittleGarbageIsLeftAlone) {
  orders.set_ratio("10.0.0.1:18080", 0.31);
  orders.set_ratio("10.0.0.2:18080", 0.29);
  EXPECT_TRUE(is_done(vacuum().get()));
  EXPECT_THAT(given(), ElementsAre("compact 1", "commit 1"));
  EXPECT_TRUE(is_done(vacuum({.garbage_threshold = 0.9}).get()));
  EXPECT_EQ(given().size(), 2u);
}

TEST_F(VacuumOrdersTest, OnlyWhatIsAskedFor) {
  orders.set_ratio("10.0.0.1:18080", 1);
  EXPECT_TRUE(is_done(vacuum({.volume = VolumeId(99)}).get()));
  EXPECT_TRUE(is_done(vacuum({.collection = "other"}).get()));
  EXPECT_THAT(given(), IsEmpty());
  EXPECT_TRUE(is_done(vacuum({.volume = VolumeId(1)}).get()));
  EXPECT_EQ(given().size(), 2u);
}

TEST_F(VacuumOrdersTest, WhenACheckFailsNothingIsDone) {
  orders.set_ratio("10.0.0.1:18080", 1);
  orders.fail("10.0.0.2:18080", Error(Code::unavailable, "gone"));
  EXPECT_TRUE(is_done(vacuum().get()));
  EXPECT_THAT(given(), IsEmpty());
}

TEST_F(VacuumOrdersTest, WhenACompactionFailsAllCleanUp) {
  orders.set_ratio("10.0.0.1:18080", 1);
  orders.set_ratio("10.0.0.2:18080", 1);
  orders.fail_step("10.0.0.2:18080", "compact", Error(Code::no_space, "full"));
  EXPECT_TRUE(is_done(vacuum().get()));
  const auto all = given();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_THAT(std::vector(all.begin() + 2, all.end()), UnorderedElementsAre("clean up 1", "clean up 2"));
  EXPECT_TRUE(takes_writes());
}

TEST_F(VacuumOrdersTest, WhoFailsToCommitCleansUp) {
  orders.set_ratio("10.0.0.1:18080", 1);
  orders.set_ratio("10.0.0.2:18080", 1);
  orders.fail_step("10.0.0.2:18080", "commit", Error(Code::io, "disk on fire"));
  EXPECT_TRUE(is_done(vacuum().get()));
  EXPECT_EQ(given().back(), "clean up 2");
  EXPECT_EQ(given().size(), 5u);
  EXPECT_TRUE(takes_writes());
}

TEST_F(VacuumOrdersTest, AVolumeGetsNoFilesWhileItIsCommitted) {
  orders.set_ratio("10.0.0.1:18080", 1);
  EXPECT_TRUE(takes_writes());
  orders.hold();
  auto answer = vacuum();
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  EXPECT_TRUE(takes_writes());  // ours take files while they compact
  EXPECT_TRUE(is_done(vacuum().get()));  // one run at a time, others return at once
  orders.answer_held();
  ASSERT_TRUE(eventually([&] { return given().size() == 2; }));
  EXPECT_FALSE(takes_writes());
  orders.release();
  EXPECT_TRUE(is_done(answer.get()));
  EXPECT_TRUE(takes_writes());
}

TEST_F(VacuumOrdersTest, OnlyTheLeaderOrders) {
  orders.set_ratio("10.0.0.1:18080", 1);
  group.lead(1);
  const auto answer = vacuum().get();
  ASSERT_FALSE(is_done(answer));
  EXPECT_EQ(std::get<Refusal>(answer).kind, Refusal::Kind::not_leader);
  EXPECT_THAT(given(), IsEmpty());
}

TEST_F(VacuumOrdersTest, ALeaderThatLosesItsPlaceOrdersNothingMore) {
  orders.set_ratio("10.0.0.1:18080", 1);
  orders.hold();
  auto answer = vacuum();
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  group.lead(1);
  const auto refused = answer.get();
  ASSERT_FALSE(is_done(refused));
  EXPECT_EQ(std::get<Refusal>(refused).kind, Refusal::Kind::not_leader);
  orders.release();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_THAT(given(), ElementsAre("compact 1"));
}

// However the copies of volumes lie, each volume has its turn, and each server works on one at a time.
TEST_F(VacuumOrdersTest, EachServerHasOneAtATime) {
  std::mt19937 random_numbers(81);
  std::vector<std::vector<VolumeInfo>> held(5);
  std::map<VolumeId, std::size_t> copies;
  for (std::uint32_t id = 100; id < 160; ++id) {
    VolumeInfo info;
    info.id = VolumeId(id);
    info.size = 8;
    copies[info.id] = 1 + random_numbers() % 3;
    info.replica_placement = *ReplicaPlacement::parse("00" + std::to_string(copies[info.id] - 1));
    const auto first = random_numbers() % held.size();
    for (std::size_t i = 0; i < copies[info.id]; ++i) held[(first + i) % held.size()].push_back(info);
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    const int n = 3 + static_cast<int>(i);
    auto report = fake_report(n, 100);
    report.volumes = held[i];
    sessions.push_back(master->open_session("10.0.0." + std::to_string(n)));
    (void)sessions.back()->on_report(report);
    orders.set_ratio("10.0.0." + std::to_string(n) + ":18080", 1);
  }
  std::size_t wanted = 0;
  for (const auto& [id, count] : copies) wanted += 2 * count;  // compact and commit, of each
  ASSERT_TRUE(eventually([&] {  // once the masters have agreed on taking in the servers' folders
    made = orders.orders().size();
    return is_done(vacuum().get()) && given().size() == wanted;
  }));

  const auto all = orders.orders();
  std::map<VolumeId, std::vector<std::size_t>> when;
  for (std::size_t i = made; i < all.size(); ++i) when[all[i].volume].push_back(i);
  ASSERT_EQ(when.size(), copies.size());
  std::map<std::string, std::vector<std::pair<std::size_t, std::size_t>>> turns;  // by server
  for (const auto& [id, at] : when) {
    EXPECT_EQ(at.size(), 2 * copies[id]);
    for (const auto i : at) turns[all[i].address].emplace_back(at.front(), at.back());
  }
  for (auto& [server, its] : turns) {
    std::sort(its.begin(), its.end());
    its.erase(std::unique(its.begin(), its.end()), its.end());
    for (std::size_t i = 1; i < its.size(); ++i) EXPECT_LT(its[i - 1].second, its[i].first) << server;
  }
}

class VacuumPassTest : public VacuumOrdersTest {
 protected:
  explicit VacuumPassTest(Options options_given = options(15min)) : VacuumOrdersTest(options_given) { orders.set_ratio("10.0.0.1:18080", 1); }
  void tell_deletions(std::uint64_t count) {
    topology::Report report;
    report.process = Uuid{500, 1};
    report.pulse = 250ms;
    VolumeInfo info;
    info.id = VolumeId(1);
    info.size = 100;
    info.replica_placement = *ReplicaPlacement::parse("001");
    info.delete_count = count;
    report.changed = {info};
    (void)sessions[0]->on_report(report);
  }
  void minute() {
    for (int i = 0; i < 60 * 4; ++i) {
      clock.advance(250ms);
      for (int n = 1; n <= 2; ++n) {
        topology::Report report;
        report.process = Uuid{500, static_cast<std::uint64_t>(n)};
        report.pulse = 250ms;
        (void)sessions[static_cast<std::size_t>(n) - 1]->on_report(report);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
};

// A master is told of each deletion by a pulse; a volume without any has no garbage.
TEST_F(VacuumPassTest, TheLeaderAsksByItselfOnlyAboutVolumesWithDeletions) {
  for (int i = 0; i < 20; ++i) minute();
  EXPECT_THAT(given(), IsEmpty());
  tell_deletions(1);
  for (int i = 0; i < 17; ++i) minute();
  EXPECT_GE(given().size(), 2u);
}

TEST_F(VacuumPassTest, TheLeaderBeginsByItselfUnlessItIsDisabled) {
  tell_deletions(1);
  minute();
  minute();
  ASSERT_TRUE(eventually([&] { return given().size() == 2; }));
  const auto set = [&](bool disabled, bool by_plugin) {
    std::promise<void> done;
    master->disable_vacuum(disabled, by_plugin, [&](const OrRefusal<Done>&) { done.set_value(); });
    done.get_future().get();
  };
  set(true, false);
  set(true, true);
  set(false, false);
  for (int i = 0; i < 20; ++i) minute();
  EXPECT_EQ(given().size(), 2u);
  EXPECT_TRUE(is_done(vacuum().get()));  // who asks for one gets it
  EXPECT_EQ(given().size(), 4u);
  set(false, true);
  for (int i = 0; i < 17; ++i) minute();
  EXPECT_GE(given().size(), 6u);
}

Options options_of_level(std::uint32_t feature_level) {
  Options out = options(15min);
  out.feature_level = feature_level;
  return out;
}

class VacuumMarkTest : public VacuumPassTest {
 protected:
  explicit VacuumMarkTest(std::uint32_t feature_level = kv::kFeatureLevel) : VacuumPassTest(options_of_level(feature_level)) {
    EXPECT_TRUE(eventually([&] {
      clock.advance(10ms);
      return master->cluster_status().feature_level == feature_level;
    }));
    tell_deletions(1);
  }
  static OrRefusal<Done> set(Master& at, bool disabled, bool by_plugin = false) {
    std::promise<OrRefusal<Done>> done;
    at.disable_vacuum(disabled, by_plugin, [&](OrRefusal<Done> answer) { done.set_value(std::move(answer)); });
    return done.get_future().get();
  }
  std::size_t given_in_half_an_hour() {
    const auto before = given().size();
    for (int i = 0; i < 35; ++i) minute();
    return given().size() - before;
  }
};

TEST_F(VacuumMarkTest, OutlivesTheLeaderThatWasTold) {
  group.lead(1);
  ASSERT_TRUE(eventually([&] { return is_done(set(*other, true)); }));
  EXPECT_EQ(std::get<Refusal>(set(*master, false)).kind, Refusal::Kind::not_leader);
  group.lead(0);
  EXPECT_EQ(given_in_half_an_hour(), 0u);
  EXPECT_TRUE(is_done(set(*master, false, true)));  // the other mark, which is not set
  EXPECT_EQ(given_in_half_an_hour(), 0u);
  EXPECT_TRUE(is_done(set(*master, false)));
  EXPECT_GE(given_in_half_an_hour(), 2u);
}

class VacuumMarkInMemoryTest : public VacuumMarkTest {
 protected:
  VacuumMarkInMemoryTest() : VacuumMarkTest(1) {}
};

TEST_F(VacuumMarkInMemoryTest, IsItsLeadersAloneWhileAMasterKnowsNoSpaceForIt) {
  ASSERT_TRUE(is_done(set(*master, true)));
  EXPECT_EQ(given_in_half_an_hour(), 0u);
  group.lead(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  group.lead(0);
  EXPECT_GE(given_in_half_an_hour(), 2u);
}

}  // namespace
}  // namespace holdfast::master
