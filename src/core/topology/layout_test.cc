#include "core/topology/layout.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

namespace holdfast::topology {
namespace {

constexpr std::uint64_t kLimit = 1000;

Candidate candidate(std::uint32_t id, std::uint64_t size, LivenessPtr liveness, const std::string& rack = "r") {
  auto locations = std::make_shared<Locations>();
  locations->volume = VolumeId(id);
  locations->places.push_back({"s" + std::to_string(id), "", "dc", rack, "s" + std::to_string(id), 0, liveness});
  auto fill = std::make_shared<Fill>();
  fill->reported(size);
  return {locations, fill};
}
LivenessPtr alive() {
  auto liveness = std::make_shared<Liveness>();
  liveness->set(kDistantFuture);
  return liveness;
}

TEST(Layout, PicksEmptierVolumesMoreOften) {
  Layout layout({}, kLimit);
  layout.add(candidate(1, 900, alive()));
  layout.add(candidate(2, 100, alive()));
  PickRandom random(1);
  std::map<std::uint32_t, int> count;
  for (int i = 0; i < 10'000; ++i) ++count[layout.pick(at(1h), {}, 0, random)->volume.value()];
  EXPECT_NEAR(count[1], 1000, 150);
  EXPECT_NEAR(count[2], 9000, 150);
}

TEST(Layout, SamplesEveryOneOfManyVolumes) {
  for (std::uint32_t n : {1u, 2u, 3u, 4u, 5u, 7u, 100u}) {
    Layout layout({}, kLimit);
    for (std::uint32_t i = 0; i < n; ++i) layout.add(candidate(i, 0, alive()));
    PickRandom random(n);
    std::map<std::uint32_t, int> count;
    for (std::uint32_t i = 0; i < n * 1000; ++i) ++count[layout.pick(at(1h), {}, 0, random)->volume.value()];
    EXPECT_EQ(count.size(), n);
    for (const auto& [volume, times] : count) EXPECT_NEAR(times, 1000, 200) << n;
  }
}

TEST(Layout, AVolumeOnASilentServerIsNotPicked) {
  Layout layout({}, kLimit);
  auto silent = std::make_shared<Liveness>();
  silent->set(at(10s));
  for (std::uint32_t i = 0; i < 1000; ++i) layout.add(candidate(i, 0, i == 777 ? alive() : silent));
  PickRandom random(1);
  EXPECT_NE(layout.pick(at(9s), {}, 0, random), nullptr);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(layout.pick(at(10s), {}, 0, random)->volume, VolumeId(777));
  layout.remove(VolumeId(777));
  EXPECT_EQ(layout.pick(at(10s), {}, 0, random), nullptr);
  EXPECT_FALSE(layout.can_pick(at(10s), {}));
}

TEST(Layout, ADoubtedServerIsPickedOnlyWhenThereIsNoOther) {
  for (const std::uint32_t n : {2u, 3u, 1000u}) {
    Layout layout({}, kLimit);
    const auto doubted = alive(), good = alive();
    doubted->doubt();
    for (std::uint32_t i = 0; i < n; ++i) layout.add(candidate(i, 0, i == n - 1 ? good : doubted));
    PickRandom random(n);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(layout.pick(at(1h), {}, 0, random)->volume, VolumeId(n - 1));
    good->doubt();
    EXPECT_TRUE(layout.can_pick(at(1h), {}));
    std::set<std::uint32_t> picked;
    for (int i = 0; i < 100; ++i) picked.insert(layout.pick(at(1h), {}, 0, random)->volume.value());
    EXPECT_GT(picked.size(), 1u);
    doubted->set(kDistantFuture);  // heard again
    for (int i = 0; i < 100; ++i) EXPECT_NE(layout.pick(at(1h), {}, 0, random)->volume, VolumeId(n - 1));
  }
}

TEST(Layout, AWishIsMetByAnyReplicaOrNobody) {
  Layout layout({}, kLimit);
  for (std::uint32_t i = 0; i < 10'000; ++i) layout.add(candidate(i, 0, alive(), i % 5000 == 4321 ? "rare" : "r"));
  PickRandom random(1);
  std::map<std::uint32_t, int> count;
  for (int i = 0; i < 100; ++i) ++count[layout.pick(at(1h), {.rack = "rare"}, 0, random)->volume.value()];
  EXPECT_EQ(count.size(), 2u);
  EXPECT_EQ(layout.pick(at(1h), {.server = "s17"}, 0, random)->volume, VolumeId(17));
  EXPECT_EQ(layout.pick(at(1h), {.rack = "rare", .server = "s17"}, 0, random), nullptr);
  EXPECT_EQ(layout.pick(at(1h), {.data_center = "x"}, 0, random), nullptr);
}

TEST(Layout, UnusedAssignsBiasForSecondsAndCloseNothing) {
  Layout layout({}, kLimit);
  auto first = candidate(1, 0, alive());
  layout.add(first);
  layout.add(candidate(2, 500, alive()));
  first.fill->assigned(at(100s), 1'000'000);
  PickRandom random(1);
  const auto share = [&](Instant now) {
    int count = 0;
    for (int i = 0; i < 1000; ++i) count += layout.pick(now, {}, 0, random)->volume == VolumeId(1) ? 1 : 0;
    return count;
  };
  EXPECT_LT(share(at(100s)), 30);
  EXPECT_NEAR(share(at(104s)), 667, 60);
  layout.remove(VolumeId(2));
  first.fill->assigned(at(104s), 1'000'000);
  EXPECT_EQ(layout.pick(at(104s), {}, 0, random)->volume, VolumeId(1));
}

TEST(Layout, RemovingKeepsTheOthersAtTheirPlaces) {
  Layout layout({}, kLimit);
  for (std::uint32_t i = 0; i < 10; ++i) layout.add(candidate(i, 0, alive()));
  for (const std::uint32_t i : {0u, 9u, 5u, 5u, 77u}) layout.remove(VolumeId(i));
  std::vector<std::uint32_t> left;
  for (const VolumeId id : layout.volumes()) left.push_back(id.value());
  EXPECT_EQ(left, (std::vector<std::uint32_t>{1, 2, 3, 4, 6, 7, 8}));
  layout.add(candidate(4, 1, alive()));  // replaces
  EXPECT_EQ(layout.size(), 7u);
}

TEST(Layout, ManyThreadsPickWhileVolumesComeAndGo) {
  Layout layout({}, kLimit);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      PickRandom random(static_cast<std::uint64_t>(t));
      while (!stop) {
        const auto found = layout.pick(at(1h), {}, 100, random);
        EXPECT_TRUE(found == nullptr || found->volume.value() < 100u);
        (void)layout.pick(at(1h), {.server = "s3"}, 100, random);
      }
    });
  }
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    layout.add(candidate(i % 100, i % 900, alive()));
    layout.remove(VolumeId((i * 7) % 100));
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

TEST(LayoutTable, FindsByViewsAndForgets) {
  LayoutTable table;
  table.add(std::make_shared<Layout>(LayoutKey{"pics", {0, 0, 1}, {}, "ssd"}, kLimit));
  table.add(std::make_shared<Layout>(LayoutKey{"", {}, {}, ""}, kLimit));
  EXPECT_NE(table.find({"pics", {0, 0, 1}, {}, "ssd"}), nullptr);
  EXPECT_EQ(table.find({"pics", {0, 0, 1}, {}, ""}), nullptr);
  EXPECT_EQ(table.all().size(), 2u);
  EXPECT_EQ(table.all().front()->key().collection, "");
  table.remove({"pics", {0, 0, 1}, {}, "ssd"});
  EXPECT_EQ(table.find({"pics", {0, 0, 1}, {}, "ssd"}), nullptr);
}

}  // namespace
}  // namespace holdfast::topology
