// ReplicaPlacement: the code xyz. x copies in other data centers, y in other racks of the same data center, z on other
// servers of the same rack, and the file itself: x + y + z + 1 copies (spec/weed-cluster 4.3, spec/volume-format 10).
// One byte on disk and wire: 100x + 10y + z.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast {

struct ReplicaPlacement {
  std::uint8_t other_data_centers = 0;  // x
  std::uint8_t other_racks = 0;         // y
  std::uint8_t same_rack = 0;           // z

  // "" is 000; shorter texts are padded with zeros in front, characters after the third are ignored, one above '9'
  // counts on from 9 (upstream's rules). Code::invalid with upstream's text otherwise.
  static Result<ReplicaPlacement> parse(std::string_view text);
  static constexpr ReplicaPlacement from_byte(std::uint8_t byte) {
    return {static_cast<std::uint8_t>(byte / 100), static_cast<std::uint8_t>(byte / 10 % 10),
            static_cast<std::uint8_t>(byte % 10)};
  }

  constexpr std::uint8_t byte() const {
    return static_cast<std::uint8_t>(100 * other_data_centers + 10 * other_racks + same_rack);
  }
  constexpr int copies() const { return other_data_centers + other_racks + same_rack + 1; }

  friend constexpr auto operator<=>(const ReplicaPlacement&, const ReplicaPlacement&) = default;
};

// Three characters: "010".
std::string text(const ReplicaPlacement& placement);

}  // namespace holdfast
