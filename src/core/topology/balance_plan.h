// BalancePlan: which volumes to move so that servers are filled alike, and where the volumes of one server go when it is
// emptied.
//
// Load is volumes over slots, or bytes over the disk's bytes; each disk type by itself. A move is planned only if it makes
// the sum of load squared times capacity smaller, so the plan ends, no two moves undo each other, and planning
// again after the plan was carried out gives nothing. No move puts two copies of a volume on one server, and none makes a
// placement worse: a set that stands as xyz asks does so after it.
//
// Volumes in a remote tier stay where they are.
//
// Deterministic. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/topology/picture.h"

namespace holdfast::topology {

struct VolumeMove {
  VolumeId volume;
  std::string collection;
  std::string disk_type;
  std::string source;  // server ids
  std::string target;
  std::uint64_t bytes = 0;
};

struct BalanceWish {
  std::function<bool(const VolumeInfo& volume)> wanted;         // empty: all volumes
  std::function<bool(const PictureServer& server)> takes_part;  // empty: all servers
  bool by_bytes = false;
  double disk_percent_max = 100;  // a target is not filled beyond; needs bytes that are told
  std::size_t moves_max = 0;      // 0: as many as it takes
};

std::vector<VolumeMove> plan_balance(Picture picture, const BalanceWish& wish = {});

struct EvacuationPlan {
  std::vector<VolumeMove> moves;
  std::vector<VolumeId> stuck;  // no server can take them, or they are in a remote tier
};
// `targets` empty: any server but this one.
EvacuationPlan plan_evacuation(Picture picture, const std::string& server, const std::vector<std::string>& targets = {});

}  // namespace holdfast::topology
