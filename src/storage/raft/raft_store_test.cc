#include <gtest/gtest.h>

#include <map>
#include <set>

#include "io/sim/disk.h"
#include "storage/raft/identity.h"
#include "storage/raft/raft_store.h"

namespace holdfast::storage {
namespace {

using io::sim::SeededRandom;
using io::sim::SimDisk;

const ClusterId kCluster{Uuid{1, 1}};
const NodeId kSelf{Uuid{2, 2}};
const NodeId kOther{Uuid{3, 3}};

RaftStore::Options options() { return {.cluster = kCluster, .voter = kSelf, .segment_bytes = 4096}; }

raft::Configuration configuration() {
  return raft::Configuration({{.id = kSelf, .address = "localhost:9333", .voter = true},
                              {.id = kOther, .address = "localhost:9334", .voter = true}});
}

Entry entry(std::uint64_t term, std::uint64_t index, std::size_t bytes = 20) {
  return {.term = Term(term),
          .index = Index(index),
          .data = std::to_string(term) + "/" + std::to_string(index) + std::string(bytes, '.')};
}

std::vector<Entry> entries(std::uint64_t term, std::uint64_t from, std::uint64_t count, std::size_t bytes = 20) {
  std::vector<Entry> out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(entry(term, from + i, bytes));
  return out;
}

raft::HardState hard(std::uint64_t term, NodeId vote = {}, std::uint64_t commit = 0) {
  return {.term = Term(term), .vote = vote, .commit = Index(commit)};
}

class RaftStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(disk.make_folders("m").ok());
    ASSERT_TRUE(RaftStore::found(disk, random, "m", options(), configuration()).ok());
  }

  RaftStore::Opened open() {
    auto opened = RaftStore::open(disk, random, "m", options());
    if (!opened) ADD_FAILURE() << opened.error().what();
    CHECK(opened.ok());
    return std::move(*opened);
  }

  void append(RaftStore& store, const std::vector<Entry>& added) {
    ASSERT_TRUE(store.write({}, {}, added).ok());
    ASSERT_TRUE(store.sync().ok());
  }

  SimDisk disk{1};
  SeededRandom random{2};
};

TEST_F(RaftStoreTest, AFoundingMemberBeginsWithTheBootstrapEntry) {
  const auto opened = open();
  ASSERT_EQ(opened.start.entries.size(), 1u);
  EXPECT_EQ(opened.start.entries[0], raft::bootstrap_entry(configuration()));
  EXPECT_EQ(opened.start.hard_state, hard(1, {}, 0));
  EXPECT_FALSE(opened.start.damage);
  EXPECT_TRUE(opened.remarks.empty()) << opened.remarks[0];
}

TEST_F(RaftStoreTest, AMemberThatWillBeAddedBeginsWithNothing) {
  ASSERT_TRUE(RaftStore::begin(disk, random, "m", options()).ok());
  const auto opened = open();
  EXPECT_TRUE(opened.start.entries.empty());
  EXPECT_EQ(opened.start.hard_state, hard(0));
}

TEST_F(RaftStoreTest, EntriesAndVotesSurvivePowerLossOnceSynced) {
  {
    auto opened = open();
    ASSERT_TRUE(opened.store->write({}, hard(4, kOther, 3), entries(4, 2, 5)).ok());
    ASSERT_TRUE(opened.store->sync().ok());
  }
  disk.crash_keeping([](const auto&) { return false; }, 0);
  const auto opened = open();
  ASSERT_EQ(opened.start.entries.size(), 6u);
  EXPECT_EQ(opened.start.entries[5], entry(4, 6));
  EXPECT_EQ(opened.start.hard_state.term, Term(4));
  EXPECT_EQ(opened.start.hard_state.vote, kOther);
  EXPECT_FALSE(opened.start.damage);
}

TEST_F(RaftStoreTest, TheCommitHintComesBackAfterDeathOfTheProcess) {
  {
    auto opened = open();
    ASSERT_TRUE(opened.store->write({}, hard(4, kOther, 3), entries(4, 2, 5)).ok());
    ASSERT_TRUE(opened.store->sync().ok());
  }
  disk.kill_process();
  EXPECT_EQ(open().start.hard_state.commit, Index(3));
}

TEST_F(RaftStoreTest, ManySegmentsReadBackAsOneLog) {
  {
    auto opened = open();
    for (std::uint64_t i = 2; i < 60; ++i) append(*opened.store, entries(1, i, 1, 300));
  }
  disk.crash();
  const auto opened = open();
  EXPECT_EQ(opened.store->log().end(), Index(60));
  const auto fetched = opened.store->log().read(Index(30), 1000);
  ASSERT_TRUE(fetched.ok());
  EXPECT_EQ(fetched->previous_term, Term(1));
  ASSERT_GE(fetched->entries.size(), 2u);
  EXPECT_EQ(fetched->entries[0], entry(1, 30, 300));
  EXPECT_LE(fetched->entries.size(), 4u);
  EXPECT_EQ(opened.store->log().read(Index(60), 10).error().code(), Code::not_found);
}

TEST_F(RaftStoreTest, AReplacedSuffixNeverComesBack) {
  {
    auto opened = open();
    append(*opened.store, entries(2, 2, 9));
    append(*opened.store, entries(3, 5, 2));
    append(*opened.store, entries(4, 3, 1));
    EXPECT_EQ(opened.store->log().end(), Index(4));
  }
  const auto opened = open();
  ASSERT_EQ(opened.start.entries.size(), 3u);
  EXPECT_EQ(opened.start.entries[1], entry(2, 2));
  EXPECT_EQ(opened.start.entries[2], entry(4, 3));
}

TEST_F(RaftStoreTest, ARottenMiddleIsReportedAndNotCutOff) {
  std::uint64_t at = 0;
  {
    auto opened = open();
    append(*opened.store, entries(2, 2, 3));
    at = kSegmentHeaderBytes + record_bytes(raft::bootstrap_entry(configuration()).data.size()) + kRecordHeaderBytes;
    append(*opened.store, entries(2, 5, 3));
  }
  ASSERT_TRUE(disk.rot("m/log/0000000000000001.seg", at, 0));
  {
    auto opened = open();
    EXPECT_EQ(opened.start.entries.size(), 1u);
    ASSERT_TRUE(opened.start.damage);
    EXPECT_EQ(opened.start.damage->first, Index(2));
    EXPECT_EQ(opened.start.damage->last, (raft::LogPosition{.term = Term(2), .index = Index(7)}));
    // A part of it is sent again, then the power goes: what is missing is still known.
    append(*opened.store, entries(2, 2, 2));
  }
  disk.crash();
  {
    auto opened = open();
    EXPECT_EQ(opened.start.entries.size(), 3u);
    ASSERT_TRUE(opened.start.damage);
    EXPECT_EQ(opened.start.damage->first, Index(4));
    EXPECT_EQ(opened.start.damage->last.index, Index(7));
    append(*opened.store, entries(2, 4, 5));
  }
  EXPECT_FALSE(open().start.damage);
}

TEST_F(RaftStoreTest, TheLastSyncedBatchIsMissedWhenItRots) {
  {
    auto opened = open();
    append(*opened.store, entries(2, 2, 3));
  }
  ASSERT_TRUE(disk.rot("m/log/0000000000000001.seg",
                       kSegmentHeaderBytes + record_bytes(raft::bootstrap_entry(configuration()).data.size()) + 9, 0));
  const auto opened = open();
  ASSERT_TRUE(opened.start.damage);
  EXPECT_EQ(opened.start.damage->last, (raft::LogPosition{.term = Term(2), .index = Index(4)}));
}

// Found by the simulator: the power loss took the note of how far the log had been synced, and the process that came
// after it read the log, counted on it, and wrote nothing before it ended.
TEST_F(RaftStoreTest, TheLastSyncedBatchIsMissedAlsoWhenNothingWasWrittenSinceTheStart) {
  {
    auto opened = open();
    append(*opened.store, entries(2, 2, 3));
  }
  disk.crash_keeping([](const auto&) { return false; }, 0);
  EXPECT_EQ(open().start.entries.size(), 4u);
  disk.kill_process();
  const auto bootstrap = record_bytes(raft::bootstrap_entry(configuration()).data.size());
  const auto third = kSegmentHeaderBytes + bootstrap + 2 * record_bytes(entry(2, 2).data.size());
  ASSERT_TRUE(disk.rot("m/log/0000000000000001.seg", third + kRecordHeaderBytes, 0));
  const auto opened = open();
  EXPECT_EQ(opened.start.entries.size(), 3u);
  ASSERT_TRUE(opened.start.damage);
  EXPECT_EQ(opened.start.damage->last, (raft::LogPosition{.term = Term(2), .index = Index(4)}));
}

// Found by the simulator: a suffix that had been replaced, below the commit index by then, came back when the segment
// that replaced it could not be read.
TEST_F(RaftStoreTest, AReplacedSuffixDoesNotComeBackWhenTheSegmentThatReplacedItIsLost) {
  for (const bool rotten : {true, false}) {
    SetUp();
    {
      auto opened = open();
      append(*opened.store, entries(2, 2, 9, 200));  // the first segment: 2 to 10
      std::uint64_t next = 5;                        // the second one: from 5 on, and a third after it
      while (opened.store->log().sequence() < 3) append(*opened.store, entries(3, next++, 1, 700));
      ASSERT_LE(next, 11u);  // the third begins among the indices of what was replaced
    }
    const std::string lost = "m/log/0000000000000002.seg";
    if (rotten) {
      for (std::uint64_t at = 0; at < kSegmentHeaderBytes; at += 8) ASSERT_TRUE(disk.rot(lost, at, 0));
    } else {
      ASSERT_TRUE(disk.remove(lost).ok());
    }
    const auto opened = open();
    for (const Entry& found : opened.start.entries) {
      EXPECT_TRUE(found.index < Index(5) || found.term == Term(3)) << text(found.index) << " of term " << text(found.term);
    }
    ASSERT_TRUE(opened.start.damage);
    EXPECT_LE(opened.start.damage->first, Index(5));
    EXPECT_EQ(opened.start.damage->last.term, Term(3));
    ASSERT_TRUE(RaftStore::clear(disk, "m").ok());
  }
}

// Found by the simulator: a head with a good checksum, written into another segment's file, hid what that one had
// replaced, and a suffix below the commit index came back.
TEST_F(RaftStoreTest, TheHeadOfAnotherSegmentIsNotTakenForTheOwn) {
  {
    auto opened = open();
    append(*opened.store, entries(2, 2, 9, 200));  // the first segment: 2 to 10
    std::uint64_t next = 5;                        // the second one: from 5 on, and a third after it
    while (opened.store->log().sequence() < 3) append(*opened.store, entries(3, next++, 1, 700));
  }
  const auto second = disk.read_file("m/log/0000000000000002.seg", 8192);
  const auto third = disk.read_file("m/log/0000000000000003.seg", 8192);
  ASSERT_TRUE(second.ok() && third.ok());
  {
    auto file = disk.open("m/log/0000000000000002.seg", {.write = true});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write(0, bytes_of(third->substr(0, 512))).ok());
    ASSERT_TRUE((*file)->sync().ok());
  }
  const auto opened = open();  // the other copy of the head is whole: nothing is missing
  EXPECT_FALSE(opened.start.damage);
  ASSERT_GE(opened.start.entries.size(), 5u);
  for (const Entry& found : opened.start.entries) {
    EXPECT_TRUE(found.index < Index(5) || found.term == Term(3)) << text(found.index) << " of term " << text(found.term);
  }
}

TEST_F(RaftStoreTest, ALostSegmentIsReportedAsDamage) {
  {
    auto opened = open();
    for (std::uint64_t i = 2; i < 40; ++i) append(*opened.store, entries(1, i, 1, 300));
  }
  ASSERT_TRUE(disk.remove("m/log/0000000000000002.seg").ok());
  const auto opened = open();
  ASSERT_TRUE(opened.start.damage);
  EXPECT_EQ(opened.start.damage->last.index, Index(39));
  // The lost segment may have replaced a suffix of the one before, so that one cannot be trusted either.
  EXPECT_EQ(opened.start.damage->first, Index(1));
}

// Found by the simulator: what was sent again went behind the last segment, which it does not continue, and was gone
// after the next restart though it had been synced and acknowledged.
TEST_F(RaftStoreTest, WhatIsSentAgainAfterALostSegmentSurvivesTheNextStart) {
  {
    auto opened = open();
    for (std::uint64_t i = 2; i < 40; ++i) append(*opened.store, entries(1, i, 1, 300));
  }
  ASSERT_TRUE(disk.remove("m/log/0000000000000002.seg").ok());
  {
    auto opened = open();
    ASSERT_TRUE(opened.start.damage);
    append(*opened.store, entries(2, opened.start.damage->first.value(), 50));
  }
  disk.crash();
  const auto opened = open();
  EXPECT_FALSE(opened.start.damage);
  EXPECT_EQ(opened.start.entries.back().term, Term(2));
}

// docs/raft-log-format.md
TEST_F(RaftStoreTest, TheWorkedExampleOfASlotIsExact) {
  ASSERT_TRUE(disk.make_folders("example").ok());
  {
    auto file = SlotFile::open(disk, "example/vote", "HFVT", 1);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write("five").ok());
    ASSERT_TRUE(file->sync().ok());
    ASSERT_TRUE(file->mirror().ok());
  }
  const auto bytes = disk.read_file("example/vote", 1_MiB);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size(), 4096u + 512u);
  const std::string rest(512 - 28, '\0');
  EXPECT_EQ(hex(bytes_of(bytes->substr(0, 28))), "48465654" "0001" "0004" "b641e981" "00000000" "0000000000000001" "66697665");
  EXPECT_EQ(bytes->substr(28, rest.size()), rest);
  EXPECT_EQ(hex(bytes_of(bytes->substr(4096, 28))), "48465654" "0001" "0004" "bc6f835a" "00000000" "0000000000000002" "66697665");
  EXPECT_EQ(bytes->substr(4096 + 28), rest);
}

TEST_F(RaftStoreTest, VoteAndProgressAreTheValuesOfTheDocument) {
  {
    auto opened = open();
    ASSERT_TRUE(opened.store->write({}, hard(3, kOther, 1), {}).ok());
    append(*opened.store, {entry(3, 2)});
  }
  const auto newest = [&](const std::string& name, std::size_t length) {
    const auto bytes = disk.read_file("m/" + name, 1_MiB);
    CHECK(bytes.ok());
    const auto slot = bytes->substr(16, 8) > bytes->substr(4096 + 16, 8) ? bytes->substr(0, 512) : bytes->substr(4096, 512);
    EXPECT_EQ(hex(bytes_of(slot.substr(4, 4))), name == "vote" ? "00010048" : "00010020");
    return hex(bytes_of(slot.substr(24, length)));
  };
  EXPECT_EQ(newest("vote", 72),
            "00000000000000010000000000000001" "00000000000000020000000000000002" "0000000000000003"
            "00000000000000030000000000000003" "0000000000000000" "0000000000000000");
  EXPECT_EQ(newest("progress", 32), "0000000000000003" "0000000000000002" "0000000000000001" "0000000000000001");
}

TEST_F(RaftStoreTest, AMissingOrDoublyDamagedVoteMeansANewMember) {
  { auto opened = open(); ASSERT_TRUE(opened.store->write({}, hard(3, kOther), {}).ok()); }
  auto copy = disk.clone(1);
  ASSERT_TRUE(copy->rot("m/vote", 30, 1));
  const auto once = RaftStore::open(*copy, random, "m", options());
  ASSERT_TRUE(once.ok()) << once.error().what();
  EXPECT_EQ(once->start.hard_state.vote, kOther);
  copy = disk.clone(1);
  ASSERT_TRUE(copy->rot("m/vote", 30, 1));
  ASSERT_TRUE(copy->rot("m/vote", 4096 + 30, 1));
  EXPECT_EQ(RaftStore::open(*copy, random, "m", options()).error().code(), Code::corrupt);
  ASSERT_TRUE(disk.remove("m/vote").ok());
  EXPECT_EQ(RaftStore::open(disk, random, "m", options()).error().code(), Code::corrupt);
}

TEST_F(RaftStoreTest, ForeignFilesAreRefused) {
  auto foreign = options();
  foreign.cluster = ClusterId(Uuid{9, 9});
  EXPECT_EQ(RaftStore::open(disk, random, "m", foreign).error().code(), Code::refused);
}

raft::SnapshotMeta meta(std::uint64_t term, std::uint64_t index) {
  return {.last = {.term = Term(term), .index = Index(index)},
          .configuration = configuration(),
          .configuration_index = Index(1)};
}

TEST_F(RaftStoreTest, SnapshotsLetTheLogBeForgotten) {
  {
    auto opened = open();
    for (std::uint64_t i = 2; i < 60; ++i) append(*opened.store, entries(1, i, 1, 300));
    for (const std::uint64_t index : {20, 40, 55}) {
      const auto taken =
          opened.store->take_snapshot(meta(1, index), {{.name = "state", .bytes = "at " + std::to_string(index)}},
                                      Index(index - 5));
      ASSERT_TRUE(taken.ok());
    }
    EXPECT_GT(opened.store->log().first(), Index(20));
    EXPECT_LE(opened.store->log().first(), Index(35));
  }
  disk.crash();
  auto opened = open();
  ASSERT_TRUE(opened.start.snapshot);
  EXPECT_EQ(opened.start.snapshot->last.index, Index(55));
  EXPECT_EQ(opened.start.snapshot->configuration, configuration());
  ASSERT_EQ(opened.start.entries.size(), 4u);
  EXPECT_EQ(opened.start.entries[0].index, Index(56));
  const auto files = opened.store->snapshots().load(opened.start.snapshot->last);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ((*files)[0].bytes, "at 55");

  // The newest rots: the one before and the log behind it do as well.
  ASSERT_TRUE(disk.rot("m/snapshot/0000000000000037-0000000000000001.snap", 32768 + 20, 3));
  opened = open();
  EXPECT_EQ(opened.start.snapshot->last.index, Index(40));
  EXPECT_EQ(opened.start.entries.size(), 19u);
}

// docs/raft-log-format.md
TEST_F(RaftStoreTest, TheWorkedExampleOfASnapshotIsExact) {
  const std::vector<topology::CheckpointFile> files{{.name = "state", .bytes = "five"}};
  const std::string body = "4846534e" "0001" "0001" "0005" "0000000000000004" "c931c764" "7374617465" "66697665" "573954b1";
  EXPECT_EQ(hex(bytes_of(encode_snapshot_body(files))), body);
  auto store = SnapshotStore::open(disk, "example", ClusterId(Uuid{0x1122334455667788, 0x99aabbccddeeff00}));
  ASSERT_TRUE(store.ok());
  const raft::Configuration one({{.id = NodeId(Uuid{1, 2}), .address = "a:1", .voter = true}});
  const raft::SnapshotMeta begun{.last = {.term = Term(2), .index = Index(5)}, .configuration = one, .configuration_index = Index(1)};
  ASSERT_TRUE((*store)->store(begun, files).ok());
  const auto bytes = disk.read_file("example/0000000000000005-0000000000000002.snap", 1_MiB);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(hex(bytes_of(bytes->substr(0, 72 + 25))),
            "484652414654534e" "0001" "0019" "bad7c3b5" "112233445566778899aabbccddeeff00"
            "0000000000000005" "0000000000000002" "0000000000000001" "0000000000000023" "0000000000000000" +
                hex(bytes_of(encode(one))));
  EXPECT_EQ(bytes->substr(72 + 25, 32768 - 72 - 25), std::string(32768 - 72 - 25, '\0'));
  EXPECT_EQ(hex(bytes_of(bytes->substr(32768))), body);
}

TEST_F(RaftStoreTest, AFolderMayBeginWithASnapshotAndNothingElse) {
  const raft::SnapshotMeta begun{.last = {.term = Term(7), .index = Index(90)},
                                 .configuration = configuration(),
                                 .configuration_index = Index(90)};
  ASSERT_TRUE(RaftStore::found_from(disk, random, "m", options(), begun, Term(9), {{.name = "state", .bytes = "x"}}).ok());
  disk.crash();
  for (int turn = 0; turn < 2; ++turn) {
    auto opened = open();
    ASSERT_TRUE(opened.start.snapshot);
    EXPECT_EQ(opened.start.snapshot->last, begun.last);
    EXPECT_EQ(opened.start.snapshot->configuration, configuration());
    EXPECT_TRUE(opened.start.entries.empty());
    EXPECT_FALSE(opened.start.damage);
    EXPECT_EQ(opened.start.hard_state, hard(9, {}, 90));
    EXPECT_EQ(opened.store->log().end(), Index(91));
  }
  auto opened = open();
  append(*opened.store, entries(10, 91, 3));
  EXPECT_EQ(open().start.entries.size(), 3u);
}

TEST_F(RaftStoreTest, ASnapshotTravelsInPiecesAndEmptiesTheReceiversLog) {
  auto sender = open();
  append(*sender.store, entries(1, 2, 8));
  std::vector<topology::CheckpointFile> files{{.name = "a", .bytes = std::string(1000, 'a')},
                                              {.name = "b", .bytes = ""}};
  ASSERT_TRUE(sender.store->take_snapshot(meta(1, 8), files, Index(1)).ok());

  SimDisk other(5);
  ASSERT_TRUE(other.make_folder("m").ok());
  auto theirs = options();
  theirs.voter = kOther;
  ASSERT_TRUE(RaftStore::begin(other, random, "m", theirs).ok());
  {
    auto receiver = RaftStore::open(other, random, "m", theirs);
    ASSERT_TRUE(receiver.ok());
    raft::SnapshotRead request{.peer = kOther, .snapshot = {}, .bytes_max = 300};
    for (int pieces = 0;; ++pieces) {
      ASSERT_LT(pieces, 10);
      const auto piece = sender.store->snapshots().read(request);
      ASSERT_TRUE(piece.ok());
      ASSERT_TRUE(piece->has_value());
      const auto written = receiver->store->snapshots().write(
          {.meta = (*piece)->meta, .offset = (*piece)->offset, .data = (*piece)->data, .last = (*piece)->last});
      ASSERT_FALSE(written.failed);
      request.snapshot = (*piece)->meta.last;
      request.offset = written.next_offset;
      if (written.complete) break;
    }
  }
  other.crash_keeping([](const auto&) { return false; }, 0);
  // The crash came before the log was emptied for it.
  {
    auto receiver = RaftStore::open(other, random, "m", theirs);
    ASSERT_TRUE(receiver.ok()) << receiver.error().what();
    ASSERT_TRUE(receiver->start.snapshot);
    EXPECT_EQ(receiver->start.disk_first, Index(9));
    EXPECT_EQ(*receiver->store->snapshots().load(receiver->start.snapshot->last), files);
    ASSERT_TRUE(receiver->store->write({}, hard(1), entries(1, 9, 2)).ok());
    ASSERT_TRUE(receiver->store->sync().ok());
  }
  const auto receiver = RaftStore::open(other, random, "m", theirs);
  ASSERT_TRUE(receiver.ok());
  EXPECT_EQ(receiver->start.entries.size(), 2u);
}

TEST_F(RaftStoreTest, AFullDiskTakesWhatWasPreallocated) {
  auto opened = open();
  disk.set_faults({.capacity = disk.used()});
  std::uint64_t written = 2;
  // More than what is left of the current segment, less than that and the reserve.
  for (; written < 10; ++written) append(*opened.store, entries(1, written, 1, 500));
  EXPECT_FALSE(opened.store->log().has_reserve());
  EXPECT_EQ(opened.store->make_reserve().error().code(), Code::no_space);
  ASSERT_TRUE(opened.store->write({}, hard(9, kOther), {}).ok());  // a vote needs no room
  disk.set_faults({});
  EXPECT_TRUE(opened.store->make_reserve().ok());
}

TEST_F(RaftStoreTest, AFailedSyncIsFinal) {
  auto opened = open();
  ASSERT_TRUE(opened.store->write({}, {}, entries(1, 2, 1)).ok());
  disk.set_faults({.sync_error_ppm = 1'000'000});
  EXPECT_FALSE(opened.store->sync().ok());
  disk.set_faults({});
  EXPECT_FALSE(opened.store->sync().ok());
  EXPECT_FALSE(opened.store->write({}, {}, entries(1, 3, 1)).ok());
}

TEST_F(RaftStoreTest, AfterDeathByFailedSyncTheTailIsBroughtToTheDeviceBeforeAnythingElse) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto mine = disk.clone(seed);
    {
      auto opened = RaftStore::open(*mine, random, "m", options());
      ASSERT_TRUE(opened.ok());
      ASSERT_TRUE(opened->store->write({}, {}, entries(1, 2, 4)).ok());
      mine->set_faults({.sync_error_ppm = 1'000'000});
      ASSERT_FALSE(opened->store->sync().ok());
      mine->set_faults({});
    }
    mine->kill_process();
    std::size_t seen = 0;
    {
      const auto opened = RaftStore::open(*mine, random, "m", options());
      ASSERT_TRUE(opened.ok());
      seen = opened->start.entries.size();
    }
    mine->crash_keeping([](const auto&) { return false; }, 0);
    const auto opened = RaftStore::open(*mine, random, "m", options());
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened->start.entries.size(), seen);
  }
}

// ---------------------------------------------------------------------------------------------------- crash points

// One step of a story, and what it promises once it succeeded.
struct Step {
  std::vector<Entry> appended;
  std::optional<raft::HardState> state;
  bool snapshot = false;
  bool reset = false;
};

std::vector<Step> story() {
  return {
      {.appended = entries(2, 2, 3, 60), .state = hard(2, kSelf)},
      {.appended = entries(2, 5, 4, 500)},                           // into a second segment
      {.state = hard(3, kOther)},
      {.appended = entries(3, 6, 2, 60)},                            // replaces 6..8
      {.appended = entries(3, 8, 1, 1500)},
      {.snapshot = true},                                            // at 7
      {.appended = entries(4, 8, 3, 60), .state = hard(4, kSelf)},   // replaces 8
      {.state = hard(5)},
      {.reset = true},                                               // a snapshot at 20 was received
      {.appended = entries(5, 21, 2, 60)},
  };
}

// What the log must be, by index, after all steps before `done`, and what it may be if `done` was begun.
struct Model {
  std::map<std::uint64_t, Entry> entries;
  raft::HardState state;
  std::uint64_t snapshot = 0;

  void take(const Step& step) {
    if (!step.appended.empty()) {
      entries.erase(entries.lower_bound(step.appended.front().index.value()), entries.end());
      for (const auto& added : step.appended) entries[added.index.value()] = added;
    }
    if (step.state) state = *step.state;
    if (step.snapshot) snapshot = 7;
    if (step.reset) {
      entries.clear();
      snapshot = 20;
    }
  }
};

Status run(RaftStore& store, const Step& step) {
  if (step.snapshot) {
    const auto taken = store.take_snapshot(meta(3, 7), {{.name = "s", .bytes = "x"}}, Index(6));
    return taken ? Status() : taken.error();
  }
  if (step.reset) {
    const std::string body = encode_snapshot_body({{.name = "s", .bytes = "y"}});
    auto received = meta(5, 20);
    received.bytes = body.size();
    if (!store.snapshots().write({.meta = received, .offset = 0, .data = body, .last = true}).complete) {
      return Error{Code::io, "not stored"};
    }
    return store.write(received, {}, {});
  }
  if (auto done = store.write({}, step.state, step.appended); !done) return done;
  return store.sync();
}

// Plays the story with every operation from number `stop` on failing; true when it came to its end.
bool play(SimDisk& disk, std::uint64_t stop, Model* before, Model* after) {
  SeededRandom random(9);
  auto opened = RaftStore::open(disk, random, "m", options());
  CHECK(opened.ok());
  for (const auto& first : opened->start.entries) before->entries[first.index.value()] = first;
  before->state = opened->start.hard_state;
  *after = *before;
  disk.fail_at(stop);
  for (const auto& step : story()) {
    after->take(step);
    if (!run(*opened->store, step).ok()) return false;
    *before = *after;
  }
  return true;
}

// What stands on the disk is what was promised, or that with some of what was under way.
void expect_promises_kept(SimDisk& disk, const Model& before, const Model& after, const std::string& where) {
  SeededRandom random(10);
  const auto opened = RaftStore::open(disk, random, "m", options());
  ASSERT_TRUE(opened.ok()) << where << ": " << opened.error().what();
  const auto& start = opened->start;
  EXPECT_FALSE(start.damage) << where << ": " << (opened->remarks.empty() ? "" : opened->remarks.back());

  EXPECT_TRUE(start.hard_state.term == before.state.term || start.hard_state.term == after.state.term) << where;
  const auto& promised = start.hard_state.term == after.state.term ? after.state : before.state;
  EXPECT_EQ(start.hard_state.vote, promised.vote) << where;

  const std::uint64_t snapshot = start.snapshot ? start.snapshot->last.index.value() : 0;
  EXPECT_TRUE(snapshot == before.snapshot || snapshot == after.snapshot) << where;
  std::uint64_t index = snapshot + 1;
  for (const auto& found : start.entries) {
    EXPECT_EQ(found.index.value(), index) << where;
    const auto old = before.entries.find(index);
    const auto fresh = after.entries.find(index);
    EXPECT_TRUE((old != before.entries.end() && old->second == found) ||
                (fresh != after.entries.end() && fresh->second == found))
        << where << ": entry " << index << " is neither the old nor the new one";
    ++index;
  }
  // An entry that was promised and is in no danger of being replaced must be there.
  for (const auto& [promised_index, promised_entry] : before.entries) {
    const auto fresh = after.entries.find(promised_index);
    if (promised_index <= snapshot || fresh == after.entries.end() || fresh->second != promised_entry) continue;
    ASSERT_LT(promised_index, index) << where << ": a promised entry is gone";
    EXPECT_EQ(start.entries[promised_index - snapshot - 1], promised_entry) << where;
  }
}

// Half a million futures; under a sanitizer, ten times slower, pairs have to do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kTriples = false;
#else
constexpr bool kTriples = true;
#endif

TEST_F(RaftStoreTest, EveryCrashPointKeepsWhatWasPromised) {
  std::uint64_t futures = 0;
  for (std::uint64_t stop = 0;; ++stop) {
    auto stopped = disk.clone(stop);
    Model before;
    Model after;
    const bool whole = play(*stopped, stop, &before, &after);
    const auto pending = stopped->pending().size();
    const auto names = stopped->pending_names();
    const auto check = [&](const std::set<std::uint64_t>& chosen, bool keep_chosen, std::size_t names_kept) {
      auto future = stopped->clone(stop);
      future->crash_keeping(
          [&](const SimDisk::Pending& write) { return chosen.contains(write.ordinal) == keep_chosen; }, names_kept);
      std::string where = "stopped at " + std::to_string(stop) + (keep_chosen ? ", kept" : ", lost");
      for (const auto ordinal : chosen) where += " " + std::to_string(ordinal);
      for (const auto& p : stopped->pending()) where += " [" + p.path + ":" + std::to_string(p.sector) + "]";
      expect_promises_kept(*future, before, after, where + ", names " + std::to_string(names_kept));
      ++futures;
    };
    for (std::size_t names_kept = 0; names_kept <= names; ++names_kept) {
      // Every prefix of the unsynced sectors.
      std::set<std::uint64_t> prefix;
      for (std::size_t length = 0; length <= pending; ++length) {
        check(prefix, true, names_kept);
        prefix.insert(length);
      }
      // Every subset of up to three, kept alone or lost alone. The names matter little here: all or none.
      if (names_kept != 0 && names_kept != names) continue;
      // The hint is never synced and piles up; two of its writes stand for all.
      std::vector<std::uint64_t> chosen;
      std::size_t hints = 0;
      for (const auto& write : stopped->pending()) {
        if (write.path != "m/progress" || ++hints <= 2) chosen.push_back(write.ordinal);
      }
      for (std::size_t a = 0; a < chosen.size(); ++a) {
        for (std::size_t b = a; b < chosen.size(); ++b) {
          check({chosen[a], chosen[b]}, true, names_kept);
          check({chosen[a], chosen[b]}, false, names_kept);
          // Triples with the names that a journal would most likely have kept: all.
          if (!kTriples || names_kept != names) continue;
          for (std::size_t c = b + 1; c < chosen.size(); ++c) {
            check({chosen[a], chosen[b], chosen[c]}, true, names_kept);
          }
        }
      }
    }
    if (::testing::Test::HasFailure()) return;
    if (whole) break;
  }
  std::printf("%llu futures\n", static_cast<unsigned long long>(futures));
  EXPECT_GT(futures, 5'000u);
}

TEST_F(RaftStoreTest, TornSectorsAtRandomCrashesKeepWhatWasPromised) {
  for (std::uint64_t seed = 0; seed < (kTriples ? 3000 : 300); ++seed) {
    auto future = disk.clone(seed);
    SeededRandom random(seed);
    Model before;
    Model after;
    (void)play(*future, random.below(60), &before, &after);
    future->set_faults({.torn_sector_ppm = 500'000});
    future->crash();
    future->set_faults({});
    expect_promises_kept(*future, before, after, "seed " + std::to_string(seed));
    if (::testing::Test::HasFailure()) return;
  }
}

// ---------------------------------------------------------------------------------------------------- identity

TEST(IdentityTest, ComesBackAsItWasWritten) {
  SimDisk disk(1);
  SeededRandom random(1);
  auto identity = new_identity(random);
  identity.cluster = kCluster;
  identity.incarnation = Incarnation(7);
  identity.self = "[::1]:9333.19000";
  identity.founding = configuration();
  identity.members = configuration().members();
  ASSERT_TRUE(store_identity(disk, "identity.json", identity).ok());
  const auto again = load_identity(disk, "identity.json");
  ASSERT_TRUE(again.ok()) << again.error().what();
  EXPECT_EQ(*again, identity);
  identity.superseded = {ClusterId(Uuid{5, 5}), ClusterId(Uuid{6, 6})};
  identity.former = {"localhost:9334"};
  identity.removed = true;
  identity.recovering = "recovered-4";
  EXPECT_EQ(*decode_identity(encode(identity)), identity);
  EXPECT_NE(encode(identity).find("\"format\": 2"), std::string::npos);  // no build takes part with it
  EXPECT_EQ(load_identity(disk, "none").error().code(), Code::not_found);
}

TEST(IdentityTest, DamageAndNewerFormatsAreToldApart) {
  EXPECT_EQ(decode_identity("{").error().code(), Code::corrupt);
  EXPECT_EQ(decode_identity("{\"format\": 1}").error().code(), Code::corrupt);
  EXPECT_EQ(decode_identity("{\"format\": 3}").error().code(), Code::unsupported);
}

}  // namespace
}  // namespace holdfast::storage
