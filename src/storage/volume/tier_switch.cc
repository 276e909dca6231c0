#include "storage/volume/tier_switch.h"

#include <optional>

#include "base/log.h"
#include "storage/volume/volume_loader.h"

namespace holdfast::volume {

struct TierSwitch::Change {
  std::vector<RemoteFile> files;
  std::optional<std::string> replication;  // to be written; else it stays
  bool fetch = false;       // the .dat on the disk does not count
  std::optional<std::uint64_t> dat_bytes;  // as it must still be
};

Result<std::shared_ptr<Volume>> TierSwitch::to_remote(std::shared_ptr<Volume> volume, const RemoteFile& file, bool keep_dat,
                                                      const Publish& publish) {
  // The superblock lies in the tier from now on, which may be out of reach when the volume is opened next.
  return carry_out(*volume,
                   {.files = {file}, .replication = text(volume->replica_placement()), .fetch = !keep_dat, .dat_bytes = file.file_size},
                   publish);
}

Result<std::shared_ptr<Volume>> TierSwitch::to_disk(std::shared_ptr<Volume> volume, const Publish& publish) {
  return carry_out(*volume, {}, publish);
}

Result<std::shared_ptr<Volume>> TierSwitch::carry_out(Volume& old, const Change& change, const Publish& publish) {
  old.pause();
  const auto stay = [&](const Error& error) {
    old.resume();
    return error.at("volume " + text(old.id()));
  };
  if (old.is_retired() || old.successor()) return stay(Error(Code::not_found, "is not this one any more"));
  if (!old.settings_are_ours_) return stay(Error(Code::unsupported, old.place_.vif() + " cannot be parsed, so it is left alone"));
  if (change.dat_bytes && *change.dat_bytes != old.dat_bytes()) {
    return stay(Error(Code::stale, "was written to meanwhile: try again"));
  }
  // What the index knows must not be younger than the .idx that stands behind it.
  if (auto synced = old.idx_->sync(); !synced) return stay(synced.error());
  Change before;
  {
    Guard guard(old.settings_mutex_);
    before.files = old.settings_.files;
    before.replication = old.settings_.replication;
  }
  const auto go_back = [&](const Error& error) {
    if (auto saved = save_files(old, before); !saved) {
      old.damaged_ = true;
      LOG_ERROR("volume {}: {}: nobody knows whether its .vif names a remote file: read-only from now on", text(old.id()),
                saved.error().what());
      return stay(Error(Code::outcome_unknown, error.what()));
    }
    return stay(error);
  };
  if (auto saved = save_files(old, change); !saved) return go_back(saved.error());
  auto loaded = VolumeLoader(old.around_, old.place_, {.is_second = true, .ignores_dat = change.fetch}).load();
  if (!loaded) return go_back(loaded.error());
  auto& next = **loaded;
  next.replica_ = old.replica_;
  next.last_append_at_ns_ = old.last_append_at_ns();
  next.modified_at_second_ = old.modified_at_second_.load();
  publish(*loaded);
  old.hand_over(*loaded);
  old.index_.discard();
  return loaded;
}

// In the .vif, and for the marks that are saved from now on.
Status TierSwitch::save_files(Volume& volume, const Change& change) {
  Guard marks(volume.marks_mutex_);
  {
    Guard guard(volume.settings_mutex_);
    volume.settings_.files = change.files;
    if (change.replication) volume.settings_.replication = *change.replication;
  }
  return volume.save_settings();
}

}  // namespace holdfast::volume
