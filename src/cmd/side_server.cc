#include "cmd/side_server.h"

#include "base/metrics.h"
#include "cmd/world.h"
#include "front/http/debug_routes.h"
#include "front/http/metrics.h"
#include "front/http/server.h"

namespace holdfast::cmd {

struct SideServer::Inside {
  Inside(io::EventLoops& loops, std::unique_ptr<http::Handler> h) : handler(std::move(h)), server(loops, *handler) {}
  std::unique_ptr<http::Handler> handler;
  http::Server server;
};

SideServer::SideServer(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
SideServer::~SideServer() { inside_->server.stop(Duration(0)); }

Result<std::unique_ptr<SideServer>> SideServer::start(io::EventLoops& loops, std::unique_ptr<http::Handler> handler,
                                                      const std::string& address, std::uint16_t port) {
  auto inside = std::make_unique<Inside>(loops, std::move(handler));
  const auto listening = inside->server.listen(address, port);
  if (!listening) return listen_error(address, port, listening.error());
  return std::unique_ptr<SideServer>(new SideServer(std::move(inside)));
}

Result<std::unique_ptr<SideServer>> SideServer::metrics(io::EventLoops& loops, const std::string& address, std::uint16_t port) {
  return start(loops, std::make_unique<front::MetricsRoutes>(holdfast::metrics::process()), address, port);
}

Result<std::unique_ptr<SideServer>> SideServer::debug(io::EventLoops& loops, std::uint16_t port) {
  return start(loops, std::make_unique<front::DebugRoutes>(), "127.0.0.1", port);
}

}  // namespace holdfast::cmd
