#include "io/posix/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "io/posix/descriptor.h"

namespace holdfast::io::posix {
namespace {

// Calls `operation` again while a signal interrupts it.
template <typename Operation>
auto uninterrupted(Operation operation) {
  for (;;) {
    const auto outcome = operation();
    if (outcome >= 0 || errno != EINTR) return outcome;
  }
}

class SystemFile final : public File {
 public:
  SystemFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = uninterrupted([&] {
        return ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      });
      if (got < 0) return errno_error(errno, "read " + path_);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<std::size_t> read_cached(std::uint64_t offset, std::span<std::uint8_t> out) const override {
    const iovec piece{out.data(), out.size()};
    const ssize_t got = uninterrupted(
        [&] { return ::preadv2(fd_.get(), &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT); });
    if (got >= 0) return static_cast<std::size_t>(got);
    // File systems without RWF_NOWAIT say EOPNOTSUPP: whether the bytes are cached is unknown, so assume not.
    if (errno == EAGAIN || errno == EOPNOTSUPP) return Error{Code::busy, path_ + ": not in the page cache"};
    return errno_error(errno, "read " + path_);
  }

  Status write(std::uint64_t offset, BytesView bytes) override { return write_pieces(offset, {&bytes, 1}); }

  Status write_pieces(std::uint64_t offset, std::span<const BytesView> pieces) override {
    constexpr std::size_t kPiecesMax = 256;  // well below IOV_MAX (1024); the array lives on the stack
    std::array<iovec, kPiecesMax> vectors;
    std::size_t piece = 0;
    std::size_t inside = 0;  // bytes of pieces[piece] already written
    while (piece < pieces.size()) {
      std::size_t count = 0;
      for (std::size_t i = piece; i < pieces.size() && count < kPiecesMax; ++i) {
        const std::size_t skip = i == piece ? inside : 0;
        if (pieces[i].size() == skip) continue;
        vectors[count++] = {const_cast<std::uint8_t*>(pieces[i].data()) + skip, pieces[i].size() - skip};
      }
      if (count == 0) break;
      const ssize_t got = uninterrupted([&] {
        return ::pwritev(fd_.get(), vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
      });
      if (got < 0) return errno_error(errno, "write " + path_);
      if (got == 0) return Error{Code::io, "write " + path_ + ": the kernel took no bytes"};
      offset += static_cast<std::uint64_t>(got);
      std::size_t left = static_cast<std::size_t>(got);
      while (piece < pieces.size() && left >= pieces[piece].size() - inside) {
        left -= pieces[piece].size() - inside;
        ++piece;
        inside = 0;
      }
      inside += left;
    }
    return {};
  }

  Status sync() override {
    if (uninterrupted([&] { return ::fdatasync(fd_.get()); }) < 0) return errno_error(errno, "sync " + path_);
    return {};
  }

  Result<std::uint64_t> size() const override {
    struct stat about {};
    if (::fstat(fd_.get(), &about) < 0) return errno_error(errno, "stat " + path_);
    return static_cast<std::uint64_t>(about.st_size);
  }

  Status truncate(std::uint64_t size) override {
    if (uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) < 0) {
      return errno_error(errno, "truncate " + path_);
    }
    return {};
  }

  Status allocate(std::uint64_t offset, std::uint64_t length, bool keep_size) override {
    const int mode = keep_size ? FALLOC_FL_KEEP_SIZE : 0;
    if (uninterrupted([&] {
          return ::fallocate(fd_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
        }) < 0) {
      // `unsupported` on file systems without it; callers go on without the reserve, or write zeros.
      if (errno == EOPNOTSUPP) return Error{Code::unsupported, "allocate " + path_ + ": not on this file system"};
      return errno_error(errno, "allocate " + path_);
    }
    return {};
  }

  int descriptor() const override { return fd_.get(); }
  const std::string& path() const override { return path_; }

 private:
  const Descriptor fd_;
  const std::string path_;
};

class SystemLock final : public FolderLock {
 public:
  explicit SystemLock(int fd) : fd_(fd) {}

 private:
  // flock belongs to the open file: closing it, or the death of the process, gives the lock back.
  const Descriptor fd_;
};

}  // namespace

Result<std::unique_ptr<File>> SystemDisk::open(const std::string& path, OpenOptions options) {
  int flags = O_CLOEXEC | (options.write ? O_RDWR : O_RDONLY);
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  // Reading need not leave a time behind: it would be looked at with each read, and written now and then. Only the
  // owner of a file may ask for that.
  int fd = uninterrupted([&] { return ::open(path.c_str(), flags | O_NOATIME, 0644); });
  if (fd < 0 && errno == EPERM) fd = uninterrupted([&] { return ::open(path.c_str(), flags, 0644); });
  if (fd < 0) return errno_error(errno, "open " + path);
  return std::unique_ptr<File>(std::make_unique<SystemFile>(fd, path));
}

Result<FileInfo> SystemDisk::info(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) < 0) return errno_error(errno, "stat " + path);
  return FileInfo{.size = static_cast<std::uint64_t>(about.st_size),
                  .is_folder = S_ISDIR(about.st_mode),
                  .modified = WallTime(std::chrono::seconds(about.st_mtim.tv_sec) +
                                       std::chrono::nanoseconds(about.st_mtim.tv_nsec)),
                  .device = static_cast<std::uint64_t>(about.st_dev)};
}

Result<std::vector<std::string>> SystemDisk::list(const std::string& folder) {
  DIR* stream = ::opendir(folder.c_str());
  if (stream == nullptr) return errno_error(errno, "list " + folder);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int trouble = errno;
  ::closedir(stream);
  if (trouble != 0) return errno_error(trouble, "list " + folder);
  std::sort(names.begin(), names.end());
  return names;
}

Status SystemDisk::make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  const int trouble = errno;
  if (trouble == EEXIST) {
    const auto there = info(path);
    if (there && there->is_folder) return {};
  }
  return errno_error(trouble, "make folder " + path);
}

Status SystemDisk::remove(const std::string& path) {
  if (::remove(path.c_str()) < 0) return errno_error(errno, "remove " + path);
  return {};
}

Status SystemDisk::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return errno_error(errno, "rename " + from + " to " + to);
  return {};
}

Status SystemDisk::set_modified(const std::string& path, WallTime time) {
  const auto since = time.time_since_epoch();
  const auto whole = std::chrono::floor<std::chrono::seconds>(since);
  const timespec to{.tv_sec = whole.count(), .tv_nsec = (since - whole).count()};
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, to};
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) < 0) return errno_error(errno, "set the time of " + path);
  return {};
}

Status SystemDisk::sync_dir(const std::string& folder) {
  const int fd = uninterrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return errno_error(errno, "open " + folder);
  const Descriptor descriptor(fd);
  if (uninterrupted([&] { return ::fsync(fd); }) < 0) return errno_error(errno, "sync " + folder);
  return {};
}

Result<Space> SystemDisk::space(const std::string& path) {
  struct statvfs about {};
  if (uninterrupted([&] { return ::statvfs(path.c_str(), &about); }) < 0) {
    return errno_error(errno, "statvfs " + path);
  }
  return Space{.total = about.f_blocks * about.f_frsize, .free = about.f_bavail * about.f_frsize};
}

Result<std::unique_ptr<FolderLock>> SystemDisk::lock(const std::string& path) {
  const int fd = uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
  if (fd < 0) return errno_error(errno, "open " + path);
  auto lock = std::make_unique<SystemLock>(fd);
  if (uninterrupted([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) < 0) {
    if (errno != EWOULDBLOCK) return errno_error(errno, "lock " + path);
    std::array<char, 32> holder{};
    const ssize_t got = ::pread(fd, holder.data(), holder.size() - 1, 0);
    std::string who = got > 0 ? std::string(holder.data(), static_cast<std::size_t>(got)) : "";
    while (!who.empty() && who.back() == '\n') who.pop_back();
    return Error{Code::busy, path + ": another process holds this folder" + (who.empty() ? "" : " (pid " + who + ")")};
  }
  // The number only helps a reader of the message above; the lock itself is the kernel's.
  const std::string mine = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) < 0 || ::pwrite(fd, mine.data(), mine.size(), 0) < 0) {
    // A full disk must not keep a master from starting.
  }
  return std::unique_ptr<FolderLock>(std::move(lock));
}

SystemDisk& system_disk() {
  static SystemDisk disk;
  return disk;
}

}  // namespace holdfast::io::posix
