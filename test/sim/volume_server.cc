#include "test/sim/volume_server.h"

namespace holdfast::sim {

void VolumeServer::order(const Fence& fence, std::uint64_t) {
  if (newest_ && (fence.cluster != newest_->cluster || age_order(fence, *newest_) < 0)) {
    world_.checker().events.count("orders refused");
    return;
  }
  newest_ = fence;
  world_.checker().order_obeyed(number_, fence);
}

}  // namespace holdfast::sim
