#include <gtest/gtest.h>

#include "io/sim/clock.h"
#include "io/sim/disk.h"

namespace holdfast::io::sim {
namespace {

std::unique_ptr<File> made(SimDisk& disk, const std::string& path) {
  auto file = disk.open(path, {.write = true, .create = true});
  CHECK(file.ok());
  return std::move(*file);
}

std::string content(SimDisk& disk, const std::string& path) {
  const auto read = disk.read_file(path, 1 << 20);
  return read ? *read : "error " + std::string(text(read.error().code()));
}

bool keep_all(const SimDisk::Pending&) { return true; }
bool keep_none(const SimDisk::Pending&) { return false; }

TEST(SimDisk, ACrashForgetsWhatWasNotSynced) {
  SimDisk disk(1);
  auto file = made(disk, "a");
  ASSERT_TRUE(file->write(0, bytes_of("first")).ok());
  ASSERT_TRUE(file->sync().ok());
  ASSERT_TRUE(disk.sync_dir(".").ok());
  ASSERT_TRUE(file->write(0, bytes_of("later")).ok());
  disk.crash_keeping(keep_none, 0);
  EXPECT_EQ(content(disk, "a"), "first");
  EXPECT_EQ(file->write(0, bytes_of("ghost")).error().code(), Code::io);
}

TEST(SimDisk, AFileWhoseNameWasNotSyncedIsGone) {
  SimDisk disk(1);
  auto file = made(disk, "a");
  ASSERT_TRUE(file->write(0, bytes_of("x")).ok());
  ASSERT_TRUE(file->sync().ok());
  disk.crash_keeping(keep_all, 0);
  EXPECT_EQ(content(disk, "a"), "error not_found");
}

TEST(SimDisk, EachSectorIsKeptOrLostByItself) {
  SimDisk disk(1);
  auto file = made(disk, "a");
  ASSERT_TRUE(disk.sync_dir(".").ok());
  ASSERT_TRUE(file->write(0, bytes_of(std::string(kSectorBytes, 'a') + std::string(kSectorBytes, 'b'))).ok());
  ASSERT_EQ(disk.pending().size(), 2u);
  disk.crash_keeping([](const SimDisk::Pending& p) { return p.sector == 1; }, 0);
  EXPECT_EQ(content(disk, "a"), std::string(kSectorBytes, '\0') + std::string(kSectorBytes, 'b'));
}

TEST(SimDisk, ARenameIsSeenWholeOrNotAtAll) {
  for (std::size_t kept = 0; kept <= 1; ++kept) {
    SimDisk disk(1);
    ASSERT_TRUE(disk.replace_file("a", "old").ok());
    ASSERT_TRUE(disk.replace_file("b", "new").ok());
    ASSERT_TRUE(disk.rename("b", "a").ok());
    ASSERT_EQ(disk.pending_names(), 1u);
    disk.crash_keeping(keep_none, kept);
    EXPECT_EQ(content(disk, "a"), kept ? "new" : "old");
    EXPECT_EQ(content(disk, "b"), kept ? "error not_found" : "new");
  }
}

TEST(SimDisk, ADeadProcessLosesNothingItWrote) {
  SimDisk disk(1);
  auto file = made(disk, "a");
  ASSERT_TRUE(file->write(0, bytes_of("x")).ok());
  disk.kill_process();
  EXPECT_EQ(content(disk, "a"), "x");
}

TEST(SimDisk, AFailedSyncLeavesThePageCacheLying) {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 32; ++seed) {
    SimDisk disk(seed, {.sync_error_ppm = 1'000'000});
    auto file = made(disk, "a");
    ASSERT_TRUE(disk.sync_dir(".").ok());
    ASSERT_TRUE(file->write(0, bytes_of("x")).ok());
    EXPECT_FALSE(file->sync().ok());
    disk.set_faults({});
    EXPECT_TRUE(file->sync().ok());  // the second one "succeeds"
    EXPECT_EQ(content(disk, "a"), "x");
    disk.crash();
    lost += content(disk, "a") != "x";
  }
  EXPECT_GT(lost, 0);
}

TEST(SimDisk, AFullDiskTakesNoMoreButAllocatedRoomStays) {
  SimDisk disk(1, {.capacity = 8192});
  auto file = made(disk, "a");
  ASSERT_TRUE(file->allocate(0, 8192, false).ok());
  EXPECT_TRUE(file->write(4096, bytes_of("x")).ok());
  EXPECT_EQ(made(disk, "b")->write(0, bytes_of("y")).error().code(), Code::no_space);
}

TEST(SimDisk, TheWriterCanBeStoppedAtEachOperation) {
  SimDisk disk(1);
  auto file = made(disk, "a");
  disk.fail_at(1);
  EXPECT_TRUE(file->write(0, bytes_of("1")).ok());
  EXPECT_FALSE(file->write(1, bytes_of("2")).ok());
  EXPECT_FALSE(file->sync().ok());
  disk.fail_never();
  EXPECT_EQ(content(disk, "a"), "1");
}

TEST(SimDisk, TheSameSeedGivesTheSameCrash) {
  std::string first;
  for (int run = 0; run < 2; ++run) {
    SimDisk disk(77, {.torn_sector_ppm = 300'000});
    auto file = made(disk, "a");
    ASSERT_TRUE(disk.sync_dir(".").ok());
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(file->write(static_cast<std::uint64_t>(i) * 300, bytes_of(std::string(300, static_cast<char>('a' + i)))).ok());
    }
    disk.crash();
    if (run == 0) first = content(disk, "a");
    EXPECT_EQ(content(disk, "a"), first);
  }
}

TEST(SimDisk, ACloneLivesItsOwnLife) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.replace_file("a", "one").ok());
  auto other = disk.clone(2);
  ASSERT_TRUE(other->replace_file("a", "two").ok());
  EXPECT_EQ(content(disk, "a"), "one");
  EXPECT_EQ(content(*other, "a"), "two");
}

TEST(SimDisk, ALockIsGivenBackByDeath) {
  SimDisk disk(1);
  auto lock = disk.lock("lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(disk.lock("lock").error().code(), Code::busy);
  disk.kill_process();
  EXPECT_TRUE(disk.lock("lock").ok());
}

TEST(SimDisk, FoldersListTheirOwnChildrenOnly) {
  SimDisk disk(1);
  ASSERT_TRUE(disk.make_folders("m/log").ok());
  ASSERT_TRUE(disk.replace_file("m/vote", "v").ok());
  ASSERT_TRUE(disk.replace_file("m/log/1", "x").ok());
  EXPECT_EQ(*disk.list("m"), (std::vector<std::string>{"log", "vote"}));
  EXPECT_EQ(*disk.list("."), std::vector<std::string>{"m"});
  ASSERT_TRUE(disk.remove_all("m").ok());
  EXPECT_TRUE(disk.list(".")->empty());
}

TEST(SeededRandomTest, RepeatsUnderItsSeed) {
  SeededRandom a(5);
  SeededRandom b(5);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(SeededRandom(5).next(), SeededRandom(6).next());
}

TEST(ManualClockTest, MovesOnlyWhenToldTo) {
  ManualClock clock;
  const Instant before = clock.now();
  clock.advance(5ms);
  clock.jump_wall(-1h);
  EXPECT_EQ(clock.now(), before + 5ms);
}

}  // namespace
}  // namespace holdfast::io::sim
