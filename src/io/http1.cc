#include "io/http1.h"

#include <array>
#include <cstring>

#include "base/bytes.h"

namespace holdfast::io::http1 {

namespace {

constexpr std::uint32_t kChunkLineBytesMax = 8192;  // of an extension, and of all trailer lines together

// RFC 9110 5.6.2: the characters of a method or header name.
constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (unsigned char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) table[c] = true;
  return table;
}
constexpr auto kToken = make_token_table();

bool is_token(std::string_view text) {
  if (text.empty()) return false;
  for (unsigned char c : text) {
    if (!kToken[c]) return false;
  }
  return true;
}

constexpr auto kLower = [] {
  std::array<char, 256> lower{};
  for (int c = 0; c < 256; ++c) lower[c] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return lower;
}();
char lower(char c) { return kLower[static_cast<unsigned char>(c)]; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Values may hold tabs and bytes above 127, no other control characters.
bool is_value(std::string_view text) {
  if (has_byte_below(text, 0x20)) {
    for (unsigned char c : text) {
      if (c < 0x20 && c != '\t') return false;
    }
  }
  return text.find('\x7f') == std::string_view::npos;
}

// Whether the comma-separated list holds `word`.
bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (same_name(trimmed(list.substr(0, comma)), word)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

bool parse_length(std::string_view text, std::uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;  // 18 digits stay below 2^63
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return true;
}

// The length of the head with its empty line, or 0 while that has not arrived. A line may end in LF alone.
std::size_t find_end(std::string_view bytes, std::size_t& scanned) {
  std::size_t at = scanned;
  while (true) {
    const void* hit = at < bytes.size() ? std::memchr(bytes.data() + at, '\n', bytes.size() - at) : nullptr;
    if (hit == nullptr) {
      scanned = bytes.size();
      return 0;
    }
    const auto lf = static_cast<std::size_t>(static_cast<const char*>(hit) - bytes.data());
    if (lf + 1 < bytes.size()) {
      if (bytes[lf + 1] == '\n') return lf + 2;
      if (bytes[lf + 1] == '\r') {
        if (lf + 2 < bytes.size()) {
          if (bytes[lf + 2] == '\n') return lf + 3;
        } else {
          scanned = lf;  // the answer hangs on the byte to come
          return 0;
        }
      }
      at = lf + 1;
    } else {
      scanned = lf;
      return 0;
    }
  }
}

// Cuts the next line off `rest`, without its line end.
std::string_view take_line(std::string_view& rest) {
  const auto lf = rest.find('\n');
  auto line = rest.substr(0, lf);
  rest.remove_prefix(lf + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// What the header lines say about framing and connection.
struct Framing {
  bool has_length = false;
  bool close = false;
  bool keep = false;
  bool expects_continue = false;
  bool expects_else = false;
  int hosts = 0;
  std::string_view host;
};

Parsed note_header(const Header& header, Message& out, Framing& framing) {
  switch (header.name.size()) {
    case 4:
      if (same_name(header.name, "host")) {
        framing.host = header.value;
        ++framing.hosts;
      }
      break;
    case 6:
      if (same_name(header.name, "expect")) {
        (same_name(header.value, "100-continue") ? framing.expects_continue : framing.expects_else) = true;
      }
      break;
    case 10:
      if (same_name(header.name, "connection")) {
        framing.close = framing.close || lists(header.value, "close");
        framing.keep = framing.keep || lists(header.value, "keep-alive");
      }
      break;
    case 14:
      if (same_name(header.name, "content-length")) {
        std::uint64_t length = 0;
        if (!parse_length(header.value, length)) return Parsed::malformed;
        if (framing.has_length && *out.content_length != length) return Parsed::malformed;
        framing.has_length = true;
        out.content_length = length;
      }
      break;
    case 17:
      if (same_name(header.name, "transfer-encoding")) {
        if (out.chunked) return Parsed::malformed;
        if (!same_name(header.value, "chunked")) return Parsed::not_implemented;
        out.chunked = true;
      }
      break;
    default:
      break;
  }
  return Parsed::complete;
}

Parsed parse_headers(std::string_view rest, std::span<Header> storage, Message& out, Framing& framing) {
  std::size_t count = 0;
  while (true) {
    const auto line = take_line(rest);
    if (line.empty()) break;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return Parsed::malformed;
    // A leading blank would fold this line into the one before: it is no token, so it ends here.
    const Header header{line.substr(0, colon), trimmed(line.substr(colon + 1))};
    if (!is_token(header.name) || !is_value(header.value)) return Parsed::malformed;
    if (count == storage.size()) return Parsed::too_many;
    storage[count++] = header;
    if (auto parsed = note_header(header, out, framing); parsed != Parsed::complete) return parsed;
  }
  out.headers = storage.first(count);
  if (out.chunked && framing.has_length) return Parsed::malformed;
  return Parsed::complete;
}

// "HTTP/1.1" and "HTTP/1.0" give the minor version.
Parsed parse_version(std::string_view text, int& minor) {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || text[6] != '.') return Parsed::malformed;
  if (text[5] < '0' || text[5] > '9' || text[7] < '0' || text[7] > '9') return Parsed::malformed;
  if (text[5] != '1' || text[7] > '1') return Parsed::bad_version;
  minor = text[7] - '0';
  return Parsed::complete;
}

bool has_good_escapes(std::string_view path) {
  for (auto at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    if (at + 2 >= path.size() || hex_digit(path[at + 1]) < 0 || hex_digit(path[at + 2]) < 0) return false;
  }
  return true;
}

bool parse_target(RequestHead& out) {
  if (has_byte_below(out.target, 0x21) || out.target.find('\x7f') != std::string_view::npos) return false;
  auto rest = out.target;
  if (rest == "*") {
    out.path = rest;
    return out.method == Method::options;
  }
  if (rest.empty()) return false;
  if (rest.front() != '/') {
    // The absolute form, as proxies are asked: http://host/path.
    const auto scheme = rest.find("://");
    if (scheme == std::string_view::npos || scheme > 5) return false;
    if (!same_name(rest.substr(0, scheme), "http") && !same_name(rest.substr(0, scheme), "https")) return false;
    rest.remove_prefix(scheme + 3);
    const auto begin = rest.find_first_of("/?");
    if (begin == 0) return false;
    rest = begin == std::string_view::npos ? std::string_view("/") : rest.substr(begin);
    if (rest.front() == '?') {
      out.query = rest.substr(1);
      out.path = "/";
      return true;
    }
  }
  const auto question = rest.find('?');
  out.path = rest.substr(0, question);
  out.query = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  return has_good_escapes(out.path);
}

}  // namespace

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "HEAD") return Method::head;
      if (text == "POST") return Method::post;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      break;
    case 6:
      if (text == "DELETE") return Method::delete_;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      break;
    default:
      break;
  }
  return Method::other;
}

bool same_name(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

Parsed parse_request(std::string_view bytes, std::size_t& scanned, std::span<Header> storage, RequestHead& out) {
  std::size_t skipped = 0;
  while (skipped < bytes.size() && (bytes[skipped] == '\r' || bytes[skipped] == '\n')) ++skipped;
  if (scanned < skipped) scanned = skipped;
  // What cannot begin a method, such as TLS, will never become a head.
  if (skipped < bytes.size() && !kToken[static_cast<unsigned char>(bytes[skipped])]) return Parsed::malformed;
  const auto end = find_end(bytes, scanned);
  if (end == 0) return Parsed::incomplete;

  out = {};
  out.head_bytes = end;
  auto rest = bytes.substr(skipped, end - skipped);
  const auto line = take_line(rest);
  const auto first = line.find(' ');
  if (first == std::string_view::npos) return Parsed::malformed;
  const auto second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return Parsed::malformed;
  out.method_text = line.substr(0, first);
  out.target = line.substr(first + 1, second - first - 1);
  if (!is_token(out.method_text)) return Parsed::malformed;
  out.method = method_of(out.method_text);
  if (auto parsed = parse_version(line.substr(second + 1), out.version_minor); parsed != Parsed::complete) {
    return parsed;
  }
  if (!parse_target(out)) return Parsed::malformed;

  Framing framing;
  if (auto parsed = parse_headers(rest, storage, out, framing); parsed != Parsed::complete) return parsed;
  if (framing.hosts > 1 || (framing.hosts == 0 && out.version_minor == 1)) return Parsed::malformed;
  if (out.chunked && out.version_minor == 0) return Parsed::malformed;
  if (framing.expects_else) return Parsed::bad_expectation;
  out.host = framing.host;
  out.expects_continue = framing.expects_continue && out.version_minor == 1;
  out.keep_alive = out.version_minor == 1 ? !framing.close : framing.keep && !framing.close;
  return Parsed::complete;
}

Parsed parse_response(std::string_view bytes, std::size_t& scanned, std::span<Header> storage, ResponseHead& out) {
  const auto end = find_end(bytes, scanned);
  if (end == 0) return Parsed::incomplete;
  out = {};
  out.head_bytes = end;
  auto rest = bytes.substr(0, end);
  const auto line = take_line(rest);
  int minor = 0;
  if (auto parsed = parse_version(line.substr(0, 8), minor); parsed != Parsed::complete) return parsed;
  if (line.size() < 12 || line[8] != ' ') return Parsed::malformed;
  for (std::size_t i = 9; i < 12; ++i) {
    if (line[i] < '0' || line[i] > '9') return Parsed::malformed;
    out.status = out.status * 10 + (line[i] - '0');
  }
  if (out.status < 100) return Parsed::malformed;
  if (line.size() > 12) {
    if (line[12] != ' ') return Parsed::malformed;
    out.reason = line.substr(13);
  }
  Framing framing;
  if (auto parsed = parse_headers(rest, storage, out, framing); parsed != Parsed::complete) return parsed;
  out.keep_alive = minor == 1 ? !framing.close : framing.keep && !framing.close;
  return Parsed::complete;
}

ChunkedBody::Step ChunkedBody::feed(std::string_view input) {
  Step step;
  std::size_t at = 0;
  const auto bad = [&] {
    state_ = State::bad;
    step.consumed = at;
    step.malformed = true;
    return step;
  };
  for (; at < input.size(); ++at) {
    const char c = input[at];
    switch (state_) {
      case State::size:
        if (const int digit = hex_digit(c); digit >= 0) {
          if (digits_ == 15) return bad();  // 60 bits are enough for anyone's chunk
          left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
          ++digits_;
        } else if (digits_ == 0) {
          return bad();
        } else if (c == '\r') {
          state_ = State::size_lf;
        } else if (c == ';' || c == ' ' || c == '\t') {
          state_ = State::extension;
          line_bytes_ = 0;
        } else {
          return bad();
        }
        break;
      case State::extension:
        if (c == '\r') {
          state_ = State::size_lf;
        } else if (c == '\n' || ++line_bytes_ > kChunkLineBytesMax) {
          return bad();
        }
        break;
      case State::size_lf:
        if (c != '\n') return bad();
        state_ = left_ == 0 ? State::trailer : State::data;
        line_bytes_ = 0;
        trailer_line_empty_ = true;
        digits_ = 0;
        break;
      case State::data: {
        const auto take = left_ < input.size() - at ? static_cast<std::size_t>(left_) : input.size() - at;
        step.data = input.substr(at, take);
        step.consumed = at + take;
        left_ -= take;
        if (left_ == 0) state_ = State::data_cr;
        return step;
      }
      case State::data_cr:
        if (c != '\r') return bad();
        state_ = State::data_lf;
        break;
      case State::data_lf:
        if (c != '\n') return bad();
        state_ = State::size;
        break;
      case State::trailer:
        if (c == '\r') {
          state_ = State::trailer_lf;
        } else if (c == '\n' || ++line_bytes_ > kChunkLineBytesMax) {
          return bad();
        } else {
          trailer_line_empty_ = false;
        }
        break;
      case State::trailer_lf:
        if (c != '\n') return bad();
        if (trailer_line_empty_) {
          state_ = State::done;
          step.consumed = at + 1;
          step.finished = true;
          return step;
        }
        state_ = State::trailer;
        trailer_line_empty_ = true;
        break;
      case State::done:
        step.consumed = at;
        step.finished = true;
        return step;
      case State::bad:
        return bad();
    }
  }
  step.consumed = at;
  step.finished = state_ == State::done;
  return step;
}

}  // namespace holdfast::io::http1
