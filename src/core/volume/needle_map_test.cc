#include "core/volume/needle_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace holdfast::volume {
namespace {

Slot slot(std::uint32_t offset, std::int32_t size) { return {offset, size}; }

TEST(NeedleMap, KeepsADeletedNeedlesOffset) {
  NeedleMap map;
  map.put(NeedleId(5), slot(1, 100));
  map.remove(NeedleId(5));
  EXPECT_EQ(map.find(NeedleId(5)), slot(1, -100));
  EXPECT_EQ(map.live_keys(), 0u);
}

TEST(NeedleMap, ADeletedEmptyFileHasSizeMinusOne) {
  NeedleMap map;
  map.put(NeedleId(5), slot(1, 0));
  map.remove(NeedleId(5));
  EXPECT_EQ(map.find(NeedleId(5)), slot(1, -1));
}

TEST(NeedleMap, CountsAsUpstreamsMemoryKindDoes) {
  NeedleMap map;
  map.apply({NeedleId(1), 1, 10});
  map.apply({NeedleId(2), 9, 20});
  map.apply({NeedleId(1), 17, 30});   // overwrite
  map.apply({NeedleId(2), 25, -1});   // delete
  map.apply({NeedleId(2), 33, -1});   // again: the row counts, its bytes do not
  map.apply({NeedleId(99), 0, -1});   // a key never put
  const auto& c = map.counts();
  EXPECT_EQ(c.files, 3u);
  EXPECT_EQ(c.file_bytes, 60u);
  EXPECT_EQ(c.deletions, 4u);
  EXPECT_EQ(c.deleted_bytes, 30u);
  EXPECT_EQ(c.max_key, NeedleId(99));
  EXPECT_EQ(map.live_keys(), 1u);
}

// Against std::map under random work, for key spreads that need distances of each width.
TEST(NeedleMap, AgreesWithAnOrdinaryMap) {
  for (const std::uint64_t spread : {3ull, 2000ull, 100'000ull, 1'000'000'000ull, ~0ull}) {
    std::mt19937_64 random(spread);
    NeedleMap map;
    std::map<std::uint64_t, Slot> model;
    for (int i = 0; i < 30000; i++) {
      const auto key = spread == ~0ull ? random() : random() % spread;
      if (random() % 4 == 0) {
        map.remove(NeedleId(key));
        if (const auto it = model.find(key); it != model.end() && it->second.is_live()) {
          it->second.size = it->second.size == 0 ? -1 : -it->second.size;
        }
      } else {
        const auto value = slot(static_cast<std::uint32_t>(random()), static_cast<std::int32_t>(random() % 5));
        map.put(NeedleId(key), value);
        model[key] = value;
      }
    }
    ASSERT_EQ(map.keys(), model.size());
    auto expected = model.begin();
    map.for_each([&](NeedleId key, Slot value) {
      ASSERT_EQ(key.value(), expected->first);
      ASSERT_EQ(value, expected->second);
      ++expected;
    });
    for (const auto& [key, value] : model) ASSERT_EQ(map.find(NeedleId(key)), value);
    for (int i = 0; i < 1000; i++) {
      const auto key = random();
      const auto it = model.find(key);
      ASSERT_EQ(map.find(NeedleId(key)).has_value(), it != model.end());
    }
  }
}

TEST(NeedleMap, TheLargestAndSmallestKeysHavePlaces) {
  NeedleMap map;
  map.put(NeedleId(~0ull), slot(1, 1));
  map.put(NeedleId(0), slot(2, 2));
  map.put(NeedleId(1ull << 40), slot(3, 3));
  EXPECT_EQ(map.find(NeedleId(~0ull)), slot(1, 1));
  EXPECT_EQ(map.find(NeedleId(0)), slot(2, 2));
  EXPECT_EQ(map.find(NeedleId(1ull << 40)), slot(3, 3));
  EXPECT_FALSE(map.find(NeedleId(1)).has_value());
}

// Where the search guesses worst: keys that crowd at one end, at both, or grow by powers.
TEST(NeedleMap, UnevenKeysAreFoundToo) {
  std::vector<std::vector<std::uint64_t>> shapes(4);
  for (std::uint64_t i = 0; i < 500; i++) {
    shapes[0].push_back(i == 499 ? ~0ull : i);
    shapes[1].push_back(i == 0 ? 0 : 60'000 + i);
    shapes[2].push_back(i < 250 ? i : 0x7fffffffffff0000 + i);
    shapes[3].push_back(std::uint64_t{1} << (i % 64));
  }
  for (auto& keys : shapes) {
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    NeedleMap map;
    for (const auto key : keys) map.put(NeedleId(key), slot(static_cast<std::uint32_t>(key % 1000), 1));
    for (const auto key : keys) {
      ASSERT_EQ(map.find(NeedleId(key)), slot(static_cast<std::uint32_t>(key % 1000), 1)) << key;
      for (const auto beside : {key - 1, key + 1}) {
        ASSERT_EQ(map.find(NeedleId(beside)).has_value(), std::binary_search(keys.begin(), keys.end(), beside));
      }
    }
  }
}

double bytes_per_needle(auto next_key) {
  NeedleMap map;
  constexpr int kNeedles = 1'000'000;
  for (int i = 0; i < kNeedles; i++) map.put(NeedleId(next_key(i)), slot(static_cast<std::uint32_t>(i + 1), 1024));
  return static_cast<double>(map.memory_bytes()) / static_cast<double>(map.live_keys());
}

TEST(NeedleMap, AMillionAssignedNeedlesTakeLessThanSixteenBytesEach) {
  std::mt19937_64 random(1);
  std::uint64_t key = 0;
  EXPECT_LE(bytes_per_needle([](int i) { return static_cast<std::uint64_t>(i); }), 11.0);
  // Keys go to volumes at random and arrive a little out of order.
  EXPECT_LE(bytes_per_needle([&](int) { return (key += 1 + random() % 14) ^ (random() % 64); }), 12.5);
}

TEST(NeedleMap, AMillionNeedlesInRandomOrderStillTakeSixteenBytes) {
  std::mt19937_64 random(2);
  EXPECT_LE(bytes_per_needle([&](int i) { return (static_cast<std::uint64_t>(i) * 7919) % 1'000'003 * 13 + random() % 13; }), 16.0);
}

TEST(NeedleMap, IsWalkedInPiecesFromAnyKey) {
  NeedleMap map;
  std::mt19937_64 random(3);
  std::map<std::uint64_t, Slot> model;
  for (int i = 0; i < 5000; i++) {
    const auto key = random() % 3 == 0 ? random() : random() % 20000;
    const Slot slot{static_cast<std::uint32_t>(random() % 1000 + 1), static_cast<std::int32_t>(random() % 1000)};
    map.put(NeedleId(key), slot);
    model[key] = slot;
  }
  for (const std::size_t piece : {1u, 7u, 512u, 100000u}) {
    std::vector<std::pair<NeedleId, Slot>> all;
    for (NeedleId from(0);;) {
      const auto before = all.size();
      map.collect(from, piece, all);
      EXPECT_LE(all.size() - before, piece);
      if (all.size() - before < piece) break;
      from = NeedleId(all.back().first.value() + 1);
    }
    ASSERT_EQ(all.size(), model.size()) << piece;
    auto expected = model.begin();
    for (const auto& [key, slot] : all) {
      EXPECT_EQ(key.value(), expected->first);
      EXPECT_EQ(slot, (expected++)->second);
    }
  }
}

}  // namespace
}  // namespace holdfast::volume
