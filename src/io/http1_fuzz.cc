// Feeds requests, responses and chunked bodies to the parsers, whole and in pieces; both ways must agree, and views must
// stay inside the input.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "io/http1.h"

namespace {

using namespace holdfast::io::http1;

void check_inside(std::string_view view, std::string_view input) {
  if (view.empty()) return;
  CHECK(view.data() >= input.data() && view.data() + view.size() <= input.data() + input.size());
}

template <typename Head, typename Parse>
void fuzz_head(std::string_view input, Parse parse) {
  std::array<Header, 32> storage;
  Head whole;
  std::size_t scanned = 0;
  const auto at_once = parse(input, scanned, storage, whole);
  if (at_once == Parsed::complete) {
    CHECK(whole.head_bytes <= input.size());
    for (const auto& header : whole.headers) {
      check_inside(header.name, input);
      check_inside(header.value, input);
      CHECK(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    }
    CHECK(!(whole.chunked && whole.content_length));
  }
  // Byte by byte the answer is the same, and comes no later than the head's last byte.
  Head pieces;
  std::size_t found = 0;
  for (std::size_t n = 1; n <= input.size(); ++n) {
    const auto parsed = parse(input.substr(0, n), found, storage, pieces);
    if (parsed == Parsed::incomplete) continue;
    CHECK(parsed == at_once);
    if (parsed == Parsed::complete) CHECK(pieces.head_bytes == n && whole.head_bytes == n);
    return;
  }
  CHECK(at_once == Parsed::incomplete);
}

struct Decoded {
  std::string data;
  bool finished = false;
  bool malformed = false;
  std::size_t used = 0;
};

Decoded decode(std::string_view input, std::size_t step) {
  ChunkedBody body;
  Decoded out;
  while (out.used < input.size() && !out.finished && !out.malformed) {
    const auto piece = input.substr(out.used, step);
    const auto result = body.feed(piece);
    CHECK(result.consumed <= piece.size());
    CHECK(result.consumed > 0 || result.malformed || result.finished);
    check_inside(result.data, piece);
    out.data += result.data;
    out.used += result.consumed;
    out.finished = result.finished;
    out.malformed = result.malformed;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      fuzz_head<RequestHead>(input, [](std::string_view bytes, std::size_t& scanned, std::span<Header> storage, RequestHead& out) {
        return parse_request(bytes, scanned, storage, out);
      });
      break;
    case 1:
      fuzz_head<ResponseHead>(input, [](std::string_view bytes, std::size_t& scanned, std::span<Header> storage, ResponseHead& out) {
        return parse_response(bytes, scanned, storage, out);
      });
      break;
    default: {
      const auto whole = decode(input, input.size());
      for (std::size_t step : {1, 2, 3, 7}) {
        const auto pieces = decode(input, step);
        CHECK(pieces.data == whole.data && pieces.finished == whole.finished && pieces.malformed == whole.malformed);
      }
    }
  }
  return 0;
}
