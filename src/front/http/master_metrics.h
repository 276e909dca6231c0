// What a master tells Prometheus of itself beyond what is counted where it happens: read from its status at each scrape.
// docs/metrics.md lists the names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "io/clock.h"
#include "service/master/status.h"
#include "service/master/watch.h"

namespace holdfast::front {

struct MasterMetrics {
  master::ClusterStatus cluster;  // with a view
  master::TopologyStatus topology;
  std::uint64_t leader_changes = 0;
  std::string version;
  io::WallTime now;
  std::shared_ptr<const master::WatchReport> watch = std::make_shared<master::WatchReport>();  // never null
};

void append_master_metrics(std::vector<metrics::Family>& out, const MasterMetrics& seen);

}  // namespace holdfast::front
