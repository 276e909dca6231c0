#include "api/jwt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <cmath>
#include <optional>

#include "base/base64.h"

namespace holdfast::api {

namespace {

namespace json = boost::json;

constexpr std::size_t kTokenBytesMax = 4096;
constexpr std::string_view kHeader = R"({"alg":"HS256","typ":"JWT"})";

std::string hmac(const EVP_MD* digest, std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int length = 0;
  if (HMAC(digest, key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
           text.size(), out.data(), &length) == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(out.data()), length};
}

const EVP_MD* digest_of(std::string_view algorithm) {
  if (algorithm == "HS256") return EVP_sha256();
  if (algorithm == "HS384") return EVP_sha384();
  if (algorithm == "HS512") return EVP_sha512();
  return nullptr;  // "none" above all
}

std::optional<json::object> object_in(std::string_view encoded) {
  std::string text;
  if (!unbase64url(encoded, text)) return std::nullopt;
  json::error_code error;
  auto value = json::parse(text, error, {}, {.max_depth = 4});
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

std::string_view text_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

// A moment among the claims: absent, or a number; anything else is no token.
bool read_moment(const json::object& claims, std::string_view name, std::optional<double>* moment) {
  const auto* value = claims.if_contains(json::string_view(name.data(), name.size()));
  if (value == nullptr || value->is_null()) return true;
  if (value->is_int64()) {
    *moment = static_cast<double>(value->get_int64());
  } else if (value->is_uint64()) {
    *moment = static_cast<double>(value->get_uint64());
  } else if (value->is_double()) {
    *moment = value->get_double();
  }
  return moment->has_value() && std::isfinite(**moment);
}

// Without "_3", which names the third file of an assign of several.
std::string_view without_suffix(std::string_view fid) {
  const auto at = fid.rfind('_');
  const auto comma = fid.find(',');
  return at == std::string_view::npos || comma == std::string_view::npos || at <= comma + 1 ? fid : fid.substr(0, at);
}

}  // namespace

void JwtKey::set(JwtSettings settings) {
  const bool has_key = !settings.key.empty();
  auto made = std::make_shared<const JwtSettings>(std::move(settings));
  Guard guard(mutex_);
  settings_ = std::move(made);
  is_set_.store(has_key, std::memory_order_release);
}

std::shared_ptr<const JwtSettings> JwtKey::settings() const {
  Guard guard(mutex_);
  return settings_;
}

std::string JwtKey::sign(std::string_view fid, std::int64_t now) const {
  fid = without_suffix(fid);
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ',';
  };
  // Whoever looks up a text that is no file id must not write claims with it.
  if (!is_set() || !std::all_of(fid.begin(), fid.end(), is_plain)) return {};
  const auto settings = this->settings();
  std::string claims = "{\"fid\":\"" + std::string(fid) + "\"";
  if (settings->expires_seconds > 0) claims += ",\"exp\":" + std::to_string(now + settings->expires_seconds);
  claims += "}";
  std::string token = base64url(kHeader) + "." + base64url(claims);
  return token + "." + base64url(hmac(EVP_sha256(), settings->key, token));
}

std::string JwtKey::trouble(std::string_view token, std::string_view fid, std::int64_t now) const {
  if (!is_set()) return {};
  const auto settings = this->settings();
  if (token.empty()) return "no token";
  if (token.size() > kTokenBytesMax) return "a token of more than 4096 bytes";
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return "not a token of three parts";
  }
  const auto header = object_in(token.substr(0, first));
  const auto* digest = header ? digest_of(text_of(*header, "alg")) : nullptr;
  if (digest == nullptr) return "not signed by an HMAC";
  std::string signature;
  if (!unbase64url(token.substr(second + 1), signature)) return "its signature is no base64url";
  const auto expected = hmac(digest, settings->key, token.substr(0, second));
  if (signature.size() != expected.size() || expected.empty() ||
      CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) != 0) {
    return "signed with another key";
  }
  // Only now is what it says worth reading.
  const auto claims = object_in(token.substr(first + 1, second - first - 1));
  if (!claims) return "its claims are no JSON";
  std::optional<double> expires;
  std::optional<double> not_before;
  if (!read_moment(*claims, "exp", &expires) || !read_moment(*claims, "nbf", &not_before)) return "a time in it is no number";
  if (expires && static_cast<double>(now) >= *expires) return "it has expired";
  if (not_before && static_cast<double>(now) < *not_before) return "it is not valid yet";
  if (text_of(*claims, "fid") != without_suffix(fid)) return "it is for another file id";
  return {};
}

}  // namespace holdfast::api
