#include "cmd/master_role.h"

#include <fmt/format.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/log.h"
#include "cmd/command.h"
#include "cmd/exposure.h"
#include "cmd/side_server.h"
#include "front/grpc/backup_service.h"
#include "front/grpc/master_service.h"
#include "front/grpc/raft_service.h"
#include "front/grpc/server.h"
#include "front/http/access_log.h"
#include "front/http/master_routes.h"
#include "front/http/white_list.h"
#include "service/master/backup_source.h"
#include "service/master/change_feed.h"
#include "service/master/remote_orders.h"
#include "service/master/restored_state.h"
#include "service/master/runtime.h"
#include "service/master/staleness.h"
#include "service/master/witness_policy.h"

namespace holdfast::cmd {
namespace {

constexpr Duration kGrace = 1s;  // for requests under way at the stop; no answer of a master takes longer but growth
constexpr Duration kHandOverMax = 1s;

// Seconds, rounded up to a millisecond; "unknown" before a leader was heard for the first time.
std::function<void(http::Head&)> staleness_header(const master::Staleness& staleness) {
  return [&staleness](http::Head& head) {
    const auto bound = staleness.bound();
    head.add("Holdfast-Staleness", bound ? fmt::format("{:.3f}", seconds(*bound + 999us)) : std::string("unknown"));
  };
}

// Those that could vote: heard, and known by where their gRPC server listens.
std::vector<Address> volume_servers_of(const master::Master& master) {
  std::vector<Address> found;
  for (const auto& center : master.topology_status(false).data_centers) {
    for (const auto& rack : center.racks) {
      for (const auto& server : rack.servers) {
        auto address = Address::parse(server.url);
        if (!address || server.state != "ok" || server.grpc_port == 0) continue;
        address->grpc_port = static_cast<std::uint16_t>(server.grpc_port);
        found.push_back(*address);
      }
    }
  }
  return found;
}

}  // namespace

// In the order of construction; taken down in the reverse order.
struct MasterRole::Inside {
  explicit Inside(MasterPlan p) : plan(std::move(p)) {}

  const MasterPlan plan;
  front::WhiteList white_list;
  api::JwtKeys jwt;
  std::unique_ptr<master::VolumeOrders> orders;
  std::unique_ptr<master::Master> master;
  std::unique_ptr<master::ChangeFeed> feed;
  std::unique_ptr<master::BackupSource> backups;
  std::unique_ptr<master::ImageWriter> images;
  std::unique_ptr<master::Staleness> staleness;  // of one that only reads
  std::unique_ptr<master::MasterRuntime> runtime;
  std::unique_ptr<front::MasterRoutes> routes;
  std::unique_ptr<front::AccessLog> access_log;
  std::unique_ptr<http::Server> http;
  std::unique_ptr<front::GrpcServer> grpc;
  std::unique_ptr<SideServer> metrics;
  std::unique_ptr<SideServer> debug;
  std::unique_ptr<MaintenanceScripts> maintenance;
  std::atomic<bool> is_open{false};  // `runtime` is there, for requests that come before
  bool is_stopped = false;
};

std::shared_ptr<master::Guardian> start_guardian(bool wanted) {
  if (!wanted) return nullptr;
  auto guardian = master::Guardian::start();
  if (guardian) {
    (*guardian)->revoke_at_crash();
    return std::move(*guardian);
  }
  LOG_WARNING("no guardian: {}; should this master die, its lease has to run out", guardian.error().what());
  return nullptr;
}

MasterRole::MasterRole(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}

MasterRole::~MasterRole() { stop(); }

Result<std::unique_ptr<MasterRole>> MasterRole::start(MasterPlan plan, World& world) {
  // A role that is given up halfway is stopped by its destructor like any other.
  std::unique_ptr<MasterRole> role(new MasterRole(std::make_unique<Inside>(std::move(plan))));
  Inside& in = *role->inside_;
  const auto& listen = in.plan.listen;
  put(in.plan.jwt, in.jwt);
  if (const auto set = in.white_list.set(in.plan.white_list); !set) return set.error().at("-whiteList");

  for (const auto& sentence : exposure_of(in.plan)) LOG_INFO("open: {}", sentence);

  in.orders = master::make_remote_orders();
  in.master = master::Master::create(in.plan.options, world.clock, world.random);
  in.master->set_tiers(in.plan.tiers);

  in.feed = std::make_unique<master::ChangeFeed>(world.clock, in.plan.runtime.feature_level);
  in.backups = std::make_unique<master::BackupSource>(
      master::BackupSource::Parts{.feed = *in.feed, .clock = world.clock, .random = world.random, .about = [master = in.master.get()] {
        const auto status = master->cluster_status();
        return master::BackupSource::About{status.generation, status.adopted_clusters};
      }});
  in.images = std::make_unique<master::ImageWriter>(in.plan.images, *in.feed, world.disk, world.clock);

  if (in.plan.runtime.read_only) in.staleness = std::make_unique<master::Staleness>(world.clock);

  // The ports first: a second start by mistake should hear of that, and touch nothing. What asks meanwhile hears that
  // there is no leader yet.
  front::MasterRoutes::Options routes;
  routes.address = in.plan.runtime.self.http();
  routes.disable_http = in.plan.disable_http;
  routes.admin_token = in.plan.admin_token;
  routes.read_only = in.plan.runtime.read_only;
  routes.forward.wait = in.plan.options.leader_wait;
  routes.version = "30GB 4.44 holdfast-" + release_text();  // the form clients know, and who speaks
  in.routes = std::make_unique<front::MasterRoutes>(
      front::MasterRoutes::Parts{.master = *in.master,
                                 .pool = world.pool,
                                 .loops = world.loops,
                                 .clock = world.clock,
                                 .random = world.random,
                                 .white_list = in.white_list,
                                 .transfer_leadership =
                                     [&in](std::optional<NodeId> target, std::function<void(Status)> done) {
                                       in.runtime->transfer_leadership(target, std::move(done));
                                     },
                                 .change_members =
                                     [&in](const front::MemberChange& change, std::function<void(Status)> done) {
                                       if (change.adds && change.removes) {
                                         in.runtime->replace_server(*change.removes, *change.adds, std::move(done));
                                       } else if (change.adds) {
                                         in.runtime->add_server(*change.adds, change.voter, std::move(done));
                                       } else if (change.removes) {
                                         in.runtime->remove_server(*change.removes, std::move(done));
                                       }
                                     },
                                 .watch_report =
                                     [&in]() -> std::shared_ptr<const master::WatchReport> {
                                       return in.is_open ? in.runtime->watch_report() : nullptr;
                                     },
                                 .jwt = &in.jwt,
                                 .metaloggers = [&in] { return in.backups->metaloggers(); }},
      routes);
  http::Observer* observer = &in.routes->observer();
  if (!listen.access_log.empty()) {
    auto opened = front::AccessLog::open(listen.access_log, *observer, world.clock);
    if (!opened) return opened.error();
    in.access_log = std::move(*opened);
    observer = in.access_log.get();
  }
  in.http = std::make_unique<http::Server>(
      world.loops, *in.routes,
      http::ServerOptions{.idle_timeout = in.plan.idle_timeout,
                          .observer = observer,
                          .tls = in.plan.https,
                          .every_head = in.staleness ? staleness_header(*in.staleness) : nullptr});
  if (const auto listening = in.http->listen(listen.address, listen.http_port); !listening) {
    return listen_error(listen.address, listen.http_port, listening.error());
  }
  if (listen.also_loopback) (void)in.http->listen("127.0.0.1", listen.http_port);  // a convenience, may be taken
  for (const auto& place : listen.more_http) {
    const auto listening = in.http->listen(place.address, place.port);
    if (!listening) return listen_error(place.address, place.port, listening.error());
  }
  if (listen.metrics_port != 0) {
    auto metrics = SideServer::metrics(world.loops, listen.metrics_address, listen.metrics_port);
    if (!metrics) return metrics.error();
    in.metrics = std::move(*metrics);
  }
  if (listen.debug_port != 0) {
    auto debug = SideServer::debug(world.loops, listen.debug_port);
    if (!debug) return debug.error();
    in.debug = std::move(*debug);
  }

  master::RuntimeConfig config = in.plan.runtime;
  config.on_fatal = [](const std::string& why) { LOG_FATAL("{}", why); };
  // Without a volume nobody can have been given a key.
  config.holds_data = [master = in.master.get()] { return master->cluster_status().max_volume_id.value() != 0; };
  config.leases_understood = [master = in.master.get()] {
    return master->cluster_status().feature_level >= master::kLeasesFeatureLevel;
  };
  config.feed = in.feed.get();
  config.pulses_at = [master = in.master.get()](std::uint16_t port) { master->take_pulses_at(port); };
  config.on_pulse = [master = in.master.get()](BytesView datagram) { master->received_pulse(datagram); };
  const auto restored = master::take_restored_state(config, world.disk, world.clock, world.random);
  if (!restored) return restored.error();
  if (!restored->empty()) LOG_WARNING("this master {}", *restored);
  config.witness_wanted = [master = in.master.get(), wanted = in.plan.witness]() -> std::optional<bool> {
    if (master->cluster_status().feature_level < master::kWitnessFeatureLevel) return std::nullopt;
    return wanted;
  };
  config.volume_servers = [master = in.master.get()] { return volume_servers_of(*master); };
  auto runtime = master::MasterRuntime::open(config, world.disk, world.clock, world.random, in.master->state_machine());
  if (!runtime) return runtime.error();
  in.runtime = std::move(*runtime);
  in.is_open = true;

  front::MasterServiceOptions service;
  service.default_replication = in.plan.options.default_replication;
  service.preallocate = in.plan.options.preallocate;
  service.metrics_address = in.plan.metrics_push_address;
  service.metrics_interval_seconds = in.plan.metrics_push_seconds;
  service.leader_wait = in.plan.options.leader_wait;
  service.maintenance_scripts = in.plan.maintenance.scripts;
  service.maintenance_sleep_minutes = static_cast<std::uint32_t>(
      std::chrono::ceil<std::chrono::minutes>(in.plan.maintenance.interval).count());
  service.read_only = in.plan.runtime.read_only;
  service.jwt = &in.jwt;
  service.allows = [&in](std::string_view ip) { return in.white_list.allows(ip); };
  front::GrpcServer::Options grpc_options;
  grpc_options.hosts = grpc_hosts(listen);
  grpc_options.port = listen.grpc_port;
  grpc_options.tls = in.plan.tls;
  for (const auto& place : listen.more_grpc) grpc_options.more.emplace_back(place.address, place.port);
  grpc_options.services.push_back(front::make_master_service(std::move(service), *in.master, in.runtime.get()));
  grpc_options.services.push_back(front::make_raft_service(in.runtime->acceptor()));
  grpc_options.services.push_back(
      front::make_backup_service(*in.backups, [&in](std::string_view ip) { return in.white_list.allows(ip); }));
  if (in.access_log) grpc_options.on_call_ended = front::log_calls(*in.access_log);
  auto grpc = front::GrpcServer::start(std::move(grpc_options));
  if (!grpc) return listen_error(listen.address, listen.grpc_port, grpc.error());
  in.grpc = std::move(*grpc);

  // Others dial back as soon as they are called, so the runtime comes when everything listens; and it tells the master
  // of each change from the first one on.
  in.master->start(in.runtime->consensus(), *in.orders);
  in.backups->start(in.runtime->consensus());
  in.images->start();
  if (in.staleness) in.staleness->start(in.runtime->consensus());
  if (const auto started = in.runtime->start(); !started) return started.error();
  if (const auto& guardian = in.plan.runtime.guardian) guardian->keep();
  in.maintenance = std::make_unique<MaintenanceScripts>(
      in.plan.maintenance, [&in] { return in.runtime->consensus().view()->is_leader(); });
  LOG_INFO("master {} serves http on {} and grpc on {}", text(in.plan.runtime.self),
           host_port(listen.address, listen.http_port), host_port(listen.address, listen.grpc_port));
  return role;
}

Uuid MasterRole::process() const { return inside_->runtime->consensus().view()->process; }

std::string MasterRole::describe() const {
  const Inside& in = *inside_;
  const auto view = in.runtime->consensus().view();
  const auto* leader = view->leader_member();
  std::string out = fmt::format("address: {}\ncluster: {}\nstate: {}\nterm: {}\nleader: {}\ncommitted: {}\napplied: {}\n",
                                text(in.plan.runtime.self),
                                view->cluster_id.value().empty() ? "none yet" : text(view->cluster_id),
                                master::text(view->role), view->term.value(), leader != nullptr ? leader->http : "none",
                                view->commit.value(), view->applied.value());
  if (!view->waiting_for.empty()) out += fmt::format("waits: {}\n", view->waiting_for);
  for (const auto& member : view->members) {
    out += fmt::format("member: {} {} {}{}\n", member.http.empty() ? "unknown" : member.http,
                       member.joining ? "joins" : member.voter ? "voter" : "learner", member.connected ? "connected" : "away",
                       member.self ? " (this one)" : "");
  }
  return out;
}

void MasterRole::hand_over() {
  if (inside_->is_stopped) return;
  const auto view = inside_->runtime->consensus().view();
  if (!view->is_leader() || view->members.size() < 2) return;
  auto done = std::make_shared<std::promise<void>>();
  auto over = done->get_future();
  inside_->runtime->transfer_leadership(std::nullopt, [done](Status outcome) {
    if (!outcome) LOG_INFO("leadership was not handed over: {}", outcome.error().what());
    done->set_value();
  });
  (void)over.wait_for(kHandOverMax);
}

void MasterRole::stop() {
  Inside& in = *inside_;
  if (std::exchange(in.is_stopped, true)) return;
  // After the hand-over this master would only pass requests on; clients that keep a connection find the next master
  // as soon as theirs is closed.
  in.maintenance.reset();
  if (in.images) in.images->stop();
  if (in.staleness) in.staleness->stop();
  if (in.runtime) in.runtime->stop(kHandOverMax);
  if (in.backups) in.backups->stop();
  if (const auto& guardian = in.plan.runtime.guardian) guardian->end();
  // Both at once: the server waits for its requests, and those that wait for the master are answered by its stop.
  std::thread closing([&in] {
    if (in.http) in.http->stop(kGrace);
  });
  if (in.master) in.master->stop();
  closing.join();
  in.metrics.reset();
  in.debug.reset();
  if (in.grpc) in.grpc->stop();
}

void MasterRole::reload(const Reread& news) {
  if (inside_->access_log) inside_->access_log->reopen();
  put(news.jwt, inside_->jwt);
  if (news.tiers) inside_->master->set_tiers(*news.tiers);
  read_again(inside_->plan.https);
  if (const auto set = inside_->white_list.set(news.white_list); !set) {
    LOG_ERROR("white list: {}; the one before stays", set.error().what());
  }
}

}  // namespace holdfast::cmd
