#include "io/posix/vmclock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace holdfast::io::posix {
namespace {

// The page as the device lays it out (little-endian; linux/vmclock-abi.h): magic at 0, its size at 4, version at 8, the
// disruption marker at 16.
constexpr std::uint32_t kMagic = 0x4b4c4356;  // "VCLK"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kMarkerAt = 16;
constexpr std::size_t kPageBytes = 4096;

template <typename T>
T at(const void* page, std::size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(page) + offset, sizeof value);
  return value;
}

}  // namespace

Result<std::unique_ptr<VmClock>> VmClock::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno_error(errno, path);
  void* page = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, file, 0);
  const int error = errno;
  ::close(file);
  if (page == MAP_FAILED) return errno_error(error, path);
  std::unique_ptr<VmClock> clock(new VmClock(page));
  if (at<std::uint32_t>(page, 0) != kMagic || at<std::uint32_t>(page, 4) < kMarkerAt + 8 ||
      at<std::uint16_t>(page, 8) != kVersion) {
    return Error(Code::unsupported, path + ": not laid out as this build knows it");
  }
  return clock;
}

VmClock::~VmClock() { ::munmap(const_cast<void*>(page_), kPageBytes); }

std::uint64_t VmClock::marker() const {
  // The hypervisor writes it: read each time anew.
  const auto* where = reinterpret_cast<const volatile std::uint64_t*>(static_cast<const char*>(page_) + kMarkerAt);
  const std::uint64_t value = *where;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return value;
}

}  // namespace holdfast::io::posix
