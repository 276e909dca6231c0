#include "io/posix/cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <thread>

namespace holdfast::io::posix {

namespace {

constexpr const char* kQuotaFile = "/sys/fs/cgroup/cpu.max";  // a container sees its own group here

unsigned cores_by_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Fails on machines of more than 1024 cores: there all of them count.
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return std::thread::hardware_concurrency();
  return static_cast<unsigned>(CPU_COUNT(&set));
}

}  // namespace

unsigned quota_cores(std::string_view cpu_max) {
  const auto number = [&cpu_max](std::uint64_t& out) {
    const auto [end, failed] = std::from_chars(cpu_max.data(), cpu_max.data() + cpu_max.size(), out);
    if (failed != std::errc()) return false;
    cpu_max.remove_prefix(static_cast<std::size_t>(end - cpu_max.data()));
    return true;
  };
  std::uint64_t quota = 0, period = 0;
  if (!number(quota) || cpu_max.empty() || cpu_max.front() != ' ') return 0;
  cpu_max.remove_prefix(1);
  if (!number(period) || quota == 0 || period == 0) return 0;
  return static_cast<unsigned>(std::clamp<std::uint64_t>(quota / period + (quota % period != 0), 1, 1U << 20));
}

unsigned usable_cores() {
  unsigned cores = cores_by_affinity();
  std::string line;
  if (std::getline(std::ifstream(kQuotaFile), line)) {
    if (const auto quota = quota_cores(line); quota > 0) cores = std::min(cores, quota);
  }
  return std::max(1U, cores);
}

}  // namespace holdfast::io::posix
