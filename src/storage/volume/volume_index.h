// VolumeIndex: where each needle of a volume lies, in memory (NeedleMap) or on disk (IndexStore). The .idx is the truth
// for both: a log of puts and deletions, of which the one on disk is a cache.
//
// The cache lies in <base>.hfidx/<revision>/ beside the .idx; the revision is the superblock's, which a vacuum raises,
// so that what a vacuum makes lies beside what it replaces. With the slots it keeps how many rows of the .idx are in
// them, the last of these rows, and the counts. Opening it carries out the rows behind those: their number does not
// depend on that of the needles. It is thrown away and made anew from the .idx when it cannot be opened, when the .idx
// is shorter or has another row there, or when slots taken at random are not what the .idx says. Before slots go to
// disk the .dat and the .idx do, so after a loss of power the .idx has at least the rows that the cache has.
//
// When RocksDB fails at work (a damaged table, a full disk) the index is read into memory from the .idx, and the cache is
// made anew at the next start: a lookup never goes wrong for its sake.
//
// Thread-safe. apply(), clear(), open() and move_to_disk() belong to the volume's one writer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "core/volume/needle_map.h"
#include "io/disk.h"
#include "storage/volume/index_store.h"

namespace holdfast::volume {

class VolumeIndex {
 public:
  static constexpr const char* kExtension = ".hfidx";

  // Where the cache lies and what it is made from. All of it outlives the index.
  struct Source {
    io::Disk& disk;
    const IndexCaches& caches;
    std::string folder;  // <base>.hfidx
    std::uint16_t revision = 0;
    io::File& dat;
    io::File& idx;
  };

  struct Known {
    std::uint64_t rows = 0;  // of the .idx are in it
    IndexRow furthest;       // of those, the one whose record begins last in the .dat
  };

  VolumeIndex() = default;  // in memory, empty
  ~VolumeIndex();
  VolumeIndex(const VolumeIndex&) = delete;

  std::optional<Slot> find(NeedleId key) const {
    std::shared_ptr<IndexStore> store;
    {
      Guard guard(mutex_);
      if (!store_) return memory_.find(key);
      store = store_;
    }
    return find_on_disk(*store, key);
  }

  // As find(), but never waits for the disk: false when it would have to.
  bool find_now(NeedleId key, std::optional<Slot>& out) const {
    std::shared_ptr<IndexStore> store;
    {
      Guard guard(mutex_);
      if (!store_) {
        out = memory_.find(key);
        return true;
      }
      store = store_;
    }
    return find_now_on_disk(*store, key, out);
  }

  // The rows were appended to the .idx, in this order. An error: nobody knows any more what is in it.
  Status apply(std::span<const IndexRow> rows);

  // Nothing is in it, and it is in memory; a cache on disk is removed.
  void clear();

  // Takes what is on disk for the first `rows` rows of the .idx or less; nothing when there is none that can be trusted:
  // then it is removed, and the index is empty and in memory.
  std::optional<Known> open(const Source& source, std::uint64_t rows);

  // What is in memory, made of the first known.rows rows of the .idx, goes to disk and is found there from now on. On an
  // error it stays in memory.
  Status move_to_disk(const Source& source, const Known& known);

  // No lookup finds anything from now on, and the cache's files are closed: somebody else may open or remove them. An
  // index in memory stays as it is. The counts stay.
  void close();

  // The cache is of no more use: it is removed when the index is closed.
  void discard() { is_discarded_ = true; }

  // What waits in memory goes to disk, if it has waited since the last call.
  void tend();

  bool is_on_disk() const;
  Tally tally() const;
  std::size_t memory_bytes() const;

  // As those of NeedleMap.
  void collect(NeedleId from, std::size_t entries_max, std::vector<std::pair<NeedleId, Slot>>& out) const;

 private:
  // What the cache keeps beside the slots.
  struct Notes {
    std::uint16_t revision = 0;
    Known known;
    IndexRow last;  // the last of the rows
    Tally tally;

    void take(const IndexRow& row);
    std::string bytes() const;
    static std::optional<Notes> parse(std::string_view bytes);
  };

  std::optional<Slot> find_on_disk(const IndexStore& store, NeedleId key) const;
  bool find_now_on_disk(const IndexStore& store, NeedleId key, std::optional<Slot>& out) const;
  Status apply_on_disk(const std::shared_ptr<IndexStore>& store, std::span<const IndexRow> rows);
  Status fall_back(const Error& why) const HOLDFAST_REQUIRES(apply_mutex_);
  void note_failure(const Error& why) const;

  Result<std::shared_ptr<IndexStore>> open_store(const Source& source);
  Status write_all(IndexStore& store, Notes& notes) const;
  bool is_true(const IndexStore& store, const Notes& notes, std::uint64_t rows) const;
  std::shared_ptr<IndexStore> store() const;

  // Constant while there is a store.
  std::unique_ptr<const Source> source_;

  // Held while rows go into the store, and while all are read into memory; before mutex_.
  mutable Mutex apply_mutex_;
  Notes notes_ HOLDFAST_GUARDED_BY(apply_mutex_);  // of what is in the store
  std::uint64_t rows_on_disk_ HOLDFAST_GUARDED_BY(apply_mutex_) = 0;  // at least
  std::uint64_t rows_tended_ HOLDFAST_GUARDED_BY(apply_mutex_) = 0;   // at the last tend()

  // Where the answers come from may change while they are asked for, what they are does not: so these are mutable.
  mutable Mutex mutex_;  // leaf; held for one call of the map
  mutable NeedleMap memory_ HOLDFAST_GUARDED_BY(mutex_);
  mutable std::shared_ptr<IndexStore> store_ HOLDFAST_GUARDED_BY(mutex_);  // shared with lookups under way
  mutable bool counts_in_notes_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Tally tally_ HOLDFAST_GUARDED_BY(mutex_);  // that of notes_

  mutable std::atomic<bool> is_discarded_{false};
};

}  // namespace holdfast::volume
