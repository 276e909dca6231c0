// GrpcServer: the one gRPC server of a process' role, on its gRPC port, with all services of that role.
//
// It speaks HTTP/2, in plaintext or under mutual TLS, and is as patient with clients as upstream's (spec/weed-grpc 1): their keepalive pings
// come every 20 s also without calls, messages go up to 1 GiB. A peer that vanished is found by pings of our own within
// 80 s; who must know sooner listens for reports or beats. The port is bound exclusively: a
// second process is refused instead of sharing it unseen. What is served can be asked of the server (reflection).
//
// Services use gRPC's callback interface, so the number of threads does not grow with the number of calls.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/tls.h"
#include "base/result.h"
#include "base/time.h"
#include "front/grpc/request_ids.h"

namespace holdfast::front {

// A service that keeps calls waiting for something else answers them all when this is called: after it no call stays
// open for long.
class StopsEarly {
 public:
  virtual ~StopsEarly() = default;
  virtual void stop_early() = 0;
};

class GrpcServer {
 public:
  struct Options {
    // Addresses to listen on, IPv4 or IPv6 without brackets, or names. Empty: all addresses of the machine.
    std::vector<std::string> hosts;
    std::uint16_t port = 0;  // 0: any free one (only with at most one host)

    // Further ports that serve the same, each with its host; an empty host: all addresses of the machine.
    std::vector<std::pair<std::string, std::uint16_t>> more;
    std::vector<std::unique_ptr<grpc::Service>> services;
    CallObserver on_call_ended;  // of upstream's services; may be empty
    api::TlsFiles tls;  // as validate() found them good; no ca: plaintext
  };

  // Listens when this returns. Code::io names the address that cannot be had.
  static Result<std::unique_ptr<GrpcServer>> start(Options options);

  // stop()s.
  virtual ~GrpcServer() = default;

  // Refuses new calls at once, lets those under way end for `grace`, cancels the rest, and returns when the last is
  // answered. What answers calls (Master, VolumeService) must still work, or have answered all before. May be called
  // twice.
  virtual void stop(Duration grace = Duration(0)) = 0;

  virtual std::uint16_t port() const = 0;
};

}  // namespace holdfast::front
