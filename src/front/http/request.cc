// What a request says in its headers; apart from the connection, so that whoever only reads requests needs no sockets.
#include <algorithm>

#include "front/http/server.h"
#include "io/http1.h"

namespace holdfast::http {

std::string_view Request::header(std::string_view name) const {
  for (const auto& header : headers) {
    if (io::http1::same_name(header.name, name)) return header.value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const Header& header) { return io::http1::same_name(header.name, name); });
}

}  // namespace holdfast::http
