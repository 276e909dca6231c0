#include "io/posix/memory.h"

#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace holdfast::io::posix {
namespace {

// "MemTotal:       16309840 kB" -> bytes, if the line is of that name.
void take(std::string_view line, std::string_view name, std::uint64_t& out) {
  if (line.substr(0, name.size()) != name) return;
  line.remove_prefix(std::min(line.find_first_of("0123456789"), line.size()));
  std::uint64_t kib = 0;
  if (std::from_chars(line.data(), line.data() + line.size(), kib).ec == std::errc()) out = kib << 10;
}

template <typename Look>
void each_line(const char* path, Look look) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) look(line);
}

}  // namespace

MemoryUse memory_use() {
  MemoryUse out;
  each_line("/proc/meminfo", [&](const std::string& line) {
    take(line, "MemTotal:", out.total);
    take(line, "MemAvailable:", out.free);
  });
  each_line("/proc/self/status", [&](const std::string& line) {
    take(line, "VmRSS:", out.self);
    take(line, "VmStk:", out.stack);
  });
  return out;
}

}  // namespace holdfast::io::posix
