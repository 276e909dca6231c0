// Ping of a volume server for another one: whether it reaches a master, a filer or a fellow volume server, and what time it is there
// (cluster.check of shells asks each of them for each).
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "api/volume_server.pb.h"

namespace holdfast::front {

// Code 3 for a target that is no address or of no known type, code 2 with what is wrong when it does not answer in time.
grpc::ServerUnaryReactor* ping_other(grpc::CallbackServerContext* context, const volume_server_pb::PingRequest* request,
                                     volume_server_pb::PingResponse* response);

}  // namespace holdfast::front
