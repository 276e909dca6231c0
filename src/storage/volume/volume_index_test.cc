// An index on disk answers and counts as one in memory does, whatever became of it and of the .idx (volume_index.h).
#include "storage/volume/volume_index.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <system_error>

#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "storage/volume/vacuums.h"

namespace holdfast::volume {
namespace {

namespace fs = std::filesystem;

constexpr Cookie kCookie(0xc0ffee);
constexpr VolumeId kId(7);
constexpr std::uint64_t kKeysMax = 300;

class VolumeIndexTest : public testing::Test {
 protected:
  VolumeIndexTest() {
    std::string pattern = (fs::temp_directory_path() / "holdfast-index-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    fs::create_directory(root_ / "d");
  }
  ~VolumeIndexTest() override {
    store.reset();
    fs::remove_all(root_);
  }

  fs::path folder() const { return root_ / "d"; }
  fs::path cache(std::uint16_t revision = 0) const { return folder() / "7.hfidx" / std::to_string(revision); }

  std::unique_ptr<Store> opened(const fs::path& folder, bool on_disk) {
    auto made = Store::open({io::posix::system_disk(), io::posix::system_clock(), pool_, on_disk ? &caches_ : nullptr},
                            io::posix::system_random(), {{.path = folder.string(), .min_free_percent = 0}});
    EXPECT_TRUE(made.ok()) << made.error().what();
    return made.ok() ? std::move(*made) : nullptr;
  }
  void open(bool on_disk = true) {
    store.reset();
    store = opened(folder(), on_disk);
  }
  void make() {
    open();
    const auto made = store->allocate({.id = kId, .collection = "", .disk_type = "", .creation = {}});
    ASSERT_TRUE(made.ok()) << made.error().what();
  }
  Volume& volume() { return *store->find(kId); }

  bool put(std::uint64_t key, std::string_view data) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    bool good = false;
    put.done = [&](Result<Put::Outcome> r) { good = r.ok(); };
    volume().put(std::move(put), true);
    return good;
  }
  bool remove(std::uint64_t key) {
    bool good = false;
    volume().remove({.id = NeedleId(key), .cookie = kCookie, .done = [&](Result<std::int32_t> r) { good = r.ok(); }}, true);
    return good;
  }
  void vacuum() {
    Vacuums vacuums(io::posix::system_clock(), *store);
    const auto compacted = vacuums.compact(kId, {});
    ASSERT_TRUE(compacted.ok()) << compacted.error().what();
    const auto committed = vacuums.commit(kId);
    ASSERT_TRUE(committed.ok()) << committed.error().what();
  }

  // All that lookups and counts say.
  static std::string answers(const Volume& volume) {
    std::string out;
    for (std::uint64_t key = 0; key <= kKeysMax; key++) {
      if (const auto slot = volume.find(NeedleId(key))) out += fmt::format("{}:{},{} ", key, slot->offset, slot->size);
    }
    const auto info = volume.info();
    return out + fmt::format("| {} {} {} {} {} {}", info.content_size, info.file_count, info.delete_count,
                             info.deleted_byte_count, info.max_key.value(), volume.live_needles());
  }

  // The library removes files that it does not need any more in the background, also between two lines of this.
  static void copy_as_it_is(const fs::path& from, const fs::path& to) {
    std::error_code gone;
    fs::create_directory(to);
    for (fs::directory_iterator it(from, gone), end; !gone && it != end; it.increment(gone)) {
      std::error_code error;
      if (it->is_directory(error)) {
        copy_as_it_is(it->path(), to / it->path().filename());
      } else if (!fs::copy_file(it->path(), to / it->path().filename(), error)) {
        EXPECT_EQ(error, std::errc::no_such_file_or_directory) << it->path();
      }
    }
  }
  // What a start finds that comes after the process died just now: the files are as they are.
  fs::path crashed() {
    const auto copy = root_ / fmt::format("crash{}", crashes_++);
    copy_as_it_is(folder(), copy);
    return copy;
  }
  // Opened in memory from the .idx alone, and on disk with the cache as it is, all is the same.
  void expect_same_after_crash(const fs::path& copy, const std::string& wanted) {
    std::string on_disk;
    {
      const auto one = opened(copy, true);
      ASSERT_TRUE(one && one->find(kId));
      on_disk = answers(*one->find(kId));
    }
    const auto other = opened(copy, false);
    ASSERT_TRUE(other && other->find(kId));
    EXPECT_EQ(answers(*other->find(kId)), wanted);
    EXPECT_EQ(on_disk, wanted);
  }

  void some_files() {
    make();
    for (std::uint64_t key = 1; key <= 200; key++) ASSERT_TRUE(put(key, "some content"));
    for (std::uint64_t key = 1; key <= 50; key += 3) ASSERT_TRUE(remove(key));
    for (std::uint64_t key = 100; key <= 120; key++) ASSERT_TRUE(put(key, "other content"));
  }
  // A rebuilt cache does not have it any more.
  void mark_cache(std::uint16_t revision = 0) { std::ofstream(cache(revision) / "mark") << "x"; }
  bool has_mark(std::uint16_t revision = 0) const { return fs::exists(cache(revision) / "mark"); }

  WorkPool pool_{2};
  IndexCaches caches_{8_MiB};
  fs::path root_;
  int crashes_ = 0;
  std::unique_ptr<Store> store;
};

TEST_F(VolumeIndexTest, AStartCarriesOutOnlyTheRowsBehindThoseItKnows) {
  some_files();
  ASSERT_TRUE(volume().has_index_on_disk());
  const auto before = answers(volume());
  open();
  mark_cache();
  for (std::uint64_t key = 201; key <= 210; key++) ASSERT_TRUE(put(key, "later"));
  ASSERT_TRUE(remove(205));
  const auto later = answers(volume());
  EXPECT_NE(before, later);
  const auto copy = crashed();  // the last rows are only in the .idx
  expect_same_after_crash(copy, later);
  EXPECT_TRUE(fs::exists(copy / "7.hfidx" / "0" / "mark"));
  open();
  EXPECT_EQ(answers(volume()), later);
  EXPECT_TRUE(has_mark());
  EXPECT_TRUE(volume().has_index_on_disk());
}

TEST_F(VolumeIndexTest, AnIndexOfAnotherIdxIsMadeAnew) {
  some_files();
  const auto all = answers(volume());
  store.reset();
  const auto idx = folder() / "7.idx";
  const auto rows = fs::file_size(idx);
  std::string content(rows, '\0');
  std::ifstream(idx).read(content.data(), static_cast<std::streamsize>(rows));

  // Shorter: its last rows are found in the .dat again.
  mark_cache();
  fs::resize_file(idx, rows - 10 * kIndexRowBytes);
  open();
  EXPECT_EQ(answers(volume()), all);
  EXPECT_FALSE(has_mark());
  EXPECT_TRUE(volume().has_index_on_disk());
  store.reset();

  // Of the same length, with other rows.
  mark_cache();
  for (std::size_t i = 40; i < 60; i++) std::swap_ranges(&content[i * 16], &content[i * 16 + 16], &content[(i + 60) * 16]);
  std::swap_ranges(&content[rows - 32], &content[rows - 16], &content[rows - 16]);
  std::ofstream(idx, std::ios::binary) << content;
  open();
  EXPECT_FALSE(has_mark());
  const auto other = answers(volume());
  expect_same_after_crash(crashed(), other);
}

TEST_F(VolumeIndexTest, AKindCanBeChangedAtAnyStart) {
  some_files();
  for (int round = 0; round < 3; round++) {
    const auto before = answers(volume());
    open(false);
    EXPECT_FALSE(volume().has_index_on_disk());
    EXPECT_EQ(answers(volume()), before);
    for (std::uint64_t key = 210; key <= 220; key++) ASSERT_TRUE(put(key, fmt::format("in memory {}", round)));
    if (round == 1) vacuum();
    const auto after = answers(volume());
    open();
    EXPECT_TRUE(volume().has_index_on_disk());
    EXPECT_EQ(answers(volume()), after);
  }
}

TEST_F(VolumeIndexTest, AVacuumPutsTheNewIndexInThePlaceOfTheOld) {
  some_files();
  vacuum();
  EXPECT_TRUE(volume().has_index_on_disk());
  EXPECT_FALSE(fs::exists(cache(0)));
  EXPECT_TRUE(fs::exists(cache(1)));
  ASSERT_TRUE(put(300, "behind it"));
  expect_same_after_crash(crashed(), answers(volume()));
  const auto before = answers(volume());
  open();
  mark_cache(1);
  EXPECT_EQ(answers(volume()), before);
  {
    Vacuums vacuums(io::posix::system_clock(), *store);
    ASSERT_TRUE(vacuums.compact(kId, {}).ok());
    EXPECT_TRUE(fs::exists(cache(2)));
    expect_same_after_crash(crashed(), before);  // broken off
  }
  EXPECT_FALSE(fs::exists(cache(2)));
  EXPECT_TRUE(has_mark(1));
  EXPECT_EQ(answers(volume()), before);
}

TEST_F(VolumeIndexTest, ItGoesWithTheVolumeAndUpstreamsIsLeftAlone) {
  some_files();
  fs::create_directory(folder() / "7.ldb");
  std::ofstream(folder() / "7.ldb" / "LOG") << "upstream's";
  open();
  EXPECT_TRUE(fs::exists(folder() / "7.ldb" / "LOG"));
  const auto before = answers(volume());
  store->unmount(kId);
  ASSERT_TRUE(store->mount(kId).ok());
  EXPECT_TRUE(volume().has_index_on_disk());
  EXPECT_EQ(answers(volume()), before);
  ASSERT_TRUE(store->remove(kId, false).ok());
  EXPECT_FALSE(fs::exists(folder() / "7.hfidx"));
  EXPECT_FALSE(fs::exists(folder() / "7.idx"));
}

// The .idx has it all, so an index that breaks at work is read into memory from there.
TEST_F(VolumeIndexTest, ADamagedTableIsReplacedAtWork) {
  some_files();
  store.reset();
  const auto copy = crashed();
  for (const auto& entry : fs::recursive_directory_iterator(folder() / "7.hfidx")) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto bytes = fs::file_size(entry.path());
    for (std::uint64_t at = 0; at < bytes / 2; at += 16) file.seekp(static_cast<std::streamoff>(at)).put('\x5a');
  }
  open();
  const auto now = answers(volume());
  const auto whole = opened(copy, false);
  EXPECT_EQ(now, answers(*whole->find(kId)));
}

// Random work, with a crash now and then, and damage to the cache: nothing is ever answered otherwise than by the .idx.
TEST_F(VolumeIndexTest, WhateverHappensBothKindsAgree) {
  for (std::uint32_t seed = 1; seed <= 4; seed++) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto upto = [&](std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random); };
    make();
    std::map<std::uint64_t, std::string> model;
    for (int step = 0; step < 1500; step++) {
      const auto key = 1 + upto(kKeysMax);
      const auto what = upto(1000);
      if (what < 600) {
        const auto data = std::string(upto(40), static_cast<char>('a' + upto(26)));
        ASSERT_TRUE(put(key, data));
        model[key] = data;
      } else if (what < 960) {
        EXPECT_EQ(remove(key), model.erase(key) > 0);
      } else if (what < 980) {
        volume().tend_index();
        volume().tend_index();
      } else if (what < 985) {
        open(upto(4) > 0);
      } else if (what < 988) {
        vacuum();
      } else if (what < 992) {
        expect_same_after_crash(crashed(), answers(volume()));
      } else if (what < 996) {
        // A crash, and the cache damaged anywhere.
        const auto copy = crashed();
        std::vector<fs::path> files;
        if (fs::exists(copy / "7.hfidx")) {
          for (const auto& entry : fs::recursive_directory_iterator(copy / "7.hfidx")) {
            if (entry.is_regular_file()) files.push_back(entry.path());
          }
        }
        if (files.empty()) continue;
        std::sort(files.begin(), files.end());
        const auto& file = files[upto(files.size())];
        const auto bytes = fs::file_size(file);
        const auto kind = upto(3);
        if (kind == 0) fs::remove(file);
        if (kind == 1) fs::resize_file(file, bytes / 2);
        if (kind == 2 && bytes > 0) {
          std::fstream open_file(file, std::ios::in | std::ios::out | std::ios::binary);
          open_file.seekp(static_cast<std::streamoff>(upto(bytes))).put(static_cast<char>(upto(256)));
        }
        SCOPED_TRACE(fmt::format("{} of {} bytes, kind {}", file.string(), bytes, kind));
        expect_same_after_crash(copy, answers(volume()));
      }
      if (HasFatalFailure()) return;
    }
    for (std::uint64_t key = 1; key <= kKeysMax; key++) {
      const auto slot = volume().find(NeedleId(key));
      EXPECT_EQ(slot && slot->is_live(), model.contains(key)) << key;
    }
    ASSERT_TRUE(store->remove(kId, false).ok());
    store.reset();
  }
}

}  // namespace
}  // namespace holdfast::volume
