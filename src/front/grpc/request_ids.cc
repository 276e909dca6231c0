#include "front/grpc/request_ids.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <string>
#include <utility>

#include "api/request_id.h"
#include "front/grpc/status.h"
#include "front/http/access_log.h"
#include "front/http/answers.h"
#include "io/posix/clock.h"

namespace holdfast::front {
namespace {

namespace ex = grpc::experimental;

std::string_view text_of(grpc::string_ref text) { return {text.data(), text.size()}; }

int http_status_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK: return 200;
    case grpc::StatusCode::CANCELLED: return 499;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE: return 400;
    case grpc::StatusCode::UNAUTHENTICATED: return 401;
    case grpc::StatusCode::PERMISSION_DENIED: return 403;
    case grpc::StatusCode::NOT_FOUND: return 404;
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::ABORTED: return 409;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return 429;
    case grpc::StatusCode::UNIMPLEMENTED: return 501;
    case grpc::StatusCode::UNAVAILABLE: return 503;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return 504;
    default: return 500;
  }
}

// One call. The library deletes it when the call is over.
class RequestIdInterceptor final : public ex::Interceptor {
 public:
  RequestIdInterceptor(ex::ServerRpcInfo* info, const CallObserver& observer)
      : info_(info), observer_(observer), begun_(io::posix::boot_now()) {}

  // Also of calls whose client has gone: they end without a status.
  ~RequestIdInterceptor() override {
    if (!observer_ || id_.empty()) return;
    observer_({.method = info_->method(),
               .peer_ip = peer_,
               .agent = agent_,
               .code = code_,
               .took = io::posix::boot_now() - begun_,
               .request_id = id_,
               .given_id = is_given_ ? std::string_view(id_) : std::string_view()});
  }

  void Intercept(ex::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(ex::InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      begin(*methods->GetRecvInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(ex::InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = methods->GetSendStatus().error_code();
      methods->GetSendTrailingMetadata()->emplace(api::kRequestIdKey, id_);
    }
    methods->Proceed();
  }

 private:
  void begin(std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
    const auto given = metadata.find(api::kRequestIdKey);
    is_given_ = given != metadata.end() && api::is_request_id(text_of(given->second));
    id_ = is_given_ ? std::string(text_of(given->second)) : std::string(RequestId(io::posix::system_clock()));
    if (!is_given_) {
      metadata.erase(api::kRequestIdKey);
      metadata.emplace(api::kRequestIdKey, id_);  // for request_id_of()
    }
    if (!observer_) return;
    peer_ = peer_ip(info_->server_context()->peer());
    if (const auto agent = metadata.find("user-agent"); agent != metadata.end()) agent_ = text_of(agent->second);
  }

  ex::ServerRpcInfo* const info_;
  const CallObserver& observer_;  // the factory's, which the server keeps
  const Instant begun_;
  std::string id_;
  bool is_given_ = false;
  std::string peer_;
  std::string agent_;
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;  // until one is sent
};

class RequestIds final : public ex::ServerInterceptorFactoryInterface {
 public:
  explicit RequestIds(CallObserver observer) : observer_(std::move(observer)) {}

  ex::Interceptor* CreateServerInterceptor(ex::ServerRpcInfo* info) override {
    const std::string_view method(info->method());
    const bool is_upstreams = method.starts_with("/master_pb.") || method.starts_with("/volume_server_pb.");
    return is_upstreams ? new RequestIdInterceptor(info, observer_) : nullptr;
  }

 private:
  const CallObserver observer_;
};

}  // namespace

CallObserver log_calls(AccessLog& log) {
  return [&log](const EndedCall& call) {
    log.add({.peer_ip = call.peer_ip,
             .method = "POST",
             .target = call.method,
             .protocol = "HTTP/2.0",
             .status = http_status_of(call.code),
             .bytes = std::nullopt,
             .agent = call.agent,
             .took = call.took,
             .request_id = call.request_id,
             .given_id = call.given_id});
  };
}

std::unique_ptr<ex::ServerInterceptorFactoryInterface> make_request_ids(CallObserver observer) {
  return std::make_unique<RequestIds>(std::move(observer));
}

std::string_view request_id_of(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(api::kRequestIdKey);
  return found == metadata.end() ? std::string_view() : text_of(found->second);
}

}  // namespace holdfast::front
