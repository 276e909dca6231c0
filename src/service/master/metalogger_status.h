// What a master knows of a metalogger, for the page, for /cluster/metaloggers and for metrics.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "model/ids.h"

namespace holdfast::master {

// A metalogger as this master knows it.
struct MetaloggerStatus {
  std::string name;
  std::string address;          // where it calls from
  std::string follows;          // the master that it takes changes from
  Index position;               // on its disk
  Index image;                  // its newest image
  std::uint64_t behind = 0;     // committed entries that it lacks
  Duration behind_for{};        // since when; 0: it has everything, or that is not known
  Duration silent_for{};
};

}  // namespace holdfast::master
