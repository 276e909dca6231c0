#include "cmd/mfs/lock_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace holdfast::mfs {
namespace {

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

// The text of the file, for an owner whose pid the kernel does not tell (it lives in another pid namespace).
pid_t written_pid(int file) {
  char text[32] = {};
  const auto got = ::pread(file, text, sizeof text - 1, 0);
  return got > 0 ? static_cast<pid_t>(std::strtol(text, nullptr, 10)) : 0;
}

Result<std::optional<pid_t>> owner_of(int file, const std::string& path) {
  auto lock = whole_file(F_WRLCK);
  if (::fcntl(file, F_GETLK, &lock) != 0) return errno_error(errno, "lock " + path);
  if (lock.l_type == F_UNLCK) return std::optional<pid_t>();
  return std::optional<pid_t>(lock.l_pid > 0 ? lock.l_pid : written_pid(file));
}

}  // namespace

LockFile::~LockFile() {
  if (file_ >= 0) ::close(file_);
}

Result<std::optional<pid_t>> LockFile::owner() const {
  const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<pid_t>();
    return errno_error(errno, "open " + path_);
  }
  auto found = owner_of(file, path_);
  ::close(file);
  return found;
}

Status LockFile::take() {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file_ < 0) return errno_error(errno, "open " + path_);
  const auto lock = whole_file(F_WRLCK);
  if (::fcntl(file_, F_SETLK, &lock) != 0) {
    if (errno != EACCES && errno != EAGAIN) return errno_error(errno, "lock " + path_);
    const auto owner = owner_of(file_, path_);
    return Error(Code::busy, fmt::format("{} is locked by process {}", path_, owner && *owner ? **owner : 0));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return errno_error(errno, "write " + path_);
  }
  return {};
}

}  // namespace holdfast::mfs
