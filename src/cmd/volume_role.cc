#include "cmd/volume_role.h"

#include <fmt/format.h>

#include <thread>

#include "base/log.h"
#include "cmd/command.h"
#include "cmd/exposure.h"
#include "cmd/side_server.h"
#include "front/grpc/raft_service.h"
#include "front/grpc/server.h"
#include "front/grpc/volume_service.h"
#include "front/http/access_log.h"
#include "front/http/volume_routes.h"
#include "front/http/white_list.h"
#include "front/image/image_pool.h"
#include "service/master/witness_host.h"
#include "service/volume/volume_server.h"

namespace holdfast::cmd {
namespace {

constexpr Duration kGrace = 10s;  // for uploads and downloads under way at the stop

}  // namespace

// In the order of construction; taken down in the reverse order.
struct VolumeRole::Inside {
  explicit Inside(VolumePlan p) : plan(std::move(p)) {}

  const VolumePlan plan;
  front::WhiteList white_list;
  api::JwtKeys jwt;
  std::unique_ptr<volume::VolumeServer> server;
  front::ImagePool images{{}};  // its workers start with the first image
  std::unique_ptr<front::VolumeRoutes> routes;
  std::unique_ptr<front::AccessLog> access_log;
  std::unique_ptr<http::Server> http;
  std::unique_ptr<master::WitnessHost> witness;
  std::unique_ptr<front::GrpcServer> grpc;
  std::unique_ptr<SideServer> metrics;
  std::unique_ptr<SideServer> debug;
  std::unique_ptr<metalogger::Metalogger> metalogger;
  bool is_stopped = false;

  void stop(Duration pre_stop) {
    if (std::exchange(is_stopped, true)) return;
    if (metalogger) metalogger->stop();
    if (server) server->leave();
    if (http && pre_stop > Duration(0)) std::this_thread::sleep_for(pre_stop);
    if (http) http->stop(kGrace);
    metrics.reset();
    debug.reset();
    if (witness) witness->stop();
    if (grpc) grpc->stop();
    if (server) server->stop();
  }
};

VolumeRole::VolumeRole(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}

VolumeRole::~VolumeRole() { inside_->stop(Duration(0)); }

Result<std::unique_ptr<VolumeRole>> VolumeRole::start(VolumePlan plan, World& world, Uuid process) {
  // A role that is given up halfway is stopped by its destructor like any other.
  std::unique_ptr<VolumeRole> role(new VolumeRole(std::make_unique<Inside>(std::move(plan))));
  Inside& in = *role->inside_;
  const auto& listen = in.plan.listen;
  put(in.plan.jwt, in.jwt);
  if (const auto set = in.white_list.set(in.plan.white_list); !set) return set.error().at("-whiteList");

  for (const auto& sentence : exposure_of(in.plan)) LOG_INFO("open: {}", sentence);

  auto server = volume::VolumeServer::open(in.plan.config, {.disk = world.disk,
                                                            .clock = world.clock,
                                                            .random = world.random,
                                                            .loops = world.loops,
                                                            .pool = world.pool,
                                                            .process = process});
  if (!server) return server.error();
  in.server = std::move(*server);

  front::VolumeRoutes::Options routes;
  routes.read_mode = front::read_mode_of(in.plan.read_mode);
  routes.public_port = in.plan.public_port;
  routes.has_page = in.plan.has_page;
  routes.turn_images = in.plan.turn_images;
  routes.file_bytes_max = in.plan.config.file_bytes_max;
  routes.upload_bytes_max = in.plan.upload_bytes_max;
  routes.upload_patience = in.plan.upload_patience;
  routes.download_bytes_max = in.plan.download_bytes_max;
  routes.download_patience = in.plan.download_patience;
  in.routes = std::make_unique<front::VolumeRoutes>(front::VolumeRoutes::Parts{.service = *in.server,
                                                                               .pool = world.pool,
                                                                               .loops = world.loops,
                                                                               .clock = world.clock,
                                                                               .white_list = in.white_list,
                                                                               .jwt = &in.jwt,
                                                                               .images = &in.images},
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
      http::ServerOptions{.idle_timeout = in.plan.idle_timeout, .observer = observer, .tls = in.plan.https});
  for (const auto port : {listen.http_port, in.plan.public_port}) {
    if (port == 0) continue;
    const auto listening = in.http->listen(listen.address, port);
    if (!listening) return listen_error(listen.address, port, listening.error());
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

  front::VolumeServiceOptions service;
  service.version = version_text();
  service.data_center = in.plan.config.data_center;
  service.rack = in.plan.config.rack;
  service.jwt = &in.jwt;
  service.allows = [&in](std::string_view ip) { return in.white_list.allows(ip); };
  front::GrpcServer::Options grpc_options;
  grpc_options.hosts = grpc_hosts(listen);
  grpc_options.port = listen.grpc_port;
  grpc_options.tls = in.plan.tls;
  grpc_options.services.push_back(front::make_volume_service(std::move(service), *in.server));
  if (in.plan.witness && !in.plan.config.directories.empty()) {
    const auto& first = in.plan.config.directories.front().path;
    auto witness = master::WitnessHost::open(
        {.folder = io::join(first, "witness"),
         .self = Address{.host = in.plan.config.ip, .port = in.plan.config.port, .grpc_port = in.plan.config.grpc_port},
         .bind_host = listen.grpc_address.value_or(listen.address),
         .feature_level = feature_level(),
         .cluster_secret = in.plan.cluster_secret,
         .cluster = [server = in.server.get()] { return server->cluster(); }},
        world.disk, world.clock, world.random);
    if (!witness) return witness.error();
    in.witness = std::move(*witness);
    grpc_options.services.push_back(front::make_raft_service(in.witness->acceptor()));
  }
  if (in.access_log) grpc_options.on_call_ended = front::log_calls(*in.access_log);
  auto grpc = front::GrpcServer::start(std::move(grpc_options));
  if (!grpc) return listen_error(listen.address, listen.grpc_port, grpc.error());
  in.grpc = std::move(*grpc);

  if (in.plan.metalogger) {
    auto logger = metalogger::Metalogger::open(*in.plan.metalogger, world.disk, world.clock, world.random);
    if (!logger) return logger.error().at("metalogger");
    in.metalogger = std::move(*logger);
    in.metalogger->start();
  }
  in.server->start();
  LOG_INFO("volume server {} serves http on {} and grpc on {}", in.server->self(),
           host_port(listen.address, listen.http_port), host_port(listen.address, listen.grpc_port));
  return role;
}

void VolumeRole::stop() { inside_->stop(inside_->plan.config.pre_stop); }

std::string describe(const metalogger::MetaloggerState& state) {
  std::string out = fmt::format("follows: {}\nposition: {}\nimage: {}\nbehind: {}\n", state.follows.empty() ? "none" : state.follows,
                                text(state.position), text(state.image), state.behind);
  if (!state.cluster.value().empty()) out += fmt::format("cluster: {}\ngeneration: {}\n", text(state.cluster), text(state.generation));
  if (!state.trouble.empty()) out += fmt::format("trouble: {}\n", state.trouble);
  return out;
}

std::string VolumeRole::describe() const {
  const Inside& in = *inside_;
  std::string out = fmt::format("address: {}\n", in.server->self());
  for (const auto& master : in.server->masters()) out += fmt::format("master: {}\n", text(master));
  for (const auto& directory : in.plan.config.directories) out += fmt::format("folder: {}\n", directory.path);
  if (in.metalogger) out += cmd::describe(in.metalogger->status());
  return out;
}

void VolumeRole::reload(const Reread& news) {
  if (inside_->access_log) inside_->access_log->reopen();
  put(news.jwt, inside_->jwt);
  read_again(inside_->plan.https);
  if (const auto loaded = inside_->server->load_new_volumes(); loaded > 0) {
    LOG_INFO("{} volumes whose files have appeared are loaded", loaded);
  }
  if (const auto set = inside_->white_list.set(news.white_list); !set) {
    LOG_ERROR("white list: {}; the one before stays", set.error().what());
  }
}

}  // namespace holdfast::cmd
