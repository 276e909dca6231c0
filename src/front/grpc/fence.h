// The fence of an order, as its request carries it.
#pragma once

#include "api/convert.h"
#include "base/result.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {

// Nothing for orders of upstream's programs, an error for a fence that cannot be read.
template <typename Request>
Result<volume::OrderFence> fence_of(const Request& request) {
  if (!request.has_fence()) return volume::OrderFence();
  auto read = api::read(request.fence());
  if (!read) return read.error();
  return volume::OrderFence(*read);
}

}  // namespace holdfast::front
