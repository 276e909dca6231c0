// One volume server's stream of reports (SendHeartbeat, spec/weed-grpc 5.1).
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "api/master.pb.h"
#include "service/master/master.h"
#include "service/master/runtime.h"

namespace holdfast::front {

// `runtime` (may be null) is told what the server knows of the masters.
grpc::ServerBidiReactor<master_pb::Heartbeat, master_pb::HeartbeatResponse>* take_reports(
    master::Master& master, master::MasterRuntime* runtime, grpc::CallbackServerContext* context);

}  // namespace holdfast::front
