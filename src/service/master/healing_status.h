// HealingStatus: what the leader mends, as people see it (docs/self-healing.md). A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/ids.h"

namespace holdfast::master {

struct HealingStatus {
  bool is_on = false;
  Duration grace{0};
  std::string waiting;     // why nothing is begun, "" when nothing holds it back
  std::string no_removal;  // why no copy goes that would, likewise

  struct Mending {
    VolumeId volume;
    std::string why;  // "1 of 2 copies gone"
    std::string from;
    std::string to;
    std::string step;
  };
  std::vector<Mending> under_way;

  struct Trouble {
    VolumeId volume;
    std::string what;
  };
  std::vector<Trouble> reported;  // what needs somebody, by volume; the first kTroublesMax
  std::uint64_t reported_all = 0;
  std::uint64_t short_of_copies = 0;
  std::uint64_t made = 0;    // by this leader
  std::uint64_t failed = 0;

  static constexpr std::size_t kTroublesMax = 100;
};

}  // namespace holdfast::master
