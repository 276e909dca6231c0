// HMAC-SHA256 (RFC 2104, FIPS 198-1) for short messages that come often: the pulses of volume servers, what masters seal.
// On the library's bare SHA-256: its own HMAC looks its algorithm up by name and allocates several times for each message,
// which costs a machine at rest, whose caches are cold, more than the digest itself.
//
// Thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace holdfast::api {

using Mac = std::array<std::uint8_t, 32>;

// `key` of any length; longer ones than 64 bytes are digested first, as the standard says.
Mac hmac_sha256(BytesView key, BytesView message);

}  // namespace holdfast::api
