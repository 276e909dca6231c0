// Spool: the bytes of an upload too large for memory, in a file without a name beside the volumes. When the process
// dies nothing is left of it.
//
// Append from one thread at a time; reading may go on from several once all is appended. All calls may wait for the
// disk.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "io/disk.h"

namespace holdfast::volume {

class Spool {
 public:
  // In `folder`; the file's name is removed at once.
  static Result<std::shared_ptr<Spool>> make(io::Disk& disk, const std::string& folder);

  Status append(BytesView bytes);

  // Fills `out` from `offset` on; offset + out.size() must be within size().
  Status read(std::uint64_t offset, std::span<std::uint8_t> out) const;

  std::uint64_t size() const { return size_; }
  std::uint32_t crc() const { return crc_; }  // of all that was appended

 private:
  explicit Spool(std::unique_ptr<io::File> file) : file_(std::move(file)) {}

  std::unique_ptr<io::File> file_;
  std::uint64_t size_ = 0;
  std::uint32_t crc_ = 0;
};

}  // namespace holdfast::volume
