// Uuid: 128 bits with the usual text form "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" (lower case).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast {

struct Uuid {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;
  constexpr bool empty() const { return high == 0 && low == 0; }

  // A version-4 uuid made of 128 random bits that the caller drew.
  static Uuid from_random(std::uint64_t a, std::uint64_t b);
  static Result<Uuid> parse(std::string_view text);
};

std::string text(const Uuid& uuid);

// As messages carry it: 16 bytes, big-endian; back: empty for anything but 16 bytes.
std::string uuid_bytes(const Uuid& uuid);
Uuid uuid_of(std::string_view bytes);

}  // namespace holdfast

template <>
struct std::hash<holdfast::Uuid> {
  std::size_t operator()(const holdfast::Uuid& u) const noexcept {
    return static_cast<std::size_t>(u.high * 0x9e3779b97f4a7c15ull ^ u.low);
  }
};
