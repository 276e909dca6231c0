#include "front/http/volume_path.h"

#include <algorithm>

#include "base/bytes.h"

namespace holdfast::front {

namespace {

// From the last dot on; "" without one.
std::string_view extension(std::string_view text) {
  const auto dot = find_last(text, '.');
  return dot == std::string_view::npos ? std::string_view() : text.substr(dot);
}

// Cuts the extension off an id. A dot at its very front is no extension.
void split_extension(VolumePath& path) {
  const auto dot = find_last(path.fid, '.');
  if (dot == std::string_view::npos || dot == 0) return;
  path.ext = path.fid.substr(dot);
  path.fid = path.fid.substr(0, dot);
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::optional<std::string> escape_error(std::string_view text) {
  for (auto at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (at + 2 < text.size() && is_hex(text[at + 1]) && is_hex(text[at + 2])) continue;
    return "invalid URL escape \"" + std::string(text.substr(at, 3)) + "\"";
  }
  return std::nullopt;
}

}  // namespace

VolumePath parse_volume_path(std::string_view path) {
  VolumePath out;
  const auto first = path.find('/');
  const auto second = path.find('/', first + 1);
  const auto third = second == std::string_view::npos ? second : path.find('/', second + 1);
  const bool more = third != std::string_view::npos && path.find('/', third + 1) != std::string_view::npos;

  if (second != std::string_view::npos && third == std::string_view::npos) {
    out.volume = path.substr(first + 1, second - first - 1);
    out.fid = path.substr(second + 1);
    split_extension(out);
    return out;
  }
  if (third != std::string_view::npos && !more) {
    out.volume = path.substr(first + 1, second - first - 1);
    out.fid = path.substr(second + 1, third - second - 1);
    out.name = path.substr(third + 1);
    out.ext = extension(out.name);
    return out;
  }
  const auto last = second == std::string_view::npos ? path.substr(first + 1) : last_element(path);
  const auto comma = find_last(last, ',');
  // Four slashes or more: upstream breaks off the connection when there is a comma. Here it is a bad volume id.
  if (more || comma == std::string_view::npos) {
    out.volume = last;
    return out;
  }
  out.volume = last.substr(0, comma);
  out.fid = last.substr(comma + 1);
  split_extension(out);
  return out;
}

std::string_view fid_of_write(std::string_view path) {
  const auto comma = find_last(path, ',');
  auto fid = comma == std::string_view::npos ? path : path.substr(comma + 1);
  const auto dot = find_last(fid, '.');
  return dot == std::string_view::npos || dot == 0 ? fid : fid.substr(0, dot);
}

std::string_view last_element(std::string_view path) {
  const auto slash = find_last(path, '/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::optional<std::string> query_error(std::string_view query) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.find(';') != std::string_view::npos) return "invalid semicolon separator in query";
    if (auto error = escape_error(pair)) return error;
  }
  return std::nullopt;
}

}  // namespace holdfast::front
