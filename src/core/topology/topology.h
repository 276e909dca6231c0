// Topology: which volume servers there are, what lies on them, and which volumes take writes.
//
// Made of reports alone, the same on every master. A report costs what it changes: a pulse without news moves one
// number on (Liveness), a changed size another (Fill). What event loops read is published as it changes: layouts() to
// pick from, index() to look up.
//
// A volume takes writes when it has all its copies, none of them read-only, none at the size limit, all on servers
// that take writes, and its id and all its keys below the committed counters (registry.h rule 4). A server takes writes while its
// stream is open, its last report is at most some pulses old, its folders are adopted, and it is neither leaving nor in
// maintenance. A volume that was full takes writes again only when it has shrunk below the crowded threshold, so it does not flicker.
//
// A copy whose epoch is older than the one that counts (the registry's, or a later one that a copy tells) is kept aside:
// it takes up room, and is named by no lookup (topology_epochs.cc, docs/self-healing.md).
//
// Pure: every Instant comes from the caller. Not thread-safe (the master holds a lock around it), but layouts() and
// index() are, and pick and look up without that lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/strong_id.h"
#include "base/time.h"
#include "core/topology/growth.h"
#include "core/topology/heal_plan.h"
#include "core/topology/layout.h"
#include "core/topology/locations.h"
#include "core/topology/registry.h"
#include "core/topology/report.h"
#include "core/topology/status.h"

namespace holdfast::topology {

// One stream of reports.
using SessionId = StrongId<struct SessionIdTag, std::uint64_t>;

// A server gained or lost volumes, as those who watch locations must hear it.
struct LocationEvent {
  std::string url;
  std::string public_url;
  std::string data_center;
  std::uint32_t grpc_port = 0;
  std::vector<VolumeId> added;
  std::vector<VolumeId> removed;
  std::vector<VolumeId> ec_added;  // erasure-coded volumes of which it has the first shard
  std::vector<VolumeId> ec_removed;
};

enum class VacuumAmong { all, with_deletions };

class Topology {
 public:
  struct Options {
    std::uint64_t volume_size_limit = 30000ull << 20;
    double crowded_threshold = 0.9;
    bool replication_as_minimum = false;
    int missed_pulses_max = 3;
    Duration foreign_pulse = 5s;    // of volume servers that do not say theirs: upstream's
    Duration forget_after = 5s;     // since the last report of a server whose stream has ended
    // A server of ours whose stream is open but silent for so long is gone with its machine: it is forgotten as if the
    // stream had ended, and told to open another one should it speak there again. Upstream's are gone when their stream
    // ends and not before (spec/weed-grpc 5.1).
    Duration silent_stream_max = 15s;
    Duration allocated_kept = 10s;  // a volume just made stays, even if a report that was under way lacks it
  };

  // What to tell the server.
  struct Reported {
    bool ignored = false;                       // nothing says who it is
    bool displaced = false;                     // a newer stream has taken over, or this one was given up: end it
    bool resend_full = false;                   // not known here, or known otherwise, and this was not a full report
    bool folders_pending = false;               // some folder is not adopted yet
    std::vector<std::string> duplicated_uuids;  // folders that another live server holds: end the stream
    std::string refusal;                        // a sentence; the server's volumes are not taken
  };

  explicit Topology(Options options) : options_(options) {}
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  const LayoutTable& layouts() const { return layouts_; }
  const LocationIndex& index() const { return index_; }
  // Servers that hold any shard of an erasure-coded volume.
  const LocationIndex& ec_index() const { return ec_index_; }

  // ---- inputs ----
  Reported report(SessionId session, const Report& report, Instant now);
  void session_ended(SessionId session, Instant now);
  // A sign of life that says nothing else came at that moment. A server that is suspected since is not helped by it.
  void heard(SessionId session, Instant at);
  // What says from any thread, without a lock, how long a server counts as alive, and how much longer from each sign of
  // life on. Nothing for a stream that has not reported.
  struct Life {
    LivenessPtr liveness;
    Duration lasts{0};
  };
  std::optional<Life> life(SessionId session) const;
  // Takes note of servers that fell silent and forgets those that are gone for long. Answers when the next one may fall
  // silent, kDistantFuture if none can.
  Instant sweep(Instant now);
  // The servers that share this process are not picked until they are heard again: it was a leader that is lost.
  void suspect(const Uuid& process, Instant now);
  // The servers that report this host as theirs are picked last until they are heard again: a leader there fell silent,
  // and perhaps its whole machine did. However lately they were heard: a pulse may be the machine's last word.
  void doubt(std::string_view host);
  // The applied registry: adopted folders, key counter, cluster id.
  void set_registry(const RegistryState& state, Instant now);
  // A volume was made on these servers: it takes writes at once.
  void allocated(const VolumeInfo& info, const std::vector<std::string>& servers, Instant now);
  void removed(VolumeId volume, const std::string& server, Instant now);
  bool mark_readonly(std::string_view server_url, VolumeId volume, bool read_only, Instant now);
  // Slots that a growth under way will use; negative gives back.
  void reserve(const std::string& server, const std::string& disk_type, std::int64_t slots);

  // A volume under vacuum, or that is being mended, gets no new files until it is let go again.
  void hold(VolumeId volume, bool held);

  // Changes since the last call, in order.
  std::vector<LocationEvent> take_events();

  // ---- what the leader should propose ----
  // Folders that wait for their adoption, one command for each server; at most `limit`.
  std::vector<AdoptDirs> pending_adoptions(std::size_t limit) const;
  // The largest ids seen on adopted servers that the registry does not cover, 0 if none.
  NeedleId uncovered_key() const;
  VolumeId uncovered_volume_id() const;

  // Of volumes that a growth may have left half made (RegistryState::unsettled):
  struct HalfMade {
    VolumeId volume;
    std::vector<std::string> servers;  // that hold a copy
  };
  struct Unsettled {
    std::vector<VolumeId> complete;   // seen with all their copies, now or earlier
    std::vector<HalfMade> half_made;  // never that; no holder has ever had a file in it, and all of them can be asked
  };
  Unsettled unsettled() const;

  // Volumes that may be vacuumed: with all their copies, none of them read-only, on servers that take writes.
  struct VacuumCandidate {
    VolumeId volume;
    std::string collection;
    std::vector<std::string> servers;  // who holds it
    std::vector<std::string> addresses;  // theirs, gRPC
    bool all_are_ours = true;  // servers of Holdfast take writes while they compact
  };
  // with_deletions: not those of which every server, all of ours, tells that nothing in them was deleted or overwritten.
  std::vector<VacuumCandidate> vacuum_candidates(VacuumAmong among) const;

  // ---- what the leader should mend (topology_epochs.cc) ----
  HealView heal_view() const;
  // A volume as heal_view() tells of it; nothing if it is not known.
  std::optional<HealVolume> heal_volume(VolumeId volume) const;
  // Whose copies are held against each other: more than one is there or asked for, all that are there lie on servers of ours, and
  // none is read-only. In the order of their ids. Some may be out of reach just now.
  std::vector<VolumeId> volumes_to_compare() const;
  // Servers that may be given a copy, with their room for this disk type; never one that holds the volume, aside or not.
  std::vector<HealPlace> heal_targets(VolumeId volume, const std::string& disk_type) const;

  // ---- views ----
  bool has_servers() const { return !servers_.empty(); }
  // Changes whenever growth_servers() may be more than it was: a server came or takes writes again, or has more slots.
  std::uint64_t room_version() const { return room_version_; }
  std::size_t server_count() const { return servers_.size(); }
  std::size_t silent_count() const;
  // Whether this server is not known (any more), or was heard too long ago, with or without an open stream.
  bool has_fallen_silent(const std::string& id, Instant now) const;
  // How often a server with an open stream fell silent, since the start.
  std::uint64_t silences() const { return silences_; }
  bool has_volume(VolumeId volume) const { return volumes_.contains(volume); }
  bool has_data_center(std::string_view name) const;
  // Servers that take writes, with their room for this disk type.
  std::vector<GrowthServer> growth_servers(const std::string& disk_type) const;
  std::string grpc_address(const std::string& server) const;  // "" if unknown
  std::vector<std::string> server_ids() const;
  // Servers that hold volumes of the collection, with these volumes.
  std::map<std::string, std::vector<VolumeId>> collection_servers(std::string_view collection) const;

  struct LayoutCount {
    LayoutPtr layout;
    std::uint64_t volumes = 0;
    std::uint64_t writable = 0;
    std::uint64_t crowded = 0;  // of the writable ones
  };
  std::vector<LayoutCount> layout_counts() const;
  // How many volumes of each layout have fewer copies than they should; only layouts that have such. Takes as long as there
  // are such volumes: not for every turn.
  std::map<LayoutKey, std::uint64_t> short_counts() const;
  // Volumes whose copies do not stand where their replication wants them, by id; however many they should be.
  std::vector<MisplacedVolume> misplaced_volumes() const;

  std::optional<ServerStatus> server_status(const std::string& server, bool with_volumes, Instant now) const;
  std::string data_center_of(const std::string& server) const;
  std::string rack_of(const std::string& server) const;
  std::vector<CollectionStatus> collection_details(std::string_view collection) const;  // one per layout
  std::vector<std::string> collections() const;
  std::vector<std::string> ec_collections() const;  // of erasure-coded volumes, ascending
  // Who holds which shard; empty: no such volume. Only servers that can be asked.
  std::map<std::uint32_t, std::vector<Location>> ec_locations(VolumeId volume) const;
  // What a new watcher must hear of one server; empty if it is gone or holds nothing.
  std::optional<LocationEvent> location_snapshot(const std::string& server) const;
  std::uint64_t volume_count() const { return volumes_.size(); }

 private:
  struct Disk {
    std::int64_t max = 0;
    std::int64_t used = 0;
    std::int64_t reserved = 0;
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;
  };

  struct Server {
    std::string id, ip, url, public_url, data_center, rack;
    std::uint32_t port = 0;
    std::uint32_t grpc_port = 0;
    std::map<std::string, Disk> disks;  // by canonical disk type
    std::map<std::pair<VolumeId, std::uint32_t>, EcShardsInfo> ec;  // by volume and disk
    std::unordered_map<VolumeId, VolumeInfoPtr> volumes;
    std::unordered_map<VolumeId, Instant> just_allocated;  // until when a report may lack them
    std::vector<std::string> dir_texts;
    std::vector<Uuid> dirs;
    NeedleId max_file_key;
    std::map<VolumeId, VolumeInfoPtr> aside;  // copies that do not count
    std::unordered_map<VolumeId, std::uint64_t> hashes;  // of what it says of each volume, where it tells digests
    std::uint64_t digest = 0;                            // of these
    std::optional<Uuid> process;
    std::uint32_t feature_level = 0;
    ClusterId cluster_id;
    Generation generation;

    LivenessPtr liveness = std::make_shared<Liveness>();
    std::optional<SessionId> session;
    Instant heard = kDistantPast;
    Duration pulse{0};
    bool silent = false;          // as last noted by a report or a sweep
    bool suspected = false;       // shares the process of a lost leader
    Instant suspected_at = kDistantPast;
    bool leaving = false;
    bool in_maintenance = false;
    bool folders_adopted = false;
    bool keys_covered = true;     // max_file_key is below the counter (servers that do not say it per volume)

    bool reachable() const { return session.has_value() && !silent && !suspected && !leaving; }
    bool takes_writes() const { return reachable() && folders_adopted && keys_covered && !in_maintenance; }
  };

  struct LayoutInfo {
    LayoutPtr layout;
    std::uint64_t volumes = 0;
    std::uint64_t writable = 0;
    std::uint64_t crowded = 0;
  };

  struct Volume {
    VolumeId id;
    std::vector<Server*> replicas;  // in order of registration; never empty
    LayoutInfo* layout = nullptr;   // of the first replica
    std::shared_ptr<Fill> fill = std::make_shared<Fill>();
    LocationsPtr locations;
    bool writable = false;
    bool crowded = false;
    bool full = false;
    bool uncovered = false;  // its id or a key of it is not below the committed counters
    bool was_complete = false;  // has had all its copies at one time
    ReplicaPlacement placed_as;  // of which its places were last looked at
  };

  // ---- servers ----
  Server* find_by_session(SessionId session);
  Server* find_by_url(std::string_view url);
  Server& register_server(const std::string& id, const Report& report);
  // Whether anything that is published about the server's place changed.
  bool update_place(Server& server, const Report& report);
  void update_room(Server& server, const Report& report);
  std::vector<std::string> folders_held_by_others(const std::string& id, const std::string& url, const Report& report);
  void set_folders(Server& server, const std::vector<std::string>& texts);
  void release_folders(Server& server);
  bool check_folders(const Server& server) const;
  bool check_keys(const Server& server) const;
  // `is_empty`: the server holds no volume. Then it may leave another cluster for this one.
  bool may_join(ClusterId cluster, bool is_empty) const;
  void update_liveness(Server& server);
  void refresh_volumes(Server& server);
  void forget(const std::string& id, Instant now);

  // ---- erasure-coded volumes (topology_ec.cc) ----
  using EcKey = std::pair<VolumeId, std::uint32_t>;
  static bool holds_any(const Server& server) { return !server.volumes.empty() || !server.ec.empty(); }
  static std::uint32_t ec_shards_on(const Server& server, const std::string& disk_type);
  void apply_ec(Server& server, const Report& report);
  void set_ec(Server& server, std::map<EcKey, EcShardsInfo> ec);
  void publish_ec(VolumeId id);

  // ---- epochs of copies (topology_epochs.cc) ----
  std::uint64_t epoch_of(VolumeId volume, const Server* besides) const;
  // Takes note of what the server says when the copy does not count. False: it does.
  bool keep_aside(Server& server, const VolumeInfo& info, LocationEvent& event);
  void set_aside(Server& server, VolumeInfoPtr info);
  bool drop_aside(Server& server, VolumeId volume);
  // The copies on other servers that are older than the newest one.
  void demote_older(VolumeId volume);
  // Those that count again, since the newer ones are gone.
  void readmit(VolumeId volume);
  void compare_epochs(const EpochMap& before);
  HealCopy heal_copy(const Server& server, const VolumeInfo& info) const;
  HealVolume heal_volume(const Volume& volume) const;

  // ---- volumes ----
  void apply_volumes(Server& server, const Report& report, Instant now);
  // False: what is known of the server's volumes is not what it says, and only a full list mends it.
  static bool apply_digest(Server& server, const Report& report);
  // Adds or replaces what the server says of the volume. Returns true if it is new on the server.
  bool put(Server& server, VolumeInfo info);
  bool drop(Server& server, VolumeId volume);
  LayoutInfo& layout_of(const VolumeInfo& info);
  void set_layout(Volume& volume, LayoutInfo* layout);
  // Publishes the volume's places and whether it takes writes, after anything about it changed.
  void refresh(Volume& volume);
  void publish_locations(Volume& volume);
  void look_at_places(Volume& volume);
  bool takes_writes(Volume& volume) const;
  bool has_all_copies(const Volume& volume) const;
  NeedleId largest_key(const Server& server, const VolumeInfo& info) const;

  LocationEvent event_of(const Server& server) const;
  std::int64_t free_slots(const Server& server, const std::string& disk_type) const;

  // Constant after construction.
  const Options options_;

  LayoutTable layouts_;
  LocationIndex index_;
  LocationIndex ec_index_;
  std::map<VolumeId, std::map<Server*, std::uint32_t>> ec_volumes_;  // who holds which shards, as bits; never none
  std::map<LayoutKey, LayoutInfo> layout_infos_;
  std::map<std::string, std::unique_ptr<Server>> servers_;  // by id
  std::unordered_map<SessionId, Server*> sessions_;
  std::unordered_set<SessionId> given_up_;                  // open streams that were silent for too long
  std::map<std::string, Server*, std::less<>> by_url_;
  std::unordered_map<std::string, Server*> folders_;        // uuid text -> who holds it
  std::unordered_map<VolumeId, Volume> volumes_;
  std::set<VolumeId> held_;                                 // under vacuum, or being mended
  std::set<VolumeId> short_;                                // with fewer copies than they should have; none in a remote tier
  std::set<VolumeId> misplaced_;                            // whose copies do not fit their placement
  std::set<VolumeId> over_;                                 // with more; likewise
  std::map<VolumeId, std::set<Server*>> aside_;             // who holds copies that do not count
  std::set<VolumeId> uncovered_;                            // volumes that wait for the counters
  std::vector<LocationEvent> events_;
  RegistryState registry_;
  std::uint64_t room_version_ = 0;
  std::uint64_t silences_ = 0;
};

// A folder's uuid; texts that are none are hashed, so that any folder can be adopted.
Uuid folder_uuid(std::string_view text);

}  // namespace holdfast::topology
