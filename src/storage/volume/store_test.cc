#include "storage/volume/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "io/sim/clock.h"
#include "storage/volume/volume_settings.h"

namespace holdfast::volume {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-store-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    for (const auto* name : {"a", "b", "i"}) std::filesystem::create_directory(root_ + "/" + name);
  }
  ~StoreTest() override { std::filesystem::remove_all(root_); }

  std::string a() const { return root_ + "/a"; }
  std::string b() const { return root_ + "/b"; }
  Result<std::unique_ptr<Store>> try_open(std::vector<FolderOptions> folders) {
    return Store::open({disk_, clock_, pool_}, random_, std::move(folders));
  }
  std::unique_ptr<Store> open(std::vector<FolderOptions> folders) {
    auto store = try_open(std::move(folders));
    EXPECT_TRUE(store.ok()) << store.error().what();
    return store.ok() ? std::move(*store) : nullptr;
  }
  std::unique_ptr<Store> open() { return open({{.path = a(), .volumes_max = 3, .min_free_percent = 0}}); }
  void put(const std::string& path, const std::string& content) {
    const auto written = disk_.replace_file(path, content);
    EXPECT_TRUE(written.ok());
  }

  io::Disk& disk_ = io::posix::system_disk();
  io::Random& random_ = io::posix::system_random();
  io::sim::ManualClock clock_;
  WorkPool pool_{1};
  std::string root_;
};

TEST_F(StoreTest, FindsItsVolumesAgain) {
  auto store = open();
  ASSERT_TRUE(store->allocate({.id = VolumeId(3), .collection = "pics_of_me"}).ok());
  ASSERT_TRUE(store->allocate({.id = VolumeId(4)}).ok());
  EXPECT_EQ(store->allocate({.id = VolumeId(4)}).error().what(), "Volume Id 4 already exists!");
  const auto uuids = store->folder_uuids();
  store.reset();
  store = open();
  EXPECT_EQ(store->volumes().size(), 2u);
  EXPECT_EQ(store->find(VolumeId(3))->place().collection, "pics_of_me");
  EXPECT_EQ(store->folder_uuids(), uuids);
  EXPECT_EQ(uuids[0].size(), 36u);
}

TEST_F(StoreTest, SlotsRunOut) {
  auto store = open();
  for (std::uint32_t id = 1; id <= 3; id++) ASSERT_TRUE(store->allocate({.id = VolumeId(id)}).ok());
  EXPECT_EQ(store->allocate({.id = VolumeId(4)}).error().what(), "No more free space left");
  EXPECT_EQ(store->allocate({.id = VolumeId(4), .disk_type = "ssd"}).error().code(), Code::no_space);
  ASSERT_TRUE(store->remove(VolumeId(1), true).ok());
  EXPECT_TRUE(store->allocate({.id = VolumeId(4)}).ok());
  EXPECT_EQ(store->remove(VolumeId(77), false).error().what(), "volume 77 not found");
}

TEST_F(StoreTest, NoCollectionNameLeadsOutOfTheFolder) {
  auto store = open();
  for (const auto* name : {"../x", "/x", "b/x"}) {
    EXPECT_EQ(store->allocate({.id = VolumeId(1), .collection = name}).error().code(), Code::invalid) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(root_ + "/x_1.dat"));
}

TEST_F(StoreTest, TheEmptierFolderOfTheWantedKindIsTaken) {
  auto store = open({{.path = a(), .volumes_max = 1, .disk_type = "", .min_free_percent = 0},
                     {.path = b(), .volumes_max = 5, .disk_type = "ssd", .min_free_percent = 0}});
  EXPECT_EQ((*store->allocate({.id = VolumeId(1), .disk_type = "ssd"}))->place().data_folder, b());
  EXPECT_EQ((*store->allocate({.id = VolumeId(2)}))->place().data_folder, a());
  EXPECT_FALSE(store->allocate({.id = VolumeId(3)}).ok());
}

TEST_F(StoreTest, AFolderBelongsToOneProcess) {
  auto store = open();
  const auto second = try_open({{.path = a()}});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::busy);
}

TEST_F(StoreTest, AMissingFolderIsNamed) {
  const auto store = try_open({{.path = root_ + "/nowhere"}});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().what(), "Check Data Folder(-dir) Writable " + root_ + "/nowhere : stat " + root_ +
                                      "/nowhere: no such file or directory");
}

TEST_F(StoreTest, AnIndexFolderKeepsTheIndexes) {
  const std::vector<FolderOptions> folders{{.path = a(), .index_path = root_ + "/i", .min_free_percent = 0}};
  auto store = open(folders);
  ASSERT_TRUE(store->allocate({.id = VolumeId(9)}).ok());
  EXPECT_TRUE(disk_.info(root_ + "/i/9.idx").ok());
  EXPECT_FALSE(disk_.info(a() + "/9.idx").ok());
  store.reset();
  store = open(folders);
  ASSERT_TRUE(store->find(VolumeId(9)));
  ASSERT_TRUE(store->remove(VolumeId(9), false).ok());
  EXPECT_FALSE(disk_.info(root_ + "/i/9.idx").ok());
}

TEST_F(StoreTest, ACollectionGoesAsAWhole) {
  auto store = open();
  ASSERT_TRUE(store->allocate({.id = VolumeId(1), .collection = "c"}).ok());
  ASSERT_TRUE(store->allocate({.id = VolumeId(2), .collection = "c"}).ok());
  ASSERT_TRUE(store->allocate({.id = VolumeId(3)}).ok());
  EXPECT_EQ(store->remove_collection("c").size(), 2u);
  EXPECT_EQ(store->remove_collection("c").size(), 0u);
  EXPECT_EQ(store->volumes().size(), 1u);
}

TEST_F(StoreTest, AVacuumIsFinishedOnlyWithItsMarker) {
  open()->allocate({.id = VolumeId(1)}).value();
  Superblock vacuumed;
  vacuumed.compact_revision = 1;
  put(a() + "/1.cpd", vacuumed.encode());
  put(a() + "/1.cpx", "");
  auto store = open();
  EXPECT_EQ(store->find(VolumeId(1))->info().compact_revision, 0u);
  EXPECT_FALSE(disk_.info(a() + "/1.cpd").ok());
  store.reset();
  put(a() + "/1.cpd", vacuumed.encode());
  put(a() + "/1.cpx", "");
  put(a() + "/1.cpc", "");
  store = open();
  EXPECT_EQ(store->find(VolumeId(1))->info().compact_revision, 1u);
  EXPECT_FALSE(disk_.info(a() + "/1.cpc").ok());
}

TEST_F(StoreTest, WhatIsNotForThisVersionStaysUntouched) {
  open()->allocate({.id = VolumeId(1)}).value();
  put(a() + "/2.dat", "\x09");
  put(a() + "/3.dat", Superblock().encode());
  put(a() + "/3.note", "copying");
  put(a() + "/4.dat", Superblock().encode());
  put(a() + "/4.ecx", "");
  put(a() + "/4.ec00", "x");
  put(a() + "/5.vif", VolumeSettings().json());
  put(a() + "/notanumber.idx", "");
  auto store = open({{.path = a(), .volumes_max = 9, .min_free_percent = 0}});
  EXPECT_EQ(store->volumes().size(), 1u);
  for (const auto* name : {"/2.dat", "/3.dat", "/3.note", "/4.ec00", "/5.vif", "/notanumber.idx"}) {
    EXPECT_TRUE(disk_.info(a() + name).ok()) << name;
  }
}

TEST_F(StoreTest, FilesThatWereToTakeAnothersPlaceGoAtTheStart) {
  open()->allocate({.id = VolumeId(1)}).value();
  for (const auto* name : {"/1.vif.tmp", "/2.note.tmp", "/c_3.dat.tmp", "/notanumber.idx.tmp"}) put(a() + name, "x");
  auto store = open({{.path = a(), .volumes_max = 9, .min_free_percent = 0}});
  for (const auto* name : {"/1.vif.tmp", "/2.note.tmp", "/c_3.dat.tmp"}) EXPECT_FALSE(disk_.info(a() + name).ok()) << name;
  EXPECT_TRUE(disk_.info(a() + "/notanumber.idx.tmp").ok());  // somebody else's
  EXPECT_EQ(store->volumes().size(), 1u);
}

// Encoding writes .ecx first and removes the .dat last. Until the shards are whole the .dat is the volume.
TEST_F(StoreTest, AnEncodingThatWasNotFinishedLeavesItsVolume) {
  for (const auto* base : {"/1", "/2", "/3"}) {
    put(a() + base + ".dat", Superblock().encode() + std::string(40, '\0'));
    put(a() + base + ".idx", "");
    put(a() + base + ".ecx", "");
  }
  put(a() + "/1.ec00", std::string(1000, 'x'));             // begun
  put(a() + "/2.ec00", std::string(1_MiB, 'x'));            // whole: a row of blocks of 1 MiB each
  put(a() + "/2.ec13", std::string(1_MiB, 'x'));
  auto store = open({{.path = a(), .volumes_max = 9, .min_free_percent = 0}});
  EXPECT_NE(store->find(VolumeId(1)), nullptr);
  EXPECT_EQ(store->find(VolumeId(2)), nullptr);
  EXPECT_NE(store->find(VolumeId(3)), nullptr);  // none
  for (const auto* name : {"/2.ec13", "/2.dat", "/2.ecx", "/3.dat"}) EXPECT_TRUE(disk_.info(a() + name).ok()) << name;
  for (const auto* name : {"/1.ec00", "/1.ecx", "/3.ecx"}) EXPECT_FALSE(disk_.info(a() + name).ok()) << name;
}

// What is left of the .dat of an erasure-coded volume, whose shards may be elsewhere: no new, empty volume.
TEST_F(StoreTest, AStubOfAnErasureCodedVolumeIsNoVolume) {
  VolumeSettings settings;
  settings.ec_shard_config = EcShardConfig{.data_shards = 10, .parity_shards = 4};
  put(a() + "/1.dat", Superblock().encode());
  put(a() + "/1.idx", "");
  put(a() + "/1.vif", settings.json());
  EXPECT_EQ(open()->find(VolumeId(1)), nullptr);
  EXPECT_TRUE(disk_.info(a() + "/1.dat").ok());
}

TEST_F(StoreTest, MountAndUnmountLeaveTheFiles) {
  auto store = open();
  store->allocate({.id = VolumeId(1)}).value();
  EXPECT_TRUE(store->unmount(VolumeId(1)));
  EXPECT_FALSE(store->unmount(VolumeId(1)));
  EXPECT_FALSE(store->find(VolumeId(1)));
  EXPECT_TRUE(store->mount(VolumeId(1)).ok());
  EXPECT_TRUE(store->mount(VolumeId(1)).ok());
  EXPECT_FALSE(store->mount(VolumeId(2)).ok());
}

TEST_F(StoreTest, LowSpaceStopsWritesAndSlots) {
  auto store = open({{.path = a(), .volumes_max = 3, .min_free_percent = 0}});
  store->allocate({.id = VolumeId(1)}).value();
  store.reset();
  store = open({{.path = a(), .volumes_max = 3, .min_free_percent = 100.1}});
  EXPECT_EQ(store->find(VolumeId(1))->read_only_reason(), "low space");
  EXPECT_EQ(store->folders()[0].volumes_max, 1u);
  EXPECT_FALSE(store->allocate({.id = VolumeId(2)}).ok());
}

TEST_F(StoreTest, AVolumeIsDeletedWhenItsTtlAndTheGraceAreOver) {
  auto store = open();
  store->allocate({.id = VolumeId(1), .creation = {.ttl = *Ttl::parse("10m")}}).value();
  std::atomic<bool> stored{false};
  Put put;
  put.needle.id = NeedleId(1);
  put.needle.data = bytes_of("x");
  put.done = [&](Result<Put::Outcome> r) { stored = r.ok(); };
  store->find(VolumeId(1))->put(std::move(put), true);
  ASSERT_TRUE(stored);
  clock_.advance(10min + 59s);
  EXPECT_TRUE(store->tend(30000_MiB).empty());
  clock_.advance(2s);
  EXPECT_EQ(store->tend(30000_MiB).size(), 1u);
  EXPECT_FALSE(store->find(VolumeId(1)));
}

TEST_F(StoreTest, TheStateOfTheNewestFolderCounts) {
  ServerState state;
  state.cluster_id = ClusterId(random_.uuid());
  state.generation = Generation(2);
  state.term = Term(7);
  state.masters = {{NodeId(random_.uuid()), *Address::parse("[::1]:9333.1234"), false}};
  const std::vector<FolderOptions> folders{{.path = a()}, {.path = b()}};
  auto store = open(folders);
  EXPECT_EQ(store->state_at_open(), ServerState());
  ASSERT_TRUE(store->save(state).ok());
  auto newer = state;
  newer.term = Term(8);
  ASSERT_TRUE(newer.save(disk_, b()).ok());
  store.reset();
  EXPECT_EQ(open(folders)->state_at_open(), newer);
}

TEST(ServerState, OfANewerFormatIsRefused) {
  EXPECT_EQ(ServerState::parse("{\"format\":2}").error().code(), Code::unsupported);
  EXPECT_EQ(ServerState::parse("{}").error().code(), Code::corrupt);
  EXPECT_EQ(ServerState::parse("nonsense").error().code(), Code::corrupt);
}

}  // namespace
}  // namespace holdfast::volume
