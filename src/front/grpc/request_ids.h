// Request ids of the calls to upstream's services: taken over from the caller's `x-amz-request-id`, or made; answered as
// a trailer of the same name; and told, with how the call ended, to who keeps the access log.
//
// An id is taken over when it is printable and not longer than api::kRequestIdBytesMax. Calls among Holdfast's own masters have none.
#pragma once

#include <grpcpp/support/status_code_enum.h>

#include <functional>
#include <memory>
#include <string_view>

#include "base/time.h"

namespace grpc {
class ServerContextBase;
namespace experimental {
class ServerInterceptorFactoryInterface;
}
}  // namespace grpc

namespace holdfast::front {

class AccessLog;

struct EndedCall {
  std::string_view method;  // "/master_pb.Seaweed/Assign"
  std::string_view peer_ip;
  std::string_view agent;
  grpc::StatusCode code = grpc::StatusCode::OK;
  Duration took{};
  std::string_view request_id;
  std::string_view given_id;  // the caller's; "": none that was taken over
};
using CallObserver = std::function<void(const EndedCall&)>;  // on any thread; must be quick

// Adds a line for each call; `log` outlives it. The status is the one of HTTP that says most nearly the same.
CallObserver log_calls(AccessLog& log);

// For the server's builder. `observer` may be empty.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> make_request_ids(CallObserver observer);

// The id of a call, as a handler finds it; valid as long as the context.
std::string_view request_id_of(const grpc::ServerContextBase& context);

}  // namespace holdfast::front
