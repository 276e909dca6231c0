// VmClock: whether this virtual machine was stopped, moved or put back to an older state, as its hypervisor tells through
// /dev/vmclock0 (Linux 6.13 and later): a page whose disruption marker is another one after each such moment. What the
// clocks of before say then counts no more.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace holdfast::io::posix {

class VmClock {
 public:
  // An error where there is none, or one that this build does not understand.
  static Result<std::unique_ptr<VmClock>> open(const std::string& path = "/dev/vmclock0");
  ~VmClock();
  VmClock(const VmClock&) = delete;
  VmClock& operator=(const VmClock&) = delete;

  // Only whether it is the same as before means anything. One load from memory.
  [[nodiscard]] std::uint64_t marker() const;

 private:
  explicit VmClock(const void* page) : page_(page) {}
  const void* page_;
};

}  // namespace holdfast::io::posix
