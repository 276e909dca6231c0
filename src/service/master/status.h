// What the master shows of itself: plain values made for one answer, to be turned into JSON, HTML or protobuf. Those of
// the volume servers' picture are core/topology/status.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/time.h"
#include "core/topology/status.h"
#include "model/ids.h"
#include "service/master/consensus.h"

namespace holdfast::master {

using topology::VolumeInfoPtr;
using topology::DiskStatus;
using topology::ServerStatus;
using topology::RackStatus;
using topology::DataCenterStatus;
using topology::LayoutStatus;
using topology::TopologyStatus;
using topology::CollectionStatus;

// Of /cluster/status, /cluster/healthz and the page.
struct ClusterStatus {
  std::shared_ptr<const View> view;  // members with state, term, addresses, lag; leader; why leadership changed
  ClusterId cluster_id;              // upstream's TopologyId
  Generation generation;
  std::uint32_t feature_level = 0;
  std::vector<ClusterId> adopted_clusters;  // whose place this one has taken, or volumes
  VolumeId max_volume_id;            // 0: none yet
  std::uint64_t next_key = 0;        // every key below is reserved for someone
  Duration uptime{0};
  std::uint64_t volume_size_limit = 0;
  std::uint64_t servers = 0;
  std::uint64_t servers_silent = 0;
};

}  // namespace holdfast::master
