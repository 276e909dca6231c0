// Refusal: why a master did not do what it was asked for.
#pragma once

#include <string>
#include <variant>

#include "base/time.h"

namespace holdfast::master {

// Why something was not done: a kind that the fronts turn into a status each in one table, and the text of
// spec/weed-cluster 2.3, ready for {"error": text}.
struct Refusal {
  enum class Kind {
    bad_request,      // HTTP 400: `data center X not found in topology`, `collection X does not exist`
    not_acceptable,   // HTTP 406 (gRPC UNKNOWN): parse errors; nothing writable and no room to grow
    not_found,        // HTTP 404
    busy,             // HTTP 503 + Retry-After (gRPC RESOURCE_EXHAUSTED): growth is going on, come back
    warming_up,       // HTTP 503 + Retry-After (gRPC UNAVAILABLE)
    unavailable,      // HTTP 503 + Retry-After (gRPC UNAVAILABLE): no leader within the wait; the text says what goes on
    not_leader,       // never shown: pass the request on to leader(); gRPC: `raft.Server: Not current leader`
    timed_out,        // HTTP 408
    outcome_unknown,  // HTTP 500: the leader lost its place meanwhile; it may have been done. Never repeated by itself
    unsupported,      // HTTP 501
    failed,           // HTTP 500: a volume server or the disk refused
  };
  Kind kind;
  std::string text;
  Duration retry_after{0};  // > 0: send it, in whole seconds, at least 1
};

template <typename T>
using OrRefusal = std::variant<T, Refusal>;

}  // namespace holdfast::master
