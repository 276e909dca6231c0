// NeedleMap: where each needle of a volume lies, in memory: key -> (offset, size), about 10 to 12 bytes a needle.
//
// Keys lie sorted in leaves of up to 512. A leaf keeps its keys as distances from its first one, in 2, 4 or 8 bytes as
// the farthest needs, beside an array of slots, and grows by few entries at a time, so that neither wide integers nor
// room ahead cost memory. Assigned keys rise, so a new key is usually put behind the last one; a key in between moves at
// most one leaf's bytes. A lookup is a binary search over the leaves' first keys and, in the leaf, one that begins where
// the key would lie if all lay evenly, as assigned ones nearly do: two or three lines of memory in all.
//
// A deleted needle keeps its offset, with its size negated (-1 for an empty file): readDeleted can serve it, and its
// cookie still guards the key (spec/volume-format 4).
//
// Pure. Not thread-safe: the volume locks around it, for as long as one call takes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/volume/index_row.h"
#include "model/ids.h"

namespace holdfast::volume {

struct Slot {
  std::uint32_t offset = 0;  // in units of 8 bytes
  std::int32_t size = 0;     // negative: deleted

  bool is_live() const { return size >= 0; }

  friend bool operator==(const Slot&, const Slot&) = default;
};

class NeedleMap {
 public:
  // Sums over all that happened since the .idx began, as upstream's memory kind counts (spec/volume-format 5).
  struct Counts {
    std::uint64_t files = 0;          // puts, overwrites included
    std::uint64_t file_bytes = 0;     // sum of their size fields
    std::uint64_t deletions = 0;      // delete rows and overwrites
    std::uint64_t deleted_bytes = 0;  // sum of the size fields that went
    NeedleId max_key;                 // over all rows
  };

  NeedleMap() = default;
  NeedleMap(NeedleMap&&) = default;
  NeedleMap& operator=(NeedleMap&&) = default;

  std::optional<Slot> find(NeedleId key) const;

  // size >= 0. Replaces whatever the key had.
  void put(NeedleId key, Slot slot);

  // Marks the key deleted. Counts a deletion even when the key is absent or deleted already, as replay must.
  void remove(NeedleId key);

  // put or remove, as the row says.
  void apply(const IndexRow& row);

  const Counts& counts() const { return counts_; }
  std::size_t keys() const { return keys_; }         // live and deleted
  std::size_t live_keys() const { return live_keys_; }
  std::size_t memory_bytes() const;                  // all of it, allocator's overhead estimated

  // Appends up to `entries_max` entries from `from` on to `out`, in ascending order of keys, deleted ones included.
  void collect(NeedleId from, std::size_t entries_max, std::vector<std::pair<NeedleId, Slot>>& out) const;

  // Calls visit(key, slot) in ascending order of keys, deleted ones included.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& leaf : leaves_) {
      for (unsigned i = 0; i < leaf.count; i++) visit(NeedleId(leaf.base + leaf.distance(i)), leaf.slot(i));
    }
  }

 private:
  static constexpr unsigned kLeafEntriesMax = 512;
  static constexpr unsigned kLeafGrowth = 32;  // entries: at most 6 % of a full leaf is room ahead

  static constexpr std::size_t kSlotBytes = 8;

  struct Leaf {
    std::uint64_t base = 0;                   // the first key; distances count from it
    std::uint64_t last = 0;                   // the distance of the last key
    std::unique_ptr<std::uint8_t[]> block;    // capacity distances, then as many slots: offset, size
    std::uint16_t count = 0;
    std::uint16_t capacity = 0;
    std::uint8_t width = 2;  // bytes of a distance: 2, 4, 8

    std::uint8_t* slots() const { return block.get() + std::size_t{capacity} * width; }
    std::uint64_t distance(unsigned i) const;
    Slot slot(unsigned i) const;
    void set_slot(unsigned i, Slot slot);
    std::size_t block_bytes() const { return capacity * (width + kSlotBytes); }
    unsigned lower_bound(std::uint64_t distance_wanted) const;
    void reshape(std::uint64_t new_base, unsigned new_capacity, std::uint8_t new_width);
    void insert(unsigned at, std::uint64_t key, Slot slot);
  };

  // The leaf that holds `key` or would; leaves_ must not be empty.
  std::size_t leaf_of(std::uint64_t key) const;
  // The slot's place, if the key is there.
  std::optional<std::pair<std::size_t, unsigned>> locate(std::uint64_t key) const;
  void insert(std::uint64_t key, Slot slot);
  void split(std::size_t leaf);

  std::vector<std::uint64_t> bases_;  // leaves_[i].base, close together for the search
  std::vector<Leaf> leaves_;
  std::size_t keys_ = 0;
  std::size_t live_keys_ = 0;
  Counts counts_;
};

}  // namespace holdfast::volume
