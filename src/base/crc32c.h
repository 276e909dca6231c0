// CRC-32C (Castagnoli, reflected, init and xor-out ffffffff), by ISA-L.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace holdfast {

// crc32c("") = 0, crc32c("123456789") = e3069283. To go on over several pieces pass the crc so far:
// crc32c(b, crc32c(a)) == crc32c(a + b).
std::uint32_t crc32c(BytesView bytes, std::uint32_t so_far = 0);

}  // namespace holdfast
