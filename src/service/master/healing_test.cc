#include "service/master/healing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>

#include "service/master/admin_locks.h"
#include "service/master/fakes.h"

namespace holdfast::master {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr Duration kGrace = 1min;

Options options() {
  Options out;
  out.vacuum_pass = Duration(0);
  out.copy_2 = 1;
  out.heal_after = kGrace;
  out.feature_level = kHealingFeatureLevel;
  return out;
}

// A leader with volume 1 in two copies, on two of three servers (or more); they report what the orders made of them.
class HealingTest : public testing::Test {
 protected:
  explicit HealingTest(int servers = 3, const char* replication = "001")
      : servers_(servers), master(Master::create(options(), clock, random)) {
    for (int i = 0; i < 2; ++i) group.set_feature_level(i, kHealingFeatureLevel);
    group.attach(0, master->state_machine());
    group.attach(1, other->state_machine());
    master->start(group.consensus(0), orders);
    other->start(group.consensus(1), orders);
    group.lead(0);
    for (int n = 1; n <= servers_; ++n) come(n);
    std::promise<void> grown;
    master->assign({.replication = replication}, [&](const OrRefusal<AssignAnswer>& answer) {
      EXPECT_TRUE(std::holds_alternative<AssignAnswer>(answer));
      grown.set_value();
    });
    grown.get_future().get();
    for (const auto& order : orders.orders()) {
      if (order.what == "allocate" && order.volume == VolumeId(1)) held_[order.address[7] - '0'] = 0;
    }
    made = orders.orders().size();
    placement = *ReplicaPlacement::parse(replication);
  }
  ~HealingTest() override {
    orders.release();
    master->stop();
    other->stop();
  }

  static std::string address(int n) { return "10.0.0." + std::to_string(n) + ":18080"; }
  int holder(std::size_t i) const { return std::next(held_.begin(), static_cast<std::ptrdiff_t>(i))->first; }
  int free_one() const {
    for (int n = 1; n <= servers_; ++n) {
      if (!held_.contains(n)) return n;
    }
    return 0;
  }
  void come(int n) {
    sessions[n] = {master->open_session("10.0.0." + std::to_string(n)), other->open_session("10.0.0." + std::to_string(n))};
    tell(n);
  }
  void tell(int n) {
    auto report = fake_report(n);
    report.feature_level = topology::kHealingServerLevel;
    if (held_.contains(n)) {
      VolumeInfo info;
      info.id = VolumeId(1);
      info.size = 8;
      info.replica_placement = placement;
      info.replica_epoch = held_.at(n);
      report.volumes.push_back(info);
    }
    for (auto& session : sessions[n]) (void)session->on_report(report);
  }
  void go(int n) { sessions.erase(n); }

  // "freeze 1", ... in the order they were given.
  std::vector<std::string> given() const {
    std::vector<std::string> out;
    const auto all = orders.orders();
    for (std::size_t i = made; i < all.size(); ++i) out.push_back(all[i].what + " " + all[i].address.substr(7, 1));
    return out;
  }
  // Time passes in steps, in which servers report.
  void pass(Duration time) {
    for (Duration passed{0}; passed < time; passed += 250ms) {
      clock.advance(250ms);
      obey();
      for (const auto& [n, session] : sessions) tell(n);
      look();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  // Until whoever leads has looked at the present moment: what it is asked for is answered in one turn, which looks at the end.
  void look() {
    for (Master* one : {master.get(), other.get()}) {
      for (int i = 0; i < 2; ++i) {
        std::promise<void> answered;
        one->mend(VolumeId(999), "", [&](const OrRefusal<std::uint64_t>&) { answered.set_value(); });
        answered.get_future().get();
      }
    }
  }
  // All at once. Holders report first, so that a look in between sees either too many silent servers to begin anything or all copies.
  void jump(Duration time) {
    clock.advance(time);
    for (const auto& [n, session] : sessions) {
      if (held_.contains(n)) tell(n);
    }
    for (const auto& [n, session] : sessions) tell(n);
  }
  // What orders change on servers.
  void obey() {
    const auto all = orders.orders();
    for (; obeyed < all.size(); ++obeyed) {
      const int n = all[obeyed].address[7] - '0';
      if (const auto epoch = orders.epoch(address(n)); all[obeyed].what == "adopt" && epoch > 0) held_[n] = epoch;
    }
  }
  template <typename Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 200; ++i) {
      if (condition()) return true;
      pass(2s);
    }
    return false;
  }
  std::set<std::string> holders(Master& of) {
    std::set<std::string> out;
    const auto found = of.lookup(VolumeId(1), "").locations;
    if (!found) return out;
    for (const auto& place : found->places) out.insert(place.url.substr(7, 1));
    return out;
  }

  // As AdminLocks keeps it, but for good.
  void take_lock() {
    write_kv(kv::Put{kLockKey, R"({"client": "shell-1", "message": "moves volumes", "token": 1, "time_ns": 1})", Duration(0), kv::Revision(), {}});
  }
  void free_lock() { write_kv(kv::Delete{kLockKey, {}, {}}); }
  void write_kv(kv::Command command) {
    master->key_values().write(std::move(command), [](const OrRefusal<kv::Answer>& answer) {
      EXPECT_EQ(std::get<kv::Answer>(answer).outcome, kv::Outcome::done);
    });
  }
  std::string lock_holder() {
    std::string out;
    AdminLocks(master->key_values(), random, [] { return 1; }).status(kShellLock, [&](const OrRefusal<AdminLock>& lock) {
      out = std::get<AdminLock>(lock).client;
    });
    return out;
  }

  static constexpr const char* kLockKey = "admin-locks/shell";
  const int servers_;
  FakeClock clock;
  FakeRandom random{7};
  FakeGroup group{2};
  FakeOrders orders;
  std::unique_ptr<Master> master;
  std::unique_ptr<Master> other = Master::create(options(), clock, random);
  std::map<int, std::array<std::unique_ptr<ReportSession>, 2>> sessions;
  std::map<int, std::uint64_t> held_;  // server -> epoch of its copy
  ReplicaPlacement placement;
  std::size_t made = 0;
  std::size_t obeyed = 0;
};

TEST_F(HealingTest, ALostCopyIsMadeAgainAfterTheGraceTime) {
  const int kept = holder(0), lost = holder(1), target = free_one();
  go(lost);
  pass(kGrace - 5s);
  EXPECT_THAT(given(), IsEmpty());
  ASSERT_TRUE(eventually([&] { return given().size() >= 4; }));
  const auto name = [](const char* what, int n) { return std::string(what) + " " + std::to_string(n); };
  EXPECT_THAT(given(), ElementsAre(name("freeze", kept), name("copy", target), name("adopt", kept), name("adopt", target)));
  const auto all = orders.orders();
  EXPECT_EQ(all[made + 1].collection, "10.0.0." + std::to_string(kept) + ":8080.18080");  // the source it is given
  for (std::size_t i = made; i < all.size(); ++i) EXPECT_EQ(all[i].fence.term, Term(1));
  held_.erase(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 2; }));
  EXPECT_EQ(holders(*master), (std::set{std::to_string(kept), std::to_string(target)}));
  EXPECT_EQ(holders(*other), holders(*master));
  EXPECT_TRUE(eventually([&] { return master->healing().made == 1; }));
  // It takes files again.
  EXPECT_TRUE(eventually([&] { return master->try_assign({.replication = "001"}).has_value(); }));
  // The lost one returns with what it had, is named nowhere, and told so.
  held_[lost] = 0;
  come(lost);
  ASSERT_TRUE(eventually([&] { return given().back() == name("outdate", lost); }));
  EXPECT_EQ(holders(*master), (std::set{std::to_string(kept), std::to_string(target)}));
  EXPECT_TRUE(master->try_assign({.replication = "001"}).has_value());
}

TEST_F(HealingTest, AnOldCopyGoesOnlyWhenAllThatIsInItIsKnownElsewhere) {
  const int lost = holder(1);
  go(lost);
  held_.erase(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 2 && master->healing().made == 1; }));
  orders.set_files_missing(3);
  held_[lost] = 0;
  come(lost);
  const auto server = " " + std::to_string(lost);
  ASSERT_TRUE(eventually([&] { return given().back() == "compare" + server; }));
  EXPECT_THAT(given(), Contains("outdate" + server));
  pass(1min);
  EXPECT_EQ(given().back(), "compare" + server);
  ASSERT_TRUE(eventually([&] { return master->healing().reported.size() == 1; }));
  const auto status = master->healing();
  EXPECT_THAT(status.reported[0].what, HasSubstr("3 of its 10 files and deletions are not known"));
  // Looked at again later, or by another leader.
  orders.set_files_missing(0);
  group.lead(1);
  ASSERT_TRUE(eventually([&] { return given().back() == "discard" + server; }));
}

TEST_F(HealingTest, CopiesThatDifferAreReportedAndLeftAlone) {
  for (int n = 1; n <= servers_; ++n) orders.fail_step(address(n), "catch_up", Error(Code::refused, "not the beginning of the other one"));
  orders.set_files_missing(2);
  pass(kFirstLook * kGrace + 5s);
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  EXPECT_THAT(master->healing().reported, IsEmpty());
  ASSERT_TRUE(eventually([&] { return !master->healing().reported.empty(); }));
  EXPECT_THAT(master->healing().reported[0].what, AllOf(HasSubstr("its copies differ"), HasSubstr("not the beginning")));
  const auto all = given();
  ASSERT_EQ(all.size(), 3u);  // looked at twice
  EXPECT_THAT(all[0], HasSubstr("compare"));
  EXPECT_THAT(all[1], HasSubstr("compare"));
  EXPECT_THAT(all[2], HasSubstr("catch_up"));
}

TEST_F(HealingTest, CopiesAreHeldAgainstEachOtherOnceADay) {
  pass(kFirstLook * kGrace + 5s);
  ASSERT_TRUE(eventually([&] { return given().size() == 2; }));  // both ways
  EXPECT_THAT(given()[1], HasSubstr("compare"));
  jump(kLooksPass - 10min);
  pass(5min);
  EXPECT_EQ(given().size(), 2u);
  ASSERT_TRUE(eventually([&] { return given().size() == 4; }));
  EXPECT_THAT(given()[3], HasSubstr("compare"));
  EXPECT_THAT(master->healing().reported, IsEmpty());
}

// A server that starts again just then must not cost its volumes a day.
TEST_F(HealingTest, CopiesThatAreOutOfReachInTheirTurnAreHeldAgainstEachOtherLater) {
  pass(kFirstLook * kGrace - 10s);
  go(holder(0));
  pass(kGrace / 2);
  EXPECT_THAT(given(), IsEmpty());
  come(holder(0));
  ASSERT_TRUE(eventually([&] { return given().size() == 2; }));
  EXPECT_THAT(given()[1], HasSubstr("compare"));
}

// Likewise when they were found to differ once.
TEST_F(HealingTest, CopiesThatDifferedAndAreOutOfReachAtTheSecondLookHaveAThirdOne) {
  orders.set_files_missing(2);
  pass(kFirstLook * kGrace);
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  pass(kSecondLook * kGrace - 10s);
  go(holder(0));
  pass(kGrace / 2);
  EXPECT_EQ(given().size(), 1u);
  come(holder(0));
  ASSERT_TRUE(eventually([&] { return given().size() >= 3; }));
  EXPECT_THAT(given()[1], HasSubstr("compare"));
  EXPECT_THAT(given()[2], HasSubstr("catch_up"));
}

TEST_F(HealingTest, ACopyThatIsTheBeginningOfAnotherIsMendedAfterASecondLook) {
  orders.set_files_missing(2);
  pass(kFirstLook * kGrace + 5s);
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  ASSERT_TRUE(eventually([&] { return given().size() >= 3; }));
  EXPECT_THAT(given()[1], HasSubstr("compare"));
  EXPECT_THAT(given()[2], HasSubstr("catch_up"));
  EXPECT_NE(given()[1].back(), given()[2].back());  // the one that lacked something, not the one that was asked
  orders.set_files_missing(0);
  ASSERT_TRUE(eventually([&] { return given().size() >= 5; }));  // both ways
  EXPECT_THAT(given()[3], HasSubstr("compare"));
  EXPECT_THAT(master->healing().reported, IsEmpty());
  EXPECT_EQ(master->healing().made, 1u);
}

TEST_F(HealingTest, OfCopiesMadeByHandOneIsToldThatItIsTooManyOnceAllAreEqual) {
  const int third = free_one();
  held_[third] = 0;
  orders.set_files_missing(2);
  pass(kGrace - 5s);
  EXPECT_THAT(given(), IsEmpty());
  ASSERT_TRUE(eventually([&] { return given().size() == 1; }));
  EXPECT_THAT(given()[0], HasSubstr("compare"));
  pass(kGrace);
  EXPECT_THAT(given(), Not(Contains(HasSubstr("outdate"))));
  orders.set_files_missing(0);
  pass(kFirstLook * kGrace);
  // Each copy against the first one, and the first one against each.
  ASSERT_TRUE(eventually([&] { return given().back().starts_with("outdate"); }));
  const auto all = given();
  ASSERT_GE(all.size(), 5u);
  for (auto it = all.end() - 5; it != all.end() - 1; ++it) EXPECT_THAT(*it, HasSubstr("compare"));
}

// The shell may be about to remove one of these copies itself, by what it saw before (docs/self-healing.md).
TEST_F(HealingTest, WhileSomebodyHoldsTheAdminLockNoOldCopyGoes) {
  const int lost = holder(1);
  go(lost);
  held_.erase(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 2 && master->healing().made == 1; }));
  take_lock();
  held_[lost] = 0;
  come(lost);
  const auto server = " " + std::to_string(lost);
  ASSERT_TRUE(eventually([&] { return given().back() == "outdate" + server; }));  // it must not serve what it knows
  pass(5min);
  EXPECT_EQ(given().back(), "outdate" + server);
  EXPECT_THAT(master->healing().no_removal, HasSubstr("shell-1"));
  EXPECT_THAT(master->healing().waiting, IsEmpty());
  free_lock();
  ASSERT_TRUE(eventually([&] { return given().back() == "discard" + server; }));
  EXPECT_TRUE(eventually([&] { return lock_holder().empty(); }));
  held_.erase(lost);
  EXPECT_TRUE(eventually([&] { return master->healing().no_removal.empty(); }));
}

TEST_F(HealingTest, WhileSomebodyHoldsTheAdminLockNoSurplusCopyGoes) {
  held_[free_one()] = 0;
  take_lock();
  pass(2 * kGrace);
  EXPECT_THAT(given(), IsEmpty());
  free_lock();
  ASSERT_TRUE(eventually([&] { return !given().empty() && given().back().starts_with("outdate"); }));
}

TEST_F(HealingTest, ALockThatIsTakenWhileCopiesAreComparedKeepsThemAll) {
  held_[free_one()] = 0;
  orders.hold();
  ASSERT_TRUE(eventually([&] { return !given().empty(); }));
  EXPECT_THAT(given().back(), HasSubstr("compare"));
  take_lock();
  orders.release();
  pass(5min);
  EXPECT_THAT(given(), Contains(HasSubstr("compare")).Times(4));
  EXPECT_THAT(given(), Not(Contains(HasSubstr("outdate"))));
}

TEST_F(HealingTest, ALockThatIsTakenWhileAnOldCopyIsComparedKeepsIt) {
  const int lost = holder(1);
  go(lost);
  held_.erase(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 2 && master->healing().made == 1; }));
  held_[lost] = 0;
  come(lost);
  ASSERT_TRUE(eventually([&] { return given().back() == "outdate " + std::to_string(lost); }));
  orders.hold();
  ASSERT_TRUE(eventually([&] { return given().back().starts_with("compare"); }));
  take_lock();
  orders.release();
  pass(5min);
  EXPECT_THAT(given(), Not(Contains(HasSubstr("discard"))));
}

TEST_F(HealingTest, WhoeverTakesTheAdminLockWhileACopyIsBeingRemovedWaitsUntilItIs) {
  held_[free_one()] = 0;
  orders.hold();
  ASSERT_TRUE(eventually([&] {
    if (!given().empty() && given().back().starts_with("outdate")) return true;
    orders.answer_held();  // a comparison
    return false;
  }));
  EXPECT_EQ(lock_holder(), "self-healing");
  orders.release();
  EXPECT_TRUE(eventually([&] { return lock_holder().empty(); }));
}

TEST_F(HealingTest, ACopyThatWasLostIsMadeAgainWhileSomebodyHoldsTheAdminLock) {
  take_lock();
  go(holder(1));
  ASSERT_TRUE(eventually([&] { return master->healing().made == 1; }));
  EXPECT_THAT(master->healing().no_removal, IsEmpty());  // nothing is there to be removed
}

TEST_F(HealingTest, AServerThatIsBackInTimeIsLeftAlone) {
  const int lost = holder(1);
  go(lost);
  pass(kGrace / 2);
  come(lost);
  pass(2 * kGrace);
  EXPECT_THAT(given(), IsEmpty());
}

TEST_F(HealingTest, NothingIsAgreedOnWhenTheSourceDoesNotGoOn) {
  const int kept = holder(0), lost = holder(1), target = free_one();
  orders.fail_step(address(kept), "adopt", Error(Code::stale, "the freeze is over"));
  go(lost);
  ASSERT_TRUE(eventually([&] { return given().size() >= 5; }));
  const auto all = given();
  EXPECT_EQ(all[2], "adopt " + std::to_string(kept));
  EXPECT_THAT(all, Contains("thaw " + std::to_string(target)));
  EXPECT_THAT(all, Not(Contains("adopt " + std::to_string(target))));
  EXPECT_TRUE(eventually([&] { return master->healing().failed == 1; }));
  // The lost one comes back: its copy counts.
  come(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 2; }));
}

TEST_F(HealingTest, ACopyThatBreaksOffIsTriedAgainLater) {
  const int kept = holder(0), target = free_one();
  orders.fail_step(address(target), "copy", Error(Code::no_space, "full"));
  go(holder(1));
  ASSERT_TRUE(eventually([&] { return master->healing().failed == 1; }));
  EXPECT_THAT(given(), Contains("thaw " + std::to_string(kept)));
  const auto first = given().size();
  pass(kGrace / 2);
  EXPECT_EQ(given().size(), first);
  ASSERT_TRUE(eventually([&] { return master->healing().failed == 2; }));
}

TEST_F(HealingTest, WhenTheLostOneReturnsMeanwhileTheCopyIsDropped) {
  const int lost = holder(1), target = free_one();
  go(lost);
  pass(kGrace - 5s);
  orders.hold();
  ASSERT_TRUE(eventually([&] { return !given().empty(); }));
  orders.answer_held();  // frozen
  ASSERT_TRUE(eventually([&] { return given().back() == "copy " + std::to_string(target); }));
  come(lost);
  pass(1s);
  orders.release();
  ASSERT_TRUE(eventually([&] { return master->healing().failed == 1; }));
  EXPECT_THAT(given(), Contains("thaw " + std::to_string(target)));
  for (const auto& one : given()) EXPECT_THAT(one, Not(HasSubstr("adopt")));
}

TEST_F(HealingTest, AFreezeIsGivenMoreTimeWhileTheCopyIsOnItsWay) {
  const int kept = holder(0), target = free_one();
  go(holder(1));
  pass(kGrace - 5s);
  orders.hold();
  ASSERT_TRUE(eventually([&] { return !given().empty(); }));
  orders.answer_held();
  ASSERT_TRUE(eventually([&] { return given().back() == "copy " + std::to_string(target); }));
  EXPECT_TRUE(eventually([&] { return given().back() == "extend " + std::to_string(kept); }));
}

TEST_F(HealingTest, ALeaderThatLosesItsPlaceGoesNoFurther) {
  go(holder(1));
  pass(kGrace - 5s);
  orders.hold();
  ASSERT_TRUE(eventually([&] { return !given().empty(); }));
  group.lead(1);
  orders.release();
  pass(5s);
  EXPECT_EQ(given().size(), 1u);
  // The next one waits as long as it would otherwise, and begins anew.
  ASSERT_TRUE(eventually([&] { return given().size() >= 5; }));
  EXPECT_EQ(orders.orders().back().fence.term, Term(2));
}

class HealingAloneTest : public HealingTest {
 protected:
  HealingAloneTest() : HealingTest(2) {}
};

TEST_F(HealingAloneTest, WithoutAServerThatFitsItIsReported) {
  go(holder(1));
  pass(kGrace + 10s);
  EXPECT_THAT(given(), IsEmpty());
  ASSERT_TRUE(eventually([&] { return master->healing().reported.size() == 1; }));
  const auto status = master->healing();
  EXPECT_THAT(status.reported[0].what, HasSubstr("no server with room"));
  EXPECT_EQ(status.short_of_copies, 1u);
}

class HealingMuchTest : public HealingTest {
 protected:
  HealingMuchTest() : HealingTest(5, "002") {}
};

TEST_F(HealingMuchTest, WhenTooMuchIsMissingNothingIsBegun) {
  go(holder(1));
  go(holder(2));
  pass(2 * kGrace);
  EXPECT_THAT(given(), IsEmpty());
  EXPECT_TRUE(eventually([&] { return master->healing().waiting.find("too much is missing at once") == 0; }));
}

TEST_F(HealingMuchTest, OthersThatAreThereGoOnToTheEpochAfterTheAgreement) {
  const int lost = holder(2);
  go(lost);
  held_.erase(lost);
  ASSERT_TRUE(eventually([&] { return holders(*master).size() == 3 && master->healing().made == 1; }));
  const auto all = given();
  const auto at = [&](const std::string& what, const std::string& server) {
    const auto it = std::find(all.begin(), all.end(), what + " " + server);
    EXPECT_NE(it, all.end()) << what << " " << server;
    return it - all.begin();
  };
  // Which copy is the source, and which of the two free servers gets one, is drawn.
  ASSERT_GE(all.size(), 2u);
  ASSERT_THAT(all[0], HasSubstr("freeze "));
  ASSERT_THAT(all[1], HasSubstr("copy "));
  const auto source = all[0].substr(7), target = all[1].substr(5);
  auto others = holders(*master);
  EXPECT_EQ(others.erase(source), 1u);
  EXPECT_EQ(others.erase(target), 1u);
  ASSERT_EQ(others.size(), 1u);
  EXPECT_LT(at("copy", target), at("adopt", source));
  EXPECT_LT(at("adopt", source), at("adopt", target));
  EXPECT_LT(at("adopt", source), at("adopt", *others.begin()));
  for (const auto& one : all) EXPECT_THAT(one, Not(HasSubstr("outdate")));
}

class MendTest : public HealingTest {
 protected:
  static std::string id(int n) { return "10.0.0." + std::to_string(n) + ":8080"; }
  OrRefusal<std::uint64_t> mend(const std::string& target) {
    const auto answer = std::make_shared<std::promise<OrRefusal<std::uint64_t>>>();
    auto future = answer->get_future();
    master->mend(VolumeId(1), target, [answer](OrRefusal<std::uint64_t> a) { answer->set_value(std::move(a)); });
    EXPECT_TRUE(eventually([&] { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
    return future.get();
  }
};

TEST_F(MendTest, WhoAsksForACopyGetsItAtOnceAndTheOldOneIsOld) {
  const int lost = holder(1), fresh = free_one();
  go(lost);
  pass(10s);
  ASSERT_THAT(given(), IsEmpty());  // the grace time is not over
  EXPECT_GT(std::get<std::uint64_t>(mend(id(fresh))), 0u);
  EXPECT_THAT(given(), Contains("copy " + std::to_string(fresh)));
  come(lost);
  const std::string outdate = "outdate " + std::to_string(lost);
  EXPECT_TRUE(eventually([&] { return std::ranges::count(given(), outdate) > 0; }));
  EXPECT_FALSE(holders(*master).contains(std::to_string(lost)));
}

TEST_F(MendTest, WithoutATargetAllCopiesGoOnAndNoneIsMade) {
  pass(2s);
  const auto first = std::get<std::uint64_t>(mend(""));
  EXPECT_GT(first, 0u);
  EXPECT_EQ(given(), (std::vector<std::string>{"freeze " + std::to_string(holder(0)), "adopt " + std::to_string(holder(0)),
                                               "adopt " + std::to_string(holder(1))}));
  EXPECT_GT(std::get<std::uint64_t>(mend("")), first);
}

TEST_F(MendTest, AVolumeThatWasJustMadeIsWorthAWait) {
  const auto refused = mend("");
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).kind, Refusal::Kind::busy) << std::get<Refusal>(refused).text;
  pass(2s);
  EXPECT_GT(std::get<std::uint64_t>(mend("")), 0u);
}

TEST_F(MendTest, SaysWhyNot) {
  pass(2s);
  EXPECT_THAT(std::get<Refusal>(mend(id(free_one()))).text, HasSubstr("it has all its copies"));
  go(holder(1));
  pass(10s);
  EXPECT_THAT(std::get<Refusal>(mend("")).text, HasSubstr("make them first"));
  EXPECT_EQ(std::get<Refusal>(mend(id(holder(0)))).kind, Refusal::Kind::unsupported);
  orders.fail_step(address(free_one()), "copy", Error(Code::unavailable, "no way there"));
  EXPECT_THAT(std::get<Refusal>(mend(id(free_one()))).text, HasSubstr("the copy broke off"));
}

}  // namespace
}  // namespace holdfast::master
