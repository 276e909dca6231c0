// VolumeServer: what a volume server contributes to the cluster's safety: it keeps the newest fence it has seen on
// disk and refuses older orders, and it remembers its largest key.
#pragma once

#include "model/fence.h"
#include "test/sim/world.h"

namespace holdfast::sim {

class VolumeServer {
 public:
  VolumeServer(World& world, std::size_t number) : world_(world), number_(number) {}

  void order(const Fence& fence, std::uint64_t volume);
  void wrote(std::uint64_t key) { max_key_ = std::max(max_key_, key); }
  std::uint64_t max_key() const { return max_key_; }

 private:
  World& world_;
  const std::size_t number_;
  std::optional<Fence> newest_;  // on its disk
  std::uint64_t max_key_ = 0;
};

}  // namespace holdfast::sim
