// Upkeep: what a volume server does for those who move, look into and mend its volumes, beside what VolumeService does
// for readers and writers. The gRPC front calls it on threads of its own: all of it waits for disks or peers.
//
// Thread-safe. Ends before the VolumeService it belongs to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/clock.h"
#include "service/volume/maintenance.h"
#include "service/volume/scrub.h"
#include "service/volume/volume_receiver.h"
#include "service/volume/volume_sender.h"
#include "service/volume/volume_service.h"

namespace holdfast::volume {

class Upkeep {
 public:
  struct Options {
    VolumeReceiver::Options receiver;
    std::uint64_t scrub_bytes_per_second = 0;
    std::function<Status(const OrderFence& fence, VolumeId id)> admit;  // whether an order may be obeyed
  };

  Upkeep(Store& store, io::Disk& disk, io::Clock& clock, Options options);

  VolumeSender& sender() { return sender_; }
  VolumeReceiver& receiver() { return receiver_; }
  Maintenance& maintenance() { return maintenance_; }

  // SetState: kept on disk, and told to the masters at once.
  Result<MaintenanceState> set_state(const MaintenanceState& wanted);

  // Whether an order about `id` may be obeyed now: by its fence, and not in maintenance.
  Status admit(const OrderFence& fence, VolumeId id) const;

  // VolumeConfigure: another number of copies, at once and after a restart.
  Status set_replication(VolumeId id, const std::string& replication, const OrderFence& fence);

  // ScrubVolume. `ids` empty: all volumes. not_found for one that is not here.
  struct ScrubAnswer {
    std::uint64_t volumes = 0;
    std::uint64_t files = 0;
    std::vector<VolumeId> broken;
    std::vector<std::string> details;
  };
  Result<ScrubAnswer> scrub_volumes(std::vector<VolumeId> ids, ScrubMode mode, bool mark_broken, Cancel& cancel);

  // VolumeConsolidateIndex: the .idx on disk is what the memory knows, synced.
  Status sync_index(VolumeId id);

 private:
  Store& store_;
  io::Clock& clock_;
  const Options options_;
  VolumeSender sender_;
  VolumeReceiver receiver_;
  Maintenance maintenance_;
};

}  // namespace holdfast::volume
