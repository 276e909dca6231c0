// What the master knows of servers and volumes, as the shell and its planners read it (VolumeList, VolumeListStream,
// Statistics, CollectionStatistics; spec/weed-grpc 4, 5.4).
#pragma once

#include <functional>

#include "api/master.pb.h"
#include "service/master/master.h"

namespace holdfast::front {

// The counters are of everything; the filters of `request` only choose which volumes are listed.
void fill(const master::TopologyStatus& status, const master_pb::VolumeListRequest& request,
          master_pb::TopologyInfo* message);

// The same cut into messages: first the counters without volumes, then at most 10,000 volumes at a time.
std::vector<master_pb::VolumeListStreamResponse> pieces(const master::TopologyStatus& status,
                                                        const master_pb::VolumeListRequest& request,
                                                        std::uint64_t volume_size_limit_mb);

// The room of all slots (of one disk type, when asked for one) in bytes, and what the volumes of the collection use: those of
// the replication, TTL and disk type that are asked for, if any is. Raw counts every replica; logical counts each volume
// once, and of the room what is left when everything has the copies of `replication` (else of the default one). Code::invalid for
// a parameter that does not parse.
Status fill_statistics(const master::TopologyStatus& status, const master_pb::StatisticsRequest& request,
                       const std::string& default_replication, std::uint64_t volume_size_limit,
                       master_pb::StatisticsResponse* message);

// One entry per collection: replicas count once, except in physical_size.
void fill_collections(const master::TopologyStatus& status, master_pb::CollectionStatisticsResponse* message);

}  // namespace holdfast::front
