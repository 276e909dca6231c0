// Volumes whose .dat lies in a remote tier.
#include <gtest/gtest.h>

#include "io/sim/clock.h"
#include "io/sim/disk.h"
#include "storage/volume/compaction.h"
#include "storage/volume/fake_tier.h"
#include "storage/volume/tier_switch.h"

namespace holdfast::volume {
namespace {

const VolumePlace kPlace{.id = VolumeId(7), .data_folder = "/d", .index_folder = "/d"};
constexpr Cookie kCookie(0xc0ffee);

class RemoteVolume : public ::testing::Test {
 protected:
  RemoteVolume() {
    EXPECT_TRUE(disk_.make_folder("/d").ok());
    EXPECT_TRUE(disk_.sync_dir("/").ok());
    auto made = Volume::create(around(), kPlace, {.replica_placement = *ReplicaPlacement::parse("001")});
    EXPECT_TRUE(made.ok());
    volume_ = *made;
  }

  Surroundings around() { return {disk_, clock_, pool_, nullptr, &tier_}; }

  Status put(std::uint64_t key, std::string_view data) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = kCookie;
    put.needle.data = bytes_of(data);
    put.needle.flags = kFlagLastModified;
    put.needle.last_modified = 1;
    Status out = Error(Code::internal, "no answer");
    put.done = [&](Result<Put::Outcome> r) { out = r.ok() ? Status() : Status(r.error()); };
    volume_->put(std::move(put), true);
    return out;
  }
  Result<std::int32_t> remove(std::uint64_t key, Cookie cookie = kCookie, bool fsync = false) {
    Result<std::int32_t> out = Error(Code::internal, "no answer");
    volume_->remove({.id = NeedleId(key), .cookie = cookie, .fsync = fsync, .done = [&](Result<std::int32_t> r) { out = std::move(r); }}, true);
    return out;
  }
  // The data, or the error's code in angle brackets.
  std::string read(std::uint64_t key, Cookie cookie = kCookie) {
    const auto found = volume_->read(NeedleId(key), cookie, {});
    if (!found) return "<" + std::string(text(found.error().code())) + ">";
    if (!found->body) return std::string(text_of(found->needle.data));
    std::string out;
    while (out.size() < found->body->size()) {
      std::string piece(std::min<std::uint64_t>(256_KiB, found->body->size() - out.size()), '\0');
      if (!found->body->read(out.size(), {reinterpret_cast<std::uint8_t*>(piece.data()), piece.size()}).ok()) return "<body>";
      out += piece;
    }
    return out;
  }

  // As an upload does it.
  void go_up(bool keep_dat = false) {
    const RemoteFile file{.backend_type = "s3", .backend_id = "cold", .key = "7.dat", .file_size = volume_->dat_bytes(), .modified_time = 1234, .extension = ".dat"};
    ASSERT_TRUE(tier_.store->put("7.dat", **disk_.open("/d/7.dat", {}), file.file_size, {}).ok());
    const auto moved = TierSwitch::to_remote(volume_, file, keep_dat, [&](const auto& next) { volume_ = next; });
    ASSERT_TRUE(moved.ok()) << moved.error().what();
    if (!keep_dat) {
      ASSERT_TRUE(disk_.remove("/d/7.dat").ok());
      ASSERT_TRUE(disk_.sync_dir("/d").ok());
    }
    (void)tier_.store->take_requests();
  }
  void reopen() {
    volume_.reset();
    auto opened = Volume::open(around(), kPlace);
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    volume_ = *opened;
  }

  io::sim::SimDisk disk_{1};
  io::sim::ManualClock clock_;
  WorkPool pool_{0};  // everything runs on the test's thread
  FakeTier tier_;
  std::shared_ptr<Volume> volume_;
};

using Requests = std::vector<std::string>;

TEST_F(RemoteVolume, ReadsAFileByOneRequest) {
  const std::string larger(2_MiB, 'x');
  ASSERT_TRUE(put(1, "hello").ok());
  ASSERT_TRUE(put(2, larger).ok());
  go_up();
  EXPECT_EQ(read(1), "hello");
  EXPECT_EQ(tier_.store->take_requests(), Requests{"read"});
  EXPECT_EQ(read(2), larger);
  EXPECT_EQ(tier_.store->take_requests(), Requests{"read"});
  EXPECT_EQ(read(1, Cookie(1)), "<not_found>");
  EXPECT_EQ(read(3), "<not_found>");
}

TEST_F(RemoteVolume, LargeFilesComeInFewPieces) {
  std::string large(9_MiB, '\0');
  for (std::size_t i = 0; i < large.size(); i++) large[i] = static_cast<char>(i / 1000);
  ASSERT_TRUE(put(1, large).ok());
  go_up();
  EXPECT_EQ(read(1), large);
  EXPECT_EQ(tier_.store->take_requests().size(), 5u) << "head, tail, and three pieces of 4 MiB";
}

TEST_F(RemoteVolume, NeverWaitsForItsTierOnAnEventLoop) {
  ASSERT_TRUE(put(1, "hello").ok());
  ASSERT_TRUE(put(2, "").ok());
  go_up();
  ReadBuffer buffer;
  Found found;
  EXPECT_EQ(volume_->read_now(NeedleId(1), kCookie, {}, buffer, found), ReadNow::would_block);
  EXPECT_EQ(volume_->read_now(NeedleId(2), kCookie, {}, buffer, found), ReadNow::found);
  EXPECT_EQ(volume_->read_now(NeedleId(3), kCookie, {}, buffer, found), ReadNow::not_found);
  EXPECT_EQ(tier_.store->take_requests(), Requests{});
}

TEST_F(RemoteVolume, IsOpenedAndToldOfBeforeItsTierIsKnown) {
  ASSERT_TRUE(put(1, "hello").ok());
  const auto before = volume_->info();
  go_up();
  tier_.is_told = false;
  reopen();
  const auto info = volume_->info();
  EXPECT_EQ(info.remote_storage_name, "s3.cold");
  EXPECT_EQ(info.remote_storage_key, "7.dat");
  EXPECT_TRUE(info.read_only);
  EXPECT_EQ(info.size, before.size);
  EXPECT_EQ(info.file_count, 1u);
  EXPECT_EQ(info.modified_at_second, 1234);
  EXPECT_EQ(text(info.replica_placement), "001");
  EXPECT_FALSE(volume_->has_vanished());
  const auto found = volume_->read(NeedleId(1), kCookie, {});
  EXPECT_EQ(found.error().code(), Code::unavailable);
  EXPECT_EQ(found.error().what(), "no master has told yet where s3.cold is");
  tier_.is_told = true;
  EXPECT_EQ(read(1), "hello");
}

TEST_F(RemoteVolume, WhateverIsWrongWithTheBucketNoFileIsGone) {
  ASSERT_TRUE(put(1, "hello").ok());
  go_up();
  for (const auto code : {Code::not_found, Code::refused, Code::unavailable, Code::corrupt, Code::io}) {
    tier_.store->before = [&](const auto&, const auto&) -> Status { return Error(code, "as the test asked for"); };
    EXPECT_EQ(read(1), "<unavailable>");
    EXPECT_EQ(remove(1).error().code(), Code::unavailable);
  }
  tier_.store->before = [](const auto&, const auto&) -> Status { return Error(Code::io, "as the test asked for"); };
  for (int i = 0; i < 2 * Volume::kIoErrorsMax; i++) EXPECT_EQ(read(1), "<unavailable>");
  EXPECT_FALSE(volume_->is_quarantined());
  tier_.store->before = {};
  EXPECT_EQ(read(1), "hello");
}

TEST_F(RemoteVolume, ADeletionIsARowWithoutAPlace) {
  for (std::uint64_t key = 1; key <= 4; key++) ASSERT_TRUE(put(key, "file " + std::to_string(key)).ok());
  go_up();
  const auto dat = tier_.store->objects();
  const auto rows = volume_->idx_bytes();
  EXPECT_EQ(remove(2, Cookie(1)).error().code(), Code::refused);
  EXPECT_GT(*remove(2), 0);
  EXPECT_EQ(remove(2).error().code(), Code::not_found);
  EXPECT_EQ(volume_->idx_bytes(), rows + kIndexRowBytes);
  std::uint8_t row[kIndexRowBytes];
  ASSERT_TRUE(volume_->read_idx(rows, row).ok());
  EXPECT_EQ(parse_row(row), (IndexRow{NeedleId(2), 0, kTombstoneSize}));
  EXPECT_EQ(tier_.store->objects(), dat);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(read(1), "file 1");
    EXPECT_EQ(read(2), "<not_found>");
    EXPECT_EQ(volume_->info().size, dat.begin()->second.size());
    reopen();
  }
}

TEST_F(RemoteVolume, ADeletionWithFsyncOutlivesALossOfPower) {
  ASSERT_TRUE(put(1, "a").ok());
  ASSERT_TRUE(put(2, "b").ok());
  ASSERT_TRUE(put(3, "c").ok());
  go_up();
  ASSERT_TRUE(remove(1, kCookie, true).ok());
  ASSERT_TRUE(remove(2).ok());
  disk_.crash_keeping([](const auto&) { return false; }, 0);
  reopen();
  EXPECT_EQ(read(1), "<not_found>");
  EXPECT_EQ(read(2), "b");
  EXPECT_EQ(read(3), "c");
}

TEST_F(RemoteVolume, AFailedSyncOfADeletionIsToldAndEndsThem) {
  ASSERT_TRUE(put(1, "a").ok());
  ASSERT_TRUE(put(2, "b").ok());
  go_up();
  disk_.before_operations([](std::uint64_t, const std::string& what) -> Status {
    if (what.find("sync") != std::string::npos) return Error(Code::io, "as the test asked for");
    return {};
  });
  EXPECT_FALSE(remove(1, kCookie, true).ok());
  disk_.before_operations({});
  EXPECT_EQ(remove(2).error().code(), Code::read_only);
  EXPECT_EQ(read(2), "b");
}

TEST_F(RemoteVolume, TakesNoWritesAndNoVacuum) {
  ASSERT_TRUE(put(1, "a").ok());
  go_up();
  EXPECT_EQ(put(2, "b").error().code(), Code::read_only);
  const std::string bring = "volume 7: its data lies in s3.cold: bring it back first, with volume.tier.download";
  EXPECT_EQ(volume_->mark_writable().error().what(), bring);
  const auto compacted = Compaction::make(volume_, {});
  EXPECT_EQ(compacted.error().what(), "volume 7: " + bring);
  EXPECT_TRUE(volume_->mark_read_only(true).ok());
  reopen();
  EXPECT_EQ(read(1), "a");
  EXPECT_TRUE(remove(1).ok()) << "a mark does not take deletions away from it";
}

TEST_F(RemoteVolume, ADatThatWasKeptIsRead) {
  ASSERT_TRUE(put(1, "a").ok());
  ASSERT_TRUE(put(2, "b").ok());
  go_up(true);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(read(1), "a");
    EXPECT_EQ(tier_.store->take_requests(), Requests{});
    EXPECT_EQ(volume_->info().remote_storage_name, "s3.cold");
    EXPECT_EQ(put(3, "c").error().code(), Code::read_only);
    reopen();
  }
  ASSERT_TRUE(remove(1).ok());
  EXPECT_EQ(disk_.info("/d/7.dat")->size, volume_->dat_bytes());
  // One that is not what went up does not count.
  ASSERT_TRUE((*disk_.open("/d/7.dat", {.write = true}))->truncate(8).ok());
  reopen();
  EXPECT_EQ(read(1), "<not_found>");
  EXPECT_EQ(read(2), "b");
  EXPECT_EQ(tier_.store->take_requests(), Requests{"read"});
}

TEST_F(RemoteVolume, BackOnTheDiskItIsAsItWas) {
  for (std::uint64_t key = 1; key <= 4; key++) ASSERT_TRUE(put(key, "file " + std::to_string(key)).ok());
  ASSERT_TRUE(remove(4).ok());
  go_up();
  ASSERT_TRUE(remove(2).ok());
  const auto bytes = tier_.store->objects().begin()->second;
  ASSERT_TRUE(disk_.replace_file("/d/7.dat", bytes).ok());
  ASSERT_TRUE(TierSwitch::to_disk(volume_, [&](const auto& next) { volume_ = next; }).ok());
  tier_.is_told = false;
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(read(1), "file 1");
    EXPECT_EQ(read(2), "<not_found>");
    EXPECT_EQ(read(4), "<not_found>");
    EXPECT_FALSE(volume_->is_read_only()) << volume_->read_only_reason();
    EXPECT_EQ(volume_->info().remote_storage_name, "");
    reopen();
  }
  ASSERT_TRUE(put(5, "file 5").ok());
  // A vacuum takes what was deleted in the tier for deleted.
  auto compaction = Compaction::make(volume_, {});
  ASSERT_TRUE(compaction.ok()) << compaction.error().what();
  const auto vacuumed = (*compaction)->commit([&](const auto& next) { volume_ = next; });
  ASSERT_TRUE(vacuumed.ok()) << vacuumed.error().what();
  EXPECT_EQ(volume_->info().file_count, 3u);
  EXPECT_EQ(read(2), "<not_found>");
  EXPECT_EQ(read(3), "file 3");
}

TEST_F(RemoteVolume, WhoStillReadsFromTheBucketIsNotCutOffWhenItComesBack) {
  std::string large(9_MiB, 'x');
  ASSERT_TRUE(put(1, "hello").ok());
  ASSERT_TRUE(put(2, large).ok());
  go_up();
  const auto old = volume_;
  const auto found = old->read(NeedleId(2), kCookie, {});
  ASSERT_TRUE(found.ok());
  ASSERT_TRUE(disk_.replace_file("/d/7.dat", tier_.store->objects().begin()->second).ok());
  ASSERT_TRUE(TierSwitch::to_disk(volume_, [&](const auto& next) { volume_ = next; }).ok());
  tier_.store->set_objects({});
  EXPECT_EQ(text_of(old->read(NeedleId(1), kCookie, {})->needle.data), "hello");
  std::string piece(1000, '\0');
  ASSERT_TRUE(found->body->read(8_MiB, {reinterpret_cast<std::uint8_t*>(piece.data()), piece.size()}).ok());
  EXPECT_EQ(piece, large.substr(0, 1000));
}

TEST_F(RemoteVolume, WhatWaitsWhileItIsSwitchedGoesOnInTheNewOne) {
  ASSERT_TRUE(put(1, "a").ok());
  ASSERT_TRUE(put(2, "b").ok());
  const auto old = volume_;
  go_up();
  ASSERT_NE(old, volume_);
  std::swap(volume_, const_cast<std::shared_ptr<Volume>&>(old));
  EXPECT_TRUE(remove(1).ok()) << "by who still holds the old one";
  EXPECT_EQ(put(3, "c").error().code(), Code::read_only);
  std::swap(volume_, const_cast<std::shared_ptr<Volume>&>(old));
  EXPECT_EQ(read(1), "<not_found>");
}

TEST_F(RemoteVolume, WhatWasWrittenMeanwhileIsNotLost) {
  ASSERT_TRUE(put(1, "a").ok());
  const RemoteFile file{.backend_type = "s3", .backend_id = "cold", .key = "7.dat", .file_size = volume_->dat_bytes(), .extension = ".dat"};
  ASSERT_TRUE(put(2, "b").ok());
  const auto moved = TierSwitch::to_remote(volume_, file, false, [](const auto&) { FAIL(); });
  EXPECT_EQ(moved.error().code(), Code::stale);
  ASSERT_TRUE(put(3, "c").ok());
  reopen();
  EXPECT_EQ(read(2), "b");
  EXPECT_EQ(read(3), "c");
}

TEST_F(RemoteVolume, WithoutItsIndexItIsNotOpened) {
  ASSERT_TRUE(put(1, "a").ok());
  go_up();
  volume_.reset();
  ASSERT_TRUE(disk_.remove("/d/7.idx").ok());
  const auto opened = Volume::open(around(), kPlace);
  EXPECT_EQ(opened.error().what(), "volume 7: /d/7.idx is missing, without which nothing is found in s3.cold");
  EXPECT_FALSE(disk_.info("/d/7.idx").ok());
}

TEST_F(RemoteVolume, WithAHoleInItsIndexItIsNotOpened) {
  for (std::uint64_t key = 1; key <= 3; key++) ASSERT_TRUE(put(key, "x").ok());
  go_up();
  volume_.reset();
  const std::string zeros(kIndexRowBytes, '\0');
  ASSERT_TRUE((*disk_.open("/d/7.idx", {.write = true}))->write(kIndexRowBytes, bytes_of(zeros)).ok());
  const auto before = *disk_.read_file("/d/7.idx", 1_MiB);
  EXPECT_EQ(Volume::open(around(), kPlace).error().code(), Code::corrupt);
  EXPECT_EQ(*disk_.read_file("/d/7.idx", 1_MiB), before);
}

TEST_F(RemoteVolume, WhereThereIsNoTierItIsLeftAlone) {
  ASSERT_TRUE(put(1, "a").ok());
  go_up();
  volume_.reset();
  const auto opened = Volume::open({disk_, clock_, pool_}, kPlace);
  EXPECT_EQ(opened.error().code(), Code::unsupported);
}

}  // namespace
}  // namespace holdfast::volume
