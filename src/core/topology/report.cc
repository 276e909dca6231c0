#include "core/topology/report.h"

#include <cctype>

namespace holdfast::topology {

std::string canonical_disk_type(std::string_view disk_type) {
  std::string lower(disk_type);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower == "hdd" ? std::string() : lower;
}

std::string disk_type_name(std::string_view canonical) { return canonical.empty() ? "hdd" : std::string(canonical); }

}  // namespace holdfast::topology
