// IndexStore: where each needle of one volume lies, on disk: key -> slot in a RocksDB of its own, for volumes with so
// many files that an index in memory is too much (-index=leveldb). IndexCaches is what all of them in a process share.
//
// It is written to without a log and never synced for a write: what has not gone to disk by itself is lost when the
// process dies. write() puts slots and `notes` in place together or not at all, and what is lost is always the end of
// what was written. So the notes, which say up to which row of the .idx the slots go, are never ahead of the slots nor
// behind them, and VolumeIndex carries the rows behind them out again.
//
// Thread-safe for reading; one writer at a time. The heavy header of RocksDB is included in index_store.cc only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "core/volume/needle_map.h"

namespace holdfast::volume {

// One cache of blocks of at most `bytes`, and a bound of as much again on what waits in memory to be written, whatever
// the number of volumes.
class IndexCaches {
 public:
  explicit IndexCaches(std::uint64_t bytes);
  ~IndexCaches();

 private:
  friend class IndexStore;
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

class IndexStore {
 public:
  using Entry = std::pair<NeedleId, Slot>;

  // Opens what is in `folder`, or makes it (its parent must be there). `before_flush` is called from a thread of its own
  // before anything that was written goes to disk, so that the rows it comes from can go first. busy: somebody has it open.
  static Result<std::unique_ptr<IndexStore>> open(const IndexCaches& caches, const std::string& folder,
                                                  std::function<void()> before_flush);
  ~IndexStore();  // what was written goes to disk

  Result<std::optional<Slot>> find(NeedleId key) const;
  // As find(), but never waits for the disk: Code::busy when it would have to.
  Result<std::optional<Slot>> find_now(NeedleId key) const;

  Status write(std::span<const Entry> slots, std::string_view notes);
  Result<std::string> notes() const;  // of the last write() that is there; "" when there was none

  // Appends up to `entries_max` entries from `from` on to `out`, in ascending order of keys.
  Status collect(NeedleId from, std::size_t entries_max, std::vector<Entry>& out) const;

  Status flush();  // what was written is on disk
  std::size_t memory_bytes() const;  // what waits to be written; the cache is everybody's

 private:
  struct Inside;
  explicit IndexStore(std::unique_ptr<Inside> inside);

  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::volume
