#include "model/go_text.h"

#include <cstdio>
#include <limits>

namespace holdfast {
namespace {

// The length of the valid UTF-8 sequence at the head of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
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

Error number_error(const char* function, std::string_view text, const char* what) {
  return Error(Code::invalid, std::string("strconv.") + function + ": parsing " + go_quoted(text) + ": " + what);
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

}  // namespace

std::string go_quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    const auto length = utf8_length(text);
    char escaped[8];
    if (length > 1) {
      out.append(text.substr(0, length));
      text.remove_prefix(length);
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
        if (length == 1 && c >= 0x20 && c < 0x7f) {
          out.push_back(static_cast<char>(c));
        } else {
          std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
          out += escaped;
        }
    }
    text.remove_prefix(1);
  }
  out.push_back('"');
  return out;
}

Result<std::uint64_t> go_parse_uint(std::string_view text, int base, int bits) {
  CHECK(base == 10 || base == 16);
  CHECK(bits >= 1 && bits <= 64);
  if (text.empty()) return number_error("ParseUint", text, "invalid syntax");
  const std::uint64_t limit =
      bits == 64 ? std::numeric_limits<std::uint64_t>::max() : (std::uint64_t{1} << bits) - 1;
  std::uint64_t value = 0;
  bool beyond = false;
  // As Go does: a bad digit after the overflow is reported as overflow only if the overflow came first.
  for (const char c : text) {
    const int d = digit_value(c);
    if (d >= base) return number_error("ParseUint", text, "invalid syntax");
    if (value > (limit - static_cast<std::uint64_t>(d)) / static_cast<std::uint64_t>(base)) {
      beyond = true;
      break;
    }
    value = value * static_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(d);
  }
  if (beyond) return number_error("ParseUint", text, "value out of range");
  return value;
}

Result<std::int64_t> go_atoi(std::string_view text) {
  auto digits = text;
  const bool negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  if (digits.empty()) return number_error("Atoi", text, "invalid syntax");
  const std::uint64_t limit = std::uint64_t{1} << 63;
  std::uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return number_error("Atoi", text, "invalid syntax");
    const auto d = static_cast<std::uint64_t>(c - '0');
    if (value > (limit - d) / 10) return number_error("Atoi", text, "value out of range");
    value = value * 10 + d;
  }
  if (!negative && value == limit) return number_error("Atoi", text, "value out of range");
  return negative ? static_cast<std::int64_t>(~value + 1) : static_cast<std::int64_t>(value);
}

}  // namespace holdfast
