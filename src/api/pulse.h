// Pulses as datagrams: a volume server's "I am alive, and nothing is new since my last report" (docs/pulses.md).
//
// A datagram: "HFP1", the line (u64), its number (u64), the first 16 bytes of HMAC-SHA256 over these 20 bytes; big-endian.
// The master names the line and its key on the volume server's stream of reports, so what can be forged or replayed
// depends on that stream alone. A number counts once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace holdfast::api {

inline constexpr std::size_t kPulseKeyBytes = 16;
inline constexpr std::size_t kPulseBytes = 4 + 8 + 8 + 16;

struct Pulse {
  std::uint64_t line = 0;
  std::uint64_t number = 0;
};

std::string encode_pulse(const Pulse& pulse, std::string_view key);

// Whether these bytes are meant to be a pulse, whoever sent them.
bool is_pulse(BytesView datagram);

// What it says, not yet proven; nothing if it is no pulse.
std::optional<Pulse> read_pulse(BytesView datagram);

// Whether who made it knew the key. Takes the same time whatever is wrong.
bool is_genuine(BytesView datagram, std::string_view key);

}  // namespace holdfast::api
