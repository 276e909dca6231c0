#include "front/http/master_json.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "front/http/json.h"
#include "front/http/master_page.h"
#include "front/http/volume_info_json.h"
#include "model/entry.h"

namespace holdfast::front {
namespace {

// For each disk type a blank and its ranges: " 1-3 5". A server without volumes has one blank.
std::string volume_ids_text(const master::ServerStatus& server) {
  std::string out;
  for (const auto& [type, disk] : server.disks) {
    out += ' ';
    out += volume_ranges(disk.volume_ids);
  }
  return out.empty() ? " " : out;
}

template <typename List, typename Each>
void array_or_null(JsonWriter& json, const List& list, Each each) {
  if (list.empty()) {
    json.null();
    return;
  }
  json.begin_array();
  for (const auto& item : list) each(item);
  json.end_array();
}

void append_server(JsonWriter& json, const master::ServerStatus& server) {
  json.begin_object()
      .field("Url", server.url)
      .field("PublicUrl", server.public_url)
      .field("Volumes", server.volumes)
      .field("EcShards", server.ec_shards)
      .field("Max", server.max)
      .field("VolumeIds", volume_ids_text(server))
      .end_object();
}

void append_layout(JsonWriter& json, const master::LayoutStatus& layout) {
  json.begin_object()
      .field("replication", text(layout.replica_placement))
      .field("ttl", text(layout.ttl))
      .key("writables");
  array_or_null(json, layout.writables, [&](VolumeId id) { json.value(id.value()); });
  json.field("collection", layout.collection)
      .field("diskType", layout.disk_type.empty() ? std::string("hdd") : layout.disk_type)
      .end_object();
}

const char* state_text(master::Role role) {
  switch (role) {
    case master::Role::leader: return "Leader";
    case master::Role::candidate: return "Candidate";
    case master::Role::pre_candidate:
    case master::Role::follower:
    case master::Role::learner: return "Follower";
  }
  return "Follower";
}

void append_collection(JsonWriter& json, const master::CollectionStatus& status, std::string_view version, bool whole) {
  json.begin_object()
      .field("Collection", status.collection)
      .field("FileCount", status.file_count)
      .field("TotalSize", status.total_size)
      .field("UsedSize", status.used_size)
      .field("Version", version);
  if (whole) json.field("VolumeCount", status.layouts);
  json.end_object();
}

}  // namespace

void append_assign(std::string& out, const master::AssignAnswer& answer, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object().field("fid", text(answer.fid));
  if (answer.locations && !answer.locations->places.empty()) {
    const auto& place = answer.locations->places.front();
    json.field_unless_empty("url", place.url).field_unless_empty("publicUrl", place.public_url);
  }
  json.field_unless_empty("count", answer.count).end_object();
}

void append_lookup(std::string& out, std::string_view given, const master::Locations& locations, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object().field_unless_empty("volumeOrFileId", given).key("locations").begin_array();
  for (const auto& place : locations.places) {
    json.begin_object()
        .field_unless_empty("url", place.url)
        .field_unless_empty("publicUrl", place.public_url)
        .field_unless_empty("dataCenter", place.data_center)
        .field_unless_empty("grpcPort", place.grpc_port)
        .end_object();
  }
  json.end_array().end_object();
}

void append_lookup_error(std::string& out, std::string_view given, std::string_view error, bool pretty) {
  JsonWriter(out, pretty).begin_object().field_unless_empty("volumeOrFileId", given).field("error", error).end_object();
}

void append_dir_status(std::string& out, const master::TopologyStatus& topology, const ClusterId& cluster_id,
                       std::string_view version, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object().key("Topology").begin_object().field("Max", topology.max).field("Free", topology.free);
  json.key("DataCenters");
  array_or_null(json, topology.data_centers, [&](const auto& center) {
    json.begin_object().field("Id", center.id).key("Racks");
    array_or_null(json, center.racks, [&](const auto& rack) {
      json.begin_object().field("Id", rack.id).key("DataNodes");
      array_or_null(json, rack.servers, [&](const auto& server) { append_server(json, server); });
      json.end_object();
    });
    json.end_object();
  });
  json.key("Layouts");
  array_or_null(json, topology.layouts, [&](const auto& layout) { append_layout(json, layout); });
  json.end_object()
      .field("TopologyId", cluster_id.value().empty() ? std::string() : text(cluster_id))
      .field("Version", version)
      .end_object();
}

void append_vol_status(std::string& out, const master::TopologyStatus& topology, std::string_view version, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object().field("Version", version).key("Volumes").begin_object().key("DataCenters").begin_object();
  for (const auto& center : topology.data_centers) {
    json.key(center.id).begin_object();
    for (const auto& rack : center.racks) {
      json.key(rack.id).begin_object();
      for (const auto& server : rack.servers) {
        json.key(server.id).begin_array();
        for (const auto& info : server.volume_infos) append_volume_info(json, *info, info->size);
        json.end_array();
      }
      json.end_object();
    }
    json.end_object();
  }
  json.end_object().field("Free", topology.free).field("Max", topology.max).end_object().end_object();
}

std::string peer_text(std::string_view http, std::string_view grpc) {
  std::string out(http);
  const auto colon = grpc.rfind(':');
  if (!http.empty() && colon != std::string_view::npos && colon + 1 < grpc.size()) {
    out += '.';
    out += grpc.substr(colon + 1);
  }
  return out;
}

void append_cluster_status(std::string& out, const master::ClusterStatus& cluster, bool pretty) {
  const auto& view = *cluster.view;
  JsonWriter json(out, pretty);
  json.begin_object();
  if (view.is_leader()) json.field("IsLeader", true);
  if (const auto* leader = view.leader_member()) json.field_unless_empty("Leader", peer_text(leader->http, leader->grpc));
  std::vector<std::string> peers;
  for (const auto& member : view.members) {
    if (!member.self && !member.http.empty() && !member.witness) peers.push_back(peer_text(member.http, member.grpc));
  }
  if (!peers.empty()) {
    std::sort(peers.begin(), peers.end());
    json.key("Peers").begin_array();
    for (const auto& peer : peers) json.value(peer);
    json.end_array();
  }
  for (const auto& member : view.members) {
    if (member.witness && !member.joining) json.field("Witness", peer_text(member.http, member.grpc));
  }
  json.field_unless_empty("MaxVolumeId", cluster.max_volume_id.value()).end_object();
}

void append_raft_stats(std::string& out, const master::View& view, bool pretty) {
  std::map<std::string, std::string> stats;
  stats["applied_index"] = text(view.applied);
  stats["commit_index"] = text(view.commit);
  stats["fsm_pending"] = std::to_string(view.commit.value() - std::min(view.commit, view.applied).value());
  stats["state"] = state_text(view.role);
  stats["term"] = text(view.term);
  std::string members;
  std::size_t peers = 0;
  for (const auto& member : view.members) {
    if (!members.empty()) members += ' ';
    members += (member.witness ? "witness " : member.voter ? "voter " : "learner ") + text(member.id) + " " + member.http;
    if (!member.self && member.voter) ++peers;
  }
  stats["latest_configuration"] = "[" + members + "]";
  stats["num_peers"] = std::to_string(peers);
  stats["latest_configuration_index"] = text(view.configuration);
  stats["last_log_index"] = text(view.last);
  stats["last_log_term"] = text(view.last_term);
  stats["last_snapshot_index"] = text(view.snapshot);
  stats["last_snapshot_term"] = text(view.snapshot_term);
  for (const char* format : {"protocol_version", "snapshot_version"}) {
    stats[std::string(format) + "_max"] = std::to_string(kEntryFormat);
    stats[std::string(format) + "_min"] = "1";
  }
  stats["protocol_version"] = std::to_string(kEntryFormat);
  const auto* leader = view.leader_member();
  if (view.is_leader()) {
    stats["last_contact"] = "0";
  } else if (leader != nullptr && leader->silent_for) {
    stats["last_contact"] = std::to_string(milliseconds(*leader->silent_for)) + "ms";
  } else {
    stats["last_contact"] = "never";
  }
  JsonWriter json(out, pretty);
  json.begin_object();
  for (const auto& [name, value] : stats) json.field(name, value);
  json.end_object();
}

void append_collection_info(std::string& out, const master::CollectionStatus& status, std::string_view version, bool pretty) {
  JsonWriter json(out, pretty);
  append_collection(json, status, version, true);
}

void append_collection_details(std::string& out, const std::vector<master::CollectionStatus>& layouts,
                               std::string_view version, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_array();
  for (const auto& layout : layouts) append_collection(json, layout, version, false);
  json.end_array();
}

}  // namespace holdfast::front
