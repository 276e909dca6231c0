#include "front/http/admin_guard.h"

#include <openssl/crypto.h>

#include "io/http1.h"

namespace holdfast::front {
namespace {

constexpr std::string_view kBearer = "Bearer ";

// "http://host:9333" -> "host:9333"; "null" and what is no origin -> "".
std::string_view authority_of(std::string_view origin) {
  const auto scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

bool comes_from_elsewhere(const http::Request& request) {
  const auto site = request.header("Sec-Fetch-Site");
  if (!site.empty() && site != "same-origin" && site != "none") return true;
  return request.has_header("Origin") && !io::http1::same_name(authority_of(request.header("Origin")), request.host);
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::optional<AdminGuard::Refusal> AdminGuard::refuses(const http::Request& request) const {
  if (comes_from_elsewhere(request)) {
    return Refusal{403, "this request comes from a page of another site: use the page of a master, or a program"};
  }
  if (token_.empty()) return std::nullopt;
  const auto given = request.header("Authorization");
  if (given.empty()) {
    return Refusal{401, "an admin token is set here (admin.token in security.toml): send it as `Authorization: Bearer TOKEN`"};
  }
  if (!given.starts_with(kBearer) || !same_secret(given.substr(kBearer.size()), token_)) {
    return Refusal{401, "this is not the admin token (admin.token in security.toml)"};
  }
  return std::nullopt;
}

}  // namespace holdfast::front
