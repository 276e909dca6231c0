#include "front/http/content_disposition.h"

#include <algorithm>
#include <array>

namespace holdfast::front {

namespace {

// Go's: all that can be seen but for these specials.
constexpr auto kTokenChars = [] {
  std::array<bool, 256> is_token{};
  for (int c = 0x21; c < 0x7f; ++c) is_token[c] = true;
  for (const char c : std::string_view("()<>@,;:\\\"/[]?=")) is_token[static_cast<unsigned char>(c)] = false;
  return is_token;
}();
bool is_token_char(char c) { return kTokenChars[static_cast<unsigned char>(c)]; }

bool is_blank(char c) { return c == ' ' || c == '\t'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
}

std::string_view take_token(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_token_char(text[n])) ++n;
  const auto token = text.substr(0, n);
  text.remove_prefix(n);
  return token;
}

// A token or a quotation, in which a backslash counts only before a quote or a backslash: browsers send the paths of
// old systems, "C:\dir\file", as they are.
bool take_value(std::string_view& text, std::string& out) {
  if (text.empty()) return false;
  if (text.front() != '"') {
    out = take_token(text);
    return !out.empty();
  }
  for (std::size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      text.remove_prefix(i + 1);
      return true;
    }
    if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) c = text[++i];
    if (c == '\r' || c == '\n') return false;
    out.push_back(c);
  }
  return false;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// utf-8''%C3%BC.txt; other character sets are left out.
std::optional<std::string> decode_extended(std::string_view value) {
  const auto first = value.find('\'');
  const auto second = first == std::string_view::npos ? first : value.find('\'', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto charset = lowered(value.substr(0, first));
  if (charset != "utf-8" && charset != "us-ascii") return std::nullopt;
  std::string out;
  for (auto rest = value.substr(second + 1); !rest.empty();) {
    if (rest.front() != '%') {
      out.push_back(rest.front());
      rest.remove_prefix(1);
      continue;
    }
    if (rest.size() < 3 || hex_digit(rest[1]) < 0 || hex_digit(rest[2]) < 0) return std::nullopt;
    out.push_back(static_cast<char>(hex_digit(rest[1]) * 16 + hex_digit(rest[2])));
    rest.remove_prefix(3);
  }
  return out;
}

bool parse_parameters(std::string_view rest, std::map<std::string, std::string, std::less<>>& out) {
  while (true) {
    skip_blanks(rest);
    if (rest.empty()) return true;
    if (rest.front() != ';') return false;
    rest.remove_prefix(1);
    skip_blanks(rest);
    if (rest.empty()) return true;  // a semicolon at the end is forgiven
    auto name = lowered(take_token(rest));
    if (name.empty()) return false;
    skip_blanks(rest);
    if (rest.empty() || rest.front() != '=') return false;
    rest.remove_prefix(1);
    skip_blanks(rest);
    std::string value;
    if (!take_value(rest, value)) return false;
    if (name.back() == '*') {
      name.pop_back();
      auto decoded = decode_extended(value);
      if (!decoded) continue;
      out.insert_or_assign(std::move(name), std::move(*decoded));
      continue;
    }
    const auto [place, is_new] = out.try_emplace(std::move(name), value);
    if (!is_new && place->second != value) return false;
  }
}

// What a byte of a name asks of the value it stands in. One beyond a token needs a quotation, one that stands in no
// header as it is needs the whole name encoded.
enum : std::uint8_t { kQuotes = 1, kBackslash = 2, kEncoding = 4 };
constexpr auto kNeedOfByte = [] {
  std::array<std::uint8_t, 256> needs{};
  for (int c = 0; c < 256; ++c) {
    if (!kTokenChars[c]) needs[c] |= kQuotes;
    if (c == '"' || c == '\\') needs[c] |= kBackslash;
    if ((c < ' ' || c > '~') && c != '\t') needs[c] |= kEncoding;
  }
  return needs;
}();

}  // namespace

std::optional<MediaType> parse_media_type(std::string_view text) {
  const auto semicolon = std::min(text.find(';'), text.size());
  auto type = text.substr(0, semicolon);
  skip_blanks(type);
  while (!type.empty() && is_blank(type.back())) type.remove_suffix(1);
  auto rest = type;
  const auto main = take_token(rest);
  if (main.empty()) return std::nullopt;
  if (!rest.empty()) {
    if (rest.front() != '/') return std::nullopt;
    rest.remove_prefix(1);
    if (take_token(rest).empty() || !rest.empty()) return std::nullopt;
  }
  MediaType out;
  out.type = lowered(type);
  if (!parse_parameters(text.substr(semicolon), out.parameters)) return std::nullopt;
  return out;
}

std::string_view base_name(std::string_view path) {
  while (!path.empty() && (path.back() == '/' || path.back() == '\\')) path.remove_suffix(1);
  const auto slash = path.find_last_of("/\\");
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string name_of_upload(std::string_view header) {
  skip_blanks(header);
  for (std::string_view kind : {"attachment;", "inline;"}) {
    if (header.size() >= kind.size() && lowered(header.substr(0, kind.size())) == kind) {
      header.remove_prefix(kind.size());
      break;
    }
  }
  MediaType parsed;
  if (!parse_parameters(";" + std::string(header), parsed.parameters)) return {};
  auto name = parsed.parameter("filename");
  if (name.empty()) name = parsed.parameter("name");
  return std::string(base_name(name));
}

std::optional<std::string> name_of_part(std::string_view header) {
  const auto parsed = parse_media_type(header);
  if (!parsed) return std::nullopt;
  const auto name = base_name(parsed->parameter("filename"));
  if (name.empty()) return std::nullopt;
  return std::string(name);
}

void write_content_disposition(std::string_view kind, std::string_view name, std::string& out) {
  std::uint8_t needs = 0;
  for (const unsigned char c : name) needs |= kNeedOfByte[c];
  out.assign(kind);
  if (needs & kEncoding) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    out += "; filename*=utf-8''";
    for (char c : name) {
      const auto byte = static_cast<unsigned char>(c);
      const bool plain = is_token_char(c) && c != '*' && c != '\'' && c != '%';
      if (plain) {
        out.push_back(c);
      } else {
        out.push_back('%');
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 15]);
      }
    }
    return;
  }
  if (!(needs & kQuotes)) {
    out.append("; filename=").append(name);
    return;
  }
  out += "; filename=\"";
  if (needs & kBackslash) {
    for (char c : name) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
  } else {
    out += name;
  }
  out.push_back('"');
}

}  // namespace holdfast::front
