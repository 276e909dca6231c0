// Channels: gRPC connections with the settings our callers need. Only .cc files include gRPC's own headers.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "model/address.h"

namespace grpc {
class Channel;
class Status;
}  // namespace grpc

namespace holdfast::client {

// Bytes that stay unacknowledged this long mean that the peer's machine is gone.
inline constexpr Duration kSilenceMax = std::chrono::seconds(2);

// A channel of its own: no connection and no backoff is shared with another channel. It redials
// within 20..250 ms; messages up to 1 GiB; keepalive as upstream's servers allow it (spec/weed-grpc 1).
std::shared_ptr<grpc::Channel> make_channel(const std::string& grpc_address);  // "host:grpcport"
inline std::shared_ptr<grpc::Channel> make_channel(const Address& address) { return make_channel(address.grpc()); }

// Whether no connection came about, so that the request never left.
bool is_surely_unsent(const grpc::Status& status);

// What a finished call says, as an Error: the code tells what the caller can do, the text is the peer's.
// `sent` says whether the request may have taken effect: then a broken link is outcome_unknown instead of unavailable.
Error error_of(const grpc::Status& status, bool sent = false);

}  // namespace holdfast::client
