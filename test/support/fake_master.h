// FakeMaster: a Master that answers as a test tells it to, for the fronts' tests and the page's.
//
// Everything a test sets is under one mutex, so it may be changed while the server runs.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "api/request_id.h"
#include "service/master/master.h"

namespace holdfast::test {

// A key-value space of this process alone, which answers at once; `refusal`, when set, is what a write gets instead.
class FakeKeyValues : public master::KeyValues {
 public:
  using Refusal = master::Refusal;

  std::optional<Refusal> closed;
  std::vector<Refusal> refusals;  // of the next writes, the first in front; done all the same if `outcome_unknown`
  std::uint64_t writes = 0;
  kv::Space space;
  std::vector<std::pair<master::KvWatch, std::function<void(master::OrRefusal<kv::Changes>)>>> watches;

  template <typename F>
  auto with(F change) {
    const std::lock_guard lock(mutex_);
    return change(*this);
  }

  void when_open(std::function<void(std::optional<Refusal>)> done) override {
    done(with([](auto& self) { return self.closed; }));
  }
  void write(kv::Command command, std::function<void(master::OrRefusal<kv::Answer>)> done) override {
    auto outcome = with([&](auto& self) -> master::OrRefusal<kv::Answer> {
      ++self.writes;
      if (self.refusals.empty()) return self.space.apply(command);
      const Refusal refusal = self.refusals.front();
      self.refusals.erase(self.refusals.begin());
      if (refusal.kind == Refusal::Kind::outcome_unknown) (void)self.space.apply(command);
      return refusal;
    });
    done(std::move(outcome));
  }
  void get(std::string key, bool, std::function<void(master::OrRefusal<master::KvRecord>)> done) override {
    done(with([&](auto& self) -> master::OrRefusal<master::KvRecord> {
      const kv::Item* item = self.space.find(key);
      return master::KvRecord{item == nullptr ? std::nullopt : std::optional(*item), self.space.revision(), Index(77)};
    }));
  }
  void list(kv::ListRequest request, bool, std::function<void(master::OrRefusal<master::KvList>)> done) override {
    done(with([&](auto& self) -> master::OrRefusal<master::KvList> {
      return master::KvList{self.space.list(request), Index(77)};
    }));
  }
  void watch(master::KvWatch watch, std::function<void(master::OrRefusal<kv::Changes>)> done) override {
    auto found = with([&](auto& self) -> std::optional<kv::Changes> {
      auto changes = self.space.changes(watch.filter, watch.since.value_or(self.space.revision()), watch.limit);
      if (!changes.changes.empty() || changes.compacted || watch.wait == Duration(0)) return changes;
      self.watches.emplace_back(watch, done);
      return std::nullopt;
    });
    if (found) done(std::move(*found));
  }

 private:
  std::mutex mutex_;
};

class FakeMaster : public master::Master {
 public:
  using Refusal = master::Refusal;

  FakeKeyValues kv;

  // ---- what a test sets
  template <typename F>
  auto with(F change) {
    const std::lock_guard lock(mutex_);
    return change(*this);
  }

  std::optional<master::Leader> leader_is;
  std::optional<Refusal> refusal;           // of assign, grow and delete_collection
  bool at_once = true;                      // whether try_assign answers
  bool hangs = false;                       // assign, grow and delete_collection never answer (until stop())
  master::LookupAnswer unknown;             // for volumes not in `places`
  std::map<std::uint32_t, master::LocationsPtr> places;
  bool copies_may_appear = false;           // of the volumes in `places`
  std::optional<master::LookupAnswer> soon;  // what lookup_soon() comes to, if not what lookup() says
  master::ClusterStatus cluster;
  master::TopologyStatus topology;
  std::map<std::string, master::CollectionStatus> known_collections;

  // ---- what a test looks at
  std::uint64_t assigns = 0;
  mutable std::uint64_t lookups = 0;
  std::uint64_t next_key = 1;
  std::vector<master::GrowRequest> grown;
  std::vector<std::string> deleted;
  std::vector<double> vacuumed;  // thresholds, -1 for the usual one
  // The last assign's parameters, copied.
  std::map<std::string, std::string> assign_params;
  std::vector<std::function<void()>> hanging;  // answers what hangs
  std::vector<std::string> request_ids;        // for which request each assign, growth, deletion and vacuum was

  void lead(const std::string& address) { become(address, true); }
  void follow(const std::string& address) { become(address, false); }
  void lose_leader() {
    const std::lock_guard lock(mutex_);
    leader_is.reset();
  }

  void add_volume(std::uint32_t id, const std::string& url, const std::string& collection = "") {
    const std::lock_guard lock(mutex_);
    auto locations = std::make_shared<master::Locations>();
    locations->volume = VolumeId(id);
    locations->collection = collection;
    if (const auto found = places.find(id); found != places.end()) locations->places = found->second->places;
    locations->places.push_back({.url = url, .public_url = url, .data_center = "dc1", .rack = "r1", .server_id = url, .grpc_port = 18080});
    places[id] = locations;
  }

  // ---- Master
  topology::StateMachine& state_machine() override {
    CHECK(false && "the fake has none");
    std::abort();
  }
  void start(master::Consensus&, master::VolumeOrders&) override {}
  void stop() override {}

  std::optional<master::AssignAnswer> try_assign(const master::AssignRequest& request) override {
    const std::lock_guard lock(mutex_);
    if (!at_once || refusal || hangs || !leader_is || !leader_is->self || places.empty()) return std::nullopt;
    return answer(request);
  }

  void assign(const master::AssignRequest& request, std::function<void(master::OrRefusal<master::AssignAnswer>)> done) override {
    std::unique_lock lock(mutex_);
    request_ids.emplace_back(api::RequestScope::current());
    if (hangs) {
      hanging.push_back([done] { done(Refusal{Refusal::Kind::timed_out, "request timeout"}); });
      ++assigns;
      return;
    }
    master::OrRefusal<master::AssignAnswer> result = Refusal{Refusal::Kind::not_leader, "raft.Server: Not current leader"};
    if (leader_is && leader_is->self) {
      if (refusal) {
        result = *refusal;
      } else {
        result = answer(request);
      }
    }
    lock.unlock();
    done(std::move(result));
  }

  master::LookupAnswer lookup(VolumeId volume, std::string_view collection) const override {
    const std::lock_guard lock(mutex_);
    ++lookups;
    const auto found = places.find(volume.value());
    if (found == places.end() || (!collection.empty() && found->second->collection != collection)) return unknown;
    return {.locations = found->second, .copies_may_appear = copies_may_appear};
  }

  void lookup_soon(VolumeId volume, std::string collection, std::function<void(master::LookupAnswer)> done) override {
    const auto answer = with([](auto& m) { return m.soon; });
    done(answer ? *answer : lookup(volume, collection));
  }

  void grow(master::GrowRequest request, std::function<void(master::OrRefusal<master::GrowAnswer>)> done) override {
    std::unique_lock lock(mutex_);
    request_ids.emplace_back(api::RequestScope::current());
    grown.push_back(request);
    if (hangs) {
      hanging.push_back([done] { done(Refusal{Refusal::Kind::failed, "stopped"}); });
      return;
    }
    master::OrRefusal<master::GrowAnswer> result = master::GrowAnswer{request.count};
    if (refusal) result = *refusal;
    lock.unlock();
    done(std::move(result));
  }

  void vacuum(master::VacuumRequest request, std::function<void(master::OrRefusal<master::Done>)> done) override {
    {
      std::unique_lock lock(mutex_);
      request_ids.emplace_back(api::RequestScope::current());
      vacuumed.push_back(request.garbage_threshold.value_or(-1));
    }
    done(master::Done{});
  }

  void delete_collection(std::string collection, std::function<void(master::OrRefusal<master::Done>)> done) override {
    std::unique_lock lock(mutex_);
    request_ids.emplace_back(api::RequestScope::current());
    master::OrRefusal<master::Done> result = master::Done{};
    if (refusal) {
      result = *refusal;
    } else if (known_collections.erase(collection) == 0) {
      result = Refusal{Refusal::Kind::bad_request, "collection " + collection + " does not exist"};
    } else {
      deleted.push_back(collection);
    }
    lock.unlock();
    done(std::move(result));
  }

  master::OrRefusal<master::CollectionStatus> collection_info(const std::string& collection) const override {
    const std::lock_guard lock(mutex_);
    const auto found = known_collections.find(collection);
    if (found == known_collections.end()) {
      return Refusal{Refusal::Kind::bad_request, "collection " + collection + " does not exist"};
    }
    return found->second;
  }
  std::vector<master::CollectionStatus> collection_details(const std::string& collection) const override {
    const std::lock_guard lock(mutex_);
    const auto found = known_collections.find(collection);
    if (found == known_collections.end()) return {};
    return {found->second};
  }
  std::vector<std::string> collections() const override { return {}; }

  std::optional<master::Leader> leader() const override {
    const std::lock_guard lock(mutex_);
    return leader_is;
  }
  void wait_for_leader(std::function<void(master::OrRefusal<master::Leader>)> done) override {
    const auto now = leader();
    if (now) return done(*now);
    done(no_leader_refusal());
  }
  Refusal no_leader_refusal() const override {
    return {Refusal::Kind::unavailable, "no leading master: 1 of 3 masters is heard, 2 are needed", std::chrono::seconds(1)};
  }

  master::ClusterStatus cluster_status() const override {
    const std::lock_guard lock(mutex_);
    return cluster;
  }
  master::TopologyStatus topology_status(bool) const override {
    const std::lock_guard lock(mutex_);
    return topology;
  }

  master::KeyValues& key_values() override { return kv; }

  std::unique_ptr<master::ReportSession> open_session(std::string, Tell) override { return nullptr; }
  void take_pulses_at(std::uint16_t) override {}
  void received_pulse(BytesView) override {}
  bool mark_readonly(std::string_view, VolumeId, bool) override { return false; }

  std::unique_ptr<master::Subscription> subscribe(std::function<void(const master::LocationChange&)> changed,
                                                  std::vector<master::LocationChange>*) override {
    const std::lock_guard lock(mutex_);
    auto shared = std::make_shared<Subscriber>();
    shared->changed = std::move(changed);
    subscribers_.push_back(shared);
    return std::make_unique<Ends>(shared);
  }

 private:
  struct Subscriber {
    std::mutex mutex;
    std::function<void(const master::LocationChange&)> changed;
  };
  struct Ends : master::Subscription {
    explicit Ends(std::shared_ptr<Subscriber> s) : subscriber(std::move(s)) {}
    ~Ends() override {
      const std::lock_guard lock(subscriber->mutex);
      subscriber->changed = nullptr;
    }
    std::shared_ptr<Subscriber> subscriber;
  };

  void become(const std::string& address, bool self) {
    std::vector<std::shared_ptr<Subscriber>> subscribers;
    {
      const std::lock_guard lock(mutex_);
      master::Leader leader;
      leader.self = self;
      leader.id = id_of(address);
      leader.http = address;
      leader.term = Term(++terms_);
      leader_is = leader;
      subscribers = subscribers_;
    }
    master::LocationChange change;
    change.leader = address;
    for (const auto& subscriber : subscribers) {
      const std::lock_guard lock(subscriber->mutex);
      if (subscriber->changed) subscriber->changed(change);
    }
  }

  static NodeId id_of(const std::string& address) { return NodeId(Uuid{1, std::hash<std::string>{}(address)}); }

  master::AssignAnswer answer(const master::AssignRequest& request) {
    ++assigns;
    assign_params = {{"collection", std::string(request.collection)},   {"replication", std::string(request.replication)},
                     {"ttl", std::string(request.ttl)},                 {"disk", std::string(request.disk_type)},
                     {"dataCenter", std::string(request.data_center)},  {"rack", std::string(request.rack)},
                     {"dataNode", std::string(request.data_node)},      {"count", std::to_string(request.count)},
                     {"writableVolumeCount", std::to_string(request.writable_volume_count)},
                     {"dataSize", std::to_string(request.data_size)},   {"preallocate", std::to_string(request.preallocate)},
                     {"memoryMapMaxSizeMb", std::to_string(request.memory_map_max_size_mb)}};
    master::AssignAnswer out;
    out.count = request.count == 0 ? 1 : request.count;
    out.fid = {places.begin()->second->volume, NeedleId(next_key), Cookie(0x637037d6)};
    out.locations = places.begin()->second;
    next_key += out.count;
    return out;
  }

  mutable std::mutex mutex_;
  std::uint64_t terms_ = 0;
  std::vector<std::shared_ptr<Subscriber>> subscribers_;
};

}  // namespace holdfast::test
