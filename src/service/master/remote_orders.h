// The real VolumeOrders: over gRPC, one connection per volume server (client/volume_orders.h has the terms).
#pragma once

#include <memory>

#include "service/master/volume_orders.h"

namespace holdfast::master {

std::unique_ptr<VolumeOrders> make_remote_orders();

}  // namespace holdfast::master
