#include "cmd/plan.h"

// Raised by one whenever masters of this build put something into their log that an older build would not understand.
// 2: the key-value space (core/kv) and leases (docs/leases.md). 3: witnesses (docs/witness.md). 4: epochs of copies (docs/self-healing.md). Programs for the test of
// mixed versions are built from this file with a lower and a higher one.
#ifndef HOLDFAST_FEATURE_LEVEL
#define HOLDFAST_FEATURE_LEVEL 4
#endif

namespace holdfast::cmd {

std::uint32_t feature_level() { return HOLDFAST_FEATURE_LEVEL; }

}  // namespace holdfast::cmd
