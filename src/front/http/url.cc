#include "front/http/url.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace holdfast::front {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Appends `text` with %xx decoded (and + as a blank when asked); false at a bad escape.
bool append_decoded(std::string& out, std::string_view text, bool plus_is_blank) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      out += ' ';
    } else {
      out += c;
    }
  }
  return true;
}

// Drops the last segment of `path`: "/a/b" -> "/a", "/a" -> "".
void drop_last_segment(std::string& path) {
  const auto slash = path.rfind('/');
  path.resize(slash == std::string::npos ? 0 : slash);
}

bool stays_in_path(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::strchr("-_.~$&+,/:;=@", c) != nullptr;
}

}  // namespace

std::optional<std::string> decode_path(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  if (!append_decoded(out, raw, false)) return std::nullopt;
  return out;
}

std::string clean_path(std::string_view decoded) {
  std::string out;
  out.reserve(decoded.size() + 1);
  std::size_t i = 0;
  while (i < decoded.size()) {
    const auto slash = std::min(decoded.find('/', i), decoded.size());
    const auto segment = decoded.substr(i, slash - i);
    if (segment == "..") {
      drop_last_segment(out);
    } else if (!segment.empty() && segment != ".") {
      out += '/';
      out += segment;
    }
    i = slash + 1;
  }
  if (out.empty() || decoded.ends_with('/')) out += '/';
  return out;
}

bool is_plain_path(std::string_view raw) {
  if (raw.empty() || raw[0] != '/' || raw.find('%') != std::string_view::npos) return false;
  for (std::size_t slash = 0; slash != std::string_view::npos; slash = raw.find('/', slash + 1)) {
    // "//" is never clean; "/." may be a file name or not: let clean_path decide.
    if (slash + 1 < raw.size() && (raw[slash + 1] == '/' || raw[slash + 1] == '.')) return false;
  }
  return true;
}

namespace {

template <typename Stays>
std::string escaped(std::string_view text, Stays stays) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (stays(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace

std::string escape_path(std::string_view decoded) { return escaped(decoded, stays_in_path); }

std::string escape_query(std::string_view value) {
  return escaped(value, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
  });
}

void Params::push(Pair pair) {
  if (count_ < kInline) {
    inline_[count_] = pair;
  } else {
    more_.push_back(pair);
  }
  ++count_;
}

std::optional<std::string_view> Params::decoded(std::string_view text) {
  if (text.find_first_of("%+") == std::string_view::npos) return text;
  std::string out;
  if (!append_decoded(out, text, true)) return std::nullopt;
  return owned_.emplace_front(std::move(out));
}

void Params::add(std::string_view encoded) {
  while (!encoded.empty()) {
    const auto end = std::min(encoded.find('&'), encoded.size());
    const auto pair = encoded.substr(0, end);
    encoded.remove_prefix(std::min(end + 1, encoded.size()));
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = decoded(pair.substr(0, equals));
    const auto value = decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (name && value) push({*name, *value});
  }
}

void Params::add_pair(std::string_view name, std::string_view value) {
  const std::string_view kept_name = owned_.emplace_front(name);
  const std::string_view kept_value = owned_.emplace_front(value);
  push({kept_name, kept_value});
}

std::optional<std::string_view> Params::find(std::string_view name) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (at(i).name == name) return at(i).value;
  }
  return std::nullopt;
}

bool wants_pretty(std::string_view query) {
  if (query.find("pretty") == std::string_view::npos && query.find('%') == std::string_view::npos) return false;
  return !Params(query).get("pretty").empty();
}

}  // namespace holdfast::front
