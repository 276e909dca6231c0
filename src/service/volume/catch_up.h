// CatchUp: makes a copy of a volume that stopped earlier than another one equal to it (docs/self-healing.md).
//
// One copy is surely the older one when all of it is the beginning of the other: the same superblock, compacted as often, the rows of
// its index the first rows of the other's, and every byte of its .dat the other's but the times of writing, which each server
// writes for itself. Then the other one knows every write and every deletion of it in the same order, and what it lacks is what came
// afterwards: nothing that was deleted comes back by it.
//
// While this looks and fetches, the copy is served, and may change: then nothing is done. For the moment in which the rest is
// appended it is no volume, so no write of its set is acknowledged. The other one may go on meanwhile; the copy is its beginning
// still. When the process dies halfway, a start finds a longer beginning.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "client/volume_source.h"
#include "core/volume/index_row.h"
#include "io/disk.h"
#include "service/volume/cancel.h"
#include "service/volume/pacer.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class CatchUp {
 public:
  CatchUp(Store& store, io::Disk& disk, std::shared_ptr<Volume> volume, client::VolumeSource& source, Pacer& pacer, Cancel& cancel)
      : store_(store), disk_(disk), volume_(std::move(volume)), source_(source), pacer_(pacer), cancel_(cancel) {}

  // What the copy was longer by afterwards, in bytes of the .dat. refused: it is not the beginning of the other one, says why;
  // stale: it changed meanwhile. `changed`: the set of volumes has.
  Result<std::uint64_t> run(const std::function<void()>& changed);

 private:
  // Parts of the .dat that may differ: the time of writing and the padding of each record.
  struct Hole {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  // A file of the other copy, up to there, in pieces.
  Status fetch(const char* extension, std::uint64_t bytes, const std::function<Status(BytesView)>& take);
  Status look_at_index();
  Status look_at_data();
  Status compare(std::uint64_t at, BytesView theirs);
  void blank(std::uint64_t at, std::span<std::uint8_t> bytes) const;
  Status check_tail() const;
  Status append();
  Status append_rows(std::string_view rows) const;

  Store& store_;
  io::Disk& disk_;
  const std::shared_ptr<Volume> volume_;
  client::VolumeSource& source_;
  Pacer& pacer_;
  Cancel& cancel_;

  client::RemoteVolume remote_;
  std::uint64_t dat_bytes_ = 0;  // of the copy here, as it is the beginning
  std::uint64_t idx_bytes_ = 0;
  std::vector<Hole> holes_;      // ascending
  std::vector<IndexRow> rows_;   // behind those of the copy here
  std::unique_ptr<io::File> tail_;
};

}  // namespace holdfast::volume
