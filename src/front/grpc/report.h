// A volume server's report between the wire and the masters' own form (spec/weed-grpc 5.1).
#pragma once

#include <optional>

#include "api/master.pb.h"
#include "base/result.h"
#include "service/master/master.h"
#include "service/master/runtime.h"

namespace holdfast::front {

// Code::invalid names what cannot be: a report of ours whose ids are no UUIDs. Upstream's always pass.
Result<topology::Report> read(const master_pb::Heartbeat& message);

// What the server knows of the masters; empty unless the report is the first of a stream of ours, and says so.
std::optional<master::ClusterHint> read_hint(const master_pb::Heartbeat& message);

// Both what upstream's servers understand and our own fields.
void fill(const master::ReportReply& reply, master_pb::HeartbeatResponse* message);

}  // namespace holdfast::front
