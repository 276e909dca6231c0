#include "api/request_id.h"

#include <grpcpp/client_context.h>

#include <string>
#include <utility>

namespace holdfast::api {
namespace {

thread_local std::string_view current_id;

}  // namespace

RequestScope::RequestScope(std::string_view id) : before_(std::exchange(current_id, id)) {}

RequestScope::~RequestScope() { current_id = before_; }

std::string_view RequestScope::current() { return current_id; }

void pass_request_id(grpc::ClientContext& context, std::string_view id) {
  if (!id.empty()) context.AddMetadata(kRequestIdKey, std::string(id));
}

}  // namespace holdfast::api
