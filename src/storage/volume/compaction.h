// Compaction: a vacuum of one volume, in steps that may lie far apart (spec/volume-format 12).
//
//   make()      writes what is live to <base>.cpd and <base>.cpx: in ascending order of keys, encoded anew, one
//               revision on. Left out are files whose ttl is over. A damaged record comes over as it is (told one by one).
//               Reading, writing and deleting go on meanwhile.
//   catch_up()  brings over what has happened since, in rounds, while writing goes on
//   commit()    holds the writer for the last few rows, makes both files durable, creates <base>.cpc, and renames them to
//               .dat and .idx. The new Volume takes the place of the old one, which hands over to it what had queued up.
//
// A crash loses nothing. Without a durable .cpc the old files are the volume, and the new ones are removed at the next
// start; with it the new ones are, and the store renames what is not yet renamed. So .cpc is created only when both new
// files are complete and durable and no write is on its way to the old ones; once it may be durable, either the
// new volume is put into place, whatever becomes of the names, or .cpc is surely gone again, or the old volume takes no
// more writes.
//
// Why nothing written meanwhile is missed: the writer is held for a moment when the compaction begins, so every row of
// the .idx before that point is in the map, which is then walked key by key as it changes. What the walk sees of a key
// written later does not matter, for all rows behind that point are carried out again, the newest of each key. In the
// end the number of live keys must come out: those of the old map less those left out. Otherwise nothing is changed.
//
// One thread at a time, which may wait for the disk and is none of the pool's (see Volume::pause).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

// Where the new files end, and what is buffered for them (compaction.cc).
class RecordWriter;

class Compaction {
 public:
  // Called after every file or MiB with the bytes of the old .dat read so far. It may wait, which is how a vacuum is
  // slowed down; the writer is never held meanwhile. False: give up, with Code::busy. Empty: always go on.
  using GoOn = std::function<bool(std::uint64_t bytes_read)>;

  struct Options {
    std::uint64_t preallocate_bytes = 0;  // room taken ahead for the new .dat
    GoOn go_on;
  };

  struct Totals {
    std::uint64_t files = 0;    // brought over
    std::uint64_t expired = 0;  // left out: their ttl is over
    std::uint64_t damaged = 0;  // among `files`: with a wrong crc, say
    std::uint64_t bytes_read = 0;
  };

  // The longest tail that is left to commit(), which holds the writer, unless writers outrun kRoundsMax rounds.
  static constexpr std::uint64_t kTailRowsMax = 256;
  static constexpr std::uint64_t kTailBytesMax = 4_MiB;
  static constexpr int kRoundsMax = 16;

  // Makes the new files. When it fails none of them stay. read_only: the volume is damaged or cannot be written;
  // corrupt: a file is not where the index says; no_space; not_found: the volume was deleted meanwhile; busy: `go_on` said no.
  static Result<std::unique_ptr<Compaction>> make(std::shared_ptr<Volume> volume, Options options);

  // Forgets the new files unless they were committed; what of them is on disk goes.
  ~Compaction();

  // Brings over what has happened up to now but for a short tail. Needless before a commit() that may hold the writer
  // for as long as it takes.
  Status catch_up(const GoOn& go_on);

  // Puts the new volume into place: `publish` makes it the one that is found by its id, called after the old one has
  // carried out its last write and before the new one carries out its first. On an error the old volume is still the
  // one, and nothing stays of the new files. Called at most once.
  using Publish = std::function<void(const std::shared_ptr<Volume>& successor)>;
  Result<std::shared_ptr<Volume>> commit(const Publish& publish);

  const std::shared_ptr<Volume>& volume() const { return volume_; }
  const Totals& totals() const { return totals_; }

  static std::string cpd(const VolumePlace& place);
  static std::string cpx(const VolumePlace& place);
  static std::string cpc(const VolumePlace& place);

 private:
  Compaction(std::shared_ptr<Volume> volume, Options options);

  Status check_volume() const;
  Status clear_leftovers();
  Status sync_folders();
  Status check_space() const;
  Status take_snapshot();
  Status make_files();
  Status copy_all();
  Status copy(NeedleId key, const Slot& slot, std::uint64_t base);
  Status carry_damaged(NeedleId key, const Slot& slot, const Error& damage);
  Status copy_small(NeedleId key, const Slot& slot, std::uint64_t base);
  Status copy_large(NeedleId key, const Slot& slot, std::uint64_t base);
  bool leaves_out(const NeedleView& needle);
  Status put_row(const IndexRow& row);
  Status index_rows();
  Status go_on(const GoOn& may, std::uint64_t bytes_read);
  Status check_size() const;

  Status bring_over(std::uint64_t idx_end, const GoOn& may);
  Status bring_over(const IndexRow& row);
  Status copy_record(std::uint64_t from, std::uint64_t bytes);
  Status check_complete() const;
  Status set_marker();
  void change_names();
  void remove_marker();
  void remove_files();

  const std::shared_ptr<Volume> volume_;
  Options options_;
  std::shared_ptr<Volume> successor_;  // nobody else's until it is published
  std::unique_ptr<RecordWriter> out_;

  std::uint64_t idx_done_ = 0;      // rows of the old .idx before this byte are accounted for
  std::uint64_t dat_snapshot_ = 0;  // how long the old .dat was when it began
  std::uint64_t dat_done_ = 0;      // and when idx_done_ was its index's end
  std::uint64_t copied_size_sum_ = 0;  // of the size fields
  std::vector<std::pair<NeedleId, Slot>> left_out_;
  Totals totals_;
  std::vector<IndexRow> rows_;  // written, and not yet in the new index
  std::string piece_;  // for copies
  std::string record_;
  bool has_files_ = false;
};

}  // namespace holdfast::volume
