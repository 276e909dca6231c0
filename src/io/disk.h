// Disk and File: what Holdfast asks of a file system. posix/ is the real one, sim/ loses, tears and rots on demand.
//
// What a caller may count on after a crash (power loss, not mere death of the process):
//  - bytes written before a sync() that returned ok are there;
//  - of bytes written since, any subset of 512-byte sectors may be there, and one sector may be torn;
//  - a created, renamed or removed name is as it was at the last sync_dir() of its folder, or newer;
//  - after a sync() that failed nobody knows what is on disk. Do not try again: a Raft log ends its process, a
//    volume becomes read-only (style page, section 5).
// A mere kill -9 loses nothing that write() returned ok for: the page cache outlives the process.
//
// Virtual calls stand only here, at the granularity of one operation on a file. All calls may block except
// read_cached, so none but that one belongs on an event loop.
//
// Threads: a Disk is thread-safe. A File may be read from many threads while one writes; two writers must agree
// between themselves on who writes where.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/clock.h"

namespace holdfast::io {

class File {
 public:
  virtual ~File() = default;  // closes; does not sync

  // Reads into `out` from `offset`; the count is short only where the file ends.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;

  // As read(), but never waits for a device (preadv2 RWF_NOWAIT): `busy` when the first byte is not in the page
  // cache, and a short count when a later one is not. A short count therefore says nothing about the file's end.
  virtual Result<std::size_t> read_cached(std::uint64_t offset, std::span<std::uint8_t> out) const = 0;

  // Writes all of `bytes` at `offset` or fails; after a failure some of them may have been written.
  // Writing past the end extends the file, with zeros between.
  virtual Status write(std::uint64_t offset, BytesView bytes) = 0;

  // Several pieces one behind the other, in as few system calls as the kernel allows.
  virtual Status write_pieces(std::uint64_t offset, std::span<const BytesView> pieces) = 0;

  // All bytes written so far and the length reach the device (fdatasync).
  virtual Status sync() = 0;

  [[nodiscard]] virtual Result<std::uint64_t> size() const = 0;

  // Cuts off what lies behind `size`, or extends with zeros.
  virtual Status truncate(std::uint64_t size) = 0;

  // Takes room on the device for [offset, offset + length), so that writes there cannot meet a full disk; new bytes
  // read as zeros. With `keep_size` the file's length stays (the room lies behind its end).
  virtual Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) = 0;

  // The kernel's descriptor, for sendfile; -1 where there is none (sim).
  [[nodiscard]] virtual int descriptor() const = 0;

  // The name it was opened by, for error texts; errors of this class carry it already.
  [[nodiscard]] virtual const std::string& path() const = 0;
};

struct OpenOptions {
  bool write = false;      // else for reading only
  bool create = false;     // made when missing (the name is durable only after sync_dir)
  bool exclusive = false;  // with create: fails with already_exists when it is there
  bool truncate = false;   // its old content is dropped
};

struct FileInfo {
  std::uint64_t size = 0;
  bool is_folder = false;
  WallTime modified{};
  std::uint64_t device = 0;  // files on one device may be renamed into each other
};

struct Space {
  std::uint64_t total = 0;  // bytes
  std::uint64_t free = 0;   // bytes an ordinary user may still take
};

// Held by one process (and one holder in it) at a time until destroyed or the process dies.
class FolderLock {
 public:
  virtual ~FolderLock() = default;
};

class Disk {
 public:
  virtual ~Disk() = default;

  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) = 0;

  // not_found when there is nothing of that name.
  virtual Result<FileInfo> info(const std::string& path) = 0;

  // Names (not paths) in a folder, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;

  virtual Status make_folder(const std::string& path) = 0;  // ok when it is there; its parent must exist
  virtual Status remove(const std::string& path) = 0;       // a file or an empty folder
  virtual Status rename(const std::string& from, const std::string& to) = 0;  // replaces `to`, all or nothing

  // Sets the time of its last change, for a copy that is to look like what it was made of. Simulated disks keep no times.
  virtual Status set_modified(const std::string& path, WallTime time);

  // Makes the names in `folder` durable.
  virtual Status sync_dir(const std::string& folder) = 0;

  virtual Result<Space> space(const std::string& path) = 0;

  // Takes the lock file `path` (made when missing, never removed), or fails with `busy` and the holder's process id
  // in words when another has it.
  virtual Result<std::unique_ptr<FolderLock>> lock(const std::string& path) = 0;

  // Helpers over the calls above.

  // The whole file; `too large` (invalid) above `size_max`.
  Result<std::string> read_file(const std::string& path, std::uint64_t size_max);

  // Replaces `path` so that after a crash either the old or the new content stands there, and once this returned ok
  // the new one: writes `path`.tmp, syncs, renames, syncs the folder.
  Status replace_file(const std::string& path, std::string_view content);

  // make_folder for `path` and all its missing parents, each made durable.
  Status make_folders(const std::string& path);

  // A folder with all that is in it, or a file; ok when it is not there.
  Status remove_all(const std::string& path);
};

// "a/b/c" -> "a/b"; "c" -> "."; "/c" -> "/".
std::string folder_of(const std::string& path);
// Joins with exactly one slash.
std::string join(const std::string& folder, const std::string& name);

}  // namespace holdfast::io
