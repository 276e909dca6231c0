// Survival: which losses a cluster of masters survives, tried with the real core: `sim --survival` prints the table that
// stands in docs/witness.md.
#pragma once

#include <string>

namespace holdfast::sim {

std::string survival_table();

}  // namespace holdfast::sim
