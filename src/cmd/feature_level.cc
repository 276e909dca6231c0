#include "cmd/plan.h"

// Raised by one whenever masters of this build put something into their log that an older build would not understand.
// A second program for the test of mixed versions is built from this file with a higher one.
#ifndef HOLDFAST_FEATURE_LEVEL
#define HOLDFAST_FEATURE_LEVEL 1
#endif

namespace holdfast::cmd {

std::uint32_t feature_level() { return HOLDFAST_FEATURE_LEVEL; }

}  // namespace holdfast::cmd
