// A client's standing stream of volume locations (KeepConnected, spec/weed-grpc 5.2). Clients hold it to the leader; a
// follower answers with who that is and ends.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "api/master.pb.h"
#include "front/grpc/cluster_nodes.h"
#include "front/grpc/lock_rings.h"
#include "service/master/master.h"

namespace holdfast::front {

// All outlive the stream.
grpc::ServerBidiReactor<master_pb::KeepConnectedRequest, master_pb::KeepConnectedResponse>* keep_connected(
    master::Master& master, ClusterNodes& nodes, LockRings& rings, grpc::CallbackServerContext* context);

// "host:port", or "host:port.grpcport" when the gRPC port is not port + 10000: what clients take as a hint.
std::string hint_of(const master::Leader& leader);

}  // namespace holdfast::front
