// Reporter: tells every master what this volume server holds, over one stream to each (SendHeartbeat, spec/weed-grpc
// 5.1), so that any of them can lead at once.
//
// Masters are dialled as told by the configuration (a name that stands for several masters as all of them, and looked up
// again and again: client/discovery.h), and as learned from the masters' answers and from holdfast.json. A
// stream begins with a full report; from then on each pulse carries the volumes that changed since, so its size is that
// of the change. New and removed volumes are told at once. A broken stream is dialled again after 20 ms, doubling up to
// kBackoffMax.
//
// Pulses that say nothing new go by datagram (api/pulse.h) where the master says that they arrive; each kStreamPulses-th
// goes by the stream all the same.
//
// A master that sends no Holdfast fields is upstream's: it gets full lists every kUpstreamPulse, and when it names
// another leader, that one is dialled.
//
// Clusters. A server that was never in one joins that of the first master that accepts it. Later the cluster is changed
// only by masters that accept this server's volumes while none of its own cluster is connected: then the old masters
// are gone and these took its volumes over (design/raft-and-leases 3.6). Otherwise a foreign master is left alone and
// named in the log.
//
// Stores for volumes. Each master tells those of its own master.toml; all of them together count, and where two masters tell of
// one name the leader's word does. What a master that is away told last goes on counting.
//
// One thread of its own; events of streams are queued to it. The functions may be called from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/uuid.h"
#include "client/discovery.h"
#include "client/heartbeat_stream.h"
#include "io/clock.h"
#include "io/posix/udp.h"
#include "model/ec_shards_info.h"
#include "model/tier_backend.h"
#include "model/volume_info.h"
#include "service/volume/config.h"
#include "service/volume/fence_keeper.h"
#include "service/volume/maintenance.h"

namespace master_pb {
class Heartbeat;
class HeartbeatResponse;
}  // namespace master_pb

namespace holdfast::volume {

// What there is to tell, at one moment.
struct Holdings {
  std::vector<VolumeInfo> volumes;  // without quarantined and vanished ones
  std::vector<EcShardsInfo> ec_shards;
  std::map<std::string, std::uint32_t> slots;  // by disk type
  std::map<std::string, std::uint64_t> total_bytes;
  std::map<std::string, std::uint64_t> free_bytes;
  MaintenanceState state;
};

class Reporter {
 public:
  static constexpr Duration kPulse = 250ms;        // until a master asks for another
  static constexpr int kStreamPulses = 20;  // 5 s at rest, as SeaweedFS reports
  static constexpr Duration kUpstreamPulse = 5s;
  static constexpr Duration kBackoffMin = 20ms;
  // For ever: a master that comes back without its disk has little time to hear whose it is (runtime.cc, kLoneWait).
  static constexpr Duration kBackoffMax = 250ms;
  static constexpr Duration kRefusedPause = 2s;    // before a master that turned us away is asked again
  // A connected master that says nothing for this long is redialled; each time it gets twice as long, so that one to which a
  // thousand servers have come at once is not asked to read all their full reports again and again.
  static constexpr Duration kFirstAnswerMax = 5s;
  static constexpr Duration kFirstAnswerLongest = 60s;
  static constexpr std::uint32_t kFeatureLevel = 2;

  struct World {
    io::Clock& clock;
    FenceKeeper& fences;
    std::function<Holdings()> holdings;              // may wait briefly
    std::vector<std::string> folder_uuids;
    Uuid process;
    // Called on the reporter's thread when a master tells other settings.
    std::function<void(std::uint64_t volume_size_limit)> settings;
    // Likewise when the masters tell of other stores for volumes; empty: of none.
    std::function<void(std::vector<TierBackend> tiers)> tiers;
    Duration first_answer_max = kFirstAnswerMax;
  };

  Reporter(const VolumeConfig& config, World world);
  ~Reporter();  // as leave(0s)

  void start();

  // Something was added, removed or marked: tells the masters at once.
  void changed();

  // The last report to each master, then no more. Waits up to `patience` until they are on their way.
  void leave(Duration patience);

  bool has_left() const { return left_.load(); }

  // The masters known now, the leader first when one is known.
  std::vector<Address> masters() const;

  // Masters that have accepted a report on a stream that still stands.
  std::size_t connected() const { return connected_.load(); }

 private:
  struct Told {
    VolumeInfo info;
    std::uint64_t version = 0;  // of the last change of it
    std::uint64_t born = 0;     // the version with which it came
  };
  struct Link;
  struct Event {
    std::uint64_t link = 0;
    std::unique_ptr<master_pb::HeartbeatResponse> response;  // null: closed
    std::string error;
  };

  void run();
  void handle(Event& event);
  void on_response(Link& link, const master_pb::HeartbeatResponse& response);
  bool settle_cluster(Link& link, const master_pb::HeartbeatResponse& response);
  void on_closed(Link& link, const std::string& error);
  void learn_masters(const master_pb::HeartbeatResponse& response);
  void hand_on_tiers();
  void refresh_links();
  void take_discovered();
  void drop_doubles(Link& link);
  void dial(Link& link, Instant now);
  void pulse(Link& link, Instant now);
  void take_terms(Link& link, const master_pb::HeartbeatResponse& response);
  bool pulse_by_datagram(Link& link, const std::string& ours, Instant now);
  void take_stock();
  void note_ec_changes(const std::vector<EcShardsInfo>& now, std::uint64_t version);
  void fill_head(master_pb::Heartbeat& report) const;
  void fill_room(master_pb::Heartbeat& report) const;
  void fill_ours(master_pb::Heartbeat& report) const;
  void fill_full(master_pb::Heartbeat& report) const;
  void fill_masters(master_pb::Heartbeat& report, const Address& called) const;
  void fill_ec(master_pb::Heartbeat& report) const;
  void fill_state(master_pb::Heartbeat& report) const;
  void fill_changes(master_pb::Heartbeat& report, const Link& link) const;
  void say_goodbye();
  Link* find(std::uint64_t id);
  Duration pulse_of(const Link& link) const;
  void publish_masters();

  const VolumeConfig config_;
  World world_;

  // The reporter's thread only.
  std::vector<std::unique_ptr<Link>> links_;
  std::uint64_t last_link_ = 0;
  std::map<VolumeId, Told> told_;
  std::map<VolumeId, Told> gone_;  // versions of removals
  // Shards that came and went, for those who want changes alone; the oldest are forgotten, since full lists flow too.
  struct EcChange {
    EcShardsInfo info;  // with the bits that changed
    bool is_new = false;
    std::uint64_t version = 0;
  };
  static constexpr std::size_t kEcChangesMax = 1000;
  std::vector<EcChange> ec_changes_;
  std::uint64_t ec_version_ = 0;  // of the last change of any of them
  std::uint64_t state_version_ = 0;  // likewise of the state
  std::uint64_t version_ = 0;
  Holdings stock_;
  Instant stock_taken_ = kDistantPast;
  Duration pulse_ = kPulse;
  NodeId leader_;
  std::optional<std::vector<TierBackend>> tiers_;  // as handed on last; nullopt: no master has told yet
  std::optional<io::posix::UdpSocket> datagrams_;

  // Shared.
  mutable Mutex mutex_;  // leaf
  Condition wake_;
  std::vector<Event> events_ HOLDFAST_GUARDED_BY(mutex_);
  bool changed_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool rediscovered_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool leaving_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Duration leave_patience_ HOLDFAST_GUARDED_BY(mutex_){};
  std::vector<Address> masters_ HOLDFAST_GUARDED_BY(mutex_);
  std::atomic<bool> left_{false};
  std::atomic<std::size_t> connected_{0};
  std::thread thread_;
  std::unique_ptr<client::Discovery> discovery_;  // whom the configuration names
};

}  // namespace holdfast::volume
