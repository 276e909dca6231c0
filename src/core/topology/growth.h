// Growth: on which servers new volumes go. A plan is a value: it can be looked at, tested and refused before anything
// is touched.
//
// For each volume: a data center, in it a rack, in it a server, each drawn at random with its free slots as weight from
// those that can hold the rest of the copies; then the x servers in other data centers, the y in other racks and the z
// in the same rack, where servers on other hosts come first (several servers often share a machine). If a draw leads
// nowhere the next one is tried, so a plan is found whenever there is one for the wish.
//
// A plan may be shorter than asked for, when slots run out on the way; empty plans come as errors, with reasons in the
// form of spec/weed-cluster 2.3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/topology/layout.h"
#include "model/replica_placement.h"

namespace holdfast::topology {

// A server that takes writes, and its room for one disk type after what is reserved.
struct GrowthServer {
  std::string id;
  std::string url;  // ip:port
  std::string host;
  std::string data_center;
  std::string rack;
  std::int64_t free = 0;
};

struct GrowthRequest {
  std::uint32_t volumes = 1;
  ReplicaPlacement replica_placement;
  Wish wish;  // of the first copy
};

struct GrowthPlan {
  std::vector<std::vector<std::string>> volumes;  // server ids for each volume, the first copy first
  std::string stopped;                            // why there are fewer than asked for; empty: there are not
};

// Code::no_space when no slot is free anywhere, Code::unavailable when the copies cannot be placed as asked.
Result<GrowthPlan> plan_growth(std::vector<GrowthServer> servers, const GrowthRequest& request, PickRandom& random);

}  // namespace holdfast::topology
