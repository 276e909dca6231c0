#include "front/http/form.h"

#include <algorithm>

#include "io/http1.h"

namespace holdfast::front {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view media_type(std::string_view content_type) {
  return trimmed(content_type.substr(0, content_type.find(';')));
}

// Cuts one line off `text`, without its CRLF.
std::string_view take_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  auto line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// One part: headers, an empty line, the value.
void add_part(Params& params, std::string_view part) {
  std::string name;
  bool is_file = false;
  for (;;) {
    if (part.empty()) return;
    const auto line = take_line(part);
    if (line.empty()) break;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !io::http1::same_name(trimmed(line.substr(0, colon)), "Content-Disposition")) continue;
    const auto value = line.substr(colon + 1);
    name = header_parameter(value, "name");
    is_file = !header_parameter(value, "filename").empty();
  }
  if (!name.empty() && !is_file) params.add_pair(name, part);
}

void add_multipart(Params& params, std::string_view boundary, std::string_view body) {
  if (boundary.empty()) return;
  const std::string delimiter = "--" + std::string(boundary);
  auto start = body.find(delimiter);
  while (start != std::string_view::npos) {
    auto rest = body.substr(start + delimiter.size());
    if (rest.starts_with("--")) return;
    take_line(rest);
    const auto end = rest.find("\r\n" + delimiter);
    if (end == std::string_view::npos) return;
    add_part(params, rest.substr(0, end));
    body = rest.substr(end + 2);
    start = 0;
  }
}

}  // namespace

std::string header_parameter(std::string_view value, std::string_view name) {
  std::size_t i = std::min(value.find(';'), value.size());
  while (i < value.size()) {
    ++i;  // the semicolon
    const auto equals = value.find_first_of("=;", i);
    if (equals == std::string_view::npos) return "";
    const auto found = trimmed(value.substr(i, equals - i));
    i = equals;
    if (value[equals] == ';') continue;
    ++i;
    while (i < value.size() && (value[i] == ' ' || value[i] == '\t')) ++i;
    std::string text;
    if (i < value.size() && value[i] == '"') {
      for (++i; i < value.size() && value[i] != '"'; ++i) {
        // Browsers send `\"`; a backslash before anything else stands for itself (Windows paths).
        if (value[i] == '\\' && i + 1 < value.size() && (value[i + 1] == '"' || value[i + 1] == '\\')) ++i;
        text += value[i];
      }
      i = std::min(value.find(';', std::min(i, value.size())), value.size());
    } else {
      const auto end = std::min(value.find(';', i), value.size());
      text = trimmed(value.substr(i, end - i));
      i = end;
    }
    if (io::http1::same_name(found, name)) return text;
  }
  return "";
}

bool has_form(const http::Request& request) {
  if (!request.has_body()) return false;
  const auto method = request.method_text;
  if (method != "POST" && method != "PUT" && method != "PATCH") return false;
  const auto type = media_type(request.header("Content-Type"));
  return io::http1::same_name(type, "application/x-www-form-urlencoded") || io::http1::same_name(type, "multipart/form-data");
}

void add_form(Params& params, std::string_view content_type, std::string_view body) {
  if (io::http1::same_name(media_type(content_type), "multipart/form-data")) {
    add_multipart(params, header_parameter(content_type, "boundary"), body);
  } else {
    params.add(body);
  }
}

}  // namespace holdfast::front
