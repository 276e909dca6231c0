#include "service/volume/upkeep.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "io/sim/random.h"

namespace holdfast::volume {
namespace {

class UpkeepTest : public testing::Test {
 protected:
  UpkeepTest() {
    EXPECT_TRUE(disk.make_folder("/d").ok());
    EXPECT_TRUE(disk.sync_dir("/").ok());
    open();
  }
  void open() {
    upkeep.reset();
    store.reset();
    auto opened = Store::open({disk, clock, pool}, random, {{.path = "/d", .min_free_percent = 0}});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    store = std::move(*opened);
    upkeep = std::make_unique<Upkeep>(*store, disk, clock, Upkeep::Options{});
  }
  void put(std::uint64_t key) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.data = bytes_of("data");
    bool done = false;
    put.done = [&](const Result<Put::Outcome>& outcome) { done = outcome.ok(); };
    store->find(VolumeId(7))->put(std::move(put), true);
    EXPECT_TRUE(done);
  }
  void remove(std::uint64_t key) {
    bool done = false;
    store->find(VolumeId(7))->remove({.id = NeedleId(key), .done = [&](const Result<std::int32_t>& r) { done = r.ok(); }}, true);
    EXPECT_TRUE(done);
  }
  // What of the volume a loss of power would take.
  std::size_t at_risk() const {
    const auto all = disk.pending();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& one) { return one.path.starts_with("/d/7."); }));
  }

  io::sim::SimDisk disk{1};
  io::sim::ManualClock clock;
  io::sim::SeededRandom random{1};
  WorkPool pool{0};  // everything runs on the test's thread
  std::unique_ptr<Store> store;
  std::unique_ptr<Upkeep> upkeep;
};

TEST_F(UpkeepTest, AConsolidatedIndexSurvivesALossOfPowerWithWhatItNames) {
  ASSERT_TRUE(store->allocate({.id = VolumeId(7)}).ok());
  put(1);
  put(2);
  remove(1);
  EXPECT_GT(at_risk(), 0u);
  ASSERT_TRUE(upkeep->sync_index(VolumeId(7)).ok());
  EXPECT_EQ(at_risk(), 0u);
  disk.crash_keeping([](const auto&) { return false; }, 0);
  open();
  const auto volume = store->find(VolumeId(7));
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->idx_bytes(), 3u * 16);
  EXPECT_EQ(volume->read(NeedleId(1), Cookie(), {}).error().code(), Code::not_found);
  const auto found = volume->read(NeedleId(2), Cookie(), {});
  ASSERT_TRUE(found.ok()) << found.error().what();
  EXPECT_EQ(text_of(found->needle.data), "data");
}

TEST_F(UpkeepTest, AnIndexIsConsolidatedOnlyWhereItIs) {
  const auto missing = upkeep->sync_index(VolumeId(9));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::not_found);
  EXPECT_EQ(missing.error().what(), "not found volume id 9");
  ASSERT_TRUE(store->allocate({.id = VolumeId(7)}).ok());
  put(1);
  disk.fail_at(0);
  EXPECT_EQ(upkeep->sync_index(VolumeId(7)).error().code(), Code::io);  // a failed sync is no success
  disk.fail_never();
}

}  // namespace
}  // namespace holdfast::volume
