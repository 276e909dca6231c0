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

#include <algorithm>
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

// What the rows of an .idx come to, one after the other: what each makes of its key, and the sums. Every kind of index
// goes by it, so that all give the same answers and the same counts.
struct Tally {
  // Sums over all that happened since the .idx began, as upstream's memory kind counts (spec/volume-format 5).
  struct Counts {
    std::uint64_t files = 0;          // puts, overwrites included
    std::uint64_t file_bytes = 0;     // sum of their size fields
    std::uint64_t deletions = 0;      // delete rows and overwrites
    std::uint64_t deleted_bytes = 0;  // sum of the size fields that went
    NeedleId max_key;                 // over all rows

    friend bool operator==(const Counts&, const Counts&) = default;
  };

  Counts counts;
  std::uint64_t keys = 0;  // live and deleted
  std::uint64_t live_keys = 0;

  // `old` is what the key has, null when it has nothing.
  void put(NeedleId key, std::int32_t size, const Slot* old) {
    counts.files++;
    counts.file_bytes += static_cast<std::uint64_t>(size);
    counts.max_key = std::max(counts.max_key, key);
    keys += old == nullptr;
    if (old != nullptr && old->is_live()) {
      counts.deletions++;
      counts.deleted_bytes += static_cast<std::uint64_t>(old->size);
    } else {
      live_keys++;
    }
  }
  // What the key has from now on; nothing when that does not change.
  std::optional<Slot> remove(NeedleId key, const Slot* old) {
    counts.deletions++;
    counts.max_key = std::max(counts.max_key, key);
    if (old == nullptr || !old->is_live()) return {};
    counts.deleted_bytes += static_cast<std::uint64_t>(old->size);
    live_keys--;
    return Slot{old->offset, old->size == 0 ? -1 : -old->size};
  }
  // put or remove, as the row says; as remove() answers.
  std::optional<Slot> apply(const IndexRow& row, const Slot* old) {
    if (!row.is_put()) return remove(row.key, old);
    put(row.key, row.size, old);
    return Slot{static_cast<std::uint32_t>(row.offset), row.size};
  }
};

class NeedleMap {
 public:
  using Counts = Tally::Counts;

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

  const Tally& tally() const { return tally_; }
  const Counts& counts() const { return tally_.counts; }
  std::size_t keys() const { return tally_.keys; }  // live and deleted
  std::size_t live_keys() const { return tally_.live_keys; }
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
  Tally tally_;
};

}  // namespace holdfast::volume
