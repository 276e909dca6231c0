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
