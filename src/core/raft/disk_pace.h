// DiskPace: how long a sync of the own disk usually takes, so that a slow disk is told from one that hangs.
//
// Hard disks and network disks take tens to hundreds of milliseconds for a sync under load. That costs latency, but a
// leader of three commits by the disks of the others, and another leader would have a disk of the same kind: changing
// leaders for it only adds an election, which needs syncs too. So a sync counts as hanging only when it takes kFactor times
// what the worst took lately, and never before `floor`.
//
// Pure; not thread-safe.
#pragma once

#include <algorithm>

#include "base/time.h"

namespace holdfast::raft {

class DiskPace {
 public:
  // A write and sync was over `took` after it began.
  void observe(Duration took) { worst_ = std::clamp(took, worst_ - worst_ / kFade, kWorstMax); }

  // A sync under way for longer than this hangs.
  [[nodiscard]] Duration patience(Duration floor) const { return std::max(floor, worst_ * kFactor); }

 private:
  static constexpr int kFactor = 4;
  static constexpr int kFade = 256;             // per sync, as silence.cc fades its worst gap
  static constexpr Duration kWorstMax = 2s;     // so that patience ends after eight seconds on any disk

  Duration worst_{0};
};

}  // namespace holdfast::raft
