// The one table from our codes and refusals to gRPC statuses (spec/weed-grpc 2). Most troubles are UNKNOWN with their
// words, as upstream's own; UNAVAILABLE and RESOURCE_EXHAUSTED only where its clients are to come back.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/result.h"
#include "service/master/master.h"

namespace holdfast::front {

// What upstream's clients look for, to the letter.
inline constexpr const char* kNotLeader = "raft.Server: Not current leader";

grpc::Status grpc_status(const master::Refusal& refusal);
grpc::Status grpc_status(const Error& error);

// UNIMPLEMENTED with a sentence that names the call.
grpc::Status not_yet(const std::string& what);

// "127.0.0.1", "::1" from the library's "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711"; "" for other kinds of peer.
std::string peer_ip(const std::string& peer);

// PERMISSION_DENIED `not authorized: <ip>` (spec/weed-cluster 3.12).
grpc::Status not_authorized(const std::string& ip);

}  // namespace holdfast::front
