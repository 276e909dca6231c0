#include "model/file_id.h"

#include <limits>

#include "base/bytes.h"
#include "base/strconv.h"

namespace holdfast {
namespace {

constexpr std::size_t kCookieDigits = 8;
constexpr std::size_t kKeyCookieDigitsMax = 24;

Error invalid(std::string what) { return Error(Code::invalid, std::move(what)); }

// Go's fmt prints "%x" of a string as the hex of its bytes; upstream's overflow text does so with the key.
std::string hex_of_hex(NeedleId key) {
  std::string digits = key_cookie_text(key, Cookie(0));
  digits.resize(digits.size() - kCookieDigits);
  return hex(bytes_of(digits));
}

}  // namespace

std::string key_cookie_text(NeedleId key, Cookie cookie) {
  std::string bytes;
  append_be(bytes, key.value());
  const auto first = bytes.find_first_not_of('\0');
  bytes.erase(0, first == std::string::npos ? bytes.size() : first);
  append_be(bytes, cookie.value());
  return hex(bytes_of(bytes));
}

std::string text(const FileId& id) { return text(id.volume) + "," + key_cookie_text(id.key, id.cookie); }

Result<KeyCookie> parse_key_cookie(std::string_view whole) {
  auto digits = whole;
  std::string_view delta;
  if (const auto underscore = find_last(whole, '_'); underscore != std::string_view::npos && underscore > 0) {
    digits = whole.substr(0, underscore);
    delta = whole.substr(underscore + 1);
  }
  if (digits.size() <= kCookieDigits) return invalid("KeyHash is too short.");
  if (digits.size() > kKeyCookieDigitsMax) return invalid("KeyHash is too long.");
  const auto key_digits = digits.substr(0, digits.size() - kCookieDigits);
  const auto cookie_digits = digits.substr(digits.size() - kCookieDigits);
  const auto key = strconv::parse_uint(key_digits, 16, 64);
  if (!key) {
    return invalid("Parse needleId error: needle id " + std::string(key_digits) +
                   " format error: " + key.error().what());
  }
  const auto cookie = strconv::parse_uint(cookie_digits, 16, 32);
  if (!cookie) {
    return invalid("Parse cookie error: needle cookie " + std::string(cookie_digits) +
                   " format error: " + cookie.error().what());
  }
  KeyCookie out{NeedleId(*key), Cookie(static_cast<std::uint32_t>(*cookie))};
  if (delta.empty()) return out;
  const auto added = strconv::parse_uint(delta, 10, 64);
  if (!added) return added.error();
  if (*added > std::numeric_limits<std::uint64_t>::max() - out.key.value()) {
    return invalid("delta " + std::to_string(*added) + " overflows needle id " + hex_of_hex(out.key));
  }
  out.key = out.key + *added;
  return out;
}

Result<KeyCookie> parse_fid_part(std::string_view part) {
  if (part.size() <= kCookieDigits) return invalid("Invalid fid: " + std::string(part));
  return parse_key_cookie(part);
}

Result<VolumeId> parse_volume_id(std::string_view digits) {
  const auto id = strconv::parse_uint(digits, 10, 64);
  if (!id) return id.error();
  return VolumeId(static_cast<std::uint32_t>(*id));
}

Result<FileId> parse_file_id(std::string_view whole) {
  const auto comma = whole.find(',');
  if (comma == std::string_view::npos || comma == 0) return invalid("wrong fid format: " + std::string(whole));
  const auto volume = parse_volume_id(whole.substr(0, comma));
  if (!volume) return volume.error();
  const auto key_cookie = parse_key_cookie(whole.substr(comma + 1));
  if (!key_cookie) return key_cookie.error();
  return FileId{*volume, key_cookie->key, key_cookie->cookie};
}

}  // namespace holdfast
