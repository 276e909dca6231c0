// SortedIndex: looks keys up in an .ecx on disk by halving, the last step within one page. About 10 reads of the page
// cache for a million files, and no memory.
//
// Thread-safe as its file is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/ec/journal.h"
#include "io/disk.h"

namespace holdfast::ec {

class SortedIndex {
 public:
  explicit SortedIndex(const io::File& file) : file_(file) {}

  struct Entry {
    volume::IndexRow row;
    std::uint64_t at = 0;  // of the row in the file
  };

  // Nothing when the key is not there. Deleted rows are found, with their size of -1.
  Result<std::optional<Entry>> find(NeedleId key) const;

 private:
  static constexpr std::size_t kPageRows = 256;

  const io::File& file_;
};

// The keys that `index` marks as deleted, and `other` may not. stale: they are not two states of one .ecx.
Result<std::vector<NeedleId>> deletions_in(io::Disk& disk, const std::string& index, const std::string& other);

}  // namespace holdfast::ec
