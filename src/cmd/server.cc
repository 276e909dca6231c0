// `server`: a master and a volume server in one process. Either can be switched off; the volume server's masters are
// the peers of the master beside it, and that master itself.
#include <strings.h>

#include <algorithm>

#include "cmd/master_role.h"
#include "cmd/paths.h"
#include "cmd/servers.h"
#include "cmd/volume_role.h"

namespace holdfast::cmd {
namespace {

bool names_no_peers(const FlagSet& flags) {
  const auto peers = split_names(flags.string("master.peers"));
  return peers.size() == 1 && ::strcasecmp(peers[0].c_str(), "none") == 0;
}

}  // namespace

int run_server(const Call& call) {
  announce(call, "server");
  const auto& flags = call.flags;
  const bool has_master = flags.boolean("master");
  const bool has_volume = flags.boolean("volume");
  if (!has_master && names_no_peers(flags)) {
    LOG_FATAL("'-master.peers=none' is only valid when starting a master server, but master is not starting.");
  }
  if (!has_master && !has_volume) LOG_FATAL("-master=false and -volume=false leave nothing to start");
  const auto settings = or_fatal(load_settings(call.globals.string("config_dir"), process_environment));

  // Both plans are made before anything starts, so that a wrong flag of the one does not leave the other half alive.
  // The plan of a master that is switched off still says where the others are.
  const FlagView master_flags(flags, "master.");
  auto master_plan = or_fatal(plan_master(master_flags, settings));
  auto masters = master_plan.runtime.peers;
  const auto& self = master_plan.runtime.self;
  // A peer with our port is ourselves under another name, as in the cheat sheet with localhost; should it be another
  // machine's after all, the volume server learns of this master from any other.
  const auto has_our_port = [&](const Address& peer) { return peer.port == self.port; };
  if (has_master && std::none_of(masters.begin(), masters.end(), has_our_port)) masters.push_back(self);
  if (masters.empty()) LOG_FATAL("-master=false needs -master.peers: the masters to report to");
  std::optional<VolumePlan> volume_plan;
  if (has_volume) {
    volume_plan = or_fatal(plan_volume(FlagView(flags, "volume."), settings, masters));
    if (volume_plan->cluster_secret.empty()) volume_plan->cluster_secret = master_plan.runtime.cluster_secret;
    if (!has_master) {
      volume_plan->listen.metrics_port = master_plan.listen.metrics_port;
      volume_plan->listen.debug_port = master_plan.listen.debug_port;
    }
  }

  if (has_master) master_plan.runtime.guardian = start_guardian(master_plan.guardian);
  World world(has_volume ? volume_loops() : master_loops());
  std::unique_ptr<MasterRole> master;
  std::unique_ptr<VolumeRole> volume;
  if (has_master) master = or_fatal(MasterRole::start(std::move(master_plan), world), "Master startup error: ");
  if (has_volume) {
    const Uuid process = master ? master->process() : new_process_id(world);
    volume = or_fatal(VolumeRole::start(std::move(*volume_plan), world, process), "Volume server fail to serve: ");
  }

  const auto signal = serve_until_stopped(call, [&](const Reread& news) {
    if (master) master->reload(news);
    if (volume) volume->reload(news);
  });
  LOG_INFO("{}: stopping", signal);
  // Leadership goes at once; the volume server's farewell may take seconds, in which the master still follows.
  if (master && volume) master->hand_over();
  if (volume) volume->stop();
  if (master) master->stop();
  return 0;
}

}  // namespace holdfast::cmd
