#include "front/http/answers.h"

#include <random>

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

}  // namespace

std::uint64_t quick_random() {
  thread_local Quick quick;
  return quick.next();
}

RequestId::RequestId(const io::Clock& clock) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  auto wall = static_cast<std::uint64_t>(clock.wall().time_since_epoch().count());
  for (std::size_t i = 16; i-- > 0; wall >>= 4) text_[i] = kDigits[wall & 15];
  auto random = quick_random() >> 32;
  for (std::size_t i = 24; i-- > 16; random >>= 4) text_[i] = kDigits[random & 15];
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
