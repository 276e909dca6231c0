// Shared: what the parts of the Master have in common. Each part says which thread it runs on; the loop is the one
// that waits, grows and proposes.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "api/request_id.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "core/topology/topology.h"
#include "io/clock.h"
#include "io/random.h"
#include "service/master/consensus.h"
#include "service/master/keys.h"
#include "service/master/loop.h"
#include "service/master/master.h"
#include "service/master/published_registry.h"
#include "service/master/subscriptions.h"
#include "service/master/volume_orders.h"

namespace holdfast::master {

inline topology::Topology::Options topology_options(const Options& options) {
  topology::Topology::Options out;
  out.volume_size_limit = options.volume_size_limit;
  out.crowded_threshold = options.crowded_threshold;
  out.replication_as_minimum = options.replication_as_minimum;
  out.missed_pulses_max = options.missed_pulses_max;
  out.forget_after = options.forget_after;
  return out;
}

// What is counted here (docs/metrics.md).
struct Counters {
  metrics::Counter& reports =
      metrics::process().counter("SeaweedFS_master_received_heartbeats", "reports of volume servers", {{"type", "total"}});
  metrics::Counter& silences = metrics::process().counter("holdfast_master_heartbeats_missed_total",
                                                          "times a volume server was not heard for some pulses");
  metrics::Counter& volumes_made =
      metrics::process().counter("SeaweedFS_master_volume_creation_total", "volumes made", {{"result", "success"}});
  metrics::Counter& volumes_failed = metrics::process().counter(
      "SeaweedFS_master_volume_creation_total", "volumes made", {{"result", "failure"}});
  metrics::Counter& assigns_refused =
      metrics::process().counter("SeaweedFS_master_pick_for_write_error", "assigns that found nothing to write to");
  metrics::Counter& assigns_waited =
      metrics::process().counter("holdfast_master_assigns_waited_total", "assigns that were not answered at once");
};

// What set_tiers() was told last. Locks for itself.
class TierBackends {
 public:
  void set(std::vector<TierBackend> tiers) {
    auto made = std::make_shared<const std::vector<TierBackend>>(std::move(tiers));
    Guard guard(mutex_);
    tiers_ = std::move(made);
  }
  TierBackendsPtr get() const {
    Guard guard(mutex_);
    return tiers_;
  }

 private:
  mutable Mutex mutex_;  // leaf
  TierBackendsPtr tiers_ HOLDFAST_GUARDED_BY(mutex_) = std::make_shared<const std::vector<TierBackend>>();
};

struct Shared {
  Shared(Options options_given, io::Clock& clock_given, io::Random& random_given)
      : options(std::move(options_given)),
        clock(clock_given),
        random(random_given),
        started(clock_given.now()),
        registry(options.feature_level, [this](const RegistryStatePtr& state) { registry_applied(state); }),
        topology(topology_options(options)) {}

  // Keys first: those that were taken back are gone before the loop lets the topology make use of the new state.
  void registry_applied(const RegistryStatePtr& state) {
    keys.update(*state);
    registry_changed.store(true);
    loop.wake();
  }

  // The id of the request that this thread works for (api/request_id.h); of what nobody asked for, a new one.
  std::string request_id() {
    const std::string_view current = api::RequestScope::current();
    if (!current.empty()) return std::string(current);
    const auto wall = static_cast<std::uint64_t>(clock.wall().time_since_epoch().count());
    return fmt::format("{:016X}{:08X}", wall, random.next() & 0xffff'ffff);
  }

  // Calls `change(topology)` under its lock; what watchers must hear is queued in order.
  template <typename Change>
  auto with_topology(Change change) {
    Guard guard(topology_mutex);
    if constexpr (std::is_void_v<decltype(change(topology))>) {
      change(topology);
      queue_events();
    } else {
      auto result = change(topology);
      queue_events();
      return result;
    }
  }
  void queue_events() HOLDFAST_REQUIRES(topology_mutex) {
    auto events = topology.take_events();
    if (events.empty()) return;
    subscriptions.queue(std::move(events));
    loop.wake();
  }

  // What event loops read: these lock for themselves.
  const topology::LayoutTable& layouts() const HOLDFAST_NO_ANALYSIS { return topology.layouts(); }
  const topology::LocationIndex& index() const HOLDFAST_NO_ANALYSIS { return topology.index(); }
  const topology::LocationIndex& ec_index() const HOLDFAST_NO_ANALYSIS { return topology.ec_index(); }

  // Constant after construction, but for the consensus and the orders, which start() sets once.
  const Options options;
  io::Clock& clock;
  io::Random& random;
  const Instant started;
  const Counters counters;
  // Numbers this process' orders to volume servers, growth's and deletions' alike: a server refuses what comes late, so
  // two counters of different height would shut one kind out.
  std::atomic<std::uint64_t> next_order{1};
  std::atomic<Consensus*> consensus{nullptr};
  VolumeOrders* orders = nullptr;

  // These lock for themselves. The loop is shared with callbacks of the consensus and of orders, which may come after
  // everything else here has gone: posting to a stopped loop does nothing.
  const std::shared_ptr<Loop> loop_owner = std::make_shared<Loop>();
  Loop& loop = *loop_owner;
  KeySource keys;
  TierBackends tiers;
  std::atomic<bool> registry_changed{true};
  PublishedRegistry registry;
  Subscriptions subscriptions;

  // Reports, growth and status. Picks and lookups go past it, through layouts() and index().
  Mutex topology_mutex;  // locked before the leaves above
  topology::Topology topology HOLDFAST_GUARDED_BY(topology_mutex);
};

}  // namespace holdfast::master
