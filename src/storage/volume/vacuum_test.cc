// What a vacuum leaves of a volume, in memory and to the byte (spec/volume-format 12), and that nobody notices it.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "base/crc32c.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "io/sim/random.h"
#include "storage/volume/vacuums.h"

namespace holdfast::volume {
namespace {

constexpr Cookie kCookie(0xc0ffee);
constexpr VolumeId kId(7);

class VacuumTest : public testing::Test {
 protected:
  VacuumTest() {
    EXPECT_TRUE(disk.make_folder("/d").ok());
    open();
  }
  void open() {
    vacuums.reset();
    store.reset();
    auto opened = Store::open({disk, clock, pool}, random, {{.path = "/d", .min_free_percent = 0}});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    store = std::move(*opened);
    vacuums = std::make_unique<Vacuums>(clock, *store);
  }
  void make(Version version = Version::v3, Ttl ttl = {}) {
    auto made = store->allocate(
        {.id = kId, .collection = "", .disk_type = "", .creation = {.ttl = ttl, .version = version}});
    ASSERT_TRUE(made.ok()) << made.error().what();
  }
  std::shared_ptr<Volume> volume() { return store->find(kId); }

  Status put(std::uint64_t key, std::string_view data, Ttl ttl = {}, Cookie cookie = kCookie) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = cookie;
    put.needle.data = bytes_of(data);
    put.needle.flags = kFlagName | kFlagMime | kFlagLastModified | kFlagPairs;
    if (!ttl.is_none()) put.needle.flags |= kFlagTtl;
    put.needle.ttl = ttl;
    put.needle.name = "a name";
    put.needle.mime = "text/x";
    put.needle.pairs = R"({"A":"b"})";
    put.needle.last_modified = seconds();
    Status out = Error(Code::internal, "no answer");
    put.done = [&](Result<Put::Outcome> r) { out = r.ok() ? Status() : Status(r.error()); };
    volume()->put(std::move(put), true);
    return out;
  }
  Status remove(std::uint64_t key) {
    Status out = Error(Code::internal, "no answer");
    volume()->remove({.id = NeedleId(key), .cookie = kCookie, .done = [&](Result<std::int32_t> r) {
                        out = r.ok() ? Status() : Status(r.error());
                      }}, true);
    return out;
  }
  std::string read(std::uint64_t key, Cookie cookie = kCookie) {
    auto found = volume()->read(NeedleId(key), cookie, {});
    if (!found) return found.error().code() == Code::not_found ? "<gone>" : "<error>";
    if (!found->body) return std::string(text_of(found->needle.data));
    std::string out(found->body->size(), '\0');
    const auto got = found->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    return got.ok() ? out : "<error>";
  }
  void vacuum() {
    const auto compacted = vacuums->compact(kId, {});
    ASSERT_TRUE(compacted.ok()) << compacted.error().what();
    totals = *compacted;
    const auto committed = vacuums->commit(kId);
    ASSERT_TRUE(committed.ok()) << committed.error().what();
  }
  std::string file(const std::string& path) { return *disk.read_file(path, 1_GiB); }
  std::vector<IndexRow> rows() {
    const auto bytes = file("/d/7.idx");
    std::vector<IndexRow> out;
    for (std::size_t i = 0; i + kIndexRowBytes <= bytes.size(); i += kIndexRowBytes) {
      out.push_back(parse_row(bytes_of(bytes).data() + i));
    }
    return out;
  }
  NeedleView needle_at(const std::string& dat, const IndexRow& row, Version version) {
    return *parse(bytes_of(dat).subspan(row.offset * kAlignment, record_bytes(row.size, version)), row.size, version);
  }
  std::uint64_t seconds() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count());
  }

  io::sim::SimDisk disk{1};
  io::sim::ManualClock clock;
  io::sim::SeededRandom random{1};
  WorkPool pool{0};
  std::unique_ptr<Store> store;
  std::unique_ptr<Vacuums> vacuums;
  Compaction::Totals totals;
};

TEST_F(VacuumTest, WhatIsLiveLiesInTheOrderOfItsKeysOneRevisionOn) {
  for (const auto version : {Version::v1, Version::v2, Version::v3}) {
    make(version);
    const std::string large(700'000, 'L');
    for (const std::uint64_t key : {50u, 3u, 900u, 20u}) ASSERT_TRUE(put(key, "file " + std::to_string(key)).ok());
    ASSERT_TRUE(put(7, large).ok());
    ASSERT_TRUE(put(8, "").ok());
    ASSERT_TRUE(put(20, "file 20 again").ok());
    ASSERT_TRUE(remove(50).ok());
    const auto old_dat = file("/d/7.dat");
    std::map<std::uint64_t, std::uint64_t> times;
    for (const auto& row : rows()) {
      if (row.is_put()) times[row.key.value()] = needle_at(old_dat, row, version).append_at_ns;
    }
    vacuum();
    EXPECT_EQ(totals.files, 5u);

    const auto dat = file("/d/7.dat");
    EXPECT_EQ(Superblock::parse(bytes_of(dat))->compact_revision, 1);
    std::vector<std::uint64_t> keys;
    std::uint64_t end = kSuperblockBytes;
    for (const auto& row : rows()) {
      ASSERT_TRUE(row.is_put());
      EXPECT_EQ(row.offset * kAlignment, end);
      end += record_bytes(row.size, version);
      const auto needle = needle_at(dat, row, version);
      EXPECT_EQ(needle.id, row.key);
      EXPECT_EQ(needle.cookie, kCookie);
      EXPECT_EQ(needle.append_at_ns, times[row.key.value()]);
      EXPECT_EQ(needle.stored_crc, crc32c(needle.data));
      if (version != Version::v1 && row.size > 0) {
        EXPECT_EQ(needle.name, "a name");
        EXPECT_EQ(needle.mime, "text/x");
        EXPECT_EQ(needle.pairs, R"({"A":"b"})");
      }
      keys.push_back(row.key.value());
    }
    EXPECT_EQ(end, dat.size());
    EXPECT_EQ(keys, (std::vector<std::uint64_t>{3, 7, 8, 20, 900}));

    const auto info = volume()->info();
    EXPECT_EQ(info.compact_revision, 1);
    EXPECT_EQ(info.size, dat.size());
    EXPECT_EQ(info.file_count, 5u);
    EXPECT_EQ(info.delete_count, 0u);
    EXPECT_EQ(volume()->garbage_ratio(), 0);
    for (int life = 0; life < 2; life++) {
      EXPECT_EQ(read(3), "file 3");
      EXPECT_EQ(read(7), large);
      EXPECT_EQ(read(8), "");
      EXPECT_EQ(read(20), "file 20 again");
      EXPECT_EQ(read(50), "<gone>");
      EXPECT_EQ(read(3, Cookie(1)), "<gone>");
      open();
    }
    ASSERT_TRUE(store->remove(kId, false).ok());
  }
}

TEST_F(VacuumTest, TheRatioIsDeletedOfAllBytes) {
  make();
  EXPECT_EQ(*vacuums->garbage_ratio(kId), 0);
  ASSERT_TRUE(put(1, std::string(1000, 'a')).ok());
  const auto one = volume()->info().content_size;
  ASSERT_TRUE(put(2, std::string(3000, 'b')).ok());
  const auto both = volume()->info().content_size;
  ASSERT_TRUE(remove(1).ok());
  EXPECT_DOUBLE_EQ(*vacuums->garbage_ratio(kId), static_cast<double>(one) / static_cast<double>(both));
  EXPECT_EQ(vacuums->garbage_ratio(VolumeId(8)).error().what(), "not found volume id 8");
}

TEST_F(VacuumTest, WhatCameMeanwhileIsBroughtOver) {
  make();
  for (std::uint64_t key = 1; key <= 10; key++) ASSERT_TRUE(put(key, "old " + std::to_string(key)).ok());
  ASSERT_TRUE(vacuums->compact(kId, {}).ok());
  ASSERT_TRUE(put(2, "new 2").ok());
  ASSERT_TRUE(put(11, "new 11").ok());
  ASSERT_TRUE(remove(3).ok());
  ASSERT_TRUE(put(12, "short lived").ok());
  ASSERT_TRUE(remove(12).ok());
  const auto old = volume();
  const auto old_dat = file("/d/7.dat");
  ASSERT_TRUE(vacuums->commit(kId).ok());
  const auto all = rows();
  ASSERT_EQ(all.size(), 13u);  // nothing of 12
  const auto dat = file("/d/7.dat");
  // Blobs as they were, to the byte, and the deletion of upstream's making.
  EXPECT_EQ(all[10].key, NeedleId(2));
  EXPECT_NE(old_dat.find(dat.substr(all[10].offset * kAlignment, record_bytes(all[10].size, Version::v3))), std::string::npos);
  EXPECT_EQ(all[12].key, NeedleId(3));
  EXPECT_EQ(all[12].size, kTombstoneSize);
  const auto deletion = *parse(bytes_of(dat).subspan(all[12].offset * kAlignment, record_bytes(0, Version::v3)), 0, Version::v3);
  EXPECT_EQ(deletion.cookie, Cookie(0x12345678));
  EXPECT_EQ(deletion.stored_crc, 0u);
  for (int life = 0; life < 2; life++) {
    EXPECT_EQ(read(1), "old 1");
    EXPECT_EQ(read(2), "new 2");
    EXPECT_EQ(read(3), "<gone>");
    EXPECT_EQ(read(11), "new 11");
    EXPECT_EQ(read(12), "<gone>");
    open();
  }
  // Who still holds the old volume reads on in the old file, and writes to the new one.
  EXPECT_TRUE(old->read(NeedleId(3), kCookie, {}).error().code() == Code::not_found);
  EXPECT_TRUE(old->read(NeedleId(1), kCookie, {}).ok());
}

TEST_F(VacuumTest, MarksAndLateWritesGoToTheNewVolume) {
  make();
  ASSERT_TRUE(put(1, "one").ok());
  const auto old = volume();
  vacuum();
  ASSERT_NE(volume(), old);
  Put late;
  const std::string data = "two";
  late.needle.id = NeedleId(2);
  late.needle.cookie = kCookie;
  late.needle.data = bytes_of(data);
  bool done = false;
  late.done = [&](const Result<Put::Outcome>& r) { done = r.ok(); };
  old->put(std::move(late), true);
  EXPECT_TRUE(done);
  EXPECT_EQ(read(2), "two");
  ASSERT_TRUE(old->mark_read_only(true).ok());
  EXPECT_TRUE(volume()->is_read_only());
  ASSERT_TRUE(vacuums->compact(kId, {}).ok());
  const auto committed = vacuums->commit(kId);
  ASSERT_TRUE(committed.ok());
  EXPECT_TRUE((*committed)->is_read_only());
  ASSERT_TRUE(old->mark_writable().ok());
  EXPECT_FALSE(volume()->is_read_only());
  open();
  EXPECT_FALSE(volume()->is_read_only());
}

TEST_F(VacuumTest, ExpiredFilesAreDroppedAndOthersStay) {
  make(Version::v3, Ttl::from_bytes(1, 2));  // an hour
  ASSERT_TRUE(put(1, "soon gone").ok());
  clock.advance(30min);
  ASSERT_TRUE(put(2, "later gone").ok());
  clock.advance(31min);
  EXPECT_EQ(read(1), "<gone>");
  EXPECT_EQ(read(2), "later gone");
  vacuum();
  EXPECT_EQ(totals.expired, 1u);
  EXPECT_EQ(totals.files, 1u);
  EXPECT_EQ(read(2), "later gone");
  EXPECT_FALSE(volume()->find(NeedleId(1)));
  EXPECT_EQ(volume()->ttl(), Ttl::from_bytes(1, 2));
}

// Upstream's vacuum goes by the volume's ttl, which is none here, and would take the file an hour early.
TEST_F(VacuumTest, AFileWithATtlOfItsOwnStaysUntilItIsOver) {
  make();
  ASSERT_TRUE(put(1, "an hour", Ttl::from_bytes(1, 2)).ok());
  ASSERT_TRUE(put(2, "for ever").ok());
  clock.advance(30min);
  vacuum();
  EXPECT_EQ(read(1), "an hour");
  clock.advance(31min);
  EXPECT_EQ(read(1), "<gone>");
  vacuum();
  EXPECT_FALSE(volume()->find(NeedleId(1)));
  EXPECT_EQ(read(2), "for ever");
}

TEST_F(VacuumTest, DamagedFilesAreBroughtOverAsTheyAre) {
  make();
  const std::string large(700'000, 'L');
  ASSERT_TRUE(put(6, "goes").ok());
  ASSERT_TRUE(put(1, "one").ok());
  ASSERT_TRUE(put(2, "rotten").ok());
  ASSERT_TRUE(put(3, large).ok());
  ASSERT_TRUE(put(4, "four").ok());
  ASSERT_TRUE(put(5, "mended").ok());
  ASSERT_TRUE(remove(6).ok());
  const auto before = rows();
  const auto record = [&](const std::string& dat, const IndexRow& row) {
    return dat.substr(row.offset * kAlignment, record_bytes(row.size, Version::v3));
  };
  ASSERT_TRUE(disk.rot("/d/7.dat", before[2].offset * kAlignment + kHeaderBytes + 5, 1));
  ASSERT_TRUE(disk.rot("/d/7.dat", before[3].offset * kAlignment + 600'000, 1));
  ASSERT_TRUE(disk.rot("/d/7.dat", before[5].offset * kAlignment + kHeaderBytes + 5, 1));
  const auto old = file("/d/7.dat");
  const auto compacted = vacuums->compact(kId, {});
  ASSERT_TRUE(compacted.ok()) << compacted.error().what();
  EXPECT_EQ(compacted->files, 5u);
  EXPECT_EQ(compacted->damaged, 3u);
  ASSERT_TRUE(put(5, "written again").ok());
  ASSERT_TRUE(vacuums->commit(kId).ok());
  const auto after = rows();
  ASSERT_EQ(after.size(), 6u);
  const auto now = file("/d/7.dat");
  EXPECT_EQ(record(now, after[1]), record(old, before[2]));
  EXPECT_EQ(record(now, after[2]), record(old, before[3]));
  for (int times = 0; times < 2; times++) {
    EXPECT_EQ(read(1), "one");
    EXPECT_EQ(read(2), "<error>");
    EXPECT_EQ(read(4), "four");
    EXPECT_EQ(read(5), "written again");
    EXPECT_EQ(read(6), "<gone>");
    open();
    EXPECT_FALSE(volume()->is_read_only());
  }
}

TEST_F(VacuumTest, NothingIsThrownAwayWhenAFileIsNotWhereItsIndexSays) {
  make();
  ASSERT_TRUE(put(1, "one").ok());
  ASSERT_TRUE(put(2, "two").ok());
  ASSERT_TRUE(put(3, "three").ok());
  ASSERT_TRUE(remove(1).ok());
  ASSERT_TRUE(disk.rot("/d/7.dat", rows()[1].offset * kAlignment + 6, 1));  // in the header's key
  const auto old = file("/d/7.dat");
  const auto refused = vacuums->compact(kId, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::corrupt);
  EXPECT_NE(refused.error().what().find("needle 2 is not where the index says"), std::string::npos) << refused.error().what();
  EXPECT_EQ(file("/d/7.dat"), old);
  EXPECT_FALSE(disk.info("/d/7.cpd").ok());
  EXPECT_EQ(read(3), "three");
  EXPECT_FALSE(volume()->is_read_only());
  ASSERT_TRUE(put(2, "another").ok());  // the way out that the error names
  ASSERT_TRUE(remove(2).ok());
  vacuum();
  EXPECT_EQ(read(2), "<gone>");
  EXPECT_EQ(read(3), "three");
}

TEST_F(VacuumTest, ADamagedVolumeIsNotTouched) {
  make();
  ASSERT_TRUE(put(1, "one").ok());
  disk.set_faults({.sync_error_ppm = 1'000'000});
  EXPECT_FALSE(vacuums->compact(kId, {}).ok());  // the snapshot's sync
  disk.set_faults({});
  EXPECT_TRUE(volume()->is_read_only());
  const auto refused = vacuums->compact(kId, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::read_only);
  EXPECT_EQ(read(1), "one");
}

TEST_F(VacuumTest, OneAtATimeAndInOrder) {
  make();
  ASSERT_TRUE(put(1, "one").ok());
  EXPECT_EQ(vacuums->commit(kId).error().what(), "volume 7 has not been compacted");
  EXPECT_TRUE(vacuums->clean_up(kId).ok());
  EXPECT_EQ(vacuums->compact(VolumeId(8), {}).error().what(), "not found volume id 8");
  EXPECT_EQ(vacuums->commit(VolumeId(8)).error().what(), "not found volume id 8");
  EXPECT_EQ(vacuums->clean_up(VolumeId(8)).error().what(), "not found volume id 8");
  ASSERT_TRUE(vacuums->compact(kId, {.go_on = [&](std::uint64_t) {
    EXPECT_EQ(vacuums->compact(kId, {}).error().code(), Code::busy);
    EXPECT_EQ(vacuums->commit(kId).error().code(), Code::busy);
    return true;
  }}).ok());
  EXPECT_TRUE(disk.info("/d/7.cpd").ok());
  EXPECT_TRUE(vacuums->clean_up(kId).ok());
  EXPECT_FALSE(disk.info("/d/7.cpd").ok());
  EXPECT_FALSE(disk.info("/d/7.cpx").ok());
  EXPECT_EQ(vacuums->commit(kId).error().what(), "volume 7 has not been compacted");
  EXPECT_EQ(vacuums->compact(kId, {.go_on = [](std::uint64_t) { return false; }}).error().code(), Code::busy);
  EXPECT_FALSE(disk.info("/d/7.cpd").ok());
  vacuum();
  vacuum();
  EXPECT_EQ(volume()->info().compact_revision, 2);
  ASSERT_TRUE(vacuums->compact(kId, {}).ok());
  clock.advance(Vacuums::kKeptMax + 1s);
  vacuums->drop_forgotten();
  EXPECT_FALSE(disk.info("/d/7.cpd").ok());
}

TEST_F(VacuumTest, AVolumeDeletedMeanwhileStaysDeleted) {
  make();
  for (std::uint64_t key = 1; key <= 10; key++) ASSERT_TRUE(put(key, "data").ok());
  int calls = 0;
  const auto ended = vacuums->compact(kId, {.go_on = [&](std::uint64_t) {
    if (++calls == 3) {
      EXPECT_TRUE(store->remove(kId, false).ok());
    }
    return true;
  }});
  EXPECT_EQ(ended.error().code(), Code::not_found);
  make();
  ASSERT_TRUE(put(1, "another").ok());
  ASSERT_TRUE(vacuums->compact(kId, {}).ok());
  ASSERT_TRUE(store->remove(kId, false).ok());
  EXPECT_FALSE(vacuums->commit(kId).ok());
  make();
  EXPECT_EQ(vacuums->commit(kId).error().code(), Code::not_found);  // of the volume that was
  const auto names = disk.list("/d");
  for (const auto& name : *names) EXPECT_FALSE(name.starts_with("7.cp")) << name;
  EXPECT_EQ(volume()->info().file_count, 0u);
}

// Random histories against a model: what is read, what is counted and what a start finds are the same with vacuums in
// between and without.
TEST_F(VacuumTest, RandomHistoriesReadTheSame) {
  for (std::uint64_t seed = 1; seed <= 30; seed++) {
    make(seed % 3 == 0 ? Version::v2 : Version::v3);
    std::mt19937_64 rng(seed);
    std::map<std::uint64_t, std::string> model;
    const auto act = [&] {
      const auto key = rng() % 3 == 0 ? rng() % 8 : rng() % 3000;
      if (rng() % 4 == 0) {
        EXPECT_EQ(remove(key).ok(), model.erase(key) == 1);
      } else {
        const auto data = rng() % 10 == 0 ? "" : std::to_string(rng()) + std::string(rng() % 300, 'd');
        EXPECT_TRUE(put(key, data).ok());
        model[key] = data;
      }
    };
    for (int vacuums_done = 0; vacuums_done < 4; vacuums_done++) {
      for (auto n = rng() % 900; n > 0; n--) act();
      ASSERT_TRUE(vacuums->compact(kId, {.go_on = [&](std::uint64_t) {
        if (rng() % 5 == 0) act();
        return true;
      }}).ok());
      for (auto n = rng() % 600; n > 0; n--) act();
      const auto committed = vacuums->commit(kId);
      ASSERT_TRUE(committed.ok()) << "seed " << seed << ": " << committed.error().what();
      if (rng() % 3 == 0) open();
      ASSERT_EQ(volume()->live_needles(), model.size()) << "seed " << seed;
      for (std::uint64_t key = 0; key < 3000; key++) {
        const auto it = model.find(key);
        const auto state = read(key);
        ASSERT_EQ(state, it == model.end() ? "<gone>" : it->second) << "seed " << seed << " key " << key;
      }
    }
    ASSERT_TRUE(store->remove(kId, false).ok());
  }
}

// Threads on a real disk: writers and readers that must not see that the volume is vacuumed over and over.
TEST(VacuumUnderLoad, NobodyNotices) {
  char folder[] = "/tmp/holdfast_vacuum_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  {
    io::posix::SystemClock clock;
    io::posix::SystemRandom random;
    WorkPool pool(2);
    auto opened = Store::open({io::posix::system_disk(), clock, pool}, random,
                              {{.path = folder, .min_free_percent = 0}});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    auto& store = **opened;
    ASSERT_TRUE(store.allocate({.id = kId, .collection = "", .disk_type = "", .creation = {}}).ok());
    Vacuums vacuums(clock, store);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> writes{0};
    constexpr int kWriters = 3;
    constexpr std::uint64_t kKeysEach = 40;
    // Each writer knows its own keys: after each answer it must read what it wrote.
    std::vector<std::map<std::uint64_t, std::string>> models(kWriters);
    const auto read = [&](std::uint64_t key) -> std::string {
      auto found = store.find(kId)->read(NeedleId(key), kCookie, {});
      if (!found) return found.error().code() == Code::not_found ? "<gone>" : "<error>";
      return std::string(text_of(found->needle.data));
    };
    std::vector<std::thread> threads;
    for (int w = 0; w < kWriters; w++) {
      threads.emplace_back([&, w] {
        std::mt19937_64 rng(static_cast<std::uint64_t>(w));
        auto& model = models[static_cast<std::size_t>(w)];
        while (!stop) {
          const auto key = static_cast<std::uint64_t>(w) * 1000 + rng() % kKeysEach;
          std::string expected = "<gone>";
          std::atomic<int> answer{0};
          if (rng() % 4 == 0) {
            store.find(kId)->remove({.id = NeedleId(key), .cookie = kCookie, .done = [&](const Result<std::int32_t>& r) {
                                       answer = r.ok() || r.error().code() == Code::not_found ? 1 : 2;
                                       answer.notify_one();
                                     }}, false);
            answer.wait(0);
            model.erase(key);
          } else {
            expected = std::to_string(rng()) + std::string(rng() % 2000, 'x');
            Put put;
            put.needle.id = NeedleId(key);
            put.needle.cookie = kCookie;
            put.needle.data = bytes_of(expected);
            put.fsync = rng() % 50 == 0;
            put.done = [&](const Result<Put::Outcome>& r) {
              answer = r.ok() ? 1 : 2;
              answer.notify_one();
            };
            store.find(kId)->put(std::move(put), false);
            answer.wait(0);
            model[key] = expected;
          }
          ASSERT_EQ(answer.load(), 1);
          ASSERT_EQ(read(key), expected);
          writes++;
        }
      });
    }
    int done = 0;
    while (done < 12 && !testing::Test::HasFatalFailure()) {
      const auto before = writes.load();
      ASSERT_TRUE(vacuums.compact(kId, {}).ok());
      const auto committed = vacuums.commit(kId);
      ASSERT_TRUE(committed.ok()) << committed.error().what();
      done++;
      while (writes < before + 50 && !testing::Test::HasFatalFailure()) std::this_thread::yield();
    }
    stop = true;
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(store.find(kId)->info().compact_revision, done);
    // Slowed down, and called off while it waits. Without garbage, so that all of the volume is read.
    ASSERT_TRUE(vacuums.compact(kId, {}).ok());
    ASSERT_TRUE(vacuums.commit(kId).ok());
    const auto live = store.find(kId)->dat_bytes();
    vacuums.set_bytes_per_second(live * 5);
    const auto begun = clock.now();
    ASSERT_TRUE(vacuums.compact(kId, {}).ok());
    EXPECT_GE(clock.now() - begun, 120ms);
    vacuums.set_bytes_per_second(1);
    std::thread compacting([&] { EXPECT_EQ(vacuums.compact(kId, {}).error().code(), Code::busy); });
    while (vacuums.under_way() == 0) std::this_thread::yield();
    EXPECT_TRUE(vacuums.clean_up(kId).ok());
    compacting.join();
    vacuums.set_bytes_per_second(0);
    for (const auto& model : models) {
      for (const auto& [key, data] : model) EXPECT_EQ(read(key), data);
    }
    vacuums.stop();
    EXPECT_EQ(vacuums.compact(kId, {}).error().code(), Code::unavailable);
    store.close();
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace holdfast::volume
