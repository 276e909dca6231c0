#include "front/http/answers.h"

#include <cstring>
#include <random>

#include "api/request_id.h"
#include "front/http/url.h"

namespace holdfast::front {
namespace {

// xorshift64*: seeded by the kernel once for each thread.
struct Quick {
  std::uint64_t state;
  Quick() {
    std::random_device device;
    state = (static_cast<std::uint64_t>(device()) << 32 | device()) | 1;
  }
  std::uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717ull;
  }
};

constexpr auto kHexOfByte = [] {
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t i = 0; i < 256; ++i) pairs[i] = {"0123456789ABCDEF"[i >> 4], "0123456789ABCDEF"[i & 15]};
  return pairs;
}();

// The lowest byte of `value` as two digits.
void put_hex(std::uint64_t value, char* to) { std::memcpy(to, kHexOfByte[value & 255].data(), 2); }

}  // namespace

std::uint64_t quick_random() {
  thread_local Quick quick;
  return quick.next();
}

std::string_view given_request_id(const http::Request& request) {
  const auto given = request.header("X-Amz-Request-Id");
  return api::is_request_id(given) ? given : std::string_view();
}

RequestId::RequestId(const io::Clock& clock) {
  const auto wall = static_cast<std::uint64_t>(clock.wall().time_since_epoch().count());
  for (int i = 0; i < 8; ++i) put_hex(wall >> (56 - 8 * i), &text_[2 * i]);
  const auto random = quick_random();
  for (int i = 0; i < 4; ++i) put_hex(random >> (32 + 8 * i), &text_[16 + 2 * i]);
}

void answer_no_such_page(http::Exchange& exchange) {
  exchange.head(404)
      .add("Content-Type", "text/plain; charset=utf-8")
      .add("X-Content-Type-Options", "nosniff");
  exchange.finish("404 page not found\n");
}

void answer_cleaned_path(http::Exchange& exchange, std::string_view cleaned) {
  auto location = escape_path(cleaned);
  if (!exchange.request().query.empty()) {
    location += '?';
    location += exchange.request().query;
  }
  exchange.head(301).add("Location", location);
  exchange.finish();
}

void answer_empty(http::Exchange& exchange, int status) {
  exchange.head(status);
  exchange.finish();
}

}  // namespace holdfast::front
