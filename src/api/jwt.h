// JWT: the tokens by which volume servers know that a request comes from somebody to whom a master gave the file id
// (spec/weed-cluster 3.11). HMAC over the claims {"fid":"3,01637037d6","exp":<unix seconds>}.
//
// Threads: any; keys may be replaced at any time (SIGHUP).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace holdfast::api {

struct JwtSettings {
  std::string key;                    // "" = no tokens are made or asked for
  std::int64_t expires_seconds = 10;  // 0 or less: tokens never expire

  friend bool operator==(const JwtSettings&, const JwtSettings&) = default;
};

class JwtKey {
 public:
  void set(JwtSettings settings);

  // One atomic load.
  bool is_set() const { return is_set_.load(std::memory_order_acquire); }

  // A token for this file id (an "_3" at its end is left out), "" without a key and for a text that is no file id. `now`:
  // unix seconds.
  std::string sign(std::string_view fid, std::int64_t now) const;

  // "": the token is good for this file id, or no key is set. Otherwise why it is not, for a log: clients are told nothing.
  // A file id is compared as text, without an "_3" at its end. Signed by HMAC-SHA256, -384 or -512; `exp` and `nbf` count
  // where they stand. The signature is compared in the same time whatever is wrong with it.
  std::string trouble(std::string_view token, std::string_view fid, std::int64_t now) const;

 private:
  std::shared_ptr<const JwtSettings> settings() const;

  std::atomic<bool> is_set_{false};
  mutable Mutex mutex_;  // leaf
  std::shared_ptr<const JwtSettings> settings_ HOLDFAST_GUARDED_BY(mutex_) = std::make_shared<JwtSettings>();
};

// `jwt.signing` and `jwt.signing.read` of security.toml.
struct JwtKeys {
  JwtKey write;  // uploads and deletions
  JwtKey read;
};

}  // namespace holdfast::api
