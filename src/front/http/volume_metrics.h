// What a volume server tells Prometheus of its volumes and disks, with upstream's names (docs/metrics.md).
//
// Looking at volumes and disks may wait for a disk, so it never happens on an event loop: a scrape that runs on the
// service's pool looks at once, a scrape on a loop (-metricsPort) shows what was seen last and has the pool look again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "io/clock.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {

class VolumeMetrics {
 public:
  // Both outlive this. `version` is what SeaweedFS_build_info names.
  VolumeMetrics(metrics::Registry& registry, volume::VolumeService& service, const io::Clock& clock, std::string version);
  ~VolumeMetrics();

 private:
  struct Seen;
  std::shared_ptr<Seen> seen_;  // shared with a look on the pool
  metrics::Registry::Collector collector_;
};

// Pure part, for tests.
void append_volume_metrics(std::vector<metrics::Family>& out, const std::vector<VolumeInfo>& volumes,
                           const std::vector<volume::DiskStatus>& disks, std::size_t masters);

}  // namespace holdfast::front
