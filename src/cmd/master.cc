#include "cmd/master_role.h"
#include "cmd/servers.h"

namespace holdfast::cmd {

int run_master(const Call& call) {
  announce(call, "master");
  const auto settings = or_fatal(load_settings(call.globals.string("config_dir"), process_environment));
  auto plan = or_fatal(plan_master(FlagView(call.flags, ""), settings));
  plan.runtime.guardian = start_guardian(plan.guardian);
  World world(master_loops());
  auto role = or_fatal(MasterRole::start(std::move(plan), world), "Master startup error: ");
  const auto signal = serve_until_stopped(call, [&](const Reread& news) { role->reload(news); });
  LOG_INFO("{}: stopping", signal);
  role->stop();
  return 0;
}

}  // namespace holdfast::cmd
