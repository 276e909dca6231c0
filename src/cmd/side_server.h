// SideServer: a port of its own beside those that a role serves: -metricsPort with /metrics, -debug.port with /debug/.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/event_loop.h"

namespace holdfast::http {
class Handler;
}

namespace holdfast::cmd {

class SideServer {
 public:
  static Result<std::unique_ptr<SideServer>> metrics(io::EventLoops& loops, const std::string& address, std::uint16_t port);
  // On the loopback address: what it shows is for this machine.
  static Result<std::unique_ptr<SideServer>> debug(io::EventLoops& loops, std::uint16_t port);
  ~SideServer();  // stops

 private:
  struct Inside;
  static Result<std::unique_ptr<SideServer>> start(io::EventLoops& loops, std::unique_ptr<http::Handler> handler,
                                                   const std::string& address, std::uint16_t port);
  explicit SideServer(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::cmd
