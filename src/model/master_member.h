// MasterMember: one master as the cluster knows it. Volume servers and clients are told the whole list and keep it.
#pragma once

#include "model/address.h"
#include "model/ids.h"

namespace holdfast {

struct MasterMember {
  NodeId id;
  Address address;    // where to dial; the id is who answers
  bool voter = true;  // a learner otherwise

  friend bool operator==(const MasterMember& a, const MasterMember& b) {
    return a.id == b.id && a.address == b.address &&
           a.address.grpc_port_or_default() == b.address.grpc_port_or_default() && a.voter == b.voter;
  }
};

}  // namespace holdfast
