// The JSON bodies of a master's routes (spec/weed-cluster 2.2, 2.3, 2.5, 5.8), from the values of service/master.
//
// Pure: each function appends one whole body to `out`. Where upstream's reply depends on chance (order of layouts, of
// volumes) ours is sorted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "service/master/master.h"
#include "service/master/status.h"

namespace holdfast::front {

// {"fid":"3,01637037d6","url":..,"publicUrl":..,"count":1}
void append_assign(std::string& out, const master::AssignAnswer& answer, bool pretty);

// {"volumeOrFileId":"3","locations":[..]}; `given` is the volume id as the client wrote it.
void append_lookup(std::string& out, std::string_view given, const master::Locations& locations, bool pretty);
void append_lookup_error(std::string& out, std::string_view given, std::string_view error, bool pretty);

void append_dir_status(std::string& out, const master::TopologyStatus& topology, const ClusterId& cluster_id,
                       std::string_view version, bool pretty);
void append_vol_status(std::string& out, const master::TopologyStatus& topology, std::string_view version, bool pretty);

// {"IsLeader":true,"Leader":"127.0.0.1:9333.19333","Peers":[..],"MaxVolumeId":7}
void append_cluster_status(std::string& out, const master::ClusterStatus& cluster, bool pretty);

// A map of texts, as upstream's other raft implementation gives it; what ours has no word for is left out.
void append_raft_stats(std::string& out, const master::View& view, bool pretty);

void append_collection_info(std::string& out, const master::CollectionStatus& status, std::string_view version, bool pretty);
void append_collection_details(std::string& out, const std::vector<master::CollectionStatus>& layouts,
                               std::string_view version, bool pretty);

// "127.0.0.1:9333.19333" from "127.0.0.1:9333" and "127.0.0.1:19333".
std::string peer_text(std::string_view http, std::string_view grpc);

}  // namespace holdfast::front
