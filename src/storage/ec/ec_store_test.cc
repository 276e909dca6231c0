// Erasure-coded volumes on a simulated disk: what is encoded is read again whatever is missing, and a crash at any
// moment leaves the volume or a whole set of shards.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "base/crc32c.h"
#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "storage/ec/ec_store.h"
#include "storage/ec/encode.h"
#include "storage/volume/store.h"

namespace holdfast::ec {
namespace {

using volume::Store;
using volume::Volume;

constexpr Cookie kCookie(0xc0ffee);
constexpr VolumeId kId(7);
const Uuid kUuid{1, 2};

std::string content(std::uint64_t key, std::size_t bytes) {
  std::mt19937_64 random(key);
  std::string out(bytes, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

class World {
 public:
  explicit World(std::vector<std::string> folders = {"/a"}) : folders_(std::move(folders)) {
    for (const auto& folder : folders_) EXPECT_TRUE(disk->make_folder(folder).ok());
    EXPECT_TRUE(disk->sync_dir("/").ok());
    clock.advance(std::chrono::hours(24));
    open();
  }
  void open() {
    store.reset();
    std::vector<volume::FolderOptions> options;
    for (const auto& folder : folders_) options.push_back({.path = folder, .volumes_max = 9, .min_free_percent = 0});
    auto opened = Store::open({*disk, clock, pool}, random, options);
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    store = std::move(*opened);
  }
  // A volume of ten files, one of them large enough to span several blocks, one deleted and one overwritten.
  void fill(std::size_t large = 2'500'000) {
    auto made = store->allocate({.id = kId, .collection = "pics"});
    ASSERT_TRUE(made.ok()) << made.error().what();
    for (std::uint64_t key = 1; key <= 10; key++) put(**made, key, content(key, key == 5 ? large : 3000 * key));
    put(**made, 3, content(3, 77));
    (*made)->remove({.id = NeedleId(4), .cookie = kCookie, .done = [](const auto& r) { EXPECT_TRUE(r.ok()); }}, true);
    files[3] = content(3, 77);
    files.erase(4);
  }
  void put(Volume& volume, std::uint64_t key, const std::string& data) {
    volume::Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    put.needle.flags = volume::kFlagName | volume::kFlagLastModified;
    put.needle.last_modified = 1;
    put.done = [](const auto& r) { EXPECT_TRUE(r.ok()); };
    volume.put(std::move(put), true);
    files[key] = data;
  }
  Status generate(Scheme scheme) { return store->ec().generate(*store->find(kId), scheme, kUuid, 0); }
  Status mount_all(Scheme scheme) {
    std::vector<ShardId> ids;
    for (ShardId id = 0; id < scheme.total(); id++) ids.push_back(id);
    return store->ec().mount(kId, "pics", ids);
  }
  // Encoded, mounted, the original gone.
  void encode(Scheme scheme) {
    fill();
    ASSERT_TRUE(generate(scheme).ok());
    ASSERT_TRUE(mount_all(scheme).ok());
    ASSERT_TRUE(store->remove(kId, false).ok());
  }
  // The data, "<gone>", or "<error>".
  std::string read(std::uint64_t key, RemoteShards* remote = nullptr) {
    Result<volume::Found> found = Error(Code::internal, "");
    if (const auto volume = store->find(kId)) {
      found = volume->read(NeedleId(key), kCookie, {});
    } else if (const auto encoded = store->ec().find(kId)) {
      found = encoded->read(NeedleId(key), kCookie, remote);
    } else {
      return "<no volume>";
    }
    if (!found) return found.error().code() == Code::not_found ? "<gone>" : "<error>";
    if (!found->body) return std::string(text_of(found->needle.data));
    std::string out(found->body->size(), '\0');
    EXPECT_TRUE(found->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}).ok());
    return out;
  }
  void expect_all(RemoteShards* remote = nullptr, const std::string& when = "") {
    for (std::uint64_t key = 1; key <= 11; key++) {
      const auto it = files.find(key);
      EXPECT_EQ(crc32c(bytes_of(read(key, remote))), crc32c(bytes_of(it == files.end() ? "<gone>" : it->second)))
          << "needle " << key << " " << when;
    }
  }
  std::string path(const std::string& ext) const { return "/a/pics_7" + ext; }
  std::string file(const std::string& ext) { return disk->read_file(path(ext), 1_GiB).value(); }
  bool has(const std::string& ext) { return disk->info(path(ext)).ok(); }
  void write(const std::string& path, std::uint64_t at, std::string_view bytes) {
    auto file = disk->open(path, {.write = true, .create = true});
    EXPECT_TRUE((*file)->write(at, bytes_of(bytes)).ok());
  }

  std::unique_ptr<io::sim::SimDisk> disk = std::make_unique<io::sim::SimDisk>(1);
  io::sim::ManualClock clock;
  io::sim::SeededRandom random{1};
  volume::WorkPool pool{0};  // everything runs on the test's thread
  std::unique_ptr<Store> store;
  std::map<std::uint64_t, std::string> files;

 private:
  std::vector<std::string> folders_;
};

// All shards of another server's store, some of them unreachable.
class Remote final : public RemoteShards {
 public:
  explicit Remote(const EcVolume& volume, ShardBits lost = 0) : volume_(volume), lost_(lost) {}
  std::vector<Result<RemoteRead>> read(VolumeId, std::int64_t encode_ts_ns, NeedleId key,
                                       const std::vector<ShardRange>& ranges) override {
    EXPECT_EQ(encode_ts_ns, volume_.encode_ts_ns());
    std::vector<Result<RemoteRead>> out;
    for (const auto& range : ranges) {
      asked++;
      if ((lost_ >> range.shard & 1) != 0) {
        out.push_back(Error(Code::unavailable, "lost"));
      } else if (volume_.is_deleted(key)) {
        out.push_back(RemoteRead::deleted);
      } else {
        const auto got = volume_.read_shard(range.shard, range.offset, range.out);
        out.push_back(got && *got == range.out.size() ? Result<RemoteRead>(RemoteRead::filled)
                                                      : Result<RemoteRead>(Error(Code::io, "short")));
      }
    }
    return out;
  }
  int asked = 0;

 private:
  const EcVolume& volume_;
  const ShardBits lost_;
};

TEST(EcStore, ReadsWhatItEncoded) {
  for (const auto scheme : {Scheme{10, 4}, Scheme{2, 1}, Scheme{28, 4}}) {
    World world;
    world.encode(scheme);
    EXPECT_FALSE(world.has(".dat"));
    EXPECT_FALSE(world.has(".idx"));
    EXPECT_TRUE(world.has(".vif"));
    EXPECT_EQ(world.file(".ecj"), "");
    world.expect_all(nullptr, text(scheme));
    world.open();  // and after a start
    world.expect_all(nullptr, text(scheme));
    const auto infos = world.store->ec().infos();
    ASSERT_EQ(infos.size(), 1u);
    EXPECT_EQ(infos[0].collection, "pics");
    EXPECT_EQ(static_cast<unsigned>(std::popcount(infos[0].bits)), scheme.total());
    EXPECT_EQ(infos[0].file_count, 9u);
    EXPECT_EQ(infos[0].shard_sizes.size(), scheme.total());
    EXPECT_NE(infos[0].encode_ts_ns, 0);
  }
}

TEST(EcStore, TheSettingsSayHowItWasEncoded) {
  World world;
  world.fill();
  const auto dat = world.store->find(kId)->dat_bytes();
  ASSERT_TRUE(world.generate({10, 4}).ok());
  const auto settings = volume::VolumeSettings::parse(world.file(".vif")).value();
  EXPECT_EQ(settings.dat_file_size, static_cast<std::int64_t>(dat));
  EXPECT_EQ(settings.bytes_offset, 0u);
  EXPECT_EQ(settings.version, 3u);
  EXPECT_EQ(settings.ec_shard_config->data_shards, 10u);
  const auto sums = Checksums::parse(bytes_of(world.file(".ecsum"))).value();
  EXPECT_EQ(sums.encode_ts_ns, settings.ec_shard_config->encode_ts_ns);
  EXPECT_EQ(sums.shards[13].blocks, (std::vector{crc32c(bytes_of(world.file(".ec13")))}));
  // The volume's own later writes of the .vif keep it.
  EXPECT_TRUE(world.store->find(kId)->mark_read_only(true).ok());
  EXPECT_EQ(volume::VolumeSettings::parse(world.file(".vif"))->ec_shard_config, settings.ec_shard_config);
}

TEST(EcStore, ReadsWithAnyFourShardsMissing) {
  World world;
  world.encode({10, 4});
  std::mt19937_64 random(4);
  for (int round = 0; round < 20; round++) {
    std::vector<ShardId> ids(14);
    for (ShardId id = 0; id < 14; id++) ids[id] = id;
    std::shuffle(ids.begin(), ids.end(), random);
    ids.resize(4);
    ASSERT_TRUE(world.store->ec().unmount(kId, ids, 0).ok());
    world.expect_all();
    ASSERT_TRUE(world.mount_all({10, 4}).ok());
  }
  ASSERT_TRUE(world.store->ec().unmount(kId, {0, 1, 2, 3, 4}, 0).ok());
  EXPECT_EQ(world.read(1), "<error>");
}

TEST(EcStore, ReadsShardsOfOtherServersAndMakesUpForLostOnes) {
  World here, there;
  here.encode({10, 4});
  there.encode({10, 4});
  ASSERT_TRUE(here.store->ec().unmount(kId, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 0).ok());
  const auto other = there.store->ec().find(kId);
  Remote all(*other);
  here.expect_all(&all);
  Remote some(*other, 0b1101);
  here.expect_all(&some, "three lost");
  Remote few(*other, 0b11111);
  EXPECT_EQ(here.read(1, &few), "<error>");
}

TEST(EcStore, ADeleteThatOnlyAnotherServerKnowsIsSeen) {
  World here, there;
  here.encode({10, 4});
  there.encode({10, 4});
  ASSERT_TRUE(here.store->ec().unmount(kId, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0).ok());
  Remote remote(*there.store->ec().find(kId));
  ASSERT_TRUE(there.store->ec().find(kId)->remove(NeedleId(2)).ok());
  EXPECT_EQ(here.read(2, &remote), "<gone>");
  EXPECT_EQ(here.read(1, &remote), here.files[1]);
}

TEST(EcStore, DeletesStayDeletedAndAreCountedOnce) {
  World world;
  world.encode({10, 4});
  const auto volume = world.store->ec().find(kId);
  EXPECT_EQ(volume->remove(NeedleId(4711)).error().code(), Code::not_found);
  ASSERT_TRUE(volume->remove(NeedleId(1)).ok());
  ASSERT_TRUE(volume->remove(NeedleId(1)).ok());
  EXPECT_EQ(world.file(".ecj").size(), 8u);
  world.files.erase(1);
  world.expect_all();
  world.write(world.path(".ecj"), 8, "torn");
  world.open();
  world.expect_all();
  EXPECT_EQ(world.store->ec().infos()[0].delete_count, 1u);
  ASSERT_TRUE(world.store->ec().find(kId)->remove(NeedleId(2)).ok());
  world.files.erase(2);
  EXPECT_EQ(world.file(".ecj").size(), 16u);
  world.open();
  world.expect_all();
}

TEST(EcStore, RotInAShardIsNotSeenByReaders) {
  World world;
  world.encode({10, 4});
  const auto good = world.file(".ec00");
  for (std::uint64_t at = 8; at < 40000; at += 64) EXPECT_TRUE(world.disk->rot(world.path(".ec00"), at, 3));
  world.expect_all();
  // A rebuild finds it out by the checksums, and makes the shard anew.
  const auto made = world.store->ec().rebuild(kId, "pics", false);
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(made->empty());  // nothing was missing, so nothing was read
  ASSERT_TRUE(world.store->ec().remove(kId, "pics", {13}, false, 0).ok());
  EXPECT_EQ(world.store->ec().rebuild(kId, "pics", false).value(), (std::vector<ShardId>{0, 13}));
  EXPECT_EQ(crc32c(bytes_of(world.file(".ec00"))), crc32c(bytes_of(good)));
  world.expect_all();
}

TEST(EcStore, AnOrderToRemoveTakesEmptyShardsToo) {
  World world;
  world.fill();
  // What a crash at the begin of an encoding leaves.
  const std::string empty = "/a/pics_7.ec03";
  ASSERT_TRUE(world.disk->replace_file(empty, "").ok());
  ASSERT_TRUE(world.store->ec().remove(kId, "pics", {0, 3}, false, 0).ok());
  EXPECT_FALSE(world.disk->info(empty).ok());
  EXPECT_TRUE(world.disk->info("/a/pics_7.dat").ok());
  EXPECT_TRUE(world.disk->info("/a/pics_7.vif").ok());
}

TEST(EcStore, RebuildsLostShardsToTheByteAndFoldsDeletions) {
  for (const auto scheme : {Scheme{10, 4}, Scheme{2, 1}}) {
    World world;
    world.encode(scheme);
    std::vector<ShardId> lost;
    std::map<ShardId, std::uint32_t> crcs;
    for (ShardId id = 0; id < scheme.parity; id++) {
      lost.push_back(id * 2);
      crcs[id * 2] = crc32c(bytes_of(world.file(fmt::format(".ec{:02}", id * 2))));
    }
    ASSERT_TRUE(world.store->ec().find(kId)->remove(NeedleId(1)).ok());
    world.files.erase(1);
    ASSERT_TRUE(world.store->ec().remove(kId, "pics", lost, false, 0).ok());
    world.expect_all();
    EXPECT_EQ(world.store->ec().rebuild(kId, "pics", false).value(), lost);
    for (const auto& [id, crc] : crcs) EXPECT_EQ(crc32c(bytes_of(world.file(fmt::format(".ec{:02}", id)))), crc);
    EXPECT_FALSE(world.has(".ecj"));
    world.expect_all();
    world.open();
    world.expect_all();
    EXPECT_EQ(static_cast<unsigned>(std::popcount(world.store->ec().find(kId)->bits())), scheme.total());
  }
}

TEST(EcStore, ADamagedChecksumFileStopsARebuildUnlessItIsToBeIgnored) {
  World world;
  world.encode({2, 1});
  ASSERT_TRUE(world.store->ec().remove(kId, "pics", {1}, false, 0).ok());
  EXPECT_TRUE(world.disk->rot(world.path(".ecsum"), 30, 1));
  EXPECT_EQ(world.store->ec().rebuild(kId, "pics", false).error().code(), Code::corrupt);
  EXPECT_FALSE(world.has(".ec01.rebuilding"));
  EXPECT_TRUE(world.store->ec().rebuild(kId, "pics", true).ok());
  world.expect_all();
}

TEST(EcStore, WhatACrashLeftHalfWrittenGoesAtTheStart) {
  World world;
  world.encode({2, 1});
  for (const auto* ext : {".ecx.tmp", ".ecsum.tmp", ".ecsum.v2.tmp", ".ecj.tmp", ".ec01.tmp", ".ec02.rebuilding"}) {
    ASSERT_TRUE(world.disk->replace_file(world.path(ext), "half").ok());
  }
  world.open();
  for (const auto* ext : {".ecx.tmp", ".ecsum.tmp", ".ecsum.v2.tmp", ".ecj.tmp", ".ec01.tmp", ".ec02.rebuilding"}) {
    EXPECT_FALSE(world.has(ext)) << ext;
  }
  world.expect_all();
}

TEST(EcStore, DecodesIntoTheVolume) {
  for (const auto scheme : {Scheme{10, 4}, Scheme{2, 1}}) {
    World world;
    world.fill();
    const auto dat = world.file(".dat");
    ASSERT_TRUE(world.generate(scheme).ok());
    ASSERT_TRUE(world.mount_all(scheme).ok());
    ASSERT_TRUE(world.store->remove(kId, false).ok());
    ASSERT_TRUE(world.store->ec().find(kId)->remove(NeedleId(1)).ok());  // the lowest key: first in the index
    world.files.erase(1);
    ASSERT_TRUE(world.store->ec().remove(kId, "pics", {1}, false, 0).ok());
    ASSERT_TRUE(world.store->ec().to_volume(kId, "pics").ok());
    const auto decoded = world.file(".dat");
    EXPECT_TRUE(dat.starts_with(decoded));
    ASSERT_TRUE(world.store->mount(kId).ok());  // also beside its shards
    EXPECT_FALSE(world.store->find(kId)->is_read_only());
    world.expect_all();
    ASSERT_TRUE(world.store->ec().remove(kId, "pics", {}, true, 0).ok());
    for (const auto* ext : {".ecx", ".ecj", ".ecsum", ".ec00"}) EXPECT_FALSE(world.has(ext)) << ext;
    world.open();
    ASSERT_NE(world.store->find(kId), nullptr);
    world.expect_all();
  }
}

TEST(EcStore, NothingIsDecodedWhenEverythingWasDeleted) {
  World world;
  world.encode({2, 1});
  for (const auto& [key, data] : world.files) ASSERT_TRUE(world.store->ec().find(kId)->remove(NeedleId(key)).ok());
  const auto decoded = world.store->ec().to_volume(kId, "pics");
  EXPECT_EQ(decoded.error().code(), Code::stale);
  EXPECT_NE(decoded.error().what().find("has no live entries"), std::string::npos);
  EXPECT_FALSE(world.has(".dat"));
}

TEST(EcStore, OfAnotherEncodingNothingIsTouched) {
  World world;
  world.encode({2, 1});
  const auto ts = world.store->ec().find(kId)->encode_ts_ns();
  EXPECT_EQ(world.store->ec().unmount(kId, {0}, ts + 1).error().code(), Code::stale);
  EXPECT_EQ(world.store->ec().remove(kId, "pics", {}, true, ts + 1).error().code(), Code::stale);
  world.expect_all();
  EXPECT_TRUE(world.store->ec().remove(kId, "pics", {}, true, ts).ok());
  EXPECT_EQ(world.read(1), "<no volume>");
  EXPECT_FALSE(world.has(".vif"));
}

TEST(EcStore, ShardsInTwoFoldersAreOneVolume) {
  World world({"/a", "/b"});
  world.fill();
  // Whichever folder the volume was made in.
  const auto from = world.store->find(kId)->place().data_folder;
  const std::string to = from == "/a" ? "/b" : "/a";
  ASSERT_TRUE(world.generate({10, 4}).ok());
  ASSERT_TRUE(world.store->remove(kId, false).ok());
  for (ShardId id = 0; id < 14; id += 2) {
    const auto name = fmt::format("/pics_7.ec{:02}", id);
    ASSERT_TRUE(world.disk->rename(from + name, to + name).ok());
  }
  world.open();
  EXPECT_EQ(world.store->ec().find(kId)->bits(), (1u << 14) - 1);
  EXPECT_EQ(world.store->ec().infos().size(), 2u);
  world.expect_all();
  for (const auto* ext : {".ecx", ".ecj", ".vif"}) EXPECT_TRUE(world.disk->info(to + "/pics_7" + ext).ok()) << ext;
  // A delete is told to both, so either folder may go.
  ASSERT_TRUE(world.store->ec().find(kId)->remove(NeedleId(2)).ok());
  EXPECT_EQ(world.disk->info(to + "/pics_7.ecj")->size, 8u);
  EXPECT_EQ(world.disk->info(from + "/pics_7.ecj")->size, 8u);
}

TEST(EcStore, ExpiredSetsGo) {
  World world;
  world.encode({2, 1});
  auto settings = volume::VolumeSettings::parse(world.file(".vif")).value();
  settings.expire_at_sec = 1000;
  ASSERT_TRUE(world.disk->replace_file(world.path(".vif"), settings.json()).ok());
  world.open();
  EXPECT_TRUE(world.store->ec().tend(1000).empty());
  EXPECT_EQ(world.store->ec().tend(1001), std::vector{kId});
  EXPECT_FALSE(world.has(".ec00"));
  EXPECT_TRUE(world.store->ec().infos().empty());
}

// --- crashes ---

TEST(EcStore, ACrashWhileEncodingLeavesTheVolumeOrAWholeSet) {
  World first;
  first.fill(1000);
  const auto files = first.files;
  ASSERT_TRUE(first.store->find(kId)->sync().ok());
  int with_volume = 0, with_set = 0;
  for (std::uint64_t seed = 1; with_set == 0 || seed < 60; seed++) {
    ASSERT_LT(seed, 500u);
    World world;
    world.files = files;
    world.store.reset();
    world.disk = first.disk->clone(seed);
    world.open();
    world.disk->fail_at(seed - 1);
    const auto made = world.generate({2, 1});
    world.disk->fail_never();
    world.store.reset();
    if (seed % 2 == 0) {
      world.disk->crash();
    } else {
      world.disk->kill_process();
    }
    world.open();
    const bool is_volume = world.store->find(kId) != nullptr;
    const auto encoded = world.store->ec().find(kId);
    EXPECT_NE(is_volume, encoded != nullptr) << "seed " << seed;
    if (encoded) {
      EXPECT_EQ(encoded->bits(), 0b111u) << "seed " << seed;
    }
    if (made.ok()) {
      EXPECT_TRUE(encoded != nullptr) << "seed " << seed;
    }
    if (is_volume) {
      for (const auto* ext : {".ec00", ".ec02", ".ecx", ".ecx.tmp"}) EXPECT_FALSE(world.has(ext)) << ext << seed;
    }
    world.expect_all(nullptr, fmt::format("seed {}", seed));
    (is_volume ? with_volume : with_set)++;
  }
  EXPECT_GT(with_volume, 20);
  EXPECT_GT(with_set, 0);
}

TEST(EcStore, ACrashWhileDecodingOrRebuildingLosesNothing) {
  World first;
  first.encode({2, 1});
  ASSERT_TRUE(first.store->ec().find(kId)->remove(NeedleId(2)).ok());
  first.files.erase(2);
  ASSERT_TRUE(first.store->ec().remove(kId, "pics", {1}, false, 0).ok());
  for (const bool decode : {true, false}) {
    bool done = false;
    for (std::uint64_t seed = 1; !done; seed++) {
      ASSERT_LT(seed, 500u);
      World world;
      world.files = first.files;
      world.store.reset();
      world.disk = first.disk->clone(seed);
      world.open();
      world.disk->fail_at(seed - 1);
      done = decode ? world.store->ec().to_volume(kId, "pics").ok()
                    : world.store->ec().rebuild(kId, "pics", false).ok();
      world.disk->fail_never();
      world.store.reset();
      if (seed % 2 == 0) {
        world.disk->crash();
      } else {
        world.disk->kill_process();
      }
      world.open();
      world.expect_all(nullptr, fmt::format("seed {} decode {}", seed, decode));
      if (const auto encoded = world.store->ec().find(kId); encoded && done && !decode) {
        EXPECT_EQ(encoded->bits(), 0b111u);
      }
    }
  }
}

TEST(EcStore, ChecksumsOfOtherGenerationsGoWithTheShardsThatTheyAreOf) {
  World world;
  world.fill(100);
  ASSERT_TRUE(world.disk->replace_file(world.path(".ecsum.v3"), "of an encoding before").ok());
  ASSERT_TRUE(world.disk->replace_file(world.path(".ecsum.version"), "somebody else's").ok());
  ASSERT_TRUE(world.generate({2, 1}).ok());
  EXPECT_TRUE(world.has(".ecsum"));
  EXPECT_FALSE(world.has(".ecsum.v3"));
  ASSERT_TRUE(world.disk->replace_file(world.path(".ecsum.v12"), "of this one").ok());
  ASSERT_TRUE(world.store->ec().remove(kId, "pics", {}, true, 0).ok());
  EXPECT_FALSE(world.has(".ecsum.v12"));
  EXPECT_TRUE(world.has(".ecsum.version"));
}

TEST(EcStore, AFullDiskLeavesTheVolume) {
  World world;
  world.fill(1000);
  world.disk->set_faults({.capacity = world.disk->used() + 2_MiB});
  EXPECT_EQ(world.generate({2, 1}).error().code(), Code::no_space);
  world.disk->set_faults({});
  for (const auto* ext : {".ec00", ".ecx", ".ecsum"}) EXPECT_FALSE(world.has(ext)) << ext;
  world.expect_all();
  world.open();
  world.expect_all();
}

}  // namespace
}  // namespace holdfast::ec
