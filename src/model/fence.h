// Fence: what every order of ours to a volume server carries, and what the volume server keeps on disk
// (design/raft-and-leases 3.6). It is obeyed only if no newer one of the same cluster was seen, so a leader that was
// replaced without noticing changes nothing.
//
// Newer means: by generation, then term, then sequence. Fences of different clusters are not ordered at all; compare
// the cluster first. Equal fences are the same order sent twice.
#pragma once

#include <compare>
#include <cstdint>

#include "model/ids.h"

namespace holdfast {

struct Fence {
  ClusterId cluster;
  Generation generation;
  Term term;
  std::uint64_t sequence = 0;  // counts the orders of one leader within its term, from 1

  friend bool operator==(const Fence&, const Fence&) = default;
};

// Only for fences of the same cluster.
constexpr std::strong_ordering age_order(const Fence& a, const Fence& b) {
  if (const auto order = a.generation <=> b.generation; order != 0) return order;
  if (const auto order = a.term <=> b.term; order != 0) return order;
  return a.sequence <=> b.sequence;
}

}  // namespace holdfast
