#include "cmd/servers.h"
#include "cmd/volume_role.h"

namespace holdfast::cmd {

int run_volume(const Call& call) {
  announce(call, "volume");
  const auto settings = or_fatal(load_settings(call.globals.string("config_dir"), process_environment));
  auto plan = or_fatal(plan_volume(FlagView(call.flags, ""), settings));
  World world(volume_loops());
  auto role = or_fatal(VolumeRole::start(std::move(plan), world, new_process_id(world)), "Volume server fail to serve: ");
  const auto signal = serve_until_stopped(call, [&](const Reread& news) { role->reload(news); });
  LOG_INFO("{}: stopping", signal);
  role->stop();
  return 0;
}

}  // namespace holdfast::cmd
