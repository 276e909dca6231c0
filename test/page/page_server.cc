// Three masters that only pretend, behind the real HTTP routes, so that a test can show a browser whatever it likes.
//
// Prints "ready PORT PORT PORT", then obeys lines from stdin, each answered with "ok": masters and servers are counted
// from 1, `leader N`, `nobody` (no leader), `silent N` / `heard N` (a master), `server DC RACK NAME VOLUMES` (a volume
// server appears or changes), `quiet NAME` (a volume server falls silent), `down N` / `up N` (a master's HTTP server).
// Ends at the end of stdin.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "front/http/master_routes.h"
#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "test/support/fake_master.h"

namespace holdfast {
namespace {

constexpr std::size_t kMasters = 3;

struct Node {
  Node(io::EventLoops& loops, io::Clock& clock, io::Random& random)
      : loops(loops), pool(loops), routes({master, pool, loops, clock, random, white_list, registry}, {.version = "30GB 4.44 holdfast-test"}) {}

  void up() {
    server = std::make_unique<http::Server>(loops, routes);
    auto listening = server->listen("127.0.0.1", port);
    CHECK(listening.ok());
    port = *listening;
  }
  void down() {
    server->stop(Duration(0));
    server.reset();
  }
  std::string address() const { return fmt::format("127.0.0.1:{}", port); }

  io::EventLoops& loops;
  test::FakeMaster master;
  front::WhiteList white_list;
  metrics::Registry registry;
  client::HttpPool pool;
  front::MasterRoutes routes;
  std::unique_ptr<http::Server> server;
  std::uint16_t port = 0;
};

class Cluster {
 public:
  Cluster() {
    for (std::size_t i = 0; i < kMasters; ++i) {
      nodes_.push_back(std::make_unique<Node>(loops_, clock_, random_));
      nodes_.back()->up();
    }
    publish();
  }
  ~Cluster() {
    for (auto& node : nodes_) {
      if (node->server) node->down();
    }
  }

  std::string ports() const {
    return fmt::format("{} {} {}", nodes_[0]->port, nodes_[1]->port, nodes_[2]->port);
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "server") {
      std::string center, rack, name;
      std::uint32_t volumes = 0;
      words >> center >> rack >> name >> volumes;
      add_server(center, rack, name, volumes);
    } else if (verb == "quiet") {
      std::string name;
      words >> name;
      each_server([&](master::ServerStatus& server) {
        if (server.id != name) return;
        server.state = "silent";
        server.writable = false;
        server.silent_for = std::chrono::seconds(3);
      });
    } else if (verb == "nobody") {
      leader_ = kMasters;
      ++term_;
    } else {
      std::size_t number = 0;
      words >> number;
      CHECK(number >= 1 && number <= kMasters);
      const auto i = number - 1;
      if (verb == "leader") {
        leader_ = i;
        ++term_;
      } else if (verb == "silent" || verb == "heard") {
        silent_[i] = verb == "silent";
      } else if (verb == "down") {
        nodes_[i]->down();
      } else if (verb == "up") {
        nodes_[i]->up();
      } else {
        CHECK(false && "an unknown command");
      }
    }
    publish();
  }

 private:
  static NodeId id(std::size_t i) { return NodeId(Uuid{7, i + 1}); }

  void add_server(const std::string& center_id, const std::string& rack_id, const std::string& name, std::uint32_t volumes) {
    auto& centers = topology_.data_centers;
    auto center = std::find_if(centers.begin(), centers.end(), [&](auto& c) { return c.id == center_id; });
    if (center == centers.end()) center = centers.insert(centers.end(), {center_id, {}});
    auto rack = std::find_if(center->racks.begin(), center->racks.end(), [&](auto& r) { return r.id == rack_id; });
    if (rack == center->racks.end()) rack = center->racks.insert(center->racks.end(), {rack_id, {}});
    auto server = std::find_if(rack->servers.begin(), rack->servers.end(), [&](auto& s) { return s.id == name; });
    if (server == rack->servers.end()) server = rack->servers.insert(rack->servers.end(), master::ServerStatus());
    server->id = server->url = server->public_url = name;
    server->state = "ok";
    server->max = 8;
    server->volumes = volumes;
    server->free = 8 - static_cast<std::int64_t>(volumes);
    server->used_bytes = volumes * 345678901ull;
    auto& disk = server->disks[""];
    disk.total_bytes = 500ull << 30;
    disk.free_bytes = 321ull << 30;
    disk.volume_ids.clear();
    for (std::uint32_t v = 1; v <= volumes; ++v) disk.volume_ids.push_back(VolumeId(v));
  }

  template <typename F>
  void each_server(F f) {
    for (auto& center : topology_.data_centers) {
      for (auto& rack : center.racks) {
        for (auto& server : rack.servers) f(server);
      }
    }
  }

  void publish() {
    topology_.max = topology_.free = 0;
    topology_.volumes = 0;
    std::uint64_t servers = 0;
    std::uint64_t silent = 0;
    each_server([&](const master::ServerStatus& server) {
      ++servers;
      if (server.state == "silent") ++silent;
      topology_.max += server.max;
      topology_.free += server.free;
      topology_.volumes = std::max<std::uint64_t>(topology_.volumes, static_cast<std::uint64_t>(server.volumes));
    });
    topology_.layouts.clear();
    if (topology_.volumes > 0) {
      master::LayoutStatus layout;
      layout.volumes = topology_.volumes;
      layout.writables = {VolumeId(1)};
      topology_.layouts.push_back(layout);
      layout.collection = "pictures";
      layout.replica_placement = *ReplicaPlacement::parse("010");
      layout.ttl = *Ttl::parse("30d");
      topology_.layouts.push_back(layout);
    }
    for (std::size_t i = 0; i < kMasters; ++i) {
      auto view = std::make_shared<master::View>();
      view->cluster_id = ClusterId(Uuid{0x1234, 0x5678});
      view->self = id(i);
      view->term = Term(term_);
      view->commit = view->applied = Index(100 + term_);
      if (leader_ < kMasters) view->leader = id(leader_);
      view->role = role_of(i);
      for (std::size_t m = 0; m < kMasters; ++m) {
        master::MemberView member;
        member.id = id(m);
        member.self = m == i;
        member.connected = !silent_[m];
        member.http = nodes_[m]->address();
        member.grpc = fmt::format("127.0.0.1:{}", nodes_[m]->port + 10000);
        member.role = role_of(m);
        member.term = Term(term_);
        member.match = view->commit;
        if (m != i) member.silent_for = silent_[m] ? Duration(std::chrono::seconds(42)) : Duration(std::chrono::milliseconds(6));
        view->members.push_back(member);
      }
      nodes_[i]->master.with([&](test::FakeMaster& m) {
        m.cluster.view = view;
        m.cluster.cluster_id = view->cluster_id;
        m.cluster.generation = Generation(1);
        m.cluster.feature_level = 1;
        m.cluster.max_volume_id = VolumeId(static_cast<std::uint32_t>(topology_.volumes));
        m.cluster.uptime = std::chrono::hours(30);
        m.cluster.volume_size_limit = 30000ull << 20;
        m.cluster.servers = servers;
        m.cluster.servers_silent = silent;
        m.topology = topology_;
      });
      if (leader_ == kMasters) {
        nodes_[i]->master.lose_leader();
      } else if (leader_ == i) {
        nodes_[i]->master.lead(nodes_[i]->address());
      } else {
        nodes_[i]->master.follow(nodes_[leader_]->address());
      }
    }
  }

  master::Role role_of(std::size_t i) const {
    if (leader_ == i) return master::Role::leader;
    return leader_ == kMasters ? master::Role::pre_candidate : master::Role::follower;
  }

  io::posix::SystemClock clock_;
  io::posix::SystemRandom random_;
  io::EventLoops loops_{1};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::size_t leader_ = 0;
  std::uint64_t term_ = 1;
  bool silent_[kMasters] = {};
  master::TopologyStatus topology_;
};

}  // namespace
}  // namespace holdfast

int main() {
  holdfast::Cluster cluster;
  std::cout << "ready " << cluster.ports() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    cluster.obey(line);
    std::cout << "ok" << std::endl;
  }
}
