// MetricsServer: -metricsPort, a port of its own that serves the process' metrics at /metrics and nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/event_loop.h"

namespace holdfast::cmd {

class MetricsServer {
 public:
  static Result<std::unique_ptr<MetricsServer>> start(io::EventLoops& loops, const std::string& address,
                                                      std::uint16_t port);
  ~MetricsServer();  // stops

 private:
  struct Inside;
  explicit MetricsServer(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::cmd
