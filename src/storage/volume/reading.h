// What reading a needle takes and gives. See volume.h for who calls what on which thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "core/volume/needle.h"

namespace holdfast::volume {

// A body up to this many bytes comes whole, in one pread with its header; larger ones as a Body. 256 KiB is read from
// the page cache in about 30 us, the longest a loop should be busy with one request.
inline constexpr std::uint64_t kInlineBytesMax = 256_KiB;

// read() holds a record whose size field is up to this against its checksum before it tells anything of it, as upstream
// does. Larger ones are checked by whoever sends them whole.
inline constexpr std::uint64_t kCheckedBytesMax = 1_MiB;

// Room for one record, kept by each loop and used for one read after the other.
class ReadBuffer {
 public:
  // At least `bytes` bytes; earlier contents are lost. Never shrinks; at most a little above kInlineBytesMax.
  std::uint8_t* room(std::size_t bytes) {
    if (bytes > capacity_) {
      capacity_ = bytes < 4096 ? 4096 : bytes;
      bytes_ = std::make_unique_for_overwrite<std::uint8_t[]>(capacity_);
    }
    return bytes_.get();
  }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t capacity_ = 0;
};

// The data of a file too large to be read whole. Keeps its volume's file open, also when the volume is deleted
// meanwhile. Thread-safe.
class Body {
 public:
  virtual ~Body() = default;

  virtual std::uint64_t size() const = 0;

  // Fills `out` from `offset` on; offset + out.size() must be within size(). May wait for the disk.
  virtual Status read(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;

  // As read, but only from the page cache: false when it would have to wait. For event loops.
  virtual bool read_now(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;

  // A descriptor and the place of byte 0 in it, for sendfile; -1 when there is none (simulated disks).
  virtual int descriptor() const = 0;
  virtual std::uint64_t descriptor_offset() const = 0;

  // It comes from a remote tier: read() may take long, and is called where nobody waits for a disk.
  virtual bool is_remote() const { return false; }
};

struct Found {
  // The views point into the ReadBuffer given (read_now) or into `owned` (read).
  NeedleView needle;  // needle.data is empty when `body` is set

  // Set: the data is to be read from here, and whoever sends it whole holds its crc against needle.stored_crc with
  // crc_matches() before the last piece goes out.
  std::shared_ptr<const Body> body;

  std::unique_ptr<std::uint8_t[]> owned;

  // The ETag's number: the crc of the data as stored; above kCheckedBytesMax the stored value, whatever form it has.
  std::uint32_t etag = 0;
};

struct ReadOptions {
  bool read_deleted = false;  // serve a deleted needle that is still in the file
};

enum class ReadNow {
  found,
  not_found,    // also deleted, expired, wrong cookie
  no_volume,    // not here: readMode decides (locate() tells who has it)
  would_block,  // not in the page cache, or not to be decided quickly: use read()
  failed,       // corrupt or unreadable: 500; logged already
};

}  // namespace holdfast::volume
