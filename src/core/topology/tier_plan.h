// TierPlan: which volumes go to disks of another type, and on which servers their copies stand then.
//
// All copies of a volume go, or none: one that cannot stand on the new disks as its placement asks stays where it is.
// Copies are made before old ones go, so there are never fewer than before. A server that holds an old copy gets the new
// one only where nothing else fits, and after another new copy was made, since it has to give up the old one first. Copies
// that are on the new disks already, from a move that broke off, stay there if they fit.
//
// Deterministic: the same picture gives the same plan. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/topology/picture.h"

namespace holdfast::topology {

struct TierMove {
  VolumeId volume;
  std::string collection;
  ReplicaPlacement placement;         // as the copies stand then
  std::uint64_t bytes = 0;            // of one copy
  std::vector<std::string> holders;   // server ids of all copies that are there
  std::vector<std::string> stay;      // of the holders: those on the new disks already
  std::vector<std::string> targets;   // get a copy, in this order; one that is a holder gives up its old copy first
};

struct TierWish {
  std::function<bool(const VolumeInfo& volume)> wanted;  // asked of every copy of a volume; empty: all
  std::string from, to;                                  // canonical disk types
  std::optional<ReplicaPlacement> placement;             // another one; nullopt: each volume's own
};

struct TierPlan {
  std::vector<TierMove> moves;     // by volume
  std::vector<VolumeId> stuck;     // wanted, but the new disks cannot take all copies
  std::vector<VolumeId> short_of;  // wanted, but copies are missing: one that comes back later must not meet newer ones
};

TierPlan plan_tier(Picture picture, const TierWish& wish);

}  // namespace holdfast::topology
