// Descriptor: an open file descriptor, closed with its owner. Negative: none, as a failed call left it.
#pragma once

#include <unistd.h>

namespace holdfast::io::posix {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace holdfast::io::posix
