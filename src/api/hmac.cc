#define OPENSSL_API_COMPAT 0x10100000L  // before SHA256_* were frowned upon
#include "api/hmac.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstring>

namespace holdfast::api {
namespace {

constexpr std::size_t kBlockBytes = 64;
constexpr std::uint8_t kInner = 0x36;
constexpr std::uint8_t kOuter = 0x5c;

}  // namespace

Mac hmac_sha256(BytesView key, BytesView message) {
  std::array<std::uint8_t, kBlockBytes> pad{};
  if (key.size() > pad.size()) {
    SHA256(key.data(), key.size(), pad.data());
  } else if (!key.empty()) {
    std::memcpy(pad.data(), key.data(), key.size());
  }
  Mac out{};
  SHA256_CTX context;
  for (auto& byte : pad) byte ^= kInner;
  SHA256_Init(&context);
  SHA256_Update(&context, pad.data(), pad.size());
  SHA256_Update(&context, message.data(), message.size());
  SHA256_Final(out.data(), &context);
  for (auto& byte : pad) byte ^= kInner ^ kOuter;
  SHA256_Init(&context);
  SHA256_Update(&context, pad.data(), pad.size());
  SHA256_Update(&context, out.data(), out.size());
  SHA256_Final(out.data(), &context);
  OPENSSL_cleanse(pad.data(), pad.size());
  OPENSSL_cleanse(&context, sizeof context);
  return out;
}

}  // namespace holdfast::api
