// `metalogger`: keeps copies of the masters' state on this machine (service/metalogger/metalogger.h); under the name
// mfsmetalogger it is a daemon with MooseFS's settings (cmd/mfs/).
#include <fmt/format.h>

#include "cmd/side_server.h"
#include "cmd/paths.h"
#include "cmd/servers.h"
#include "cmd/world.h"
#include "service/metalogger/metalogger.h"

namespace holdfast::cmd {

int run_metalogger(const Call& call) {
  announce(call, "metalogger");
  const auto& flags = call.flags;
  metalogger::Options options;
  options.masters = or_fatal(Address::parse_list(flags.string("master")), "-master: ");
  options.folder = expand_home(flags.string("dir"));
  options.name = host_name();
  const auto logs = flags.integer("backLogs");
  const auto images = flags.integer("backMetaKeepPrevious");
  const auto hours = flags.duration("metaDownloadFreq");
  if (options.folder.empty() || logs < 5 || logs > 10'000 || images < 0 || images > 99 || hours < 1min) {
    LOG_FATAL("-dir names a folder, -backLogs is 5 to 10000, -backMetaKeepPrevious 0 to 99, -metaDownloadFreq at least a minute");
  }
  options.logs_kept = static_cast<std::size_t>(logs);
  options.images_kept = static_cast<std::size_t>(images);
  options.image_interval = hours;
  World world(1);
  std::unique_ptr<SideServer> metrics;
  if (const auto port = flags.integer("metricsPort"); port != 0) {
    if (port < 1 || port > 65535) LOG_FATAL("-metricsPort is {}, but a port is 1 to 65535", port);
    metrics = or_fatal(SideServer::metrics(world.loops, flags.string("metricsIp"), static_cast<std::uint16_t>(port)));
  }
  auto logger = or_fatal(metalogger::Metalogger::open(options, world.disk, world.clock, world.random));
  logger->start();
  LOG_INFO("metalogger keeps copies in {}", options.folder);
  const auto signal = serve_until_stopped(call, [](const Reread&) {});
  LOG_INFO("{}: stopping", signal);
  logger->stop();
  return 0;
}

}  // namespace holdfast::cmd
