// For the tests of this folder: a Master and a MasterRuntime whose answers a test sets, and clients of a server.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "front/grpc/server.h"
#include "service/master/master.h"
#include "service/master/runtime.h"

namespace holdfast::front {

// A value that tests wait for.
template <typename T>
class Watched {
 public:
  Watched() = default;
  // A callback that has just told it something may still be on its way out of the lock.
  ~Watched() { const std::lock_guard guard(mutex_); }

  void set(T value) {
    const std::lock_guard guard(mutex_);
    value_ = std::move(value);
    changed_.notify_all();
  }
  T get() const {
    const std::lock_guard guard(mutex_);
    return value_;
  }
  template <typename F>
  void change(F f) {
    const std::lock_guard guard(mutex_);
    f(value_);
    changed_.notify_all();
  }
  // Whether it fulfils `holds` within ten seconds.
  template <typename F>
  bool wait_until(F holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return holds(value_); });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

inline master::LocationsPtr places_of(VolumeId volume, const std::vector<std::string>& urls, std::size_t copies = 1) {
  auto locations = std::make_shared<master::Locations>();
  locations->volume = volume;
  locations->copies = copies;
  for (const auto& url : urls) {
    locations->places.push_back({.url = url,
                                 .public_url = "pub-" + url,
                                 .data_center = "dc1",
                                 .rack = "r1",
                                 .server_id = url,
                                 .grpc_port = 18080});
  }
  return locations;
}

// The key-value space of one master alone.
class FakeSpace final : public master::KeyValues {
 public:
  void when_open(std::function<void(std::optional<master::Refusal>)> done) override { done(std::nullopt); }
  void write(kv::Command command, std::function<void(master::OrRefusal<kv::Answer>)> done) override {
    const std::lock_guard guard(mutex_);
    done(space_.apply(command));
  }
  void get(std::string key, bool, std::function<void(master::OrRefusal<master::KvRecord>)> done) override {
    master::KvRecord record;
    {
      const std::lock_guard guard(mutex_);
      if (const kv::Item* item = space_.find(key)) record.item = *item;
    }
    done(std::move(record));
  }
  void list(kv::ListRequest, bool, std::function<void(master::OrRefusal<master::KvList>)>) override { std::abort(); }
  void watch(master::KvWatch, std::function<void(master::OrRefusal<kv::Changes>)>) override { std::abort(); }

 private:
  std::mutex mutex_;
  kv::Space space_;
};

class FakeMaster final : public master::Master {
 public:
  FakeSpace space;
  using Answer = master::OrRefusal<master::AssignAnswer>;

  // ---- what a test sets and reads
  mutable Watched<std::optional<master::Leader>> now_leads;
  std::function<std::optional<master::AssignAnswer>(const master::AssignRequest&)> on_try;
  std::function<void(const master::AssignRequest&, std::function<void(Answer)>)> on_assign;
  std::function<void(const master::GrowRequest&, std::function<void(master::OrRefusal<master::GrowAnswer>)>)> on_grow;
  std::function<master::OrRefusal<master::Done>(const std::string&)> on_delete;
  std::map<VolumeId, master::LocationsPtr> volumes;
  bool warming_up = false;
  bool copies_may_appear = false;
  mutable std::atomic<int> lookups{0};
  master::ClusterStatus cluster;
  master::TopologyStatus topology;
  std::vector<std::string> collection_names;
  std::vector<std::string> ec_collection_names;
  std::function<std::optional<master::ReportReply>(const topology::Report&)> on_report;
  Watched<int> sessions_open;
  Watched<int> subscriptions_open;
  std::vector<master::LocationChange> picture;
  std::string marked;
  std::vector<TierBackend> tiers_told;

  void lead(bool self, const std::string& http = "127.0.0.1:9333", const std::string& grpc = "127.0.0.1:19333",
            std::uint64_t term = 1) {
    now_leads.set(master::Leader{
        .self = self, .id = NodeId(Uuid{term, self ? 1u : 2u}), .http = http, .grpc = grpc, .term = Term(term)});
  }

  void tell(const master::LocationChange& change) {
    const std::lock_guard guard(subscribers_mutex_);
    for (const auto& [id, subscriber] : subscribers_) subscriber(change);
  }

  // ---- master::Master
  master::KeyValues& key_values() override { return space; }
  topology::StateMachine& state_machine() override { std::abort(); }
  void start(master::Consensus&, master::VolumeOrders&) override {}
  void stop() override {}

  std::optional<master::AssignAnswer> try_assign(const master::AssignRequest& request) override {
    return on_try ? on_try(request) : std::nullopt;
  }
  void assign(const master::AssignRequest& request, std::function<void(Answer)> done) override {
    on_assign(request, std::move(done));
  }
  master::TierBackendsPtr tiers() const override { return std::make_shared<const std::vector<TierBackend>>(tiers_told); }
  master::LookupAnswer lookup(VolumeId volume, std::string_view) const override {
    ++lookups;
    const auto found = volumes.find(volume);
    return {.locations = found == volumes.end() ? nullptr : found->second, .warming_up = warming_up, .copies_may_appear = copies_may_appear};
  }
  void grow(master::GrowRequest request, std::function<void(master::OrRefusal<master::GrowAnswer>)> done) override {
    on_grow(request, std::move(done));
  }
  void vacuum(master::VacuumRequest request, std::function<void(master::OrRefusal<master::Done>)> done) override {
    marked = "vacuum " + text(request.volume) + " " + request.collection + " " +
             std::to_string(request.garbage_threshold.value_or(-1));
    done(master::Done{});
  }
  void disable_vacuum(bool disabled, bool by_plugin,
                      std::function<void(master::OrRefusal<master::Done>)> done) override {
    marked = std::string(disabled ? "disabled" : "enabled") + (by_plugin ? " by a plugin" : "");
    done(master::Done{});
  }
  void delete_collection(std::string collection,
                         std::function<void(master::OrRefusal<master::Done>)> done) override {
    done(on_delete(collection));
  }
  master::OrRefusal<master::CollectionStatus> collection_info(const std::string& collection) const override {
    return master::CollectionStatus{.collection = collection, .file_count = 3, .total_size = 2000, .used_size = 1000};
  }
  Tell tell_volume_server;  // of the last stream of reports
  std::vector<master::CollectionStatus> collection_details(const std::string&) const override { return {}; }
  std::vector<std::string> collections() const override { return collection_names; }
  std::vector<std::string> ec_collections() const override { return ec_collection_names; }
  std::optional<master::Leader> leader() const override { return now_leads.get(); }
  void wait_for_leader(std::function<void(master::OrRefusal<master::Leader>)> done) override {
    if (const auto known = now_leads.get()) return done(*known);
    done(no_leader_refusal());
  }
  master::Refusal no_leader_refusal() const override {
    return {.kind = master::Refusal::Kind::unavailable, .text = "no leader: an election is going on"};
  }
  master::ClusterStatus cluster_status() const override { return cluster; }
  master::TopologyStatus topology_status(bool) const override { return topology; }

  void take_pulses_at(std::uint16_t) override {}
  void received_pulse(BytesView) override {}
  std::unique_ptr<master::ReportSession> open_session(std::string, Tell tell) override {
    tell_volume_server = std::move(tell);
    class Session final : public master::ReportSession {
     public:
      explicit Session(FakeMaster& master) : master_(master) {
        master_.sessions_open.change([](int& n) { ++n; });
      }
      ~Session() override { closed(); }
      std::optional<master::ReportReply> on_report(topology::Report report) override {
        return master_.on_report(report);
      }
      void closed() override {
        if (!std::exchange(closed_, true)) master_.sessions_open.change([](int& n) { --n; });
      }

     private:
      FakeMaster& master_;
      bool closed_ = false;
    };
    return std::make_unique<Session>(*this);
  }

  bool mark_readonly(std::string_view server_url, VolumeId volume, bool read_only) override {
    marked = std::string(server_url) + " " + text(volume) + (read_only ? " ro" : " rw");
    return volumes.contains(volume);
  }

  std::unique_ptr<master::Subscription> subscribe(std::function<void(const master::LocationChange&)> changed,
                                                  std::vector<master::LocationChange>* initial) override {
    class Ended final : public master::Subscription {
     public:
      Ended(FakeMaster& master, int id) : master_(master), id_(id) {}
      ~Ended() override {
        {
          const std::lock_guard guard(master_.subscribers_mutex_);
          master_.subscribers_.erase(id_);
        }
        master_.subscriptions_open.change([](int& n) { --n; });
      }

     private:
      FakeMaster& master_;
      const int id_;
    };
    const std::lock_guard guard(subscribers_mutex_);
    *initial = picture;
    subscribers_[++last_subscriber_] = std::move(changed);
    subscriptions_open.change([](int& n) { ++n; });
    return std::make_unique<Ended>(*this, last_subscriber_);
  }

 private:
  std::mutex subscribers_mutex_;
  std::map<int, std::function<void(const master::LocationChange&)>> subscribers_;
  int last_subscriber_ = 0;
};

class FakeRuntime final : public master::MasterRuntime {
 public:
  std::optional<NodeId> transferred_to;
  std::string added;
  std::optional<NodeId> removed;
  Watched<std::vector<master::ClusterHint>> hints;

  void told_of(const master::ClusterHint& hint) override {
    hints.change([&](auto& all) { all.push_back(hint); });
  }
  master::Consensus& consensus() override { std::abort(); }
  master::LinkAcceptor& acceptor() override { std::abort(); }
  Status start() override { return {}; }
  void stop(Duration) override {}
  void transfer_leadership(std::optional<NodeId> target, std::function<void(Status)> done) override {
    transferred_to = target;
    done({});
  }
  void add_server(const Address& address, bool voter, std::function<void(Status)> done) override {
    added = text(address) + (voter ? "" : " (learner)");
    done({});
  }
  void remove_server(NodeId id, std::function<void(Status)> done) override {
    removed = id;
    done({});
  }
  void replace_server(NodeId old, const Address& address, std::function<void(Status)> done) override {
    removed = old;
    added = text(address);
    done({});
  }
  std::shared_ptr<const master::WatchReport> watch_report() const override { return std::make_shared<master::WatchReport>(); }
};

inline std::unique_ptr<GrpcServer> serve(std::unique_ptr<grpc::Service> service) {
  GrpcServer::Options options;
  options.hosts = {"127.0.0.1"};
  options.services.push_back(std::move(service));
  auto server = GrpcServer::start(std::move(options));
  CHECK(server.ok());
  return *std::move(server);
}

inline std::shared_ptr<grpc::Channel> dial(const GrpcServer& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server.port()), grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace holdfast::front
