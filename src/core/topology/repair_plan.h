// RepairPlan: which copies of volumes are missing, misplaced or too many, and what would mend it. A plan is a value; who
// carries it out checks again before each step: copies only from a copy that takes no writes, and a surplus copy goes
// only after its content was found equal to one that stays.
//
// The copies that fit the volume's placement together are kept, as many as possible (the fullest first, so what is dropped
// is the copy that has least). What is missing goes to servers with the largest share of free slots that complete the
// set, first to hosts that have none of it. A copy that stands wrongly is dropped only when the set is complete without it:
// until then the plan adds the right one and the wrong one stays.
//
// A volume in a remote tier needs nothing: its data lies there once, and has one holder.
//
// Deterministic: the same picture gives the same plan. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/topology/picture.h"

namespace holdfast::topology {

struct VolumeRepair {
  VolumeId volume;
  std::string collection;
  ReplicaPlacement placement;  // as most copies say; the larger one when they disagree evenly
  std::vector<std::string> holders;  // server ids
  std::vector<std::string> keep;     // of the holders: those that fit the placement together
  std::string source;                // the holder a copy is made from: the one with most in it
  std::vector<std::string> targets;  // get a copy, in this order
  std::vector<std::string> surplus;  // holders to drop, once their content was found equal; empty while copies are missing
  int missing = 0;                   // copies that no target was found for
  std::string why;                   // in a few words

  bool is_needed() const { return !targets.empty() || !surplus.empty() || missing > 0; }
};

struct RepairWish {
  // Empty: all volumes.
  std::function<bool(const VolumeInfo& volume)> wanted;
};

// Volumes that need something, by id. Room is counted as the plan fills it.
std::vector<VolumeRepair> plan_repairs(Picture picture, const RepairWish& wish = {});

// A server that could take a copy of `volume` beside those on `keep`, so that the set fits the placement: the best one, or
// null. `beside`: other holders, which get no second one.
const PictureServer* best_target(const Picture& picture, const VolumeInfo& volume, const ReplicaPlacement& placement,
                                 const std::vector<const PictureServer*>& keep,
                                 const std::vector<const PictureServer*>& beside);

}  // namespace holdfast::topology
