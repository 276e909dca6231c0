#include "api/request_id.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <string>
#include <utility>

namespace holdfast::api {
namespace {

thread_local std::string_view current_id;

}  // namespace

bool is_request_id(std::string_view given) {
  return !given.empty() && given.size() <= kRequestIdBytesMax &&
         std::all_of(given.begin(), given.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

RequestScope::RequestScope(std::string_view id) : before_(std::exchange(current_id, id)) {}

RequestScope::~RequestScope() { current_id = before_; }

std::string_view RequestScope::current() { return current_id; }

void pass_request_id(grpc::ClientContext& context, std::string_view id) {
  if (!id.empty()) context.AddMetadata(kRequestIdKey, std::string(id));
}

}  // namespace holdfast::api
