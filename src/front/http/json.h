// JSON as upstream's servers write it: keys in the order given, Go's escaping, compact or with two spaces.
//
// Clients compare these bodies as text, so the order of keys, the escaping (`<`, `>` and `&` become \u003c, \u003e,
// \u0026; U+2028 and U+2029 are escaped; bytes that are no UTF-8 become \ufffd) and the look of numbers are Go's
// (spec/weed-cluster 2.1). There is no newline at the end.
//
//   std::string body;
//   JsonWriter json(body, pretty);
//   json.begin_object().field("fid", fid).field("count", 1u).end_object();
//
// The writer appends to the caller's string and allocates nothing of its own, so a reused string makes it free of
// allocation. It checks nothing: a value without its key in an object is the caller's mistake.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::front {

// Appends `text` as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out, bool pretty = false) : out_(out), pretty_(pretty) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(bool flag);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  JsonWriter& value(T number) {
    if constexpr (std::signed_integral<T>) {
      return value_signed(number);
    } else {
      return value_unsigned(number);
    }
  }
  JsonWriter& value(double number);  // as Go prints a float64; a value that is no number becomes 0
  JsonWriter& value(float number);   // as Go prints a float32: the shortest text that reads back the same
  JsonWriter& null();

  // `text` is JSON already and compact; with `pretty` it stands as it is, on one line.
  JsonWriter& raw(std::string_view text);

  template <typename T>
  JsonWriter& field(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }
  // Like field, but nothing for an empty text or zero (Go's omitempty).
  template <typename T>
  JsonWriter& field_unless_empty(std::string_view name, const T& v) {
    return v == T{} ? *this : field(name, v);
  }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& value_signed(std::int64_t number);
  JsonWriter& value_unsigned(std::uint64_t number);
  void before_value();
  void new_line();

  std::string& out_;
  const bool pretty_;
  int depth_ = 0;
  bool first_ = true;       // nothing yet in the innermost bracket
  bool after_key_ = false;  // the next value belongs to a key
};

// `{"error":"text"}`, the body of every error that has one.
std::string json_error(std::string_view text, bool pretty = false);

}  // namespace holdfast::front
