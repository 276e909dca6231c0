#include "service/volume/tier_mover.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "io/sim/random.h"
#include "service/volume/tiers.h"
#include "storage/volume/fake_tier.h"

namespace holdfast::volume {
namespace {

constexpr VolumeId kVolume(7);
constexpr Cookie kCookie(0xc0ffee);
constexpr int kFiles = 12;

bool go_on(std::uint64_t, float) { return true; }

// A server's store on a disk that can be cut short at any operation.
class World {
 public:
  explicit World(std::unique_ptr<io::sim::SimDisk> disk, std::shared_ptr<FakeStore> objects = std::make_shared<FakeStore>())
      : disk(std::move(disk)) {
    tier.store = std::move(objects);
  }
  World() : World(std::make_unique<io::sim::SimDisk>(1)) {
    EXPECT_TRUE(disk->make_folder("/d").ok());
    EXPECT_TRUE(disk->sync_dir("/").ok());
    open();
  }

  void open() {
    mover.reset();
    store.reset();
    auto opened = Store::open({*disk, clock, pool, nullptr, &tier}, random, {{.path = "/d", .min_free_percent = 0}});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    store = std::move(*opened);
    mover = std::make_unique<TierMover>(TierMover::World{.store = *store,
                                                         .tier = tier,
                                                         .disk = *disk,
                                                         .clock = clock,
                                                         .random = random,
                                                         .admit = [](const auto&, VolumeId) { return Status(); },
                                                         .changed = [this] { changes++; }});
  }
  // A volume with files, one deleted, read-only.
  void fill(Ttl ttl = {}) {
    ASSERT_TRUE(store->allocate({.id = kVolume, .collection = "pics", .creation = {.ttl = ttl}}).ok());
    for (std::uint64_t key = 1; key <= kFiles; key++) ASSERT_TRUE(put(key).ok());
    ASSERT_TRUE(remove(kFiles).ok());
    ASSERT_TRUE(volume()->mark_read_only(true).ok());
  }
  static std::string content(std::uint64_t key) { return std::string(key * 100, static_cast<char>('a' + key)); }

  std::shared_ptr<Volume> volume() { return store->find(kVolume); }
  Status put(std::uint64_t key) {
    const auto data = content(key);
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    Status out = Error(Code::internal, "no answer");
    put.done = [&](Result<Put::Outcome> r) { out = r.ok() ? Status() : Status(r.error()); };
    volume()->put(std::move(put), true);
    return out;
  }
  Status remove(std::uint64_t key) {
    Status out = Error(Code::internal, "no answer");
    volume()->remove({.id = NeedleId(key), .cookie = kCookie, .fsync = true, .done = [&](Result<std::int32_t> r) {
                        out = r.ok() ? Status() : Status(r.error());
                      }}, true);
    return out;
  }
  // "" when all files can be read that are to be there, and none that is not.
  std::string wrong(std::uint64_t deleted = 0) {
    if (!volume()) return "it is not loaded";
    for (std::uint64_t key = 1; key <= kFiles; key++) {
      const auto found = volume()->read(NeedleId(key), kCookie, {});
      const bool gone = key == kFiles || key == deleted;
      if (gone && (found.ok() || found.error().code() != Code::not_found)) return "file " + std::to_string(key) + " is not gone";
      if (!gone && !found) return "file " + std::to_string(key) + ": " + found.error().what();
      if (!gone && text_of(found->needle.data) != content(key)) return "file " + std::to_string(key) + " differs";
    }
    return "";
  }
  Status upload(bool keep_dat = false) {
    return mover->upload({.id = kVolume, .collection = "pics", .backend = "s3.cold", .keep_dat = keep_dat}, {}, go_on);
  }
  Status download(bool keep_object = false) {
    Cancel cancel;
    return mover->download({.id = kVolume, .collection = "pics", .keep_object = keep_object}, {}, go_on, cancel);
  }
  bool has_dat() { return disk->info("/d/pics_7.dat").ok(); }

  std::unique_ptr<io::sim::SimDisk> disk;
  io::sim::ManualClock clock;
  io::sim::SeededRandom random{1};
  WorkPool pool{0};  // everything runs on the test's thread
  FakeTier tier;
  std::unique_ptr<Store> store;
  std::unique_ptr<TierMover> mover;
  int changes = 0;
};

TEST(TierMover, GoesUpAndComesBack) {
  World world;
  world.fill();
  const auto dat = *world.disk->read_file("/d/pics_7.dat", 1_MiB);
  ASSERT_TRUE(world.upload().ok());
  EXPECT_FALSE(world.has_dat());
  EXPECT_EQ(world.changes, 1);
  ASSERT_EQ(world.tier.store->objects().size(), 1u);
  EXPECT_EQ(world.tier.store->objects().begin()->second, dat);
  EXPECT_TRUE(world.tier.store->objects().begin()->first.starts_with("pics_7-"));
  EXPECT_EQ(world.wrong(), "");
  world.open();
  EXPECT_EQ(world.wrong(), "");
  ASSERT_TRUE(world.remove(3).ok());
  const auto back = world.download();
  ASSERT_TRUE(back.ok()) << back.error().what();
  EXPECT_EQ(world.tier.store->objects().size(), 0u);
  EXPECT_EQ(*world.disk->read_file("/d/pics_7.dat", 1_MiB), dat);
  EXPECT_EQ(world.changes, 2);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(world.wrong(3), "");
    EXPECT_EQ(world.volume()->read_only_reason(), "marked read-only");
    EXPECT_EQ(world.volume()->remote(), nullptr);
    world.open();
  }
  ASSERT_TRUE(world.volume()->mark_writable().ok());
  EXPECT_TRUE(world.put(100).ok());
}

TEST(TierMover, WhatIsWantedIsKept) {
  World world;
  world.fill();
  ASSERT_TRUE(world.upload(true).ok());
  EXPECT_TRUE(world.has_dat());
  EXPECT_NE(world.volume()->remote(), nullptr);
  EXPECT_TRUE(world.upload(true).ok()) << "once more is fine";
  EXPECT_TRUE(world.has_dat());
  EXPECT_TRUE(world.upload(false).ok()) << "once more lets go of it";
  EXPECT_FALSE(world.has_dat());
  EXPECT_EQ(world.wrong(), "");
  ASSERT_TRUE(world.download(true).ok());
  EXPECT_EQ(world.tier.store->objects().size(), 1u);
  EXPECT_EQ(world.wrong(), "");
  EXPECT_EQ(world.download().error().what(), "volume 7 lies on the disk already");
}

TEST(TierMover, RefusesWhatWouldLoseSomething) {
  World world;
  world.fill();
  ASSERT_TRUE(world.volume()->mark_writable().ok());
  EXPECT_EQ(world.upload().error().what(), "volume 7 takes writes, which would be lost: mark it read-only first (volume.mark -readonly)");
  ASSERT_TRUE(world.volume()->mark_read_only(true).ok());
  const auto told = [&](const TierMover::Upload& wish) { return world.mover->upload(wish, {}, go_on).error().what(); };
  EXPECT_EQ(told({.id = VolumeId(8), .collection = "pics", .backend = "s3.cold"}), "volume 8 not found");
  EXPECT_EQ(told({.id = kVolume, .collection = "", .backend = "s3.cold"}), "existing collection name:pics unexpected input: ");
  world.tier.is_told = false;
  EXPECT_EQ(world.upload().error().what(), "no master has told yet where s3.cold is");
  world.tier.is_told = true;
  ASSERT_TRUE(world.upload().ok());
  EXPECT_EQ(told({.id = kVolume, .collection = "pics", .backend = "s3.warm"}),
            "volume 7 lies in s3.cold already: bring it back first, with volume.tier.download");

  World with_ttl;
  with_ttl.fill(*Ttl::parse("3d"));
  EXPECT_EQ(with_ttl.upload().error().code(), Code::refused);
  EXPECT_TRUE(with_ttl.has_dat());
}

TEST(TierMover, AnUploadThatFailsLeavesNothingBehind) {
  for (const auto* failing : {"put", "size", "read"}) {
    World world;
    world.fill();
    world.tier.store->before = [&](const std::string& what, const std::string&) -> Status {
      if (what == failing) return Error(Code::unavailable, "as the test asked for");
      return {};
    };
    EXPECT_FALSE(world.upload().ok()) << failing;
    EXPECT_EQ(world.tier.store->objects().size(), 0u) << failing;
    EXPECT_TRUE(world.has_dat()) << failing;
    EXPECT_EQ(world.volume()->remote(), nullptr) << failing;
    world.open();
    EXPECT_EQ(world.wrong(), "") << failing;
  }
}

TEST(TierMover, WhatDoesNotArriveAsItWasIsFoundOut) {
  for (const std::uint64_t at : {std::uint64_t{20}, std::uint64_t{3000}}) {
    World world;
    world.fill();
    world.tier.store->before = [&](const std::string& what, const std::string& key) -> Status {
      auto objects = world.tier.store->objects();
      if (what == "size") objects[key][at] ^= 1;
      world.tier.store->set_objects(objects);
      return {};
    };
    EXPECT_EQ(world.upload().error().code(), Code::corrupt);
    EXPECT_TRUE(world.has_dat());
    EXPECT_EQ(world.tier.store->objects().size(), 0u);
    EXPECT_EQ(world.wrong(), "");
  }
  World shorter;
  shorter.fill();
  shorter.tier.store->before = [&](const std::string& what, const std::string& key) -> Status {
    if (what == "size") shorter.tier.store->set_objects({{key, "short"}});
    return {};
  };
  EXPECT_EQ(shorter.upload().error().code(), Code::corrupt);
  EXPECT_TRUE(shorter.has_dat());
}

TEST(TierMover, WhatIsDeletedDuringAnUploadIsNotLost) {
  World world;
  world.fill();
  ASSERT_TRUE(world.volume()->mark_read_only(true, true).ok());
  world.tier.store->before = [&](const std::string& what, const std::string&) {
    if (what == "size") {
      EXPECT_TRUE(world.remove(2).ok());
    }
    return Status();
  };
  EXPECT_EQ(world.upload().error().code(), Code::stale);
  world.tier.store->before = {};
  EXPECT_EQ(world.tier.store->objects().size(), 0u);
  EXPECT_EQ(world.wrong(2), "");
  ASSERT_TRUE(world.upload().ok());
  EXPECT_EQ(world.wrong(2), "");
}

TEST(TierMover, ACallerThatGoesCallsItOff) {
  World world;
  world.fill();
  const auto stop = [](std::uint64_t, float) { return false; };
  EXPECT_FALSE(world.mover->upload({.id = kVolume, .collection = "pics", .backend = "s3.cold"}, {}, stop).ok());
  EXPECT_EQ(world.tier.store->objects().size(), 0u);
  EXPECT_TRUE(world.has_dat());
  ASSERT_TRUE(world.upload().ok());
  Cancel cancel;
  EXPECT_FALSE(world.mover->download({.id = kVolume, .collection = "pics"}, {}, stop, cancel).ok());
  EXPECT_FALSE(world.has_dat());
  EXPECT_FALSE(world.disk->info("/d/pics_7.dat.tmp").ok());
  EXPECT_EQ(world.wrong(), "");
}

TEST(TierMover, WhatComesBackDamagedKeepsItsObject) {
  World world;
  world.fill();
  ASSERT_TRUE(world.upload().ok());
  auto objects = world.tier.store->objects();
  objects.begin()->second[300] ^= 1;
  world.tier.store->set_objects(objects);
  const auto back = world.download();
  EXPECT_EQ(back.error().code(), Code::corrupt);
  EXPECT_EQ(world.tier.store->objects().size(), 1u);
}

TEST(TierMover, AnotherDatIsNotOverwritten) {
  World world;
  world.fill();
  ASSERT_TRUE(world.upload().ok());
  ASSERT_TRUE(world.disk->replace_file("/d/pics_7.dat", "somebody else's").ok());
  EXPECT_EQ(world.download().error().code(), Code::already_exists);
  EXPECT_EQ(*world.disk->read_file("/d/pics_7.dat", 100), "somebody else's");
  EXPECT_EQ(world.wrong(), "");
}

TEST(TierMover, AFullDiskIsToldBeforeAnythingIsFetched) {
  World world;
  world.fill();
  ASSERT_TRUE(world.upload().ok());
  (void)world.tier.store->take_requests();
  world.disk->set_faults({.capacity = world.disk->used() + 1000});
  EXPECT_EQ(world.download().error().code(), Code::no_space);
  EXPECT_EQ(world.tier.store->take_requests(), std::vector<std::string>{});
}

TEST(TierMover, OneMoveAtATime) {
  World world;
  world.fill();
  world.tier.store->before = [&](const std::string& what, const std::string&) {
    if (what == "size") {
      EXPECT_EQ(world.upload().error().code(), Code::busy);
      EXPECT_EQ(world.download().error().code(), Code::busy);
    }
    return Status();
  };
  EXPECT_TRUE(world.upload().ok());
}

// What the disk and the bucket hold at each change of either, as a death of the process right there leaves it, and with
// `power` as a loss of power does.
template <typename Move>
void dies_everywhere(World& world, bool power, std::uint64_t deleted, Move move) {
  struct Future {
    std::string what;
    std::unique_ptr<io::sim::SimDisk> disk;
    std::map<std::string, std::string> objects;
  };
  std::vector<Future> futures;
  const auto look = [&](const std::string& what) { futures.push_back({what, world.disk->clone(futures.size()), world.tier.store->objects()}); };
  world.disk->before_operations([&](std::uint64_t, const std::string& what) {
    look(what);
    return Status();
  });
  world.tier.store->before = [&](const std::string& what, const std::string&) {
    look(what);
    return Status();
  };
  const auto moved = move();
  world.disk->before_operations({});
  world.tier.store->before = {};
  ASSERT_TRUE(moved.ok()) << moved.error().what();
  look("the end");
  ASSERT_GT(futures.size(), 10u);
  for (auto& future : futures) {
    if (power) {
      future.disk->crash();
    } else {
      future.disk->kill_process();
    }
    auto objects = std::make_shared<FakeStore>();
    objects->set_objects(future.objects);
    World after(std::move(future.disk), objects);
    after.open();
    ASSERT_EQ(after.wrong(deleted), "") << "before " << future.what;
    // Whatever it was, the same again ends it, and the other way round as well.
    const bool is_remote = after.volume()->remote() != nullptr;
    const auto up = after.upload();
    ASSERT_TRUE(up.ok()) << "before " << future.what << ", " << is_remote << ": " << up.error().what();
    ASSERT_FALSE(after.has_dat());
    ASSERT_EQ(after.wrong(deleted), "") << "before " << future.what;
    const auto down = after.download();
    ASSERT_TRUE(down.ok()) << "before " << future.what << ": " << down.error().what();
    ASSERT_EQ(after.wrong(deleted), "") << "before " << future.what;
    ASSERT_LE(after.tier.store->objects().size(), 1u) << "one too many is all that a death may leave";
  }
}

TEST(TierMover, WhereverItDiesOnTheWayUpTheVolumeIsWhole) {
  for (const bool power : {false, true}) {
    World world;
    world.fill();
    ASSERT_TRUE(world.volume()->sync().ok());
    dies_everywhere(world, power, 0, [&] { return world.upload(); });
  }
}

TEST(TierMover, WhereverItDiesOnTheWayBackTheVolumeIsWhole) {
  for (const bool power : {false, true}) {
    World world;
    world.fill();
    ASSERT_TRUE(world.upload().ok());
    ASSERT_TRUE(world.remove(5).ok());
    dies_everywhere(world, power, 5, [&] { return world.download(); });
  }
}

TEST(TierMover, WhateverFailsOnTheDiskTheVolumeIsWhole) {
  for (std::uint64_t at = 0; at < 40; at++) {
    for (const bool back : {false, true}) {
      World world;
      world.fill();
      if (back) {
        ASSERT_TRUE(world.upload().ok());
      }
      world.disk->fail_at(at);
      (void)(back ? world.download() : world.upload());
      world.disk->fail_never();
      ASSERT_EQ(world.wrong(), "") << at << (back ? " back" : " up");
      world.open();
      ASSERT_EQ(world.wrong(), "") << "opened again: " << at << (back ? " back" : " up");
    }
  }
}

class WhileItMoves : public ::testing::TestWithParam<bool> {};

// On a real disk, with the index in memory or on disk: whoever reads meanwhile finds every file, and what is deleted stays so.
TEST_P(WhileItMoves, EveryFileIsReadAndEveryDeletionCounts) {
  std::string folder = (std::filesystem::temp_directory_path() / "holdfast-tier-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  auto& disk = io::posix::system_disk();
  io::posix::SystemClock clock;
  WorkPool pool(2);
  FakeTier tier(2);
  const IndexCaches caches(1_MiB);
  {
    auto opened = Store::open({disk, clock, pool, GetParam() ? &caches : nullptr, &tier}, io::posix::system_random(),
                              {{.path = folder, .min_free_percent = 0}});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    auto& store = **opened;
    TierMover mover({.store = store,
                     .tier = tier,
                     .disk = disk,
                     .clock = clock,
                     .random = io::posix::system_random(),
                     .admit = [](const auto&, VolumeId) { return Status(); },
                     .changed = [] {}});
    ASSERT_TRUE(store.allocate({.id = kVolume, .collection = "pics"}).ok());
    constexpr std::uint64_t kRead = 20;
    constexpr std::uint64_t kAll = 400;
    for (std::uint64_t key = 1; key <= kAll; key++) {
      const auto data = World::content(key % 50);
      std::atomic<bool> written{false};
      Put put;
      put.needle.id = NeedleId(key);
      put.needle.cookie = kCookie;
      put.needle.data = bytes_of(data);
      put.done = [&](Result<Put::Outcome> r) { written = r.ok(); };
      store.find(kVolume)->put(std::move(put), true);
      ASSERT_TRUE(written);
    }
    ASSERT_TRUE(store.find(kVolume)->mark_read_only(true).ok());
    Cancel cancel;
    ASSERT_TRUE(mover.upload({.id = kVolume, .collection = "pics", .backend = "s3.cold"}, {}, go_on).ok());
    EXPECT_EQ(store.find(kVolume)->has_index_on_disk(), GetParam());
    ASSERT_TRUE(mover.download({.id = kVolume, .collection = "pics"}, {}, go_on, cancel).ok());
    EXPECT_EQ(store.find(kVolume)->has_index_on_disk(), GetParam());
    std::atomic<bool> stopping{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; i++) {
      threads.emplace_back([&] {
        while (!stopping) {
          for (std::uint64_t key = 1; key <= kRead; key++) {
            const auto found = store.find(kVolume)->read(NeedleId(key), kCookie, {});
            ASSERT_TRUE(found.ok()) << key << ": " << found.error().what();
            ASSERT_EQ(text_of(found->needle.data), World::content(key % 50));
          }
        }
      });
    }
    std::atomic<std::uint64_t> deleted{kRead};
    threads.emplace_back([&] {
      while (!stopping && deleted < kAll) {
        std::atomic<int> answer{0};
        store.find(kVolume)->remove({.id = NeedleId(deleted + 1), .cookie = kCookie, .done = [&](Result<std::int32_t> r) {
                                       answer = r.ok() ? 1 : r.error().code() == Code::read_only ? 2 : 3;
                                       answer.notify_one();
                                     }}, true);
        answer.wait(0);
        ASSERT_NE(answer, 3);
        if (answer == 1) deleted++;  // read-only on the disk, and deleted from in the tier
        std::this_thread::yield();
      }
    });
    for (int i = 0; i < 8; i++) {
      const auto up = mover.upload({.id = kVolume, .collection = "pics", .backend = "s3.cold", .keep_dat = i % 2 == 1}, {}, go_on);
      ASSERT_TRUE(up.ok()) << up.error().what();
      const auto seen = deleted.load();
      while (deleted < std::min(seen + 3, kAll)) std::this_thread::yield();
      const auto down = mover.download({.id = kVolume, .collection = "pics"}, {}, go_on, cancel);
      ASSERT_TRUE(down.ok()) << down.error().what();
    }
    stopping = true;
    for (auto& thread : threads) thread.join();
    EXPECT_GE(deleted, kRead + 8 * 3);
    const auto again = [&](const char* when) {
      for (std::uint64_t key = 1; key <= kAll; key++) {
        const auto slot = store.find(kVolume)->find(NeedleId(key));
        EXPECT_EQ(slot && slot->is_live(), key <= kRead || key > deleted) << when << ", file " << key;
      }
    };
    again("at the end");
    store.unmount(kVolume);
    ASSERT_TRUE(store.mount(kVolume).ok());
    again("opened again");
    EXPECT_EQ(store.find(kVolume)->has_index_on_disk(), GetParam());
  }
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(TierMover, WhileItMoves, ::testing::Bool(), [](const auto& info) {
  return info.param ? "WithItsIndexOnDisk" : "WithItsIndexInMemory";
});

TEST(Tiers, NamesThoseThatThereAre) {
  Tiers tiers;
  EXPECT_EQ(tiers.find("s3.cold").error().what(), "no master has told yet where s3.cold is");
  tiers.set({});
  EXPECT_EQ(tiers.find("s3.cold").error().what(), "s3.cold is no storage backend: the masters' master.toml names none");
  tiers.set({{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}}},
             {.type = "s3", .id = "default", .properties = {{"bucket", "b"}, {"aws_access_key_id", "x"}}},
             {.type = "rclone", .id = "x", .properties = {}}});
  EXPECT_EQ(tiers.find("s3.warm").error().what(), "s3.warm is no storage backend: the masters' master.toml names rclone.x, s3, s3.cold");
  EXPECT_EQ(tiers.find("s3").error().what(), "s3: of access key and secret key one is missing");
  EXPECT_EQ(tiers.find("rclone.x").error().code(), Code::unsupported);
  const auto cold = tiers.find("s3.cold");
  ASSERT_TRUE(cold.ok()) << cold.error().what();
  tiers.set({{.type = "s3", .id = "cold", .properties = {{"bucket", "b"}}}});
  EXPECT_EQ(*tiers.find("s3.cold"), *cold) << "what did not change stays";
  tiers.set({{.type = "s3", .id = "cold", .properties = {{"bucket", "other"}}}});
  EXPECT_NE(*tiers.find("s3.cold"), *cold);
}

}  // namespace
}  // namespace holdfast::volume
