#include "model/replica_placement.h"

#include <algorithm>

namespace holdfast {

Result<ReplicaPlacement> ReplicaPlacement::parse(std::string_view given) {
  std::string padded(given.size() < 3 ? 3 - given.size() : 0, '0');
  padded += given;
  int digits[3] = {0, 0, 0};
  for (std::size_t i = 0; i < padded.size(); i++) {
    const int value = static_cast<unsigned char>(padded[i]) - '0';
    if (value < 0) return Error(Code::invalid, "unknown replication type: " + padded);
    if (i < 3) digits[i] = value;
  }
  if (100 * digits[0] + 10 * digits[1] + digits[2] > 255) {
    return Error(Code::invalid, "unexpected replication type: " + padded);
  }
  return ReplicaPlacement{static_cast<std::uint8_t>(digits[0]), static_cast<std::uint8_t>(digits[1]),
                          static_cast<std::uint8_t>(digits[2])};
}

std::string text(const ReplicaPlacement& placement) {
  return {static_cast<char>('0' + placement.other_data_centers), static_cast<char>('0' + placement.other_racks),
          static_cast<char>('0' + placement.same_rack)};
}

}  // namespace holdfast
