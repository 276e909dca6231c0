#include "service/volume/content.h"

#include <gtest/gtest.h>

#include "io/posix/clock.h"
#include "io/sim/disk.h"

namespace holdfast::volume {
namespace {

class ContentTest : public testing::Test {
 protected:
  ContentTest() { EXPECT_TRUE(disk.make_folder("/d").ok()); }
  std::shared_ptr<Volume> make(std::uint32_t id) {
    return *Volume::create({disk, clock, pool}, {.id = VolumeId(id), .collection = "", .data_folder = "/d", .index_folder = "/d"}, {});
  }
  static void put(Volume& volume, std::uint64_t key, std::string_view data) {
    Put put;
    put.needle.id = NeedleId(key);
    put.needle.cookie = Cookie(7);
    put.needle.data = bytes_of(data);
    bool done = false;
    put.done = [&](const Result<Put::Outcome>& outcome) { done = outcome.ok(); };
    volume.put(std::move(put), true);
    EXPECT_TRUE(done);
  }
  static void remove(Volume& volume, std::uint64_t key) {
    bool done = false;
    volume.remove({.id = NeedleId(key), .cookie = Cookie(7), .done = [&](const Result<std::int32_t>& r) { done = r.ok(); }}, true);
    EXPECT_TRUE(done);
  }
  Coverage::Answer compare(const std::shared_ptr<Volume>& copy, const std::shared_ptr<Volume>& other, bool with_deletions = true) {
    Pacer pacer(clock, 0);
    auto coverage = Coverage::of(copy, true, with_deletions, pacer, cancel);
    EXPECT_TRUE(coverage.ok());
    EXPECT_TRUE(walk_content(other, pacer, cancel, [&](const ContentEntry& entry) {
                  std::string bytes;
                  entry.append_to(bytes);
                  EXPECT_EQ(bytes.size(), ContentEntry::kBytes);
                  coverage->known(ContentEntry::parse(bytes_of(bytes).data()));
                  return Status();
                }).ok());
    return coverage->answer();
  }

  io::sim::SimDisk disk{1};
  io::posix::SystemClock clock;
  WorkPool pool{1};
  Cancel cancel;
};

TEST_F(ContentTest, ACopyIsCoveredByOneThatWentOn) {
  const auto old = make(1), other = make(2);
  for (const auto& volume : {old, other}) {
    put(*volume, 1, "one");
    put(*volume, 2, "two");
    put(*volume, 3, "three");
    put(*volume, 4, "");
    put(*volume, 5, "five");
    remove(*volume, 5);
  }
  EXPECT_TRUE(compare(old, other).is_covered());
  EXPECT_TRUE(compare(other, old).is_covered());
  EXPECT_EQ(compare(old, other).files, 5u);  // one of them deleted
  put(*other, 2, "another two");
  remove(*other, 3);
  put(*other, 9, "new");
  EXPECT_TRUE(compare(old, other).is_covered());
  // The other way round there are two files and a deletion that the old one does not know.
  const auto back = compare(other, old);
  EXPECT_EQ(back.files, 6u);
  EXPECT_EQ(back.missing, 3u);
}

TEST_F(ContentTest, WhatOnlyTheCopyKnowsIsMissing) {
  const auto old = make(1), other = make(2);
  for (const auto& volume : {old, other}) {
    put(*volume, 1, "one");
    put(*volume, 2, "two");
  }
  put(*old, 8, "written here alone");
  auto answer = compare(old, other);
  EXPECT_EQ(answer.missing, 1u);
  EXPECT_EQ(answer.example, NeedleId(8));
  remove(*old, 8);  // the other one never had it
  EXPECT_TRUE(compare(old, other).is_covered());
  put(*old, 2, "changed here, later");
  EXPECT_EQ(compare(old, other).missing, 1u);
}

TEST_F(ContentTest, ADeletionThatOnlyTheCopyKnowsIsMissing) {
  const auto old = make(1), other = make(2);
  for (const auto& volume : {old, other}) {
    put(*volume, 1, "one");
    put(*volume, 2, "two");
  }
  remove(*old, 1);
  EXPECT_TRUE(compare(other, old).is_covered());
  const auto answer = compare(old, other);
  EXPECT_EQ(answer.missing, 1u);
  EXPECT_EQ(answer.example, NeedleId(1));
  EXPECT_TRUE(compare(old, other, false).is_covered());
  put(*other, 1, "written again, later");
  EXPECT_TRUE(compare(old, other).is_covered());
  // The last word counts, however often there was one.
  put(*old, 1, "and here");
  remove(*old, 1);
  EXPECT_EQ(compare(old, other).missing, 1u);
  remove(*other, 1);
  EXPECT_TRUE(compare(old, other).is_covered());
  EXPECT_TRUE(compare(other, old).is_covered());
}

TEST_F(ContentTest, AFileThatHasTheSameSizeAndOtherBytesIsAnother) {
  const auto old = make(1), other = make(2);
  put(*other, 1, "abc");
  put(*old, 1, "abd");
  EXPECT_EQ(compare(old, other).missing, 1u);
}

}  // namespace
}  // namespace holdfast::volume
