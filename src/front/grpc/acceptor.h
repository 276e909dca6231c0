// Acceptor: takes the connections of a gRPC server and hands them to the library.
//
// The library's own listeners end for good at the first accept() that finds no free descriptor: the port then stays open and nobody
// ever answers on it again. This one goes on, and lets no more in than leave room for files (io/posix/listening.h): a client too
// many is closed at once, which its library takes for a server that is away for a moment.
//
// One thread, which sleeps until somebody comes.
#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/posix/descriptor.h"

namespace holdfast::front {

class Acceptor {
 public:
  // Registers itself with the builder. `user_timeout`: how long what was sent may stay unacknowledged before a connection is given up.
  Acceptor(grpc::ServerBuilder& builder, std::shared_ptr<grpc::ServerCredentials> credentials, Duration user_timeout);
  ~Acceptor();  // stop()s

  // Listens on every address of `host` ("": all of the machine); the port, which may be 0. Nobody shares it. Code::io otherwise.
  Result<std::uint16_t> listen(const std::string& host, std::uint16_t port);

  void start();  // once the server runs
  void stop();   // before the server is shut down

 private:
  void run();
  bool take(int listener);  // false: no descriptor is left

  const std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> library_;
  const Duration user_timeout_;
  std::vector<std::unique_ptr<io::posix::Descriptor>> listeners_;
  const io::posix::Descriptor wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace holdfast::front
