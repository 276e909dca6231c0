#include "cmd/metrics_server.h"

#include "base/metrics.h"
#include "cmd/world.h"
#include "front/http/metrics.h"
#include "front/http/server.h"

namespace holdfast::cmd {

struct MetricsServer::Inside {
  explicit Inside(io::EventLoops& loops) : server(loops, handler) {}
  front::MetricsRoutes handler{metrics::process()};
  http::Server server;
};

MetricsServer::MetricsServer(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
MetricsServer::~MetricsServer() { inside_->server.stop(Duration(0)); }

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(io::EventLoops& loops, const std::string& address,
                                                            std::uint16_t port) {
  auto inside = std::make_unique<Inside>(loops);
  const auto listening = inside->server.listen(address, port);
  if (!listening) return listen_error(address, port, listening.error());
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(inside)));
}

}  // namespace holdfast::cmd
