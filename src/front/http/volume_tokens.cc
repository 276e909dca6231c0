// Who may read and write by token (spec/weed-cluster 3.11).
#include <chrono>

#include "base/log.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

namespace {

constexpr std::string_view kCookie = "AT";
constexpr std::string_view kScheme = "Bearer ";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view cookie_of(const http::Request& request) {
  for (const auto& header : request.headers) {
    if (!io::http1::same_name(header.name, "Cookie")) continue;
    auto rest = header.value;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(';'), rest.size());
      const auto pair = trimmed(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (pair.size() > kCookie.size() && pair.starts_with(kCookie) && pair[kCookie.size()] == '=') {
        auto value = pair.substr(kCookie.size() + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
        return value;
      }
    }
  }
  return {};
}

}  // namespace

std::string token_of(const http::Request& request) {
  if (!request.query.empty()) {
    const Params params(request.query);
    if (const auto token = params.get("jwt"); !token.empty()) return std::string(token);
  }
  const auto given = request.header("Authorization");
  if (given.size() > kScheme.size() && io::http1::same_name(given.substr(0, kScheme.size()), kScheme)) {
    return std::string(given.substr(kScheme.size()));
  }
  return std::string(cookie_of(request));
}

std::string authorization_to_pass_on(const http::Request& request) {
  const auto given = request.header("Authorization");
  if (!given.empty() && request.query.find("jwt=") == std::string_view::npos) return std::string(given);
  const auto token = token_of(request);
  return token.empty() ? std::string(given) : std::string(kScheme) + token;
}

bool VolumeRoutes::Inside::is_authorized(http::Exchange& exchange, const api::JwtKey& key, const VolumePath& path) {
  const auto fid = std::string(path.volume) + "," + std::string(path.fid);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
  const auto trouble = key.trouble(token_of(exchange.request()), fid, now);
  if (trouble.empty()) return true;
  LOG_V(1, "{} {} from {}: {}", exchange.request().method_text, fid, exchange.request().peer_ip, trouble);
  answer_error(exchange, 401, "wrong jwt");
  return false;
}

}  // namespace holdfast::front
