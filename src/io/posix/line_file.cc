#include "io/posix/line_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "io/posix/descriptor.h"

namespace holdfast::io::posix {
namespace {

constexpr int kRoundsMax = 8;  // another process renamed the file between our open and our lock

int lock(int fd) {
  int done = 0;
  do {
    done = ::flock(fd, LOCK_EX);
  } while (done < 0 && errno == EINTR);
  return done;
}

bool is_still(const std::string& path, const struct stat& open) {
  struct stat there {};
  return ::stat(path.c_str(), &there) == 0 && there.st_ino == open.st_ino && there.st_dev == open.st_dev;
}

}  // namespace

Status LineFile::rotate() const {
  if (old_files_ == 0) return ::unlink(path_.c_str()) == 0 ? Status() : errno_error(errno, "remove " + path_);
  for (int i = old_files_; i > 0; --i) {
    const std::string from = i == 1 ? path_ : path_ + "." + std::to_string(i - 1);
    const std::string to = path_ + "." + std::to_string(i);
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) return errno_error(errno, "rename " + from);
  }
  return {};
}

Status LineFile::append(std::string_view line) const {
  for (int round = 0; round < kRoundsMax; ++round) {
    const Descriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (file.get() < 0) return errno_error(errno, "open " + path_);
    if (lock(file.get()) < 0) return errno_error(errno, "lock " + path_);
    struct stat info {};
    if (::fstat(file.get(), &info) < 0) return errno_error(errno, path_);
    if (!is_still(path_, info)) continue;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size > 0 && size + line.size() + 1 > bytes_max_) {
      if (auto done = rotate(); !done) return done;
      continue;
    }
    char last = '\n';
    if (size > 0 && ::pread(file.get(), &last, 1, info.st_size - 1) != 1) last = '\n';
    std::string bytes = last == '\n' ? "" : "\n";
    bytes.append(line);
    bytes += '\n';
    const auto written = ::write(file.get(), bytes.data(), bytes.size());
    if (written == static_cast<ssize_t>(bytes.size())) return {};
    const int trouble = written < 0 ? errno : ENOSPC;
    if (written > 0) (void)!::ftruncate(file.get(), info.st_size);  // half a line would be no line
    return errno_error(trouble, "write " + path_);
  }
  return Error{Code::busy, path_ + " is replaced again and again by others"};
}

Result<std::vector<std::string>> LineFile::read() const {
  std::vector<std::string> lines;
  bool found = false;
  for (int i = old_files_; i >= 0; --i) {
    std::ifstream file(i == 0 ? path_ : path_ + "." + std::to_string(i), std::ios::binary);
    if (!file) continue;
    found = true;
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    for (std::size_t at = 0;;) {
      const auto end = bytes.find('\n', at);
      if (end == std::string::npos) break;
      if (end > at) lines.push_back(bytes.substr(at, end - at));
      at = end + 1;
    }
  }
  if (!found) return Error{Code::not_found, "there is no " + path_};
  return lines;
}

}  // namespace holdfast::io::posix
