#include "storage/volume/vacuums.h"

#include "base/log.h"

namespace holdfast::volume {
namespace {

Error no_volume(VolumeId id) { return Error(Code::not_found, "not found volume id " + text(id)); }

}  // namespace

Result<double> Vacuums::garbage_ratio(VolumeId id) const {
  const auto volume = store_.find(id);
  if (!volume) return no_volume(id);
  return volume->garbage_ratio();
}

Result<Compaction::Totals> Vacuums::compact(VolumeId id, Compaction::Options options) {
  const auto volume = store_.find(id);
  if (!volume) return no_volume(id);
  auto vacuum = std::make_shared<Vacuum>();
  std::unique_ptr<Compaction> earlier;
  {
    Guard guard(mutex_);
    if (stopped_) return Error(Code::unavailable, "the volume server stops");
    auto& place = vacuums_[id];
    if (place && place->busy) return Error(Code::busy, "volume " + text(id) + " is being vacuumed already");
    vacuum->busy = true;
    if (place) earlier = std::move(place->ready);
    place = vacuum;
  }
  earlier.reset();  // its files go before new ones come
  options.go_on = [&, begun = clock_.now(), others = std::move(options.go_on)](std::uint64_t bytes) {
    return keep_pace(vacuum, begun, bytes) && (!others || others(bytes));
  };
  const auto before = volume->dat_bytes();
  auto made = Compaction::make(volume, std::move(options));
  Result<Compaction::Totals> out = made ? Result<Compaction::Totals>((*made)->totals()) : made.error();
  {
    Guard guard(mutex_);
    if (made) {
      vacuum->ready = std::move(*made);
      vacuum->ready_since = clock_.now();
    }
  }
  ended(id, vacuum);
  if (out) {
    LOG_INFO("volume {}: compacted from {} bytes: {} files brought over, {} expired, {} damaged", text(id), before,
             out->files, out->expired, out->damaged);
  } else {
    LOG_WARNING("volume {}: not compacted: {}", text(id), out.error().what());
  }
  return out;
}

Result<std::shared_ptr<Volume>> Vacuums::commit(VolumeId id) {
  if (!store_.find(id)) return no_volume(id);
  VacuumPtr vacuum;
  std::unique_ptr<Compaction> compaction;
  {
    Guard guard(mutex_);
    const auto found = vacuums_.find(id);
    if (found != vacuums_.end() && found->second->busy) {
      return Error(Code::busy, "volume " + text(id) + " is being vacuumed already");
    }
    if (found == vacuums_.end() || !found->second->ready) {
      return Error(Code::invalid, "volume " + text(id) + " has not been compacted");
    }
    vacuum = found->second;
    vacuum->busy = vacuum->committing = true;
    compaction = std::move(vacuum->ready);
  }
  const auto caught_up = compaction->catch_up({});
  const auto old_bytes = compaction->volume()->dat_bytes();
  Result<std::shared_ptr<Volume>> committed = caught_up.ok() ? store_.replace(compaction->volume(), *compaction)
                                                             : caught_up.error();
  compaction.reset();
  ended(id, vacuum);
  if (committed) {
    LOG_INFO("volume {}: vacuumed from {} to {} bytes", text(id), old_bytes, (*committed)->dat_bytes());
  } else {
    LOG_WARNING("volume {}: vacuum not committed: {}", text(id), committed.error().what());
  }
  return committed;
}

bool Vacuums::keep_pace(const VacuumPtr& vacuum, Instant begun, std::uint64_t bytes_read) {
  Guard guard(mutex_);
  if (bytes_per_second_ > 0) {
    const auto seconds = static_cast<double>(bytes_read) / static_cast<double>(bytes_per_second_);
    const auto due = begun + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    for (auto now = clock_.now(); now < due && !vacuum->called_off; now = clock_.now()) {
      called_off_.wait_for(mutex_, due - now);
    }
  }
  return !vacuum->called_off;
}

Status Vacuums::clean_up(VolumeId id) {
  if (!store_.find(id)) return no_volume(id);
  VacuumPtr vacuum;
  {
    Guard guard(mutex_);
    const auto found = vacuums_.find(id);
    if (found == vacuums_.end()) return {};
    vacuum = found->second;
    if (vacuum->committing) return Error(Code::busy, "volume " + text(id) + " is being committed");
    vacuum->called_off = true;
    called_off_.notify_all();
    while (vacuum->busy) ended_.wait(mutex_);
  }
  drop(id, vacuum);
  return {};
}

// Nobody else may begin on the volume while the files of a compaction are being removed.
void Vacuums::drop(VolumeId id, const VacuumPtr& vacuum) {
  std::unique_ptr<Compaction> compaction;
  {
    Guard guard(mutex_);
    if (vacuum->busy || !vacuum->ready) return;
    vacuum->busy = true;
    compaction = std::move(vacuum->ready);
  }
  compaction.reset();
  ended(id, vacuum);
}

void Vacuums::ended(VolumeId id, const VacuumPtr& vacuum) {
  Guard guard(mutex_);
  vacuum->busy = vacuum->committing = false;
  const auto found = vacuums_.find(id);
  if (!vacuum->ready && found != vacuums_.end() && found->second == vacuum) vacuums_.erase(found);
  ended_.notify_all();
}

void Vacuums::drop_forgotten() {
  std::map<VolumeId, VacuumPtr> forgotten;
  {
    Guard guard(mutex_);
    for (const auto& [id, vacuum] : vacuums_) {
      if (vacuum->ready && clock_.now() - vacuum->ready_since > kKeptMax) forgotten.emplace(id, vacuum);
    }
  }
  for (const auto& [id, vacuum] : forgotten) {
    LOG_WARNING("volume {}: its compaction is dropped: nobody committed it", text(id));
    drop(id, vacuum);
  }
}

void Vacuums::stop() {
  std::map<VolumeId, VacuumPtr> dropped;  // freed outside the lock
  Guard guard(mutex_);
  stopped_ = true;
  for (auto& [id, vacuum] : vacuums_) vacuum->called_off = true;
  called_off_.notify_all();
  const auto any_busy = [&]() HOLDFAST_REQUIRES(mutex_) {
    for (const auto& [id, vacuum] : vacuums_) {
      if (vacuum->busy) return true;
    }
    return false;
  };
  while (any_busy()) ended_.wait(mutex_);
  dropped.swap(vacuums_);
}

std::size_t Vacuums::under_way() const {
  Guard guard(mutex_);
  std::size_t out = 0;
  for (const auto& [id, vacuum] : vacuums_) out += vacuum->busy;
  return out;
}

}  // namespace holdfast::volume
