// DiskStore: production's storage/raft over io/sim's disk of sectors.
#pragma once

#include <memory>

#include "test/sim/store.h"

namespace holdfast::sim {

std::unique_ptr<Store> make_disk_store(std::uint64_t seed, NodeId voter);

}  // namespace holdfast::sim
