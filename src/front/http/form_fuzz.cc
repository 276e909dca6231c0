// Paths, queries, forms and header parameters of any bytes: nothing may crash, and what is said to be clean is clean.
// Sources: form.cc json.cc request.cc url.cc
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/url.h"

using namespace holdfast::front;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto decoded = decode_path(text)) {
    const auto cleaned = clean_path(*decoded);
    CHECK(cleaned.starts_with('/'));
    CHECK(clean_path(cleaned) == cleaned);
    CHECK(cleaned.find("//") == std::string::npos);
    // What is encoded again means the same, and no byte of it can end a header.
    const auto escaped = escape_path(cleaned);
    CHECK(decode_path(escaped) == cleaned);
    CHECK(escaped.find_first_of("\r\n ") == std::string::npos);
  }
  if (is_plain_path(text)) CHECK(decode_path(text) == text && clean_path(text) == text);

  // The first line is a Content-Type, the rest a body.
  const auto line = text.find('\n');
  const auto type = text.substr(0, line);
  const auto body = line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  (void)header_parameter(type, "boundary");
  Params params;
  add_form(params, type, body);
  params.add(text);
  for (const char* name : {"count", "collection", ""}) (void)params.get(name);
  (void)wants_pretty(text);

  // Quoted text holds no byte that ends a string or a line.
  std::string quoted;
  append_json_string(quoted, text);
  CHECK(quoted.size() >= 2);
  for (const char c : quoted) CHECK(static_cast<unsigned char>(c) >= 0x20 && c != '<' && c != '>' && c != '&');
  return 0;
}
