#include "base/uuid.h"

#include "base/bytes.h"

namespace holdfast {

Uuid Uuid::from_random(std::uint64_t a, std::uint64_t b) {
  a = (a & ~0xf000ull) | 0x4000ull;
  b = (b & ~(3ull << 62)) | (2ull << 62);
  return {a, b};
}

Result<Uuid> Uuid::parse(std::string_view text) {
  const Error bad(Code::invalid, "not a uuid: \"" + std::string(text) + "\"");
  if (text.size() != 36) return bad;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return bad;
    if (!dash) digits.push_back(text[i]);
  }
  std::string bytes;
  if (!unhex(digits, bytes)) return bad;
  return Uuid{load_be<std::uint64_t>(bytes.data()), load_be<std::uint64_t>(bytes.data() + 8)};
}

std::string text(const Uuid& uuid) {
  std::string bytes;
  append_be(bytes, uuid.high);
  append_be(bytes, uuid.low);
  const auto digits = hex(bytes_of(bytes));
  return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-" + digits.substr(12, 4) + "-" + digits.substr(16, 4) +
         "-" + digits.substr(20);
}

std::string uuid_bytes(const Uuid& uuid) {
  std::string out;
  append_be(out, uuid.high);
  append_be(out, uuid.low);
  return out;
}

Uuid uuid_of(std::string_view bytes) {
  if (bytes.size() != 16) return {};
  return {load_be<std::uint64_t>(bytes.data()), load_be<std::uint64_t>(bytes.data() + 8)};
}

}  // namespace holdfast
