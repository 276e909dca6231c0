// Request ids: the metadata `x-amz-request-id` of gRPC calls and the header of HTTP requests (spec/weed-grpc 1), under which one request is found in the logs
// of all servers that took part. front/grpc/request_ids.h takes them over or makes them; who makes calls on behalf of a
// request hands its id on.
#pragma once

#include <cstddef>
#include <string_view>

namespace grpc {
class ClientContext;
}

namespace holdfast::api {

inline constexpr const char* kRequestIdKey = "x-amz-request-id";
inline constexpr std::size_t kRequestIdBytesMax = 128;  // longer ones are not taken over

// Whether an id that somebody gave is printable, one word, and not too long.
bool is_request_id(std::string_view given);

// While it lives this thread works for the request of that id.
class RequestScope {
 public:
  explicit RequestScope(std::string_view id);  // which outlives this
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;

  static std::string_view current();  // "" outside of any

 private:
  const std::string_view before_;
};

// Says in a call that is about to begin for which request it is made, if for any.
void pass_request_id(grpc::ClientContext& context, std::string_view id = RequestScope::current());

}  // namespace holdfast::api
