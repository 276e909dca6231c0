// Volumes on a simulated disk: power lost at any moment, full disks, I/O errors, failed syncs.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {
namespace {

const VolumePlace kPlace{.id = VolumeId(7), .data_folder = "/d", .index_folder = "/d"};
constexpr Cookie kCookie(0xc0ffee);

class World {
 public:
  explicit World(std::uint64_t seed) : disk(seed) {
    EXPECT_TRUE(disk.make_folder("/d").ok());
    EXPECT_TRUE(disk.sync_dir("/").ok());
  }
  Surroundings around() { return {disk, clock, pool}; }
  void create() {
    auto made = Volume::create(around(), kPlace, {});
    ASSERT_TRUE(made.ok()) << made.error().what();
    volume = *made;
  }
  void open() {
    volume.reset();
    auto opened = Volume::open(around(), kPlace);
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    volume = *opened;
  }

  Status put(std::uint64_t key, std::string_view data, bool fsync) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    put.needle.flags = kFlagName | kFlagLastModified;
    put.needle.last_modified = 1;
    put.fsync = fsync;
    Status out = Error(Code::internal, "no answer");
    put.done = [&](Result<Put::Outcome> r) { out = r.ok() ? Status() : Status(r.error()); };
    volume->put(std::move(put), true);
    return out;
  }
  Status remove(std::uint64_t key, bool fsync) {
    Status out = Error(Code::internal, "no answer");
    volume->remove({.id = NeedleId(key), .cookie = kCookie, .fsync = fsync, .done = [&](Result<std::int32_t> r) {
                      out = r.ok() ? Status() : Status(r.error());
                    }}, true);
    return out;
  }
  // The data, "<gone>", or "<error>".
  std::string read(std::uint64_t key) {
    auto found = volume->read(NeedleId(key), kCookie, {});
    if (!found) return found.error().code() == Code::not_found ? "<gone>" : "<error>";
    return std::string(text_of(found->needle.data));
  }

  io::sim::SimDisk disk;
  io::sim::ManualClock clock;
  WorkPool pool{0};  // everything runs on the test's thread
  std::shared_ptr<Volume> volume;
};

// What may be read of a key after the power came back: its state at the last sync, or any later one.
struct History {
  std::string synced = "<gone>";
  std::vector<std::string> later;

  bool allows(const std::string& state) const {
    return state == synced || std::find(later.begin(), later.end(), state) != later.end();
  }
};

TEST(VolumeOnAFaultyDisk, TheSameFileOnceMoreWithFsyncIsOnDiskThen) {
  World world(1);
  world.create();
  ASSERT_TRUE(world.put(1, "hello", false).ok());
  ASSERT_TRUE(world.put(1, "hello", true).ok());
  world.disk.crash_keeping([](const auto&) { return false; }, 0);
  world.open();
  EXPECT_EQ(world.read(1), "hello");
}

TEST(VolumeOnAFaultyDisk, WhatWasSyncedIsThereAfterAPowerLoss) {
  int lives = 0;
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    World world(seed);
    world.create();
    std::mt19937_64 random(seed);
    std::map<std::uint64_t, History> files;
    std::set<std::uint64_t> used_up;
    for (int life = 0; life < 4; life++) {
      const auto operations = random() % 60;
      for (std::uint64_t i = 0; i < operations; i++) {
        const auto key = random() % 20;
        if (used_up.contains(key)) continue;
        const bool fsync = random() % 6 == 0;
        auto& file = files[key];
        if (random() % 5 == 0) {
          if (!world.remove(key, fsync).ok()) continue;
          file.later.push_back("<gone>");
        } else {
          const auto data = std::to_string(random()) + std::string(random() % 1500, 'x');
          ASSERT_TRUE(world.put(key, data, fsync).ok());
          file.later.push_back(data);
        }
        if (!fsync) continue;
        // A sync brings everything before it to disk too.
        for (auto& [k, f] : files) {
          if (f.later.empty()) continue;
          f.synced = f.later.back();
          f.later.clear();
        }
      }
      world.volume.reset();
      world.disk.crash();
      world.open();
      ASSERT_FALSE(world.volume->is_read_only()) << "seed " << seed << ": " << world.volume->read_only_reason();
      for (auto& [key, file] : files) {
        if (used_up.contains(key)) continue;
        const auto state = world.read(key);
        // An unsynced overwrite may have lost its data but not its row: then reading says so. When only its cookie was
        // lost, which no checksum covers, it looks like another's file.
        const auto slot = world.volume->find(NeedleId(key));
        const bool torn = state == "<error>" || (state == "<gone>" && slot && slot->is_live());
        const bool unsynced_damage = torn && !file.later.empty();
        ASSERT_TRUE(file.allows(state) || unsynced_damage) << "seed " << seed << " key " << key << " is " << state.substr(0, 30);
        file.synced = state;
        file.later.clear();
        if (state == "<gone>" && torn) used_up.insert(key);
        if (state == "<error>") {
          // It can be mended by writing it again.
          const auto mended = world.put(key, "mended", true);
          ASSERT_TRUE(mended.ok()) << mended.error().what();
          file.synced = "mended";
        }
      }
      // What was read is what a sync now keeps.
      ASSERT_TRUE(world.volume->sync().ok());
      lives++;
    }
  }
  EXPECT_EQ(lives, 1200);
}

TEST(VolumeOnAFaultyDisk, AFailedAppendLeavesNoTrace) {
  for (int step = 0; step < 3; step++) {
    World world(9);
    world.create();
    ASSERT_TRUE(world.put(1, "one", false).ok());
    const auto size = world.volume->dat_bytes();
    world.disk.fail_at(static_cast<std::uint64_t>(step));
    EXPECT_EQ(world.put(2, "two", false).ok(), step == 2);  // .dat, then .idx
    world.disk.fail_never();
    if (step == 2) continue;
    // The cut failed as well, so nobody may write behind it.
    EXPECT_TRUE(world.volume->is_read_only());
    EXPECT_EQ(world.read(1), "one");
    EXPECT_EQ(world.read(2), "<gone>");
    world.open();
    EXPECT_EQ(world.read(1), "one");
    EXPECT_GE(world.volume->dat_bytes(), size);
    EXPECT_FALSE(world.volume->is_read_only());
  }
}

TEST(VolumeOnAFaultyDisk, AFullDiskIsSaidAndThenForgotten) {
  World world(5);
  world.create();
  ASSERT_TRUE(world.put(1, "one", false).ok());
  const auto size = world.volume->dat_bytes();
  world.disk.set_faults({.capacity = 600});
  EXPECT_EQ(world.put(2, std::string(5000, 'x'), false).error().code(), Code::no_space);
  EXPECT_EQ(world.volume->dat_bytes(), size);
  EXPECT_EQ(world.volume->read_only_reason(), "low space");
  EXPECT_EQ(world.read(1), "one");
  world.disk.set_faults({});
  world.volume->set_low_space(false);
  EXPECT_TRUE(world.put(2, std::string(5000, 'x'), false).ok());
  world.open();
  EXPECT_EQ(world.read(2), std::string(5000, 'x'));
}

TEST(VolumeOnAFaultyDisk, AfterAFailedSyncItIsReadOnly) {
  World world(5);
  world.create();
  ASSERT_TRUE(world.put(1, "one", true).ok());
  world.disk.set_faults({.sync_error_ppm = 1'000'000});
  EXPECT_FALSE(world.put(2, "two", true).ok());
  world.disk.set_faults({});
  EXPECT_EQ(world.put(3, "three", false).error().code(), Code::read_only);
  EXPECT_EQ(world.read(1), "one");
  EXPECT_EQ(world.read(2), "<gone>");
}

TEST(VolumeOnAFaultyDisk, ThreeReadErrorsInARowAreAQuarantine) {
  World world(5);
  world.create();
  ASSERT_TRUE(world.put(1, "one", false).ok());
  world.disk.set_faults({.read_error_ppm = 1'000'000});
  EXPECT_EQ(world.read(1), "<error>");
  EXPECT_EQ(world.read(1), "<error>");
  EXPECT_FALSE(world.volume->is_quarantined());
  world.disk.set_faults({});
  EXPECT_EQ(world.read(1), "one");  // not in a row
  world.disk.set_faults({.read_error_ppm = 1'000'000});
  for (int i = 0; i < 3; i++) EXPECT_EQ(world.read(1), "<error>");
  world.disk.set_faults({});
  EXPECT_TRUE(world.volume->is_quarantined());
  EXPECT_EQ(world.put(2, "two", false).error().code(), Code::read_only);
  EXPECT_EQ(world.read(1), "one");
  EXPECT_TRUE(world.volume->is_quarantined());
  EXPECT_TRUE(world.volume->mark_writable().ok());
  EXPECT_TRUE(world.put(2, "two", false).ok());
}

}  // namespace
}  // namespace holdfast::volume
