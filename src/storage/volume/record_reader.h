// RecordReader: walks the records of a volume's .dat in the order they lie there, for tails, copies and scrubs.
//
// It sees what was appended before it looked, and nothing changes under it (volume.h). A record whose header makes no
// sense ends the walk with `corrupt`: nobody can say where the next one begins.
//
// One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

class RecordReader {
 public:
  struct Record {
    std::uint64_t offset = 0;
    NeedleHeader header;
    std::uint64_t bytes = 0;         // with its padding
    std::uint32_t crc = 0;           // as it is stored
    std::uint64_t append_at_ns = 0;  // 0 in versions 1 and 2
  };

  // From `offset` on, up to what is there now; Volume::first_needle() is the first.
  RecordReader(std::shared_ptr<const Volume> volume, std::uint64_t offset);

  // The next record's place, header and time; nothing behind the last one.
  Result<std::optional<Record>> next();

  // Looks again how far the .dat goes.
  void refresh();

  std::uint64_t offset() const { return at_; }  // of the next record

  // All of a record's bytes, with its padding. invalid: no such place in the .dat.
  static Result<std::string> read(const Volume& volume, std::uint64_t offset, std::int32_t size);

  // Where records appended after `since_ns` begin: none before that offset was. dat_bytes() when there are none.
  // A vacuum puts records in the order of their keys; then all of them are looked at.
  static Result<std::uint64_t> find_since(const std::shared_ptr<const Volume>& volume, std::uint64_t since_ns);

 private:
  Status fill(std::uint64_t offset, std::size_t bytes);

  const std::shared_ptr<const Volume> volume_;
  std::uint64_t at_;
  std::uint64_t end_ = 0;
  std::string window_;  // the bytes of the .dat from window_at_ on
  std::uint64_t window_at_ = 0;
};

}  // namespace holdfast::volume
