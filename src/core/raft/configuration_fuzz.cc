// Any bytes: decoding must not crash, and what it accepts must come back as the same bytes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "core/raft/configuration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast::raft;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto decoded = decode_configuration(bytes)) {
    const auto again = decode_configuration(encode(*decoded));
    CHECK(again.ok());
    CHECK(*again == *decoded);
  }
  return 0;
}
