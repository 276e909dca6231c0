// Ttl: how long a file or a volume lives, a count of 1..255 in one unit, or none (spec/volume-format 9,
// spec/weed-cluster 4.7). Two bytes on disk, count<<8|unit on the wire, "3h" as text.
//
// Reading a text refits it: "24h" is kept as "1d", "90m" as "90m", "257h" (lossy) as "10d".
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace holdfast {

class Ttl {
 public:
  enum class Unit : std::uint8_t { none, minute, hour, day, week, month, year };  // the values stand on disk

  constexpr Ttl() = default;

  // A number and a unit letter of mhdwMy; a bare number counts minutes; "" is none. 0, a negative count, an unknown
  // letter and more than 255 years are none as well. Error (Code::invalid, Go's text) only when no number is there.
  static Result<Ttl> parse(std::string_view text);

  // As stored; a unit that is unknown or a count of 0 gives back what was there, is_none() is then true.
  static constexpr Ttl from_bytes(std::uint8_t count, std::uint8_t unit) { return Ttl(count, static_cast<Unit>(unit)); }
  static constexpr Ttl from_wire(std::uint32_t wire) {
    return from_bytes(static_cast<std::uint8_t>(wire >> 8), static_cast<std::uint8_t>(wire));
  }

  // The largest unit that divides exactly with a count below 256, else the finest that fits rounded down.
  static Ttl from_minutes(std::uint64_t minutes);

  constexpr std::uint8_t count() const { return count_; }
  constexpr Unit unit() const { return unit_; }
  constexpr bool is_none() const { return minutes() == 0; }
  constexpr std::uint32_t wire() const {
    return count_ == 0 ? 0 : static_cast<std::uint32_t>(count_) << 8 | static_cast<std::uint32_t>(unit_);
  }
  constexpr std::uint64_t minutes() const {
    switch (unit_) {
      case Unit::minute: return count_;
      case Unit::hour: return count_ * 60ull;
      case Unit::day: return count_ * 1440ull;
      case Unit::week: return count_ * 10080ull;
      case Unit::month: return count_ * 43200ull;
      case Unit::year: return count_ * 525600ull;
      case Unit::none: break;
    }
    return 0;
  }
  Duration length() const { return std::chrono::minutes(static_cast<std::int64_t>(minutes())); }

  friend constexpr auto operator<=>(const Ttl&, const Ttl&) = default;

 private:
  constexpr Ttl(std::uint8_t count, Unit unit) : count_(count), unit_(unit) {}

  std::uint8_t count_ = 0;
  Unit unit_ = Unit::none;
};

// "3h"; "" when none.
std::string text(const Ttl& ttl);

}  // namespace holdfast
