#include "storage/raft/witness_file.h"

#include <gtest/gtest.h>

#include "io/sim/disk.h"

namespace holdfast::storage {
namespace {

const NodeId kWitness(Uuid{1, 1});
const ClusterId kCluster(Uuid{2, 2});

raft::WitnessState some(std::uint64_t term) {
  return {.term = Term(term),
          .vote = NodeId(Uuid{3, term}),
          .in_sync = {Term(term - 1), 2, {NodeId(Uuid{3, 1}), NodeId(Uuid{3, 2})}},
          .lease = 80ms};
}

TEST(WitnessFile, ComesBackAsItWasKept) {
  io::sim::SimDisk disk(1);
  ASSERT_TRUE(disk.make_folders("w"));
  {
    auto file = WitnessFile::open(disk, "w/state", kWitness, kCluster);
    ASSERT_TRUE(file) << file.error().what();
    EXPECT_EQ(file->state(), raft::WitnessState());
    ASSERT_TRUE(file->keep(some(5)));
    ASSERT_TRUE(file->keep(some(6)));
  }
  auto again = WitnessFile::open(disk, "w/state", kWitness, kCluster);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->state(), some(6));
}

// docs/raft-log-format.md
TEST(WitnessFile, TheWorkedExampleOfTheDocumentIsExact) {
  io::sim::SimDisk disk(1);
  ASSERT_TRUE(disk.make_folders("w"));
  const NodeId node(Uuid{1, 2}), other(Uuid{1, 3});
  auto file = WitnessFile::open(disk, "w/witness", node, ClusterId(Uuid{0x1122334455667788, 0x99aabbccddeeff00}));
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->keep({.term = Term(3), .vote = other, .in_sync = {Term(2), 4, {other}}, .lease = 80ms}));
  const auto bytes = disk.read_file("w/witness", 1_MiB);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->substr(0, 4), "HFWI");
  EXPECT_EQ(hex(bytes_of(bytes->substr(24, 98))),
            "01" "00000000000000010000000000000002" "112233445566778899aabbccddeeff00"
            "0000000000000003" "00000000000000010000000000000003"
            "0000000000000002" "0000000000000004" "01" "00000000000000010000000000000003" "0000000004c4b400");
}

TEST(WitnessFile, IsOfNoUseToAnother) {
  io::sim::SimDisk disk(1);
  ASSERT_TRUE(disk.make_folders("w"));
  ASSERT_TRUE(WitnessFile::open(disk, "w/state", kWitness, kCluster)->keep(some(5)));
  for (const auto& [node, cluster] : {std::pair(NodeId(Uuid{1, 2}), kCluster), std::pair(kWitness, ClusterId(Uuid{9, 9}))}) {
    const auto file = WitnessFile::open(disk, "w/state", node, cluster);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code(), Code::corrupt);
  }
}

}  // namespace
}  // namespace holdfast::storage
