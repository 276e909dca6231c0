// SlotFile: a small value that is replaced in place and never half-written.
//
// Two slots, each in a page of its own, each with a sequence number and a checksum. A write goes to the slot that does
// not hold the newest *synced* value, so a torn write leaves that one. The file is made full length and synced before
// anything depends on it: a full disk cannot keep a vote from being written down.
//
// Not thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "io/disk.h"

namespace holdfast::storage {

inline constexpr std::uint64_t kSlotDistance = 4096;
inline constexpr std::uint64_t kSlotBytes = 512;
inline constexpr std::size_t kSlotValueBytesMax = kSlotBytes - 24;

class SlotFile {
 public:
  // `magic`: four letters that name what is in it. Made when missing, the name durable before this returns.
  static Result<SlotFile> open(io::Disk& disk, const std::string& path, std::string_view magic, std::uint16_t format);

  // The newest value that could be read; empty when neither slot ever held one or both are damaged.
  [[nodiscard]] const std::optional<std::string>& value() const { return value_; }

  // Both slots held something, and neither is whole: what was promised is lost.
  [[nodiscard]] bool damaged() const { return damaged_; }

  // Durable once sync() returned ok.
  Status write(std::string_view value);
  Status sync();

  // Writes the synced value to the other slot as well. It needs no sync: it is there so that a slot that rots later
  // does not bring the value before back to life.
  Status mirror() { return write(*value_); }

 private:
  SlotFile(std::unique_ptr<io::File> file, std::string_view magic, std::uint16_t format)
      : file_(std::move(file)), magic_(magic), format_(format) {}
  Status load();

  std::unique_ptr<io::File> file_;
  std::string magic_;
  std::uint16_t format_;
  std::optional<std::string> value_;
  bool damaged_ = false;
  std::uint64_t sequence_ = 0;  // of value_
  int written_ = 1;             // the slot written last
  int synced_ = 1;              // the slot with the newest value known to be on the device
};

}  // namespace holdfast::storage
