#include "model/ttl.h"

#include <array>

#include "base/strconv.h"

namespace holdfast {
namespace {

struct UnitRow {
  char letter;
  Ttl::Unit unit;
  std::uint64_t minutes;
};

// From coarse to fine: the order in which an exact fit is sought.
constexpr std::array<UnitRow, 6> kUnits{{{'y', Ttl::Unit::year, 525600},
                                         {'M', Ttl::Unit::month, 43200},
                                         {'w', Ttl::Unit::week, 10080},
                                         {'d', Ttl::Unit::day, 1440},
                                         {'h', Ttl::Unit::hour, 60},
                                         {'m', Ttl::Unit::minute, 1}}};

constexpr std::uint64_t kCountMax = 255;

}  // namespace

Ttl Ttl::from_minutes(std::uint64_t minutes) {
  if (minutes == 0) return {};
  for (const auto& row : kUnits) {
    if (minutes % row.minutes == 0 && minutes / row.minutes <= kCountMax) {
      return Ttl(static_cast<std::uint8_t>(minutes / row.minutes), row.unit);
    }
  }
  for (auto row = kUnits.rbegin(); row != kUnits.rend(); ++row) {
    if (minutes / row->minutes <= kCountMax) return Ttl(static_cast<std::uint8_t>(minutes / row->minutes), row->unit);
  }
  return {};
}

Result<Ttl> Ttl::parse(std::string_view text) {
  if (text.empty()) return Ttl();
  char letter = 'm';
  auto digits = text;
  if (text.back() < '0' || text.back() > '9') {
    letter = text.back();
    digits.remove_suffix(1);
  }
  const auto count = strconv::atoi(digits);
  if (!count) return count.error();
  if (*count <= 0) return Ttl();
  for (const auto& row : kUnits) {
    if (row.letter != letter) continue;
    const auto n = static_cast<std::uint64_t>(*count);
    if (n > kCountMax * 525600 / row.minutes) return Ttl();  // beyond 255 years
    return from_minutes(n * row.minutes);
  }
  return Ttl();
}

std::string text(const Ttl& ttl) {
  for (const auto& row : kUnits) {
    if (row.unit == ttl.unit() && ttl.count() != 0) return std::to_string(ttl.count()) + row.letter;
  }
  return "";
}

}  // namespace holdfast
