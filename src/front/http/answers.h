// Small answers that several routes give, as upstream words them (spec/weed-cluster 2.1).
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "front/http/server.h"
#include "io/clock.h"

namespace holdfast::front {

// X-Amz-Request-Id: 16 upper-case hex digits of the wall clock in nanoseconds and 8 random ones.
class RequestId {
 public:
  explicit RequestId(const io::Clock& clock);
  operator std::string_view() const { return {text_.data(), text_.size()}; }  // NOLINT: that is all it is

 private:
  std::array<char, 24> text_;
};

// The id that the client gave the request, where it may be taken over; for what is done on its behalf. The answer has one of its own,
// as upstream's.
std::string_view given_request_id(const http::Request& request);

// 404 with Go's words, for paths that are no route.
void answer_no_such_page(http::Exchange& exchange);

// 301 to the cleaned path, with the query as it came.
void answer_cleaned_path(http::Exchange& exchange, std::string_view cleaned);

// A status without body or Content-Type: 401, 405, health.
void answer_empty(http::Exchange& exchange, int status);

// A random number for picks that need no secrecy: which replica to name first.
std::uint64_t quick_random();

}  // namespace holdfast::front
