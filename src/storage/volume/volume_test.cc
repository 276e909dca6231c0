#include "storage/volume/volume.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/crc32c.h"
#include "core/volume/index_row.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/sim/clock.h"
#include "io/sim/disk.h"

namespace holdfast::volume {
namespace {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-volume-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.error().what(); }

// Turns the callbacks into answers.
template <typename T>
class Answer {
 public:
  std::function<void(Result<T>)> done() {
    return [this](Result<T> r) {
      std::lock_guard guard(mutex_);
      result_ = std::move(r);
      condition_.notify_all();
    };
  }
  Result<T> wait() {
    std::unique_lock guard(mutex_);
    condition_.wait(guard, [&] { return result_.has_value(); });
    return *result_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::optional<Result<T>> result_;
};

class VolumeTest : public ::testing::Test {
 protected:
  Surroundings around() { return {disk(), clock_, pool_}; }
  virtual io::Disk& disk() { return io::posix::system_disk(); }
  virtual std::string folder() { return folder_.path(); }

  VolumePlace place(std::uint32_t id = 7, std::string collection = "") {
    return {.id = VolumeId(id), .collection = collection, .data_folder = folder(), .index_folder = folder()};
  }
  std::shared_ptr<Volume> create(Volume::Creation creation = {}) {
    auto made = Volume::create(around(), place(), creation);
    EXPECT_TRUE(made.ok()) << made.error().what();
    return *made;
  }
  Result<std::shared_ptr<Volume>> open() { return Volume::open(around(), place()); }
  std::shared_ptr<Volume> reopened() {
    auto opened = open();
    EXPECT_TRUE(opened.ok()) << opened.error().what();
    return opened.ok() ? *opened : nullptr;
  }

  static Put put_of(std::uint64_t key, std::string_view data, std::uint32_t cookie = 0x11111111) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = Cookie(cookie);
    put.needle.data = bytes_of(data);
    put.needle.flags = kFlagName | kFlagMime | kFlagLastModified;
    put.needle.last_modified = 1700000000;
    return put;
  }
  static Result<Put::Outcome> write(Volume& volume, Put put) {
    Answer<Put::Outcome> answer;
    put.done = answer.done();
    volume.put(std::move(put), true);
    return answer.wait();
  }
  static Result<Put::Outcome> write(Volume& volume, std::uint64_t key, std::string_view data,
                                    std::uint32_t cookie = 0x11111111) {
    return write(volume, put_of(key, data, cookie));
  }
  static Result<std::int32_t> remove(Volume& volume, std::uint64_t key, std::uint32_t cookie = 0x11111111) {
    Answer<std::int32_t> answer;
    volume.remove({.id = NeedleId(key), .cookie = Cookie(cookie), .done = answer.done()}, true);
    return answer.wait();
  }
  // The data, or the error's text in angle brackets.
  static std::string read(Volume& volume, std::uint64_t key, std::uint32_t cookie = 0x11111111,
                          ReadOptions options = {}) {
    auto found = volume.read(NeedleId(key), Cookie(cookie), options);
    if (!found) return "<" + std::string(text(found.error().code())) + ">";
    if (!found->body) return std::string(text_of(found->needle.data));
    std::string out(found->body->size(), '\0');
    if (!found->body->read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}).ok()) return "<body>";
    if (!crc_matches(crc32c(bytes_of(out)), found->needle.stored_crc)) return "<crc>";
    return out;
  }

  std::string contents(const std::string& ext) { return *disk().read_file(folder() + "/7" + ext, 1_GiB); }
  std::uint64_t contents_size(const std::string& ext) { return disk().info(folder() + "/7" + ext)->size; }
  void append_to(const std::string& ext, const std::string& bytes) {
    auto file = disk().open(folder() + "/7" + ext, {.write = true});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write(*(*file)->size(), bytes_of(bytes)).ok());
  }
  void cut(const std::string& ext, std::uint64_t size) {
    auto file = disk().open(folder() + "/7" + ext, {.write = true});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->truncate(size).ok());
  }

  TempFolder folder_;
  io::sim::ManualClock clock_{at(1s), io::WallTime(1'700'000'000s)};
  WorkPool pool_{2};
};

TEST_F(VolumeTest, GivesBackWhatItTook) {
  auto volume = create();
  ASSERT_TRUE(write(*volume, 1, "hello").ok());
  ASSERT_TRUE(write(*volume, 2, "").ok());
  EXPECT_EQ(read(*volume, 1), "hello");
  EXPECT_EQ(read(*volume, 2), "");
  EXPECT_EQ(read(*volume, 3), "<not_found>");
  EXPECT_EQ(read(*volume, 1, 0x22222222), "<not_found>");
}

TEST_F(VolumeTest, WritesVectorV10ToTheByte) {
  auto volume = create({.replica_placement = *ReplicaPlacement::parse("001"), .ttl = *Ttl::parse("3h")});
  EXPECT_EQ(hex(bytes_of(contents(".dat"))), "0301030200000000");
  EXPECT_EQ(contents(".idx"), "");
}

TEST_F(VolumeTest, AFreshVifIsVectorV16) {
  create();
  EXPECT_EQ(contents(".vif"),
            "{\n  \"files\":  [],\n  \"version\":  3,\n  \"replication\":  \"\",\n  \"bytesOffset\":  4,\n"
            "  \"datFileSize\":  \"0\",\n  \"expireAtSec\":  \"0\",\n  \"readOnly\":  false,\n"
            "  \"ecShardConfig\":  null,\n  \"readOnlyCanDelete\":  false\n}");
  EXPECT_EQ(contents(".vif").size(), 203u);
}

TEST_F(VolumeTest, ADeletionRepeatsCookieAndCrcAndLeavesARow) {
  auto volume = create();
  write(*volume, 0x102, "hello", 0x1a2b3c4d).value();
  const auto before = contents(".dat").size();
  const auto removed = remove(*volume, 0x102, 0x1a2b3c4d);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(*removed, 4 + 5 + 1 + 1 + 1 + 5);
  const auto record = contents(".dat").substr(before);
  EXPECT_EQ(record.size(), 32u);
  EXPECT_EQ(hex(bytes_of(record.substr(0, 20))), "1a2b3c4d0000000000000102000000009a71bb4c");
  const auto idx = contents(".idx");
  const auto row = parse_row(bytes_of(idx).data() + 16);
  EXPECT_EQ(row, (IndexRow{NeedleId(0x102), before / 8, -1}));
  EXPECT_EQ(read(*volume, 0x102, 0x1a2b3c4d), "<not_found>");
  EXPECT_EQ(read(*volume, 0x102, 0x1a2b3c4d, {.read_deleted = true}), "hello");
  EXPECT_EQ(remove(*volume, 0x102, 0x1a2b3c4d).error().code(), Code::not_found);
  EXPECT_EQ(contents(".idx").size(), 32u);  // nothing is appended for what is deleted already
}

TEST_F(VolumeTest, TheSameBytesAgainAppendNothing) {
  auto volume = create();
  write(*volume, 1, "hello").value();
  const auto size = volume->dat_bytes();
  const auto again = write(*volume, 1, "hello");
  EXPECT_TRUE(again->unchanged);
  EXPECT_EQ(again->crc, 0x9a71bb4cu);
  EXPECT_EQ(volume->dat_bytes(), size);
  EXPECT_FALSE(write(*volume, 1, "other")->unchanged);
  remove(*volume, 1).value();
  EXPECT_FALSE(write(*volume, 1, "other")->unchanged);
  write(*volume, 2, "").value();
  EXPECT_FALSE(write(*volume, 2, "")->unchanged);
}

TEST_F(VolumeTest, AVolumeWithATtlStoresTheSameBytesAgainAndGivesItsTtl) {
  auto volume = create({.ttl = *Ttl::parse("3m")});
  write(*volume, 1, "hello").value();
  EXPECT_FALSE(write(*volume, 1, "hello")->unchanged);
  const auto found = volume->read(NeedleId(1), Cookie(0x11111111), {});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(text(found->needle.ttl), "3m");
  clock_.advance(3min + 1s);
  EXPECT_EQ(read(*volume, 1), "<not_found>");
}

TEST_F(VolumeTest, AnotherCookieIsRefusedAlsoAfterADeletionAndARestart) {
  auto volume = create();
  write(*volume, 1, "hello", 0xabcd).value();
  EXPECT_EQ(write(*volume, 1, "hello", 0x1).error().what(), "mismatching cookie 1");
  remove(*volume, 1, 0xabcd).value();
  EXPECT_EQ(write(*volume, 1, "hello", 0).error().what(), "mismatching cookie 0");
  volume = reopened();
  EXPECT_EQ(write(*volume, 1, "hello", 0x1).error().code(), Code::already_exists);
  EXPECT_EQ(remove(*volume, 1, 0x1).error().code(), Code::not_found);
  write(*volume, 1, "hello", 0xabcd).value();
  EXPECT_EQ(remove(*volume, 1, 0x1).error().what(), "File Random Cookie does not match.");
}

TEST_F(VolumeTest, ALargeFileIsReadByPieces) {
  auto volume = create();
  std::string data(3'000'000, 'x');
  for (std::size_t i = 0; i < data.size(); i += 7) data[i] = static_cast<char>(i);
  write(*volume, 1, data).value();
  ReadBuffer buffer;
  Found found;
  EXPECT_EQ(volume->read_now(NeedleId(1), Cookie(0x11111111), {}, buffer, found), ReadNow::would_block);
  EXPECT_EQ(read(*volume, 1), data);
  EXPECT_TRUE(write(*volume, 1, data)->unchanged);
}

// A needle's size field is a signed number of 32 bits.
TEST_F(VolumeTest, AFileTooLargeForItsSizeFieldIsRefused) {
  auto volume = create();
  const std::string some = "some";
  auto put = put_of(1, "");
  put.needle.data = BytesView(bytes_of(some).data(), kDataBytesMax + 1);  // never looked at
  EXPECT_EQ(write(*volume, std::move(put)).error().code(), Code::invalid);
  EXPECT_EQ(contents(".dat").size(), kSuperblockBytes);
  NeedleView largest;
  largest.data_size = static_cast<std::uint32_t>(kDataBytesMax);
  const std::string name(kNameBytesMax, 'n'), mime(kMimeBytesMax, 'm'), pairs(kPairsBytesMax, 'p');
  largest.name = name;
  largest.mime = mime;
  largest.pairs = pairs;
  largest.flags = kFlagName | kFlagMime | kFlagLastModified | kFlagTtl | kFlagPairs;
  EXPECT_GT(body_bytes(largest, Version::v3), static_cast<std::int32_t>(kDataBytesMax));
}

TEST_F(VolumeTest, ASpooledBodyIsStoredAsAnyOther) {
  auto volume = create();
  const auto spool = *Spool::make(disk(), folder());
  std::string data;
  for (int i = 0; i < 300'000; i++) data += std::to_string(i);
  for (std::size_t i = 0; i < data.size(); i += 100'000) ok(spool->append(bytes_of(data.substr(i, 100'000))));
  auto put = put_of(1, "");
  put.spool = spool;
  ASSERT_TRUE(write(*volume, std::move(put)).ok());
  EXPECT_EQ(read(*volume, 1), data);
  auto again = put_of(1, "");
  again.spool = spool;
  EXPECT_TRUE(write(*volume, std::move(again))->unchanged);
  // Only the volume's own files: a spool has no name.
  EXPECT_EQ(*disk().list(folder()), (std::vector<std::string>{"7.dat", "7.idx", "7.vif"}));
  EXPECT_EQ(read(*reopened(), 1), data);
}

TEST_F(VolumeTest, AFlippedBitIsAnErrorNotAFile) {
  auto volume = create();
  write(*volume, 1, "hello").value();
  auto file = *disk().open(folder() + "/7.dat", {.write = true});
  ASSERT_TRUE(file->write(8 + 20, bytes_of("j")).ok());
  EXPECT_EQ(read(*volume, 1), "<corrupt>");
  ReadBuffer buffer;
  Found found;
  EXPECT_EQ(volume->read_now(NeedleId(1), Cookie(0x11111111), {}, buffer, found), ReadNow::would_block);
}

// Above 1 MiB the stored value is all that a reader knows before it has read everything.
TEST_F(VolumeTest, AChecksumOfBefore309IsToldAsTodaysUpToOneMebibyte) {
  auto volume = create();
  std::uint64_t begin = 8;
  for (const std::size_t bytes : {100u, 600'000u, 1'200'000u}) {
    const std::string data(bytes, 'x');
    const auto size = write(*volume, bytes, data)->size;
    std::string stored;
    append_be(stored, legacy_crc(crc32c(bytes_of(data))));
    auto file = *disk().open(folder() + "/7.dat", {.write = true});
    ok(file->write(begin + kHeaderBytes + static_cast<std::uint64_t>(size), bytes_of(stored)));
    const auto found = volume->read(NeedleId(bytes), Cookie(0x11111111), {});
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->etag, bytes > 1_MiB ? legacy_crc(crc32c(bytes_of(data))) : crc32c(bytes_of(data)));
    begin += record_bytes(size, Version::v3);
  }
}

TEST_F(VolumeTest, AppendTimesRiseEvenWhenTheClockStands) {
  auto volume = create();
  for (int i = 1; i <= 3; i++) write(*volume, static_cast<std::uint64_t>(i), "x").value();
  const auto t1 = volume->read(NeedleId(1), Cookie(0x11111111), {})->needle.append_at_ns;
  EXPECT_EQ(t1, 1'700'000'000'000'000'000u);
  EXPECT_EQ(volume->read(NeedleId(3), Cookie(0x11111111), {})->needle.append_at_ns, t1 + 2);
  volume = reopened();
  EXPECT_EQ(volume->last_append_at_ns(), t1 + 2);
}

TEST_F(VolumeTest, CountsSurviveAReopen) {
  auto volume = create();
  write(*volume, 1, "one").value();
  write(*volume, 1, "two").value();
  write(*volume, 9, "").value();
  remove(*volume, 1).value();
  const auto before = volume->info();
  volume = reopened();
  auto after = volume->info();
  after.modified_at_second = before.modified_at_second;  // the file's, on the real clock
  EXPECT_EQ(after, before);
  EXPECT_EQ(before.file_count, 3u);
  EXPECT_EQ(before.delete_count, 2u);
  EXPECT_EQ(before.max_key, NeedleId(9));
  EXPECT_EQ(read(*volume, 9), "");
  EXPECT_EQ(read(*volume, 1), "<not_found>");
}

// --- what a crash leaves ---

TEST_F(VolumeTest, RecordsTheIndexDoesNotKnowAreIndexedAgain) {
  auto volume = create();
  write(*volume, 1, "one").value();
  write(*volume, 2, "two").value();
  remove(*volume, 1).value();
  write(*volume, 3, "").value();  // an empty file has the bytes of a deletion, but key 3 is not live
  volume.reset();
  cut(".idx", 16);
  volume = reopened();
  EXPECT_EQ(read(*volume, 1), "<not_found>");
  EXPECT_EQ(read(*volume, 2), "two");
  EXPECT_EQ(read(*volume, 3), "");
  EXPECT_EQ(contents(".idx").size(), 64u);
  EXPECT_FALSE(volume->is_read_only());
  volume = reopened();  // and once more, now from the index alone
  EXPECT_EQ(read(*volume, 1), "<not_found>");
  EXPECT_EQ(read(*volume, 3), "");
}

TEST_F(VolumeTest, OnlyTheInvalidRestIsCutOff) {
  auto volume = create();
  write(*volume, 1, "one").value();
  write(*volume, 2, "two").value();
  const auto whole = volume->dat_bytes();
  volume.reset();
  cut(".idx", 16);
  append_to(".dat", "torn bytes of a record that was never finished");
  volume = reopened();
  EXPECT_EQ(read(*volume, 2), "two");
  EXPECT_EQ(contents(".dat").size(), whole);
  write(*volume, 3, "three").value();
  EXPECT_EQ(read(*reopened(), 3), "three");
}

TEST_F(VolumeTest, EveryPointAtWhichAnAppendMayStopIsMended) {
  auto volume = create();
  write(*volume, 1, "one").value();
  const auto before = volume->dat_bytes();
  write(*volume, 2, "the second file").value();
  const auto after = volume->dat_bytes();
  volume.reset();
  const auto dat = contents(".dat");
  for (auto size = before; size <= after; size++) {
    // Without its row: whole again, or gone, and then without a trace.
    cut(".idx", 16);
    ok(disk().replace_file(folder() + "/7.dat", dat.substr(0, size)));
    volume = reopened();
    ASSERT_TRUE(volume);
    EXPECT_FALSE(volume->is_read_only()) << size;
    EXPECT_EQ(read(*volume, 1), "one") << size;
    const bool whole = size + padding_bytes(4 + 15 + 1 + 1 + 1 + 5, Version::v3) >= after;
    EXPECT_EQ(read(*volume, 2), whole ? "the second file" : "<not_found>") << size;
    write(*volume, 3, "three").value();
    EXPECT_EQ(read(*volume, 3), "three") << size;
    volume = reopened();
    EXPECT_EQ(read(*volume, 3), "three") << size;
    EXPECT_EQ(read(*volume, 2), whole ? "the second file" : "<not_found>") << size;
  }
}

TEST_F(VolumeTest, ARowThatIsTornOrAheadOfItsDataIsCutOff) {
  auto volume = create();
  write(*volume, 1, "one").value();
  const auto before = volume->dat_bytes();
  write(*volume, 2, "two").value();
  volume.reset();
  const auto idx = contents(".idx");
  append_to(".idx", "12345");  // a part of a row
  EXPECT_EQ(read(*reopened(), 2), "two");
  EXPECT_EQ(contents(".idx"), idx);
  append_to(".idx", std::string(160, '\0'));  // a power loss may leave zeros
  EXPECT_EQ(read(*reopened(), 2), "two");
  EXPECT_EQ(contents(".idx"), idx);
  cut(".dat", before);  // the row came to disk and its data did not
  volume = reopened();
  EXPECT_EQ(read(*volume, 1), "one");
  EXPECT_EQ(read(*volume, 2), "<not_found>");
  EXPECT_FALSE(volume->is_read_only());
  EXPECT_EQ(contents(".idx").size(), 16u);
  EXPECT_EQ(contents(".idx.cut"), idx.substr(16));
}

TEST_F(VolumeTest, AMissingOrEmptyIndexIsRebuilt) {
  auto volume = create();
  for (std::uint64_t key = 1; key <= 100; key++) write(*volume, key, "file " + std::to_string(key)).value();
  for (std::uint64_t key = 1; key <= 100; key += 3) remove(*volume, key).value();
  volume.reset();
  const auto idx = contents(".idx");
  for (const bool missing : {true, false}) {
    if (missing) {
      ok(disk().remove(folder() + "/7.idx"));
    } else {
      cut(".idx", 0);
    }
    volume = reopened();
    for (std::uint64_t key = 1; key <= 100; key++) {
      EXPECT_EQ(read(*volume, key), key % 3 == 1 ? "<not_found>" : "file " + std::to_string(key));
    }
    EXPECT_EQ(contents(".idx"), idx);
    EXPECT_FALSE(volume->is_read_only());
  }
}

TEST_F(VolumeTest, ADamagedRecordDoesNotTakeThoseBehindItAlong) {
  auto volume = create();
  write(*volume, 1, "one").value();
  const auto second = volume->dat_bytes();
  write(*volume, 2, "two").value();
  write(*volume, 3, "three").value();
  volume.reset();
  cut(".idx", 16);
  auto file = *disk().open(folder() + "/7.dat", {.write = true});
  ok(file->write(second + 20, bytes_of("X")));
  volume = reopened();
  EXPECT_EQ(read(*volume, 2), "<not_found>");
  EXPECT_EQ(read(*volume, 3), "three");
}

TEST_F(VolumeTest, AnIndexOfAnotherVolumeMakesItReadOnlyAndChangesNothing) {
  auto volume = create();
  write(*volume, 1, "one").value();
  volume.reset();
  std::string foreign;
  append_row(foreign, {NeedleId(77), 1, 20});
  ok(disk().replace_file(folder() + "/7.idx", foreign));
  const auto dat = contents(".dat");
  volume = reopened();
  EXPECT_TRUE(volume->is_read_only());
  EXPECT_EQ(contents(".dat"), dat);
  EXPECT_EQ(contents(".idx"), foreign);
  EXPECT_EQ(write(*volume, 2, "x").error().what(), "volume 7 is read only");
}

TEST_F(VolumeTest, RowsLostFromTheHeadOfAnIndexAreRestored) {
  auto volume = create();
  for (std::uint64_t key = 1; key <= 4; key++) write(*volume, key, "file " + std::to_string(key)).value();
  volume.reset();
  const auto idx = contents(".idx");
  // As an old bug of upstream left it: two rows gone, two deletions without an offset in their place.
  std::string head;
  append_row(head, {NeedleId(77), 0, -1});
  append_row(head, {NeedleId(78), 0, -1});
  ok(disk().replace_file(folder() + "/7.idx", head + idx.substr(32)));
  for (int opened = 0; opened < 2; opened++) {
    volume = reopened();
    for (std::uint64_t key = 1; key <= 4; key++) EXPECT_EQ(read(*volume, key), "file " + std::to_string(key));
    EXPECT_FALSE(volume->is_read_only());
  }
  EXPECT_EQ(contents(".idx").size(), 6u * 16);
}

TEST_F(VolumeTest, AHoleInTheIndexIsFilledFromTheDat) {
  auto volume = create();
  for (std::uint64_t key = 1; key <= 9; key++) write(*volume, key, "file " + std::to_string(key)).value();
  remove(*volume, 8).value();
  volume.reset();
  const auto idx = contents(".idx");
  auto holed = idx;
  holed.replace(3 * 16, 2 * 16, std::string(2 * 16, '\0'));
  ok(disk().replace_file(folder() + "/7.idx", holed));
  volume = reopened();
  for (std::uint64_t key = 1; key <= 9; key++) {
    EXPECT_EQ(read(*volume, key), key == 8 ? "<not_found>" : "file " + std::to_string(key));
  }
  EXPECT_EQ(contents(".idx"), idx);
}

TEST_F(VolumeTest, ADeletionWhoseFileIsLostIsNoEmptyFile) {
  auto volume = create();
  write(*volume, 1, "one").value();
  const auto second = volume->dat_bytes();
  write(*volume, 2, "two").value();
  remove(*volume, 2).value();
  volume.reset();
  cut(".idx", 16);
  auto file = *disk().open(folder() + "/7.dat", {.write = true});
  ok(file->write(second + 20, bytes_of("X")));
  volume = reopened();
  EXPECT_EQ(read(*volume, 2), "<not_found>");
}

TEST_F(VolumeTest, ZerosBehindTheLastRecordAreRoomNotFiles) {
  auto volume = create();
  write(*volume, 1, "one").value();
  const auto size = volume->dat_bytes();
  volume.reset();
  append_to(".dat", std::string(100'000, '\0'));
  volume = reopened();
  EXPECT_EQ(contents(".dat").size(), size);
  EXPECT_EQ(volume->info().file_count, 1u);
}

TEST_F(VolumeTest, StrangeFilesAreNotLoadedAndStay) {
  ok(disk().replace_file(folder() + "/7.dat", std::string("\x09\0\0\0\0\0\0\0", 8)));
  ok(disk().replace_file(folder() + "/7.idx", ""));
  EXPECT_EQ(open().error().code(), Code::unsupported);
  ok(disk().replace_file(folder() + "/7.dat", "abc"));
  EXPECT_EQ(open().error().code(), Code::corrupt);
  EXPECT_EQ(contents(".dat"), "abc");
  ok(disk().remove(folder() + "/7.dat"));
  EXPECT_EQ(open().error().code(), Code::not_found);
}

TEST_F(VolumeTest, ReadsUpstreamsVolumeOfVectorV10) {
  std::string dat;
  unhex("0301030200000000"
        "1a2b3c4d0000000000000102000000200000000568656c6c6f0e05612e7478740a746578742f706c61696e006553f1009a71bb4c"
        "17979cfe3d85cd15000000201a2b3c4d0000000000000102000000009a71bb4c17979cfe71c4ca0000000000", dat);
  std::string idx;
  unhex("00000000000001020000000100000020000000000000010200000009ffffffff", idx);
  ok(disk().replace_file(folder() + "/7.dat", dat));
  ok(disk().replace_file(folder() + "/7.idx", idx));
  auto volume = reopened();
  EXPECT_EQ(volume->info().file_count, 1u);
  EXPECT_EQ(volume->info().delete_count, 1u);
  EXPECT_EQ(text(volume->replica_placement()), "001");
  clock_.advance(-200s);
  EXPECT_EQ(read(*volume, 0x102, 0x1a2b3c4d, {.read_deleted = true}), "hello");
  EXPECT_EQ(volume->last_append_at_ns(), 1700000001000000000u);
  EXPECT_TRUE(disk().info(folder() + "/7.vif").ok());
}

TEST_F(VolumeTest, OffsetsThatWrappedBehind32GiBAreFollowed) {
  create().reset();
  const auto far = 32_GiB + 8;
  auto put = put_of(5, "far away");
  put.needle.append_at_ns = 1;
  auto file = *disk().open(folder() + "/7.dat", {.write = true});
  ok(file->write(far, bytes_of(encode(put.needle, Version::v3))));  // a sparse file
  std::string row;
  append_row(row, {NeedleId(5), 1, NeedleHeader::parse(bytes_of(encode(put.needle, Version::v3)).data()).size});
  ok(disk().replace_file(folder() + "/7.idx", row));
  auto volume = reopened();
  EXPECT_EQ(read(*volume, 5), "far away");
  EXPECT_EQ(write(*volume, 6, "no room").error().code(), Code::no_space);
  EXPECT_EQ(volume->dat_bytes(), contents_size(".dat"));
}

// --- marks ---

TEST_F(VolumeTest, AReadOnlyMarkIsKeptOnDiskWhenAsked) {
  auto volume = create();
  write(*volume, 1, "one").value();
  ok(volume->mark_read_only(false));
  EXPECT_EQ(write(*volume, 2, "x").error().code(), Code::read_only);
  EXPECT_EQ(remove(*volume, 1).error().what(), "volume 7 is read only");
  EXPECT_EQ(remove(*volume, 99).error().code(), Code::not_found);
  EXPECT_FALSE(reopened()->is_read_only());
  ok(volume->mark_read_only(true));
  volume = reopened();
  EXPECT_TRUE(volume->is_read_only());
  ok(volume->mark_writable());
  EXPECT_FALSE(reopened()->is_read_only());
}

TEST_F(VolumeTest, AVifThatDoesNotParseIsLeftAlone) {
  create();
  ok(disk().replace_file(folder() + "/7.vif", "{\"surprise\":1}"));
  auto volume = reopened();
  EXPECT_FALSE(volume->is_read_only());
  EXPECT_FALSE(volume->mark_read_only(true).ok());
  EXPECT_EQ(contents(".vif"), "{\"surprise\":1}");
}

TEST_F(VolumeTest, ARetiredVolumeTakesNothingMore) {
  auto volume = create();
  volume->retire();
  EXPECT_EQ(write(*volume, 1, "x").error().what(), "volume 7 not found");
  ok(volume->remove_files());
  EXPECT_TRUE(disk().list(folder())->empty());
}

// --- many at once ---

TEST_F(VolumeTest, WritersAndReadersAtOnceSeeEveryFile) {
  auto volume = create();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; i++) {
        const auto key = static_cast<std::uint64_t>(t * 1000 + i);
        const auto data = "file " + std::to_string(key);
        Answer<Put::Outcome> answer;
        auto put = put_of(key, data);
        put.fsync = i % 100 == 0;
        put.done = answer.done();
        volume->put(std::move(put), i % 2 == 0);
        if (!answer.wait().ok() || read(*volume, key) != data) wrong++;
        if (i % 10 == 0 && !remove(*volume, key).ok()) wrong++;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  volume = reopened();
  EXPECT_EQ(volume->live_needles(), 4u * 450);
}

TEST_F(VolumeTest, WhatWasAcknowledgedSurvivesKill9) {
  create().reset();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Without threads of the parent: everything is written by this one.
    ::close(pipe_ends[0]);
    io::posix::SystemClock clock;
    WorkPool pool(0);
    auto volume = Volume::open({io::posix::system_disk(), clock, pool}, place());
    if (!volume) ::_exit(1);
    for (std::uint32_t key = 1;; key++) {
      const auto data = "file " + std::to_string(key);
      auto put = put_of(key, data);
      bool ok = false;
      put.done = [&](Result<Put::Outcome> r) { ok = r.ok(); };
      (*volume)->put(std::move(put), true);
      if (ok && ::write(pipe_ends[1], &key, sizeof key) != sizeof key) ::_exit(1);
    }
  }
  ::close(pipe_ends[1]);
  std::uint32_t acknowledged = 0;
  std::uint32_t key = 0;
  while (acknowledged < 3000 && ::read(pipe_ends[0], &key, sizeof key) == sizeof key) acknowledged = key;
  ::kill(child, SIGKILL);
  while (::read(pipe_ends[0], &key, sizeof key) == sizeof key) acknowledged = key;
  ::close(pipe_ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_GE(acknowledged, 3000u);
  auto volume = reopened();
  for (std::uint32_t k = 1; k <= acknowledged; k++) ASSERT_EQ(read(*volume, k), "file " + std::to_string(k));
  EXPECT_FALSE(volume->is_read_only());
}

}  // namespace
}  // namespace holdfast::volume
