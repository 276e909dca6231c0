#include "api/pulse.h"

#include <openssl/crypto.h>

#include "api/hmac.h"

namespace holdfast::api {

namespace {

constexpr std::string_view kMagic = "HFP1";
constexpr std::size_t kSaidBytes = 4 + 8 + 8;
constexpr std::size_t kMacBytes = kPulseBytes - kSaidBytes;

std::string mac_of(BytesView said, std::string_view key) {
  const auto mac = hmac_sha256(bytes_of(key), said);
  static_assert(kMacBytes <= sizeof mac);
  return std::string(text_of(BytesView(mac).first(kMacBytes)));
}

}  // namespace

std::string encode_pulse(const Pulse& pulse, std::string_view key) {
  std::string out(kMagic);
  append_be(out, pulse.line);
  append_be(out, pulse.number);
  return out + mac_of(bytes_of(out), key);
}

bool is_pulse(BytesView datagram) {
  return datagram.size() >= kMagic.size() && text_of(datagram.first(kMagic.size())) == kMagic;
}

std::optional<Pulse> read_pulse(BytesView datagram) {
  if (datagram.size() != kPulseBytes || !is_pulse(datagram)) return std::nullopt;
  return Pulse{.line = load_be<std::uint64_t>(datagram.data() + 4), .number = load_be<std::uint64_t>(datagram.data() + 12)};
}

bool is_genuine(BytesView datagram, std::string_view key) {
  if (datagram.size() != kPulseBytes) return false;
  const auto expected = mac_of(datagram.first(kSaidBytes), key);
  return CRYPTO_memcmp(datagram.data() + kSaidBytes, expected.data(), kMacBytes) == 0;
}

}  // namespace holdfast::api
