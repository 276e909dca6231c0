// AdminGuard: who may change how a cluster is run (step down, members) over HTTP, besides the white list.
//
//  - With an admin token (security.toml, `admin.token`) a request must carry it: `Authorization: Bearer TOKEN`.
//  - A browser must have sent the request from this master's own page: one that names another origin, or says that it
//    crosses sites, is refused. Programs that are no browsers send neither header and are not concerned. Without a token a
//    page whose own name was made to point here (DNS rebinding) passes; with one it does not.
//
// Only for methods that change something. Pure but for the token it was made with; any thread.
#pragma once

#include <optional>
#include <string>

#include "front/http/server.h"

namespace holdfast::front {

class AdminGuard {
 public:
  struct Refusal {
    int status = 0;    // 401 or 403
    std::string text;  // a sentence that says what to do
  };

  // "" = no token is asked for.
  explicit AdminGuard(std::string token = "") : token_(std::move(token)) {}

  bool asks_for_token() const { return !token_.empty(); }

  std::optional<Refusal> refuses(const http::Request& request) const;

 private:
  std::string token_;
};

}  // namespace holdfast::front
