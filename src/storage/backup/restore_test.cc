#include "storage/backup/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/topology/registry.h"
#include "io/sim/disk.h"
#include "storage/backup/backup_folder.h"

namespace holdfast::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const ClusterId kCluster(Uuid{1, 2});
const ClusterId kOther(Uuid{3, 4});

// Entry 1 names the cluster and its member, each later one gives out a volume id.
Change change(std::uint64_t index) {
  Change change{.entry = {.term = Term(1 + index / 10), .index = Index(index)}, .time = 1000 + static_cast<std::int64_t>(index)};
  if (index == 1) {
    change.entry.kind = EntryKind::configuration;
    change.entry.data = raft::encode(raft::Configuration({{.id = NodeId(Uuid{9, 9}), .address = "a:1", .voter = true}}));
    return change;
  }
  const topology::Command command = index == 2 ? topology::Command(topology::InitCluster{kCluster})
                                               : topology::Command(topology::AllocateVolumeIds{1});
  change.entry.data = topology::encode_batch({{.id = {.session = Uuid{5, 5}, .sequence = index}, .command = encode(command)}});
  return change;
}

std::vector<Change> changes(std::uint64_t first, std::uint64_t last) {
  std::vector<Change> out;
  for (auto i = first; i <= last; ++i) out.push_back(change(i));
  return out;
}

SourceLog log_of(const std::string& name, std::uint64_t first, std::uint64_t last, ClusterId cluster = kCluster) {
  std::string text = encode(ChangeLogHead{cluster, Generation(1), {.term = Term(1), .index = Index(first - 1)}});
  for (const auto& one : changes(first, last)) text += encode(cluster, one);
  return {name, parse_change_log(text)};
}

Image image_at(std::uint64_t index) {
  const std::vector<SourceLog> logs{log_of("all", 1, index)};
  const auto chain = chain_of(kCluster, {}, logs);
  auto image = apply(std::nullopt, kCluster, chain, 1, {});
  EXPECT_TRUE(image.ok()) << image.error().what();
  return *image;
}

topology::RegistryState state_of(const Image& image) {
  topology::Registry registry(1);
  EXPECT_TRUE(registry.restore({.applied = image.head.last.index, .term = image.head.last.term, .files = image.files}).ok());
  return registry.state();
}

TEST(Image, IsReadBackAndEveryChangedByteIsFound) {
  const auto image = image_at(12);
  EXPECT_EQ(image.head.configuration.members().size(), 1u);
  const auto bytes = encode(image);
  const auto back = decode_image(bytes_of(bytes));
  ASSERT_TRUE(back.ok()) << back.error().what();
  EXPECT_EQ(*back, image);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto other = bytes;
    other[at] = static_cast<char>(other[at] ^ 0x10);
    EXPECT_FALSE(decode_image(bytes_of(other)).ok()) << at;
    EXPECT_FALSE(decode_image(bytes_of(bytes.substr(0, at))).ok()) << at;
  }
  EXPECT_FALSE(decode_image(bytes_of(bytes + "x")).ok());
}

// docs/backups.md
TEST(Image, TheWorkedExampleOfTheDocumentIsExact) {
  const Entry last{.term = Term(2), .index = Index(5), .data = "five"};
  const Image image{.head = {.cluster = ClusterId(Uuid{0x1122334455667788, 0x99aabbccddeeff00}),
                             .generation = Generation(3),
                             .last = {.term = last.term, .index = last.index},
                             .check = check_of(last),
                             .feature_level = 4,
                             .made = io::WallTime(std::chrono::seconds(1795248960)),
                             .configuration = raft::Configuration({{.id = NodeId(Uuid{1, 2}), .address = "a:1", .voter = true}})},
                    .files = {{.name = "state", .bytes = "five"}}};
  EXPECT_EQ(hex(bytes_of(encode(image))),
            "4846494d4147450a" "00000001" "00000055"
            "112233445566778899aabbccddeeff00" "0000000000000003" "0000000000000005" "0000000000000002" "6a7aa5aa"
            "00000004" "18ea016ae0308000" "00000019" "01000100000000000000010000000000000002010003613a31"
            "aa185444" "0000000000000023"
            "4846534e0001000100050000000000000004c931c764737461746566697665573954b1"
            "7c8afcea" "4846494d47454e44");
}

TEST(Restore, LogsInAnyOrderAndOverlappingGoOnFromTheImage) {
  const auto image = image_at(6);
  const std::vector<SourceLog> logs{log_of("new", 15, 20), log_of("old", 3, 9), log_of("middle", 8, 14)};
  const auto chain = chain_of(kCluster, image.head.last, logs);
  EXPECT_EQ(chain.reached.index, Index(20));
  EXPECT_THAT(chain.losses, IsEmpty());
  const auto restored = apply(image, kCluster, chain, 1, {});
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(*restored, image_at(20));
  EXPECT_EQ(state_of(*restored).max_volume_id, VolumeId(18));
}

TEST(Restore, AGapIsNamedAndEndsThePrefix) {
  const auto image = image_at(6);
  const std::vector<SourceLog> logs{log_of("changelog_ml.0.mfs", 15, 20), log_of("changelog_ml.1.mfs", 3, 9)};
  const auto chain = chain_of(kCluster, image.head.last, logs);
  EXPECT_EQ(chain.reached.index, Index(9));
  EXPECT_EQ(chain.highest, Index(20));
  EXPECT_THAT(chain.losses, ElementsAre("entries 10 to 14 are missing: changelog_ml.1.mfs goes up to 9, and "
                                        "changelog_ml.0.mfs goes on with 15"));
}

TEST(Restore, ADamagedLineThatAnotherFileHasCostsNothing) {
  auto damaged = log_of("damaged", 1, 12);
  damaged.parsed.changes.erase(damaged.parsed.changes.begin() + 4);
  damaged.parsed.faults.push_back({6, 500, Index(4), "the checksum is another"});
  std::vector<SourceLog> logs{damaged};
  auto chain = chain_of(kCluster, {}, logs);
  EXPECT_EQ(chain.reached.index, Index(4));
  EXPECT_THAT(chain.losses, ElementsAre(HasSubstr("entry 5 is missing"),
                                        HasSubstr("damaged: line 6 (byte 500, behind entry 4)")));
  logs.push_back(log_of("other", 3, 8));
  chain = chain_of(kCluster, {}, logs);
  EXPECT_EQ(chain.reached.index, Index(12));
  EXPECT_THAT(chain.losses, IsEmpty());
  EXPECT_THAT(chain.remarks, ElementsAre(HasSubstr("line 6")));
}

// spec/moosefs-ha 15, number 3.
TEST(Restore, Hazard3ALogOfAForeignClusterIsLeftOutInWords) {
  const std::vector<SourceLog> logs{log_of("ours", 1, 5), log_of("theirs", 6, 9, kOther)};
  const auto chain = chain_of(kCluster, {}, logs);
  EXPECT_EQ(chain.reached.index, Index(5));
  EXPECT_THAT(chain.remarks, ElementsAre(HasSubstr("theirs: of another cluster")));
}

TEST(Restore, TwoHistoriesAreToldApart) {
  auto other = log_of("other", 4, 9);
  other.parsed.changes[1].entry.term = Term(7);
  const std::vector<SourceLog> logs{log_of("one", 1, 6), other};
  const auto chain = chain_of(kCluster, {}, logs);
  EXPECT_EQ(chain.reached.index, Index(4));
  EXPECT_THAT(chain.losses, ElementsAre(HasSubstr("entry 5 is one thing in one and another in other")));
}

TEST(Restore, EveryPrefixOfTheLogIsTheStateAtItsLastEntry) {
  const auto full = image_at(24);
  for (std::uint64_t cut = 3; cut <= 24; ++cut) {
    const std::vector<SourceLog> logs{log_of("log", 1, cut)};
    const auto restored = apply(std::nullopt, kCluster, chain_of(kCluster, {}, logs), 1, {});
    ASSERT_TRUE(restored.ok());
    EXPECT_EQ(state_of(*restored).max_volume_id, VolumeId(static_cast<std::uint32_t>(cut - 2)));
  }
}

// ---- the folder of a metalogger ------------------------------------------------------------------------------------

struct Folder {
  io::sim::SimDisk disk{7};
  std::unique_ptr<BackupFolder> folder;

  Folder() { open(); }
  void open() {
    folder.reset();
    auto opened = BackupFolder::open(disk, {.folder = "ml", .logs_kept = 3, .images_kept = 2});
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    folder = std::move(*opened);
  }
  void image(std::uint64_t index) {
    const auto done = folder->take_image(encode(image_at(index)));
    ASSERT_TRUE(done.ok()) << done.error().what();
  }
  void append(std::uint64_t first, std::uint64_t last) {
    const auto done = folder->append(changes(first, last), Generation(1));
    ASSERT_TRUE(done.ok()) << done.error().what();
  }
  std::vector<std::string> names() { return *disk.list("ml"); }
};

TEST(BackupFolder, GoesOnAfterAPowerLossFromTheLastLineThatWasSynced) {
  Folder at;
  at.image(4);
  at.append(5, 9);
  at.append(10, 11);
  at.disk.crash();
  at.open();
  EXPECT_EQ(at.folder->position().index, Index(11));
  EXPECT_EQ(at.folder->cluster(), kCluster);
  EXPECT_THAT(at.folder->remarks(), IsEmpty());
  at.append(12, 13);
  at.open();
  EXPECT_EQ(at.folder->position().index, Index(13));
  EXPECT_THAT(at.names(), ElementsAre("changelog_ml.0.mfs", "metadata_ml.mfs.back"));
}

TEST(BackupFolder, ATornLastLineIsCutOffAndAskedForAgain) {
  Folder at;
  at.image(4);
  at.append(5, 9);
  const auto log = *at.disk.read_file("ml/changelog_ml.0.mfs", 1_MiB);
  {
    auto file = at.disk.open("ml/changelog_ml.0.mfs", {.write = true});
    ASSERT_TRUE((*file)->truncate(log.size() - 3).ok());
  }
  at.open();
  EXPECT_EQ(at.folder->position().index, Index(8));
  EXPECT_THAT(at.folder->remarks(), ElementsAre(HasSubstr("behind entry 8")));
  at.append(9, 9);
  EXPECT_EQ(*at.disk.read_file("ml/changelog_ml.0.mfs", 1_MiB), log);
}

TEST(BackupFolder, KeepsSoManyGenerationsAndNoLogThatIsStillNeeded) {
  Folder at;
  at.image(4);
  for (std::uint64_t i = 5; i < 11; ++i) {
    at.append(i, i);
    ASSERT_TRUE(at.folder->rotate().ok());
  }
  // All six are behind the image: none may go.
  EXPECT_EQ(at.names().size(), 7u);
  at.image(10);
  at.append(11, 11);
  EXPECT_THAT(at.names(), ElementsAre("changelog_ml.0.mfs", "changelog_ml.1.mfs", "changelog_ml.2.mfs",
                                      "metadata_ml.mfs.back", "metadata_ml.mfs.back.1"));
  at.image(11);
  at.append(12, 12);
  at.image(12);
  EXPECT_THAT(at.names(), ElementsAre("changelog_ml.0.mfs", "changelog_ml.1.mfs", "changelog_ml.2.mfs",
                                      "metadata_ml.mfs.back", "metadata_ml.mfs.back.1", "metadata_ml.mfs.back.2"));
  at.open();
  EXPECT_EQ(at.folder->position().index, Index(12));
}

// spec/moosefs-ha 15, numbers 2 and 3.
TEST(BackupFolder, Hazard2NothingIsLostToAnOlderOrForeignImage) {
  Folder at;
  at.image(8);
  at.append(9, 12);
  const auto before = at.names();
  EXPECT_FALSE(at.folder->take_image(encode(image_at(6))).ok());
  auto foreign = image_at(20);
  foreign.head.cluster = kOther;
  EXPECT_FALSE(at.folder->take_image(encode(foreign)).ok());
  EXPECT_FALSE(at.folder->take_image("MFSM NEW").ok());
  EXPECT_EQ(at.names(), before);
  EXPECT_EQ(at.folder->position().index, Index(12));
  const auto aside = at.folder->set_aside();
  ASSERT_TRUE(aside.ok());
  EXPECT_EQ(*aside, "before-1-00000000");
  EXPECT_EQ(at.disk.list("ml/" + *aside)->size(), before.size());
  EXPECT_TRUE(at.folder->take_image(encode(foreign)).ok());
}

TEST(BackupFolder, ARotationThatStopsAnywhereLosesNothing) {
  for (std::uint64_t stop = 0; stop < 40; ++stop) {
    Folder at;
    at.image(4);
    for (std::uint64_t i = 5; i < 9; ++i) {
      at.append(i, i);
      ASSERT_TRUE(at.folder->rotate().ok());
    }
    at.disk.fail_at(stop);
    (void)at.folder->append(changes(9, 9), Generation(1));
    (void)at.folder->take_image(encode(image_at(9)));
    (void)at.folder->append(changes(10, 10), Generation(1));
    const auto said = at.folder->position().index;
    at.disk.fail_never();
    at.disk.crash();
    at.open();
    EXPECT_GE(at.folder->position().index, said) << "stopped at operation " << stop;
  }
}

}  // namespace
}  // namespace holdfast::backup
