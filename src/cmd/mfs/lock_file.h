// LockFile: DATA_PATH/.mfsmaster.lock, by which a daemon is found and kept from being started twice (spec/moosefs-ha 4).
//
// The running daemon has an fcntl lock on the file, which holds its process id as text. The kernel gives the lock back
// when the process ends, however it ends, so a lock is never stale and a pid of before means nothing.
//
// An fcntl lock is lost when the process closes any descriptor of the file: nobody else opens it in the daemon.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace holdfast::mfs {

class LockFile {
 public:
  explicit LockFile(std::string path) : path_(std::move(path)) {}
  ~LockFile();
  LockFile(const LockFile&) = delete;

  // The process that has the lock; empty when nobody has, or there is no such file.
  Result<std::optional<pid_t>> owner() const;

  // Takes the lock for this process until it ends, and writes its pid. Code::busy names the owner.
  Status take();

 private:
  const std::string path_;
  int file_ = -1;
};

}  // namespace holdfast::mfs
