#include "test/sim/disk_store.h"

#include "test/sim/model_store.h"

namespace holdfast::sim {

std::unique_ptr<Store> make_disk_store(std::uint64_t seed, NodeId) { return std::make_unique<ModelStore>(seed); }

}  // namespace holdfast::sim
