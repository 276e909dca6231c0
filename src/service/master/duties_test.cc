#include "service/master/duties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <thread>

#include "service/master/fakes.h"

namespace holdfast::master {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

constexpr Duration kPass = 2s;

// A leader that looks at every layout each kPass, over servers in racks r1, r2, ... of one data center.
class GrowthPassTest : public testing::Test {
 protected:
  GrowthPassTest() {
    Options options;
    options.growth_pass = kPass;
    options.volume_size_limit = 1000;
    master = Master::create(options, clock, random);
    group.attach(0, master->state_machine());
    master->start(group.consensus(0), orders);
    group.lead(0);
  }
  ~GrowthPassTest() override {
    orders.release();
    master->stop();
  }

  topology::Report in_rack(int n) const {
    auto report = fake_report(n, 100);
    report.data_center = "dc";
    report.rack = "r" + std::to_string(n);
    return report;
  }
  void connect(int n) {
    sessions.push_back(master->open_session("10.0.0." + std::to_string(n)));
    (void)sessions.back()->on_report(in_rack(n));
  }
  AssignAnswer assign(const AssignRequest& request) {
    std::promise<OrRefusal<AssignAnswer>> answer;
    master->assign(request, [&](OrRefusal<AssignAnswer> a) { answer.set_value(std::move(a)); });
    const auto outcome = answer.get_future().get();
    if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
      ADD_FAILURE() << refusal->text;
      return {};
    }
    return std::get<AssignAnswer>(outcome);
  }
  // The servers that were told to make volumes, one for each.
  std::vector<std::string> makers() const {
    std::vector<std::string> out;
    for (const auto& order : orders.orders()) out.push_back(order.address);
    return out;
  }
  // Lets `length` go by as the master sees it.
  void pass_time(Duration length) {
    for (Duration gone{0}; gone < length; gone += 250ms) {
      clock.advance(250ms);
      for (std::size_t i = 0; i < sessions.size(); ++i) {
        topology::Report pulse;
        pulse.process = Uuid{500, i + 1};
        pulse.pulse = 250ms;
        (void)sessions[i]->on_report(pulse);
      }
      std::this_thread::sleep_for(30ms);  // for the master's loop, which has its own clock
    }
  }

  FakeClock clock;
  FakeRandom random{7};
  FakeGroup group{1};
  FakeOrders orders;
  std::unique_ptr<Master> master;
  std::vector<std::unique_ptr<ReportSession>> sessions;
};

TEST_F(GrowthPassTest, ARackInWhichNoVolumeHasRoomGetsSome) {
  connect(1);
  connect(2);
  assign({.data_center = "dc", .rack = "r1"});
  ASSERT_THAT(makers(), SizeIs(7));
  EXPECT_THAT(makers(), Each("10.0.0.1:18080"));
  pass_time(2 * kPass);
  const auto all = makers();
  EXPECT_EQ(std::ranges::count(all, "10.0.0.2:18080"), 2);
  EXPECT_THAT(makers(), SizeIs(9));
  // In use, but everywhere with room; and then not in use.
  assign({});
  pass_time(3 * kPass);
  EXPECT_THAT(makers(), SizeIs(9));
}

TEST_F(GrowthPassTest, WhereCopiesGoToSeveralRacksTheDataCenterCounts) {
  for (int n = 1; n <= 3; ++n) connect(n);
  assign({.replication = "010", .writable_volume_count = 1});
  ASSERT_THAT(makers(), SizeIs(2));
  pass_time(2 * kPass);
  EXPECT_THAT(makers(), SizeIs(2));
}

TEST_F(GrowthPassTest, AsManyVolumesAsWereAskedForStayWritable) {
  connect(1);
  assign({.writable_volume_count = 3});
  ASSERT_THAT(makers(), SizeIs(3));
  auto report = in_rack(1);
  for (std::uint32_t id = 1; id <= 3; ++id) {
    VolumeInfo info;
    info.id = VolumeId(id);
    info.size = 8;
    info.read_only = id == 2;
    report.volumes.push_back(info);
  }
  (void)sessions[0]->on_report(report);
  assign({});
  pass_time(2 * kPass);
  EXPECT_THAT(makers(), SizeIs(4));
}

}  // namespace
}  // namespace holdfast::master
