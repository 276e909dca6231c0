#include "service/volume/upkeep.h"

#include "base/log.h"
#include "base/metrics.h"

namespace holdfast::volume {

Upkeep::Upkeep(Store& store, io::Disk& disk, io::Clock& clock, Options options)
    : store_(store),
      clock_(clock),
      options_(std::move(options)),
      sender_(store, disk),
      receiver_(store, disk, clock, options_.receiver),
      maintenance_(disk, store.state_folder(), options_.receiver.self) {}

Result<MaintenanceState> Upkeep::set_state(const MaintenanceState& wanted) {
  auto state = maintenance_.set(wanted);
  if (state) options_.receiver.changed();
  return state;
}

Status Upkeep::admit(const OrderFence& fence, VolumeId id) const {
  if (auto may = maintenance_.check(); !may) return may;
  return options_.admit(fence, id);
}

Status Upkeep::set_replication(VolumeId id, const std::string& replication, const OrderFence& fence) {
  const auto placement = ReplicaPlacement::parse(replication);
  if (!placement) return placement.error().at("volume configure replication " + text(id));
  if (auto may = admit(fence, id); !may) return may;
  const auto volume = store_.find(id);
  if (!volume) return Error(Code::not_found, "volume " + text(id) + " not found");
  if (auto set = volume->set_replica_placement(*placement); !set) return set.error().at("volume configure " + text(id));
  LOG_INFO("volume {}: replication is {} from now on", text(id), text(*placement));
  options_.receiver.changed();
  return {};
}

Result<Upkeep::ScrubAnswer> Upkeep::scrub_volumes(std::vector<VolumeId> ids, ScrubMode mode, bool mark_broken,
                                                  Cancel& cancel) {
  if (ids.empty()) {
    for (const auto& volume : store_.volumes()) ids.push_back(volume->id());
  }
  ScrubAnswer out;
  const metrics::Labels labels = {{"mode", mode == ScrubMode::index ? "index" : "full"}};
  auto& failures = metrics::process().counter("SeaweedFS_volumeServer_scrub_volume_failures",
                                              "Volumes that a scrub found to be damaged.", labels);
  Pacer pacer(clock_, options_.scrub_bytes_per_second);
  for (const auto id : ids) {
    const auto volume = store_.find(id);
    if (!volume) return Error(Code::not_found, "volume id " + text(id) + " not found");
    const auto scrubbed = scrub(volume, mode, pacer, cancel);
    if (!scrubbed) return scrubbed.error();
    out.volumes++;
    out.files += scrubbed->files;
    if (!scrubbed->is_broken) continue;
    out.broken.push_back(id);
    failures.add();
    for (const auto& detail : scrubbed->details) {
      LOG_ERROR("scrub: {}", detail);
      out.details.push_back(detail);
    }
    if (!mark_broken) continue;
    if (auto marked = volume->mark_read_only(true); !marked) out.details.push_back(marked.error().what());
    LOG_WARNING("volume {}: read-only: a scrub found it damaged", text(id));
    options_.receiver.changed();
  }
  metrics::process()
      .gauge("SeaweedFS_volumeServer_scrub_last_time_seconds", "Wall-clock time at which the last whole scrub ended.", labels)
      .set(std::chrono::duration<double>(clock_.wall().time_since_epoch()).count());
  return out;
}

Status Upkeep::sync_index(VolumeId id) {
  const auto volume = store_.find(id);
  if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
  return volume->sync();
}

}  // namespace holdfast::volume
