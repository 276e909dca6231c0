#include "front/http/volume_metrics.h"

#include <chrono>
#include <map>
#include <utility>

#include "base/mutex.h"
#include "io/event_loop.h"

namespace holdfast::front {
namespace {

using Kind = metrics::Family::Kind;

struct OfCollection {
  double volumes = 0;
  double read_only = 0;
  double bytes = 0;
  double deleted_bytes = 0;
};

metrics::Family one(const char* name, const char* help, double value, metrics::Labels labels = {}) {
  return {name, help, Kind::gauge, {metrics::Sample{.labels = std::move(labels), .value = value, .histogram = {}}}};
}

}  // namespace

void append_volume_metrics(std::vector<metrics::Family>& out, const std::vector<VolumeInfo>& volumes,
                           const std::vector<volume::DiskStatus>& disks, std::size_t masters) {
  std::map<std::string, OfCollection> collections;
  for (const auto& info : volumes) {
    auto& of = collections[info.collection];
    of.volumes += 1;
    of.read_only += info.read_only ? 1 : 0;
    of.bytes += static_cast<double>(info.size);
    of.deleted_bytes += static_cast<double>(info.deleted_byte_count);
  }
  metrics::Family count{"SeaweedFS_volumeServer_volumes", "Volumes here.", Kind::gauge, {}};
  metrics::Family read_only{"SeaweedFS_volumeServer_read_only_volumes", "Of those, the ones that take no writes.", Kind::gauge, {}};
  metrics::Family bytes{"SeaweedFS_volumeServer_total_disk_size", "Bytes of volume files, and of what was deleted in them.",
                        Kind::gauge, {}};
  for (const auto& [collection, of] : collections) {
    count.samples.push_back({{{"collection", collection}, {"type", "volume"}}, of.volumes, {}});
    read_only.samples.push_back({{{"collection", collection}, {"type", "volume"}}, of.read_only, {}});
    bytes.samples.push_back({{{"collection", collection}, {"type", "normal"}}, of.bytes, {}});
    bytes.samples.push_back({{{"collection", collection}, {"type", "deleted_bytes"}}, of.deleted_bytes, {}});
  }
  metrics::Family resource{"SeaweedFS_volumeServer_resource", "Bytes of the disk below each folder.", Kind::gauge, {}};
  metrics::Family broken{"SeaweedFS_volumeServer_disk_error_status", "1 while a folder's disk reports an error.", Kind::gauge, {}};
  double slots = 0;
  for (const auto& disk : disks) {
    slots += disk.volumes_max;
    const auto of = [&](const char* type) { return metrics::Labels{{"name", disk.directory}, {"type", type}}; };
    resource.samples.push_back({of("all"), static_cast<double>(disk.all), {}});
    resource.samples.push_back({of("used"), static_cast<double>(disk.used), {}});
    resource.samples.push_back({of("free"), static_cast<double>(disk.free), {}});
    broken.samples.push_back({of("error"), disk.error.empty() ? 0.0 : 1.0, {}});
  }
  for (auto* family : {&count, &read_only, &bytes, &resource, &broken}) {
    if (!family->samples.empty()) out.push_back(std::move(*family));
  }
  out.push_back(one("SeaweedFS_volumeServer_max_volumes", "Volumes that the folders have room for.", slots));
  out.push_back(one("holdfast_volume_masters_known", "Masters this volume server reports to.", static_cast<double>(masters)));
}

struct VolumeMetrics::Seen {
  Seen(volume::VolumeService& s, std::string v, double t) : service(s), version(std::move(v)), started(t) {}

  std::vector<metrics::Family> look() const {
    std::vector<metrics::Family> out;
    out.push_back(one("SeaweedFS_build_info", "Constant 1; what runs here.", 1, {{"version", version}}));
    out.push_back(one("SeaweedFS_volumeServer_start_time_seconds", "Wall-clock time of the start.", started));
    append_volume_metrics(out, service.volumes(), service.disks(), service.masters().size());
    return out;
  }

  volume::VolumeService& service;
  const std::string version;
  const double started;
  Mutex mutex;  // leaf
  std::vector<metrics::Family> last HOLDFAST_GUARDED_BY(mutex);
};

VolumeMetrics::VolumeMetrics(metrics::Registry& registry, volume::VolumeService& service, const io::Clock& clock, std::string version)
    : seen_(std::make_shared<Seen>(service, std::move(version),
                                   std::chrono::duration<double>(clock.wall().time_since_epoch()).count())) {
  collector_ = registry.collector([seen = seen_](std::vector<metrics::Family>& out) {
    std::vector<metrics::Family> now;
    if (io::EventLoop::current() == nullptr) {
      now = seen->look();
    } else {
      (void)seen->service.post([seen] {
        auto looked = seen->look();
        const Guard guard(seen->mutex);
        seen->last = std::move(looked);
      });
      const Guard guard(seen->mutex);
      now = seen->last;
    }
    out.insert(out.end(), std::make_move_iterator(now.begin()), std::make_move_iterator(now.end()));
  });
}

VolumeMetrics::~VolumeMetrics() = default;

}  // namespace holdfast::front
