#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "api/master.pb.h"
#include "base/log.h"
#include "client/location_feed.h"
#include "client/master_client.h"
#include "cmd/command.h"
#include "cmd/side_server.h"
#include "cmd/plan.h"
#include "cmd/servers.h"
#include "cmd/world.h"
#include "front/grpc/master_service.h"
#include "front/grpc/server.h"
#include "front/http/master_routes.h"
#include "front/http/server.h"
#include "front/http/white_list.h"
#include "service/master/followed_picture.h"
#include "service/master/master.h"
#include "service/master/remote_orders.h"

namespace holdfast::cmd {

namespace {

constexpr Duration kGrace = 5s;
constexpr Duration kConfigurationPatience = 5s;  // for what the masters' defaults are; a follower works without

class Follower {
 public:
  static Result<std::unique_ptr<Follower>> start(FollowerPlan plan, World& world) {
    std::unique_ptr<Follower> made(new Follower(std::move(plan), world));
    if (auto listening = made->listen(world); !listening) return listening.error();
    made->follow();
    return made;
  }

  ~Follower() {
    if (feed_) feed_->stop();
    std::thread closing([this] {
      if (http_) http_->stop(kGrace);
    });
    master_->stop();
    closing.join();
    metrics_.reset();
    if (grpc_) grpc_->stop();
  }

  void reload(const Reread& news) {
    put(news.jwt, jwt_);
    read_again(plan_.https);
    if (const auto set = white_list_.set(news.white_list); !set) {
      LOG_ERROR("white list: {}; the one before stays", set.error().what());
    }
  }

 private:
  Follower(FollowerPlan plan, World& world) : plan_(std::move(plan)), consensus_(new_process_id(world)) {
    put(plan_.jwt, jwt_);
    master::Options options;
    options.knows_collections = false;
    options.growth_disabled = true;
    options.vacuum_pass = Duration(0);
    options.leader_wait = Duration(0);  // there is never one here
    master_ = master::Master::create(options, world.clock, world.random);
    picture_ = std::make_unique<master::FollowedPicture>(*master_);
  }

  Status listen(World& world) {
    if (const auto set = white_list_.set(plan_.white_list); !set) return set.error().at("-whiteList");
    front::MasterRoutes::Options routes;
    routes.address = plan_.self.http();
    routes.read_only = true;
    routes.follows = true;
    routes.forward.wait = Duration(0);
    routes.version = "30GB 4.44 holdfast-" + release_text();
    routes_ = std::make_unique<front::MasterRoutes>(front::MasterRoutes::Parts{.master = *master_,
                                                                               .pool = world.pool,
                                                                               .loops = world.loops,
                                                                               .clock = world.clock,
                                                                               .random = world.random,
                                                                               .white_list = white_list_,
                                                                               .jwt = &jwt_},
                                                    routes);
    http_ = std::make_unique<http::Server>(world.loops, *routes_,
                                           http::ServerOptions{.observer = &routes_->observer(), .tls = plan_.https});
    const auto& at = plan_.listen;
    if (const auto listening = http_->listen(at.address, at.http_port); !listening) {
      return listen_error(at.address, at.http_port, listening.error());
    }
    if (at.also_loopback) (void)http_->listen("127.0.0.1", at.http_port);  // a convenience, may be taken
    if (at.metrics_port != 0) {
      auto metrics = SideServer::metrics(world.loops, at.metrics_address, at.metrics_port);
      if (!metrics) return metrics.error();
      metrics_ = std::move(*metrics);
    }
    front::MasterServiceOptions service;
    service.read_only = true;
    service.leader_wait = Duration(0);
    service.jwt = &jwt_;
    service.allows = [this](std::string_view ip) { return white_list_.allows(ip); };
    client::MasterClient masters({.masters = plan_.masters, .patience = kConfigurationPatience});
    if (const auto told = masters.configuration()) {
      service.default_replication = told->default_replication;
      service.preallocate = told->volume_preallocate;
    } else {
      LOG_WARNING("no master has told its settings yet ({}); it is tried on", told.error().what());
    }
    front::GrpcServer::Options options;
    options.hosts = grpc_hosts(at);
    options.port = at.grpc_port;
    options.tls = plan_.tls;
    options.services.push_back(front::make_master_service(std::move(service), *master_, nullptr));
    auto grpc = front::GrpcServer::start(std::move(options));
    if (!grpc) return listen_error(at.address, at.grpc_port, grpc.error());
    grpc_ = std::move(*grpc);
    return {};
  }

  void follow() {
    master_->start(consensus_, *orders_);
    feed_ = std::make_unique<client::LocationFeed>(
        client::LocationFeed::Options{
            .masters = plan_.masters, .client_type = "masterFollower", .client_address = plan_.self.http(), .version = version_text()},
        client::LocationFeed::Events{
            .on_connected =
                [this](const std::string& master) {
                  LOG_INFO("follows master {}", master);
                  picture_->begin();
                },
            .on_location = [this](const master_pb::VolumeLocation& location) { picture_->take(location); },
            .on_lost = [this](const std::string& master,
                              const Error& why) { LOG_WARNING("master {} is lost: {}; the map of {} volume servers stays", master,
                                                              why.what(), picture_->servers()); }});
    LOG_INFO("follower {} serves http on {} and grpc on {}", text(plan_.self), host_port(plan_.listen.address, plan_.listen.http_port),
             host_port(plan_.listen.address, plan_.listen.grpc_port));
  }

  const FollowerPlan plan_;
  master::NoConsensus consensus_;
  const std::unique_ptr<master::VolumeOrders> orders_ = master::make_remote_orders();  // never used: who does not lead gives none
  front::WhiteList white_list_;
  api::JwtKeys jwt_;
  std::unique_ptr<master::Master> master_;
  std::unique_ptr<master::FollowedPicture> picture_;
  std::unique_ptr<front::MasterRoutes> routes_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<front::GrpcServer> grpc_;
  std::unique_ptr<SideServer> metrics_;
  std::unique_ptr<client::LocationFeed> feed_;
};

}  // namespace

int run_master_follower(const Call& call) {
  announce(call, "master.follower");
  const auto settings = or_fatal(load_settings(call.globals.string("config_dir"), process_environment));
  auto plan = or_fatal(plan_follower(FlagView(call.flags, ""), settings));
  World world(master_loops());
  const auto follower = or_fatal(Follower::start(std::move(plan), world), "Follower startup error: ");
  const auto signal = serve_until_stopped(call, [&](const Reread& news) { follower->reload(news); });
  LOG_INFO("{}: stopping", signal);
  return 0;
}

}  // namespace holdfast::cmd
