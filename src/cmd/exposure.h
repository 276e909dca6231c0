// What a server says at its start about who may do what to it: nothing that is open is to be a surprise. By default it is
// all open, as upstream's users expect of a cluster in a network of its own; these sentences say so, and what closes it.
#pragma once

#include <string>
#include <vector>

#include "cmd/plan.h"

namespace holdfast::cmd {

// Sentences, each for itself.
std::vector<std::string> exposure_of(const MasterPlan& plan);
std::vector<std::string> exposure_of(const VolumePlan& plan);

}  // namespace holdfast::cmd
