#include "service/master/master.h"

#include <algorithm>
#include <deque>
#include <list>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "model/address.h"
#include "service/master/assigner.h"
#include "service/master/duties.h"
#include "service/master/growth.h"
#include "service/master/key_values_service.h"
#include "service/master/healing.h"
#include "service/master/leftovers.h"
#include "service/master/reports.h"
#include "service/master/shared.h"
#include "service/master/vacuum.h"

namespace holdfast::master {

namespace {

constexpr Duration kTurn = 50ms;       // how late a silent server or a bound may be noticed
constexpr Duration kWarmingUp = 3s;    // a master this young may not have heard all volume servers
constexpr Duration kBeatLateness = 15ms;  // of a member that is well, on a machine that is busy
constexpr std::size_t kLeaderWaitsMax = 10'000;
constexpr std::size_t kLookupWaitsMax = 10'000;
constexpr Duration kFreshFor = 10s;  // after a volume id was given out, its volume may be yet to be heard of

// Deletes a collection: one order for each server that holds volumes of it.
struct Deletion {
  std::string collection;
  std::function<void(OrRefusal<Done>)> done;
  Term term;
  std::map<std::string, std::vector<VolumeId>> servers;
  std::size_t missing = 0;
  std::string failures;
  bool unknown = false;
};

class MasterImpl final : public Master {
 public:
  MasterImpl(Options options, io::Clock& clock, io::Random& random)
      : shared_(std::move(options), clock, random),
        growth_(shared_, [this] { shared_.loop.wake(); }),
        duties_(shared_, growth_),
        leftovers_(shared_, growth_),
        vacuum_(shared_, key_values_),
        healing_(shared_, key_values_),
        assigner_(shared_, growth_, duties_),
        reports_(shared_),
        key_values_(shared_) {}
  ~MasterImpl() override { stop(); }

  topology::StateMachine& state_machine() override { return shared_.registry; }
  void start(Consensus& consensus, VolumeOrders& orders) override;
  void stop() override;

  std::optional<AssignAnswer> try_assign(const AssignRequest& request) override { return assigner_.try_now(request); }
  void assign(const AssignRequest& request, std::function<void(OrRefusal<AssignAnswer>)> done) override;
  LookupAnswer lookup(VolumeId volume, std::string_view collection) const override;
  void lookup_soon(VolumeId volume, std::string collection, std::function<void(LookupAnswer)> done) override;

  void grow(GrowRequest request, std::function<void(OrRefusal<GrowAnswer>)> done) override;
  void delete_collection(std::string collection, std::function<void(OrRefusal<Done>)> done) override;
  HealingStatus healing() const override { return healing_.status(); }
  void mend(VolumeId volume, std::string target, std::function<void(OrRefusal<std::uint64_t>)> done) override;
  void vacuum(VacuumRequest request, std::function<void(OrRefusal<Done>)> done) override;
  void disable_vacuum(bool disabled, bool by_plugin, std::function<void(OrRefusal<Done>)> done) override;
  OrRefusal<CollectionStatus> collection_info(const std::string& collection) const override;
  std::vector<CollectionStatus> collection_details(const std::string& collection) const override;
  std::vector<std::string> collections() const override;
  std::vector<std::string> ec_collections() const override;
  EcLocations lookup_ec(VolumeId volume) const override;

  std::optional<Leader> leader() const override;
  void wait_for_leader(std::function<void(OrRefusal<Leader>)> done) override;
  Refusal no_leader_refusal() const override;

  ClusterStatus cluster_status() const override;
  TopologyStatus topology_status(bool with_volumes) const override;

  KeyValues& key_values() override { return key_values_; }

  void set_tiers(std::vector<TierBackend> tiers) override { shared_.tiers.set(std::move(tiers)); }
  TierBackendsPtr tiers() const override { return shared_.tiers.get(); }

  std::unique_ptr<ReportSession> open_session(std::string peer, Tell tell) override {
    return reports_.open(std::move(peer), std::move(tell));
  }
  void take_pulses_at(std::uint16_t port) override { reports_.take_pulses_at(port); }
  void received_pulse(BytesView datagram) override { reports_.received_pulse(datagram); }
  bool mark_readonly(std::string_view server_url, VolumeId volume, bool read_only) override;
  std::unique_ptr<Subscription> subscribe(std::function<void(const LocationChange&)> changed,
                                          std::vector<LocationChange>* initial) override;

 private:
  struct LeaderWait {
    Instant arrived;
    std::function<void(OrRefusal<Leader>)> done;
  };

  struct LookupWait {
    VolumeId volume;
    std::string collection;
    Instant end;
    std::function<void(LookupAnswer)> done;
  };

  // ---- the loop's thread ----
  Duration turn();
  void tell_of_registry(const topology::RegistryState& state);
  void look_at_view();
  void look_for_lost_leader(const View& view);
  void look_for_silent_members(const View& view);
  void look_at_leader_waits(Instant now);
  void look_at_lookup_waits(Instant now);
  void note_fresh_ids(VolumeId before, VolumeId now_max, Instant now);
  // Its id was given out a moment ago; one that was not noted yet counts, too.
  bool is_fresh(VolumeId volume) const {
    return volume.value() > noted_max_.load(std::memory_order_acquire) || volume.value() >= fresh_from_.load(std::memory_order_relaxed);
  }
  void grow_here(const GrowRequest& request, const std::function<void(OrRefusal<GrowAnswer>)>& done);
  void delete_here(std::string collection, std::function<void(OrRefusal<Done>)> done);
  void deleted(const std::shared_ptr<Deletion>& deletion, const std::string& server, const Status& status);
  void end_deletion(const std::shared_ptr<Deletion>& deletion);
  void abandon_deletions(const View& view);

  // Runs `act` on the loop once this master leads; otherwise `refuse`.
  void as_leader(std::function<void()> act, std::function<void(Refusal)> refuse);
  // Posts; false once stopped, and then the caller answers by itself.
  bool post(std::function<void()> task) { return shared_.loop.post(std::move(task)); }

  mutable Shared shared_;
  Growth growth_;
  Duties duties_;
  Leftovers leftovers_;
  Vacuum vacuum_;
  Healing healing_;
  Assigner assigner_;
  Reports reports_;
  KeyValueService key_values_;

  std::atomic<std::uint32_t> fresh_from_{~0u};  // the lowest fresh id, for lookups
  std::atomic<std::uint32_t> noted_max_{0};     // the highest id that fresh_from_ was set with

  // The loop's own.
  std::shared_ptr<const View> seen_;  // the view at the last look
  std::optional<MemberView> last_leader_;  // as last known; empty once its loss was dealt with
  std::set<NodeId> silent_members_;        // at the leader: their hosts are doubted
  topology::RegistryState told_registry_;
  std::list<LeaderWait> leader_waits_;
  std::list<LookupWait> lookup_waits_;
  std::deque<std::pair<VolumeId, Instant>> fresh_;  // the first id of each gift, and until when it counts as fresh
  std::list<std::shared_ptr<Deletion>> deletions_;
  bool stopped_ = false;
};

Refusal stopping() { return {Refusal::Kind::unavailable, "this master stops", 1s}; }

// ---- start, stop, turn ---------------------------------------------------------------------------------------------

void MasterImpl::start(Consensus& consensus, VolumeOrders& orders) {
  shared_.orders = &orders;
  const auto view = consensus.view();
  shared_.keys.set_identity(view->self, view->process);
  shared_.consensus.store(&consensus, std::memory_order_release);
  consensus.on_view_change([loop = shared_.loop_owner] { loop->wake(); });
  shared_.loop.start(kTurn, [this] { return turn(); });
}

void MasterImpl::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (shared_.consensus.load() != nullptr) {
    post([this] {
      duties_.stop();
      leftovers_.stop();
      vacuum_.stop();
      healing_.stop();
      growth_.stop();
      assigner_.stop();
      key_values_.stop();
      for (const LeaderWait& wait : std::exchange(leader_waits_, {})) wait.done(stopping());
      for (const LookupWait& wait : std::exchange(lookup_waits_, {})) wait.done(lookup(wait.volume, wait.collection));
      for (const auto& deletion : std::exchange(deletions_, {})) {
        deletion->done(Refusal{Refusal::Kind::outcome_unknown, "this master stops: the deletion may go on"});
      }
    });
  }
  shared_.loop.stop();
}

// Answers for how long nothing can become due that is not told of.
Duration MasterImpl::turn() {
  const Instant now = shared_.clock.now();
  if (shared_.registry_changed.exchange(false)) {
    const auto state = shared_.registry.state();
    shared_.with_topology([&](topology::Topology& topology) { topology.set_registry(*state, now); });
    note_fresh_ids(told_registry_.max_volume_id, state->max_volume_id, now);
    tell_of_registry(*state);
  } else if (!fresh_.empty()) {
    note_fresh_ids(VolumeId(), VolumeId(), now);
  }
  const Instant next = reports_.look(now);
  look_at_view();
  growth_.look(now);
  duties_.look(now);
  leftovers_.look(now);
  vacuum_.look(now);
  healing_.look(now);
  assigner_.look(now);
  key_values_.look(now);
  look_at_leader_waits(now);
  look_at_lookup_waits(now);
  shared_.subscriptions.deliver();
  return next - now;
}

// What an operator should find in the log of every master.
void MasterImpl::tell_of_registry(const topology::RegistryState& state) {
  const auto before = std::exchange(told_registry_, state);
  if (before.cluster_id == ClusterId()) return;  // a start: nothing of this is new
  for (std::size_t i = before.adopted_clusters.size(); i < state.adopted_clusters.size(); ++i) {
    LOG_WARNING("this cluster takes over the volumes of cluster {}, whose masters are held for lost",
                text(state.adopted_clusters[i]));
  }
  if (state.generation != before.generation) {
    LOG_WARNING("generation {}: orders of earlier masters are refused from now on", text(state.generation));
  }
  if (state.key_floor != before.key_floor) {
    LOG_INFO("volumes that hold files came in from elsewhere: new file keys begin at {}", text(state.key_floor));
  }
  if (state.feature_level != before.feature_level) {
    LOG_INFO("feature level {}: every master understands it", state.feature_level);
  }
}

void MasterImpl::look_at_view() {
  auto view = shared_.consensus.load()->view();
  if (view == seen_) return;
  const auto before = std::exchange(seen_, view);
  if (view->process != Uuid()) shared_.keys.set_identity(view->self, view->process);
  if (before == nullptr || before->term != view->term || before->leader != view->leader) {
    growth_.view_changed();
    vacuum_.view_changed();
    healing_.view_changed();
    abandon_deletions(*view);
  }
  look_for_lost_leader(*view);
  look_for_silent_members(*view);
  if (before != nullptr && before->leader == view->leader) return;
  const auto members = members_with_addresses(*view, *shared_.registry.state());
  for (const MemberView& member : members) {
    if (view->leader == member.id) shared_.subscriptions.queue_leader(upstream_name(member));
  }
}

// A volume server inside the process of a leader that was lost shares its fate until it is heard again. One on the same
// host may: nobody can tell a process that fell silent from a machine that did.
void MasterImpl::look_for_lost_leader(const View& view) {
  if (last_leader_ && view.leader != last_leader_->id && !last_leader_->self) {
    const MemberView* known = view.member(last_leader_->id);
    const Duration two_beats = 2 * shared_.options.heartbeat_interval + kBeatLateness;
    const bool alive = known != nullptr && known->connected && known->silent_for && *known->silent_for < two_beats;
    if (!alive) {
      const Instant now = shared_.clock.now();
      const Uuid process = last_leader_->process;
      if (!process.empty()) {
        shared_.with_topology([&](topology::Topology& topology) { topology.suspect(process, now); });
      }
      if (const auto address = Address::parse(last_leader_->http)) {
        shared_.with_topology([&](topology::Topology& topology) { topology.doubt(address->host); });
      }
      last_leader_.reset();
    }
  }
  if (const MemberView* leader = view.leader_member()) last_leader_ = *leader;
}

// The same at the leader, of its followers: three beats without an answer. Where the machine is gone, its volume server is
// avoided long before it has missed its pulses; where it is not, the next pulse clears it.
void MasterImpl::look_for_silent_members(const View& view) {
  if (!view.is_leader()) return silent_members_.clear();
  for (const MemberView& member : view.members) {
    const Duration three_beats = 3 * shared_.options.heartbeat_interval + kBeatLateness;
    if (member.self || !member.silent_for || *member.silent_for < three_beats) {
      silent_members_.erase(member.id);
    } else if (const auto address = Address::parse(member.http); address && silent_members_.insert(member.id).second) {
      shared_.with_topology([&](topology::Topology& topology) { topology.doubt(address->host); });
    }
  }
}

void MasterImpl::look_at_leader_waits(Instant now) {
  if (leader_waits_.empty()) return;
  const auto known = leader();
  for (auto it = leader_waits_.begin(); it != leader_waits_.end();) {
    if (!known && now - it->arrived < shared_.options.leader_wait) {
      ++it;
      continue;
    }
    const auto done = std::move(it->done);
    it = leader_waits_.erase(it);
    if (known) {
      done(*known);
    } else {
      done(no_leader_refusal());
    }
  }
}

// ---- leader --------------------------------------------------------------------------------------------------------

std::optional<Leader> MasterImpl::leader() const {
  Consensus* consensus = shared_.consensus.load();
  if (consensus == nullptr) return std::nullopt;
  const auto view = consensus->view();
  if (!view->leader) return std::nullopt;
  Leader leader{*view->leader == view->self, *view->leader, {}, {}, view->term};
  if (const MemberView* member = view->leader_member()) {
    leader.http = member->http;
    leader.grpc = member->grpc;
  }
  if (leader.http.empty() || leader.grpc.empty()) {
    const auto state = shared_.registry.state();
    if (const auto it = state->members.find(leader.id); it != state->members.end()) {
      if (leader.http.empty()) leader.http = it->second.http;
      if (leader.grpc.empty()) leader.grpc = it->second.grpc;
    }
  }
  return leader;
}

void MasterImpl::wait_for_leader(std::function<void(OrRefusal<Leader>)> done) {
  if (const auto known = leader()) return done(*known);
  if (shared_.consensus.load() == nullptr) return done(no_leader_refusal());
  const Instant now = shared_.clock.now();
  const bool posted = post([this, now, done] {
    if (leader_waits_.size() >= kLeaderWaitsMax) return done(no_leader_refusal());
    leader_waits_.push_back({now, done});
  });
  if (!posted) done(stopping());
}

Refusal MasterImpl::no_leader_refusal() const {
  Consensus* consensus = shared_.consensus.load();
  if (consensus == nullptr) return {Refusal::Kind::unavailable, "this master is starting", 1s};
  return master::no_leader_refusal(*consensus->view());
}

void MasterImpl::as_leader(std::function<void()> act, std::function<void(Refusal)> refuse) {
  auto work = [act = std::move(act), id = shared_.request_id()] {
    const api::RequestScope scope(id);
    act();
  };
  wait_for_leader([this, work = std::move(work), refuse = std::move(refuse)](const OrRefusal<Leader>& found) {
    if (const auto* refusal = std::get_if<Refusal>(&found)) return refuse(*refusal);
    if (!std::get<Leader>(found).self) return refuse({Refusal::Kind::not_leader, "this master does not lead"});
    if (!post(work)) refuse(stopping());
  });
}

// ---- assign, lookup ------------------------------------------------------------------------------------------------

void MasterImpl::assign(const AssignRequest& request, std::function<void(OrRefusal<AssignAnswer>)> done) {
  if (shared_.consensus.load() == nullptr) return done(no_leader_refusal());
  auto waiting = std::make_shared<Assigner::Waiting>(request, shared_.clock.now(), done);
  if (!post([this, waiting] { assigner_.add(waiting); })) done(stopping());
}

LookupAnswer MasterImpl::lookup(VolumeId volume, std::string_view collection) const {
  LookupAnswer answer;
  answer.locations = shared_.index().find(volume);
  if (answer.locations == nullptr) answer.locations = shared_.ec_index().find(volume);
  if (answer.locations == nullptr) {
    // An id above all that were given cannot exist, unless this cluster has not met its first volumes yet.
    const auto max = shared_.registry.state()->max_volume_id;
    const bool given = volume <= max;
    answer.warming_up = (given || max == VolumeId()) && shared_.clock.now() - shared_.started < kWarmingUp;
    answer.may_appear = answer.warming_up || (given && is_fresh(volume));
  } else if (!collection.empty() && shared_.options.knows_collections && answer.locations->collection != collection) {
    answer.locations = nullptr;
  } else if (!answer.locations->complete()) {
    answer.copies_may_appear = is_fresh(volume);
  }
  return answer;
}

void MasterImpl::lookup_soon(VolumeId volume, std::string collection, std::function<void(LookupAnswer)> done) {
  auto answer = lookup(volume, collection);
  if (!answer.may_appear || shared_.consensus.load() == nullptr) return done(std::move(answer));
  const Instant end = shared_.clock.now() + kLookupWait;
  const bool posted = post([this, volume, collection, end, done] {
    if (lookup_waits_.size() >= kLookupWaitsMax) return done(lookup(volume, collection));
    lookup_waits_.push_back({volume, collection, end, done});
  });
  if (!posted) done(lookup(volume, collection));
}

void MasterImpl::look_at_lookup_waits(Instant now) {
  for (auto it = lookup_waits_.begin(); it != lookup_waits_.end();) {
    auto answer = lookup(it->volume, it->collection);
    if (answer.may_appear && now < it->end) {
      ++it;
      continue;
    }
    const auto done = std::move(it->done);
    it = lookup_waits_.erase(it);
    done(std::move(answer));
  }
}

// Ids that were given out lately, as far as this master knows (after a start: all): the servers may be yet to tell it of
// the volumes.
void MasterImpl::note_fresh_ids(VolumeId before, VolumeId now_max, Instant now) {
  if (now_max > before) fresh_.emplace_back(before.next(), now + kFreshFor);
  while (!fresh_.empty() && fresh_.front().second <= now) fresh_.pop_front();
  fresh_from_.store(fresh_.empty() ? ~0u : fresh_.front().first.value(), std::memory_order_relaxed);
  if (now_max > before) noted_max_.store(now_max.value(), std::memory_order_release);
}

// ---- growth --------------------------------------------------------------------------------------------------------

void MasterImpl::grow(GrowRequest request, std::function<void(OrRefusal<GrowAnswer>)> done) {
  as_leader([this, request = std::move(request), done] { grow_here(request, done); }, done);
}

void MasterImpl::grow_here(const GrowRequest& request, const std::function<void(OrRefusal<GrowAnswer>)>& done) {
  auto selection = parse_selection({request.collection, request.replication, request.ttl, request.disk_type,
                                    request.data_center, request.rack, request.data_node},
                                   assigner_.default_replication());
  if (!selection) return done(Refusal{Refusal::Kind::not_acceptable, selection.error().what()});
  selection->preallocate = request.preallocate;
  selection->memory_map_max_size_mb = request.memory_map_max_size_mb;

  std::int64_t free = 0;
  bool has_servers = false;
  shared_.with_topology([&](topology::Topology& topology) {
    has_servers = topology.has_servers();
    for (const auto& server : topology.growth_servers(selection->layout.disk_type)) {
      free += std::max<std::int64_t>(server.free, 0);
    }
  });
  const std::uint64_t needed =
      static_cast<std::uint64_t>(request.count) * static_cast<unsigned>(selection->layout.replica_placement.copies());
  if (static_cast<std::uint64_t>(free) < needed) {
    return done(Refusal{Refusal::Kind::not_acceptable, "only " + std::to_string(free) +
                                                           " volumes left, not enough for " + std::to_string(needed)});
  }
  if (!has_servers && !selection->data_center.empty()) {
    return done(Refusal{Refusal::Kind::not_acceptable,
                        "data center " + selection->data_center + " not found in topology"});
  }
  if (request.count == 0) return done(GrowAnswer{});
  if (request.count > kGrowthVolumesMax) {
    return done(Refusal{Refusal::Kind::not_acceptable,
                        "at most " + std::to_string(kGrowthVolumesMax) + " volumes can be made at once"});
  }
  growth_.begin(*selection, request.count, [done](const Growth::Outcome& outcome) {
    if (outcome) return done(GrowAnswer{*outcome});
    const Error& error = outcome.error();
    switch (error.code()) {
      case Code::outcome_unknown:
        return done(Refusal{Refusal::Kind::outcome_unknown,
                            "it is not known whether volumes were made: " + error.what()});
      case Code::not_leader: return done(Refusal{Refusal::Kind::not_leader, error.what()});
      case Code::busy: return done(Refusal{Refusal::Kind::busy, error.what(), 1s});
      default: return done(Refusal{Refusal::Kind::not_acceptable, error.what()});
    }
  });
}

// ---- vacuum --------------------------------------------------------------------------------------------------------

void MasterImpl::vacuum(VacuumRequest request, std::function<void(OrRefusal<Done>)> done) {
  as_leader([this, request = std::move(request), done] { vacuum_.begin(request, done); }, done);
}

void MasterImpl::disable_vacuum(bool disabled, bool by_plugin, std::function<void(OrRefusal<Done>)> done) {
  as_leader([this, disabled, by_plugin, done] { vacuum_.disable(disabled, by_plugin, done); }, done);
}

void MasterImpl::mend(VolumeId volume, std::string target, std::function<void(OrRefusal<std::uint64_t>)> done) {
  as_leader([this, volume, target = std::move(target), done] { healing_.mend(volume, target, done); }, done);
}

// ---- deletion ------------------------------------------------------------------------------------------------------

void MasterImpl::delete_collection(std::string collection, std::function<void(OrRefusal<Done>)> done) {
  as_leader([this, collection = std::move(collection), done] { delete_here(collection, done); }, done);
}

void MasterImpl::delete_here(std::string collection, std::function<void(OrRefusal<Done>)> done) {
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader()) return done(Refusal{Refusal::Kind::not_leader, "this master does not lead"});
  auto deletion = std::make_shared<Deletion>();
  deletion->collection = std::move(collection);
  deletion->done = std::move(done);
  deletion->term = view->term;
  std::vector<std::pair<std::string, std::string>> orders;  // server, address
  shared_.with_topology([&](topology::Topology& topology) {
    deletion->servers = topology.collection_servers(deletion->collection);
    for (const auto& [server, volumes] : deletion->servers) orders.emplace_back(server, topology.grpc_address(server));
  });
  if (orders.empty()) {
    return deletion->done(
        Refusal{Refusal::Kind::bad_request, "collection " + deletion->collection + " does not exist"});
  }
  deletion->missing = orders.size();
  deletions_.push_back(deletion);
  const auto state = shared_.registry.state();
  for (const auto& [server, address] : orders) {
    const OrderFence fence{state->cluster_id, state->generation, deletion->term, shared_.next_order.fetch_add(1)};
    shared_.orders->delete_collection(
        address, fence, deletion->collection,
        [this, deletion, server = server, loop = shared_.loop_owner](Status status) {
          loop->post([this, deletion, server, status = std::move(status)] { deleted(deletion, server, status); });
        });
  }
}

void MasterImpl::deleted(const std::shared_ptr<Deletion>& deletion, const std::string& server, const Status& status) {
  if (status) {
    const Instant now = shared_.clock.now();
    shared_.with_topology([&](topology::Topology& topology) {
      for (const VolumeId volume : deletion->servers[server]) topology.removed(volume, server, now);
    });
  } else {
    deletion->failures += (deletion->failures.empty() ? "" : "; ") + server + ": " + status.error().what();
    deletion->unknown = deletion->unknown || status.error().code() == Code::outcome_unknown;
  }
  if (--deletion->missing == 0) end_deletion(deletion);
}

void MasterImpl::end_deletion(const std::shared_ptr<Deletion>& deletion) {
  if (deletions_.remove(deletion) == 0) return;  // abandoned: it was answered
  if (deletion->failures.empty()) {
    LOG_INFO("collection \"{}\" was deleted", deletion->collection);
    return deletion->done(Done{});
  }
  deletion->done(Refusal{deletion->unknown ? Refusal::Kind::outcome_unknown : Refusal::Kind::failed,
                         "collection " + deletion->collection + " was not deleted everywhere: " + deletion->failures});
}

void MasterImpl::abandon_deletions(const View& view) {
  for (auto it = deletions_.begin(); it != deletions_.end();) {
    const auto deletion = *it;
    if (view.is_leader() && view.term == deletion->term) {
      ++it;
      continue;
    }
    it = deletions_.erase(it);
    deletion->done(Refusal{Refusal::Kind::outcome_unknown,
                           "the leader lost its place meanwhile: it is not known what of collection " +
                               deletion->collection + " was deleted"});
  }
}

OrRefusal<CollectionStatus> MasterImpl::collection_info(const std::string& collection) const {
  const auto details = collection_details(collection);
  if (details.empty()) return Refusal{Refusal::Kind::bad_request, "collection " + collection + " does not exist"};
  CollectionStatus sum;
  sum.collection = collection;
  for (const CollectionStatus& one : details) {
    sum.file_count += one.file_count;
    sum.total_size += one.total_size;
    sum.used_size += one.used_size;
    sum.layouts += one.layouts;
    sum.volumes += one.volumes;
  }
  return sum;
}

std::vector<CollectionStatus> MasterImpl::collection_details(const std::string& collection) const {
  return shared_.with_topology([&](topology::Topology& topology) { return topology.collection_details(collection); });
}

std::vector<std::string> MasterImpl::collections() const {
  return shared_.with_topology([](topology::Topology& topology) { return topology.collections(); });
}

std::vector<std::string> MasterImpl::ec_collections() const {
  return shared_.with_topology([](topology::Topology& topology) { return topology.ec_collections(); });
}

Master::EcLocations MasterImpl::lookup_ec(VolumeId volume) const {
  return shared_.with_topology([&](topology::Topology& topology) { return topology.ec_locations(volume); });
}

// ---- status --------------------------------------------------------------------------------------------------------

ClusterStatus MasterImpl::cluster_status() const {
  ClusterStatus status;
  const auto state = shared_.registry.state();
  Consensus* consensus = shared_.consensus.load();
  if (consensus != nullptr) {
    auto view = std::make_shared<View>(*consensus->view());
    view->members = members_with_addresses(*view, *state);
    status.view = std::move(view);
  } else {
    status.view = std::make_shared<View>();
  }
  status.cluster_id = state->cluster_id;
  status.generation = state->generation;
  status.feature_level = state->feature_level;
  status.adopted_clusters = state->adopted_clusters;
  status.max_volume_id = state->max_volume_id;
  status.next_key = state->next_key.value();
  status.uptime = shared_.clock.now() - shared_.started;
  status.volume_size_limit = shared_.options.volume_size_limit;
  shared_.with_topology([&](topology::Topology& topology) {
    status.servers = topology.server_count();
    status.servers_silent = topology.silent_count();
  });
  return status;
}

TopologyStatus MasterImpl::topology_status(bool with_volumes) const {
  TopologyStatus status;
  std::map<std::string, std::map<std::string, std::vector<ServerStatus>>> places;
  // One server at a time: reports go on between them.
  const auto ids = shared_.with_topology([](topology::Topology& topology) { return topology.server_ids(); });
  const Instant now = shared_.clock.now();
  for (const std::string& id : ids) {
    shared_.with_topology([&](topology::Topology& topology) {
      auto server = topology.server_status(id, with_volumes, now);
      if (!server) return;
      status.max += server->max;
      status.free += server->free;
      places[topology.data_center_of(id)][topology.rack_of(id)].push_back(std::move(*server));
    });
  }
  for (auto& [data_center, racks] : places) {
    DataCenterStatus& dc = status.data_centers.emplace_back();
    dc.id = data_center;
    for (auto& [rack, servers] : racks) {
      std::sort(servers.begin(), servers.end(),
                [](const ServerStatus& a, const ServerStatus& b) { return a.url < b.url; });
      dc.racks.push_back({rack, std::move(servers)});
    }
  }
  std::map<topology::LayoutKey, std::uint64_t> short_counts;
  const auto counts = shared_.with_topology([&](topology::Topology& topology) {
    status.volumes = topology.volume_count();
    short_counts = topology.short_counts();
    status.misplaced = topology.misplaced_volumes();
    return topology.layout_counts();
  });
  for (const auto& count : counts) {
    const topology::LayoutKey& key = count.layout->key();
    status.layouts.push_back({key.collection, key.replica_placement, key.ttl, key.disk_type, count.layout->volumes(),
                              count.crowded, count.volumes, short_counts[key]});
  }
  return status;
}

bool MasterImpl::mark_readonly(std::string_view server_url, VolumeId volume, bool read_only) {
  const Instant now = shared_.clock.now();
  return shared_.with_topology(
      [&](topology::Topology& topology) { return topology.mark_readonly(server_url, volume, read_only, now); });
}

std::unique_ptr<Subscription> MasterImpl::subscribe(std::function<void(const LocationChange&)> changed,
                                                    std::vector<LocationChange>* initial) {
  std::string leader_name;
  if (Consensus* consensus = shared_.consensus.load()) {
    const auto view = consensus->view();
    for (const MemberView& member : members_with_addresses(*view, *shared_.registry.state())) {
      if (view->leader == member.id) leader_name = upstream_name(member);
    }
  }
  auto subscription = shared_.with_topology([&](topology::Topology& topology) {
    auto added = shared_.subscriptions.add(std::move(changed));
    for (const std::string& id : topology.server_ids()) {
      if (auto event = topology.location_snapshot(id)) initial->push_back(change_of(std::move(*event)));
    }
    return added;
  });
  if (!leader_name.empty()) {
    if (initial->empty()) initial->emplace_back();
    initial->front().leader = leader_name;
  }
  return subscription;
}

}  // namespace

const char* text(Role role) {
  switch (role) {
    case Role::follower: return "follower";
    case Role::pre_candidate: return "pre-candidate";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
    case Role::learner: return "learner";
  }
  return "unknown";
}

std::unique_ptr<Master> Master::create(Options options, io::Clock& clock, io::Random& random) {
  return std::make_unique<MasterImpl>(std::move(options), clock, random);
}

}  // namespace holdfast::master
