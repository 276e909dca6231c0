#include "base/strconv.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace holdfast::strconv {
namespace {

Error syntax(const char* function, std::string_view text) {
  return Error(Code::invalid, fmt::format("strconv.{}: parsing {}: invalid syntax", function, quote(text)));
}
Error range(const char* function, std::string_view text) {
  return Error(Code::invalid, fmt::format("strconv.{}: parsing {}: value out of range", function, quote(text)));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Whether underscores stand only where Go's number syntax lets them: between digits, or after a base prefix.
bool underscores_fit(std::string_view digits) {
  char before = '^';  // start, where no underscore may follow
  std::size_t i = 0;
  bool is_hex = false;
  if (digits.size() >= 2 && digits[0] == '0') {
    const char mark = lower(digits[1]);
    if (mark == 'x' || mark == 'o' || mark == 'b') {
      i = 2;
      before = '0';  // the prefix counts as a digit
      is_hex = mark == 'x';
    }
  }
  for (; i < digits.size(); ++i) {
    const char c = digits[i];
    if (is_digit(c) || (is_hex && lower(c) >= 'a' && lower(c) <= 'f')) {
      before = '0';
    } else if (c == '_') {
      if (before != '0') return false;
      before = '_';
    } else {
      if (before == '_') return false;
      before = '!';
    }
  }
  return before != '_';
}

// The value of a digit in any base up to 36; 255 for what is none.
constexpr auto kDigitValues = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(255);
  for (int i = 0; i < 10; ++i) values['0' + i] = static_cast<std::uint8_t>(i);
  for (int i = 0; i < 26; ++i) values['a' + i] = values['A' + i] = static_cast<std::uint8_t>(10 + i);
  return values;
}();
int digit_value(char c) { return kDigitValues[static_cast<unsigned char>(c)]; }

// So few digits cannot overflow 64 bits: no check at each. Empty if one of them is none, or there are none or too many.
std::optional<std::uint64_t> short_number(std::string_view digits, int base) {
  const std::size_t most = base == 16 ? 16 : base == 10 ? 19 : 0;
  if (digits.empty() || digits.size() > most) return {};
  std::uint64_t value = 0;
  for (const char c : digits) {
    const int digit = digit_value(c);
    if (digit >= base) return {};
    value = value * static_cast<unsigned>(base) + static_cast<unsigned>(digit);
  }
  return value;
}

enum class Fault { syntax, range };

// The magnitude of `digits`, which has no sign. On overflow of 64 bits or of `max`: Fault::range.
std::variant<std::uint64_t, Fault> magnitude(std::string_view digits, int base, std::uint64_t max) {
  if (digits.empty()) return Fault::syntax;
  if (const auto value = short_number(digits, base)) return *value <= max ? std::variant<std::uint64_t, Fault>(*value) : Fault::range;
  const std::string_view whole = digits;
  const bool is_automatic = base == 0;
  if (is_automatic) {
    base = 10;
    if (digits[0] == '0') {
      const char mark = digits.size() >= 3 ? lower(digits[1]) : '\0';
      if (mark == 'x' || mark == 'o' || mark == 'b') {
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        digits.remove_prefix(2);
      } else {
        base = 8;
        digits.remove_prefix(1);
      }
    }
  }
  std::uint64_t value = 0;
  bool is_over = false;
  bool has_underscore = false;
  for (const char c : digits) {
    if (c == '_' && is_automatic) {
      has_underscore = true;
      continue;
    }
    const int digit = digit_value(c);
    if (digit >= base) return Fault::syntax;
    if (is_over) continue;
    std::uint64_t next;
    if (__builtin_mul_overflow(value, static_cast<std::uint64_t>(base), &next) ||
        __builtin_add_overflow(next, static_cast<std::uint64_t>(digit), &value) || value > max) {
      is_over = true;
    }
  }
  if (has_underscore && !underscores_fit(whole)) return Fault::syntax;
  if (is_over) return Fault::range;
  return value;
}

Result<std::int64_t> signed_number(const char* function, std::string_view text, int base, int bits) {
  std::string_view digits = text;
  bool is_negative = false;
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
    is_negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  const std::uint64_t max = (std::uint64_t{1} << (bits - 1)) - (is_negative ? 0 : 1);
  const auto found = magnitude(digits, base, max);
  if (const auto* fault = std::get_if<Fault>(&found)) {
    return *fault == Fault::syntax ? syntax(function, text) : range(function, text);
  }
  const auto value = std::get<std::uint64_t>(found);
  return static_cast<std::int64_t>(is_negative ? 0 - value : value);
}

struct Unit {
  std::string_view name;
  double nanoseconds;
};
constexpr Unit kUnits[] = {{"ns", 1},  {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3}, {"ms", 1e6},
                           {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

// The longest valid UTF-8 character at the front of `text`, or 0 when the first byte begins none.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

Result<std::int64_t> parse_int(std::string_view text, int base, int bits) {
  return signed_number("ParseInt", text, base, bits);
}

Result<std::int64_t> atoi(std::string_view text) { return signed_number("Atoi", text, 10, 64); }

Result<std::uint64_t> parse_uint(std::string_view text, int base, int bits) {
  const std::uint64_t max = bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
  if (const auto value = short_number(text, base); value && *value <= max) return *value;
  const auto found = magnitude(text, base, max);
  if (const auto* fault = std::get_if<Fault>(&found)) {
    return *fault == Fault::syntax ? syntax("ParseUint", text) : range("ParseUint", text);
  }
  return std::get<std::uint64_t>(found);
}

Result<double> parse_float(std::string_view text) {
  std::string_view rest = text;
  bool is_negative = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    is_negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  std::string low;
  for (const char c : rest) low += lower(c);
  if (low == "inf" || low == "infinity") {
    const double infinity = std::numeric_limits<double>::infinity();
    return is_negative ? -infinity : infinity;
  }
  if (low == "nan" && rest.size() == text.size()) return std::numeric_limits<double>::quiet_NaN();

  auto format = std::chars_format::general;
  if (low.starts_with("0x")) {
    if (low.find('p') == std::string::npos) return syntax("ParseFloat", text);
    format = std::chars_format::hex;
    low.erase(0, 2);
  }
  if (low.empty() || !(is_digit(low[0]) || low[0] == '.' || format == std::chars_format::hex)) {
    return syntax("ParseFloat", text);
  }
  if (format == std::chars_format::hex && (low[0] == '-' || low[0] == 'i' || low[0] == 'n')) {
    return syntax("ParseFloat", text);
  }
  double value = 0;
  const auto [end, fault] = std::from_chars(low.data(), low.data() + low.size(), value, format);
  if (fault == std::errc::result_out_of_range) {
    // Too small is zero and fine in Go; too large is an error.
    const auto exponent = low.find(format == std::chars_format::hex ? 'p' : 'e');
    if (exponent != std::string::npos && exponent + 1 < low.size() && low[exponent + 1] == '-') return 0.0;
    return range("ParseFloat", text);
  }
  if (fault != std::errc() || end != low.data() + low.size()) return syntax("ParseFloat", text);
  return is_negative ? -value : value;
}

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return syntax("ParseBool", text);
}

Result<Duration> parse_duration(std::string_view text) {
  const auto invalid = [&] { return Error(Code::invalid, "time: invalid duration " + quote(text)); };
  std::string_view rest = text;
  bool is_negative = false;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    is_negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return Duration(0);
  if (rest.empty()) return invalid();

  long double total = 0;
  while (!rest.empty()) {
    std::size_t i = 0;
    while (i < rest.size() && is_digit(rest[i])) ++i;
    const auto whole = rest.substr(0, i);
    std::string_view fraction;
    if (i < rest.size() && rest[i] == '.') {
      const std::size_t begin = ++i;
      while (i < rest.size() && is_digit(rest[i])) ++i;
      fraction = rest.substr(begin, i - begin);
    }
    if (whole.empty() && fraction.empty()) return invalid();
    rest.remove_prefix(i);

    std::size_t unit_bytes = 0;
    while (unit_bytes < rest.size() && rest[unit_bytes] != '.' && !is_digit(rest[unit_bytes])) ++unit_bytes;
    const auto name = rest.substr(0, unit_bytes);
    if (name.empty()) return Error(Code::invalid, "time: missing unit in duration " + quote(text));
    rest.remove_prefix(unit_bytes);
    std::optional<double> unit;
    for (const auto& known : kUnits) {
      if (known.name == name) unit = known.nanoseconds;
    }
    if (!unit) {
      return Error(Code::invalid, fmt::format("time: unknown unit {} in duration {}", quote(name), quote(text)));
    }

    long double value = 0;
    for (const char c : whole) value = value * 10 + (c - '0');
    long double part = 0;
    long double scale = 1;
    for (const char c : fraction) {
      part = part * 10 + (c - '0');
      scale *= 10;
    }
    total += value * *unit + std::floor(part * *unit / scale);
    if (total > static_cast<long double>(INT64_MAX)) return invalid();
  }
  const auto nanoseconds = static_cast<std::int64_t>(total);
  return Duration(is_negative ? -nanoseconds : nanoseconds);
}

std::string text(Duration duration) {
  const std::int64_t count = duration.count();
  if (count == 0) return "0s";
  const std::uint64_t size = count < 0 ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
  const char* sign = count < 0 ? "-" : "";

  // `value` in units of 10^`digits` parts, without trailing zeros.
  const auto decimal = [](std::uint64_t value, int digits) {
    std::uint64_t unit = 1;
    for (int i = 0; i < digits; ++i) unit *= 10;
    std::string out = fmt::format("{}", value / unit);
    if (value % unit == 0) return out;
    std::string fraction = fmt::format("{:0{}}", value % unit, digits);
    while (fraction.back() == '0') fraction.pop_back();
    return out + "." + fraction;
  };
  if (size < 1000) return fmt::format("{}{}ns", sign, size);
  if (size < 1000000) return fmt::format("{}{}\u00b5s", sign, decimal(size, 3));
  if (size < 1000000000) return fmt::format("{}{}ms", sign, decimal(size, 6));
  const std::uint64_t minutes = size / 60000000000u;
  const std::string seconds = decimal(size % 60000000000u, 9) + "s";
  if (minutes == 0) return sign + seconds;
  if (minutes < 60) return fmt::format("{}{}m{}", sign, minutes, seconds);
  return fmt::format("{}{}h{}m{}", sign, minutes / 60, minutes % 60, seconds);
}

std::string text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Go's %v is 'g' with the shortest digits, but the exponent only from 1e21 on.
  const double size = std::fabs(value);
  const auto format = size != 0 && (size < 1e-4 || size >= 1e21) ? std::chars_format::scientific
                                                                 : std::chars_format::fixed;
  char out[64];
  const auto [end, fault] = std::to_chars(out, out + sizeof out, value, format);
  return fault == std::errc() ? std::string(out, end) : fmt::format("{}", value);
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text[0];
    const std::size_t bytes = character_bytes(text);
    const auto byte = static_cast<unsigned char>(c);
    if (bytes == 0) {
      out += fmt::format("\\x{:02x}", byte);
      text.remove_prefix(1);
      continue;
    }
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\a': out += "\\a"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\v': out += "\\v"; break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          out += fmt::format("\\x{:02x}", byte);
        } else {
          out += text.substr(0, bytes);
        }
    }
    text.remove_prefix(bytes);
  }
  return out + "\"";
}

}  // namespace holdfast::strconv
