#include "front/http/master_metrics.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace holdfast::front {
namespace {

using Kind = metrics::Family::Kind;

metrics::Family one(const char* name, const char* help, Kind kind, double value, metrics::Labels labels = {}) {
  return {name, help, kind, {metrics::Sample{.labels = std::move(labels), .value = value, .histogram = {}}}};
}

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

void append_members(std::vector<metrics::Family>& out, const master::View& view) {
  metrics::Family connected{"holdfast_master_member_connected", "1 while this master hears the other one.", Kind::gauge, {}};
  metrics::Family silence{"holdfast_master_member_silent_seconds", "Since the other master was last heard.", Kind::gauge, {}};
  metrics::Family lag{"holdfast_master_member_lag_entries", "Committed entries the member is not known to hold; on the leader.",
                      Kind::gauge, {}};
  for (const auto& member : view.members) {
    if (member.self) continue;
    const metrics::Labels labels = {{"member", member.http.empty() ? text(member.id) : member.http}};
    connected.samples.push_back({labels, member.connected ? 1.0 : 0.0, {}});
    if (member.silent_for) silence.samples.push_back({labels, seconds_of(*member.silent_for), {}});
    if (view.is_leader() && !member.witness) {
      const auto behind = view.commit > member.match ? view.commit - member.match : 0;
      lag.samples.push_back({labels, static_cast<double>(behind), {}});
    }
  }
  for (auto* family : {&connected, &silence, &lag}) {
    if (!family->samples.empty()) out.push_back(std::move(*family));
  }
}

// What is watched of leases and of who reaches whom (service/master/watch.h).
void append_watch(std::vector<metrics::Family>& out, const master::View& view, const master::WatchReport& watch) {
  const auto name = [&](NodeId id) {
    const auto* member = view.member(id);
    return member == nullptr || member->http.empty() ? text(id) : member->http;
  };
  metrics::Family events{"holdfast_raft_lease_events_total", "What happened to leases of leaders, as seen here; lease.log has each.", Kind::counter, {}};
  for (const auto kind : master::kLeaseEventKinds) {
    const auto found = watch.counts.find(kind);
    events.samples.push_back({{{"event", text(kind)}}, found == watch.counts.end() ? 0.0 : static_cast<double>(found->second), {}});
  }
  metrics::Family on{"holdfast_master_alarm", "1 while an operator should look at this.", Kind::gauge, {}};
  metrics::Family alarms{"holdfast_master_alarms_total", "Times that an alarm began.", Kind::counter, {}};
  for (const auto kind : master::kAlarmKinds) {
    const bool is_on = std::any_of(watch.alarms.begin(), watch.alarms.end(), [&](const auto& alarm) { return alarm.kind == kind && alarm.is_on; });
    on.samples.push_back({{{"kind", text(kind)}}, is_on ? 1.0 : 0.0, {}});
    const auto found = watch.alarm_counts.find(kind);
    alarms.samples.push_back({{{"kind", text(kind)}}, found == watch.alarm_counts.end() ? 0.0 : static_cast<double>(found->second), {}});
  }
  metrics::Family reach{"holdfast_master_reaches", "1 while what a master sends arrives at the other one, 0 while not; as all tell.", Kind::gauge, {}};
  const auto& matrix = watch.matrix;
  for (std::size_t from = 0; from < matrix.members.size(); ++from) {
    for (std::size_t to = 0; to < matrix.members.size(); ++to) {
      const auto cell = matrix.cells[from][to];
      if (from == to || cell == master::Reached::unknown) continue;
      reach.samples.push_back({{{"from", name(matrix.members[from])}, {"to", name(matrix.members[to])}},
                               cell == master::Reached::no ? 0.0 : 1.0, {}});
    }
  }
  metrics::Family rate{"holdfast_master_clock_rate", "How much faster another master's clock runs than this one's, as a share.", Kind::gauge, {}};
  for (const auto& [id, clock] : watch.clocks) {
    if (clock.rate) rate.samples.push_back({{{"member", name(id)}}, *clock.rate, {}});
  }
  for (auto* family : {&events, &on, &alarms, &reach, &rate}) {
    if (!family->samples.empty()) out.push_back(std::move(*family));
  }
}

void append_layouts(std::vector<metrics::Family>& out, const master::TopologyStatus& topology) {
  metrics::Family writable{"SeaweedFS_master_volume_layout_writable", "Volumes of a layout that take writes.", Kind::gauge, {}};
  metrics::Family crowded{"SeaweedFS_master_volume_layout_crowded", "Of those, the ones that are nearly full.", Kind::gauge, {}};
  metrics::Family wanting{"SeaweedFS_master_under_replicated_volumes", "Volumes of a layout with fewer copies than they should have.",
                          Kind::gauge, {}};
  for (const auto& layout : topology.layouts) {
    const metrics::Labels labels = {{"collection", layout.collection},
                                    {"disk", layout.disk_type.empty() ? "hdd" : layout.disk_type},
                                    {"rp", text(layout.replica_placement)},
                                    {"ttl", text(layout.ttl)}};
    writable.samples.push_back({labels, static_cast<double>(layout.writables.size()), {}});
    crowded.samples.push_back({labels, static_cast<double>(layout.crowded), {}});
    wanting.samples.push_back({labels, static_cast<double>(layout.short_of_copies), {}});
  }
  metrics::Family misplaced{"SeaweedFS_master_replica_placement_mismatch",
                            "1 for each volume whose copies stand where its replication does not want them.", Kind::gauge, {}};
  for (const auto& volume : topology.misplaced) {
    misplaced.samples.push_back({{{"collection", volume.collection}, {"id", text(volume.volume)}}, 1, {}});
  }
  for (auto* family : {&writable, &crowded, &wanting, &misplaced}) {
    if (!family->samples.empty()) out.push_back(std::move(*family));
  }
}

}  // namespace

void append_master_metrics(std::vector<metrics::Family>& out, const MasterMetrics& seen) {
  const auto& view = *seen.cluster.view;
  const auto& topology = seen.topology;
  out.push_back(one("SeaweedFS_build_info", "Constant 1; what runs here.", Kind::gauge, 1, {{"version", seen.version}}));
  out.push_back(one("SeaweedFS_master_start_time_seconds", "Wall-clock time of the start.", Kind::gauge,
                    seconds_of(seen.now.time_since_epoch() - seen.cluster.uptime)));
  out.push_back(one("SeaweedFS_master_is_leader", "1 on the leader.", Kind::gauge, view.is_leader() ? 1 : 0));
  const auto* leader = view.leader_member();
  out.push_back(one("SeaweedFS_master_leader_changes", "New leaders seen; the label is the present one.", Kind::counter,
                    static_cast<double>(seen.leader_changes), {{"type", leader != nullptr ? leader->http : "none"}}));
  out.push_back(one("holdfast_master_leader_known", "1 while a leader is known here.", Kind::gauge, leader != nullptr ? 1 : 0));
  out.push_back(one("holdfast_master_servers", "Volume servers known.", Kind::gauge, static_cast<double>(seen.cluster.servers)));
  out.push_back(one("holdfast_master_servers_silent", "Volume servers that are not heard.", Kind::gauge,
                    static_cast<double>(seen.cluster.servers_silent)));
  out.push_back(one("holdfast_master_volumes", "Logical volumes known.", Kind::gauge, static_cast<double>(topology.volumes)));
  out.push_back(one("holdfast_master_slots", "Volume slots, all.", Kind::gauge, static_cast<double>(topology.max)));
  out.push_back(one("holdfast_master_slots_free", "Volume slots, free.", Kind::gauge, static_cast<double>(topology.free)));
  out.push_back(one("holdfast_master_volume_id_max", "Largest volume id given.", Kind::gauge, seen.cluster.max_volume_id.value()));
  out.push_back(one("holdfast_master_file_keys_reserved", "Every file key below is reserved for someone.", Kind::gauge,
                    static_cast<double>(seen.cluster.next_key)));
  append_members(out, view);
  append_watch(out, view, *seen.watch);
  append_layouts(out, topology);
}

}  // namespace holdfast::front
