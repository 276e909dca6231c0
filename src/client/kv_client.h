// KvClient: the masters' key-value space (docs/kv.md) for programs: any surviving master answers.
//
// A call goes from master to master until one says something definite, with a short pause after each round, until
// `patience` is over. One that is silent for a quarter of a second is not waited for: another is asked as well, and whichever
// answers first counts (it may stand still and keep its connections). A write carries a request id, made here unless given, so that however often it is sent it counts
// once. What the masters say is handed on as it is: status, headers, body.
//
// Not thread-safe: one call at a time; each waits for its answer, so not on a loop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/http_pool.h"
#include "model/address.h"

namespace holdfast::client {

class KvClient {
 public:
  struct Options {
    std::function<std::vector<Address>()> masters;  // as they are known now; asked for before each round
    Duration patience = 30s;        // for one call as a whole
    Duration attempt_max = 3s;      // one master's silence; a master waits about 2 s for a leader itself
  };
  KvClient(HttpPool& pool, Options options);

  struct Write {
    std::string method = "PUT";  // DELETE
    std::string key;
    std::string value;
    std::optional<std::uint64_t> compare;  // ?cas
    std::string ttl;                       // "10s"; empty: none
    bool renew = false;
    std::string request_id;                // empty: one is made
  };
  // Any definite answer; else unavailable (surely nothing was done) or outcome_unknown (it may have been: the text names
  // the request id to ask again with).
  Result<HttpAnswer> write(const Write& write);

  // GET of `target` below /cluster/kv/, encoded, with its query. `wait`: how long the master may wait by our own wish.
  Result<HttpAnswer> read(const std::string& target, Duration wait = {});

  // A key in the path of a URL: all but letters, digits and -_.~/ percent-encoded.
  static std::string escape(std::string_view key);

 private:
  struct Asked;
  std::vector<std::string> in_order() const;
  Result<HttpAnswer> ask(HttpRequest request, Duration wait);

  HttpPool& pool_;
  Options options_;
  std::string answered_;  // who did last: asked first
};

}  // namespace holdfast::client
