#include "front/http/json.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace holdfast::front {
namespace {

// Which bytes stand for themselves inside a JSON string.
constexpr std::array<bool, 256> make_plain() {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<std::size_t>(c)] = true;
  for (const char c : {'"', '\\', '<', '>', '&'}) plain[static_cast<std::size_t>(c)] = false;
  return plain;
}
constexpr auto kPlain = make_plain();
constexpr char kHex[] = "0123456789abcdef";

void append_escaped_ascii(std::string& out, unsigned char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

template <typename Float>
void append_float(std::string& out, Float number) {
  if (!std::isfinite(number)) {
    out += '0';
    return;
  }
  const Float size = std::fabs(number);
  // Go switches to an exponent below 1e-6 and from 1e21 on, and writes it without a leading zero.
  const bool exponent = size != 0 && (size < Float(1e-6) || size >= Float(1e21));
  char buffer[400];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number,
                                 exponent ? std::chars_format::scientific : std::chars_format::fixed)
                       .ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const auto n = text.size();
  if (exponent && n >= 4 && text[n - 4] == 'e' && text[n - 3] == '-' && text[n - 2] == '0') {
    out += text.substr(0, n - 2);
    out += text[n - 1];
  } else {
    out += text;
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0;  // start of what has not been copied yet
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (kPlain[c]) {
      ++i;
      continue;
    }
    if (c < 0x80) {
      out.append(text, plain, i - plain);
      append_escaped_ascii(out, c);
      plain = ++i;
      continue;
    }
    const auto length = utf8_length(text.substr(i));
    const auto sequence = text.substr(i, length);
    if (length != 0 && sequence != "\u2028" && sequence != "\u2029") {
      i += length;
      continue;
    }
    out.append(text, plain, i - plain);
    out += length == 0 ? "\\ufffd" : sequence == "\u2028" ? "\\u2028" : "\\u2029";
    i += length == 0 ? 1 : length;
    plain = i;
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

void JsonWriter::new_line() {
  out_ += '\n';
  out_.append(static_cast<std::size_t>(depth_) * 2, ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  if (!first_) out_ += ',';
  first_ = false;
  if (pretty_) new_line();
}

JsonWriter& JsonWriter::open(char bracket) {
  before_value();
  out_ += bracket;
  ++depth_;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  --depth_;
  if (pretty_ && !first_) new_line();
  out_ += bracket;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  before_value();
  append_json_string(out_, name);
  out_ += pretty_ ? ": " : ":";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  before_value();
  append_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) { return raw(flag ? "true" : "false"); }

JsonWriter& JsonWriter::value_signed(std::int64_t number) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return raw({buffer, static_cast<std::size_t>(end - buffer)});
}

JsonWriter& JsonWriter::value_unsigned(std::uint64_t number) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return raw({buffer, static_cast<std::size_t>(end - buffer)});
}

JsonWriter& JsonWriter::value(double number) {
  before_value();
  append_float(out_, number);
  return *this;
}

JsonWriter& JsonWriter::value(float number) {
  before_value();
  append_float(out_, number);
  return *this;
}

JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view text) {
  before_value();
  out_ += text;
  return *this;
}

std::string json_error(std::string_view text, bool pretty) {
  std::string out;
  JsonWriter(out, pretty).begin_object().field("error", text).end_object();
  return out;
}

}  // namespace holdfast::front
