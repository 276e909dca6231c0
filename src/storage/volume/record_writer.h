// RecordWriter: appends records and index rows to the two new files of a compaction, through a buffer.
//
// Not thread-safe. After an error the files are of no more use.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "core/volume/index_row.h"
#include "io/disk.h"

namespace holdfast::volume {

class RecordWriter {
 public:
  // Both files are empty; they outlive this.
  RecordWriter(io::File& dat, io::File& idx) : dat_(&dat), idx_(&idx) {}

  Status append(BytesView bytes);
  Status append_row(const IndexRow& row);

  // Takes back all that was appended to the .dat from `dat_end` on.
  void rewind(std::uint64_t dat_end);

  // Everything appended is written, the .dat cut behind it, and both are on disk.
  Status make_durable();

  std::uint64_t dat_end() const { return dat_end_; }
  std::uint64_t idx_end() const { return idx_end_; }

 private:
  // Bigger writes gain nothing. What is dirty goes to disk in steady portions: all at once it would hold up every other
  // sync on that disk.
  static constexpr std::uint64_t kBufferBytes = 1_MiB;
  static constexpr std::uint64_t kSyncEveryBytes = 64_MiB;

  Status flush_dat();
  Status flush_rows();

  io::File* dat_;
  io::File* idx_;
  std::string buffer_;  // what belongs before dat_end_ and is not yet written
  std::string rows_;
  std::uint64_t dat_end_ = 0;
  std::uint64_t idx_end_ = 0;
  std::uint64_t unsynced_ = 0;
};

}  // namespace holdfast::volume
