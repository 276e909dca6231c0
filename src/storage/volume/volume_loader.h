// VolumeLoader: makes a Volume of what a crash, a copy or an upstream server left in a folder.
//
// What is acknowledged is found again: the .idx is replayed, and the .dat is scanned on from its last indexed record.
// Every whole record with a valid crc found there is indexed again (size 0: a deletion if the key is live or the crc is
// not that of an empty file, else an empty file); only the invalid rest behind them is cut off. Damage within the scanned part whose length is intact is
// passed over, so that one rotten file does not take those behind it along.
//
// What is met, and what is done (spec/volume-format 8 has upstream's answers; we never stop the process and never
// remove data that might be somebody's):
//   .dat shorter than its superblock, version not 1..3,     the volume is not loaded, its files stay
//     5-byte offsets
//   .dat in a remote tier                                   nothing is asked of the tier: the .idx alone is looked at; it
//                                                           must be there, and without a hole, or the volume is not loaded
//   .dat in a remote tier, and on the disk too              the one on the disk is read if it is as long
//   .idx missing or empty beside a filled .dat              rebuilt from the .dat
//   .idx ends in a part of a row                            those bytes are cut off
//   last rows of the .idx point at nothing                  cut off (kept as .idx.cut): the power went before their
//                                                           data was on disk
//   a hole (zeros) in the .idx                              cut off from there, and made anew from the .dat
//   other rows point behind the .dat's end, or the last     read-only; what can be read is served
//     record is another than the indexed one
//   the last record's data is damaged                       told; reading it fails, the others are served
//   the invalid rest is longer than one crash can leave     read-only, nothing is cut
//   .idx begins with deletions without an offset            the records they stand for are indexed again
//   .vif missing or empty                                   written; unparsable: left alone, as if empty
//   the files cannot be written                             read-only, nothing is mended on disk
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

class VolumeLoader {
 public:
  // The most that one crash can leave behind the last whole record: a file of the largest size ever allowed, or a
  // batch. Zeros (room taken ahead) are cut whatever their length.
  static constexpr std::uint64_t kTornBytesMax = 1_GiB;

  struct Options {
    bool is_second = false;    // another object of the volume is open: its index on disk is not looked at, nor removed
    bool ignores_dat = false;  // of a volume in a remote tier: also when it is on the disk too
  };

  VolumeLoader(const Surroundings& around, const VolumePlace& place, Options options)
      : around_(around), place_(place), options_(options) {}

  Result<std::shared_ptr<Volume>> load();

 private:
  struct Last {
    IndexRow row;
    std::uint64_t end = 0;  // of its record
    bool any = false;
  };
  struct Scanned {
    std::vector<IndexRow> rows;
    std::uint64_t end = 0;              // behind the last whole record
    std::uint64_t last_append_at_ns = 0;
    std::uint64_t passed_over = 0;      // damaged records with good ones behind them
  };

  Status open_files();
  Status open_dat();
  Status open_remote_dat();
  Status read_settings();
  Status read_superblock();
  struct Replayed {
    std::optional<std::uint64_t> hole_at;  // in rows
    std::uint64_t beyond = 0;              // rows that point behind the .dat's end, with good ones behind them
    std::size_t head_without_offset = 0;
  };

  Status replay_index();
  Status trim_tail();
  Status replay_rows(std::uint64_t first_row, Replayed& out);
  std::uint64_t resume_index();
  Status settle_index();
  std::uint64_t end_of(const IndexRow& row) const;
  bool is_beyond(const IndexRow& row) const;
  bool is_unwritten(const IndexRow& row) const;
  static bool is_hole(const IndexRow& row);
  Status trim_index(std::uint64_t rows_kept, const char* why);
  Status restore_lost_head(std::size_t head_rows);
  void check_last_record();
  Result<Scanned> scan(std::uint64_t from, std::uint64_t records_max);
  // The record at `at` is whole and its crc right; fills crc and time. Needs all but the padding to be there.
  bool is_valid(std::uint64_t at, const NeedleHeader& header, NeedleView& out);
  bool is_whole(std::uint64_t at, const NeedleHeader& header) const;
  Result<NeedleHeader> header_at(std::uint64_t at);
  Status index_again();
  Status cut_rest(std::uint64_t end);
  Result<bool> is_zero(std::uint64_t from, std::uint64_t to);
  Status append_rows(const std::vector<IndexRow>& rows);
  bool may_mend() const;
  void damaged(const std::string& why);

  const Surroundings around_;
  const VolumePlace place_;
  const Options options_;
  std::shared_ptr<Volume> volume_;
  std::uint64_t dat_size_ = 0;
  std::uint64_t idx_size_ = 0;
  bool idx_was_missing_ = false;
  Last last_;
};

}  // namespace holdfast::volume
