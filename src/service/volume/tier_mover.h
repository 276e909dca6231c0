// TierMover: carries a volume's .dat to a remote tier and back (VolumeTierMoveDatToRemote, VolumeTierMoveDatFromRemote).
//
// There: the .dat goes up under a key of its own; its length and pieces from all over it are read back and compared; only then
// the volume becomes a remote one (tier_switch.h), and only after that the .dat on the disk goes. Back: the object comes
// down under a temporary name, is synced and renamed; the volume becomes one on the disk, all its live files are held
// against their checksums, and only then the object goes. So whenever the process dies the volume is whole, on the disk or in
// the tier; an object or a .dat too many may stay, and doing the same again carries on from there.
//
// Thread-safe. Every call waits, for hours where the way is slow: on a thread of the caller's own.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "base/mutex.h"
#include "io/clock.h"
#include "io/random.h"
#include "service/volume/cancel.h"
#include "service/volume/volume_service.h"
#include "storage/volume/remote_tier.h"
#include "storage/volume/store.h"

namespace holdfast::volume {

class TierMover {
 public:
  // All outlive this.
  struct World {
    Store& store;
    RemoteTier& tier;
    io::Disk& disk;
    io::Clock& clock;
    io::Random& random;
    std::function<Status(const OrderFence& fence, VolumeId id)> admit;  // whether an order may be obeyed
    std::function<void()> changed;                                      // a volume has become another: tell the masters
  };

  // Called with the bytes that have come over and how many percent of all that is. False: it is called off.
  using Progress = std::function<bool(std::uint64_t bytes, float percent)>;

  explicit TierMover(World world) : world_(std::move(world)) {}

  struct Upload {
    VolumeId id;
    std::string collection;
    std::string backend;  // "s3.cold"
    bool keep_dat = false;
  };
  // refused: the volume takes writes, or has a ttl, or is being moved. Of one that lies there already: its .dat on the disk
  // goes, if there is one and it is not to be kept.
  Status upload(const Upload& wish, const OrderFence& fence, const Progress& progress);

  struct Download {
    VolumeId id;
    std::string collection;
    bool keep_object = false;
  };
  Status download(const Download& wish, const OrderFence& fence, const Progress& progress, Cancel& cancel);

  // The object of a volume that was deleted; what fails is told in the log.
  void remove_object(VolumeId id, const RemoteFile& file);

 private:
  class Claim;

  // The volume, if it may be moved now.
  Result<std::shared_ptr<Volume>> begin(const Claim& claim, const std::string& collection, const OrderFence& fence) const;
  Result<RemoteFile> carry_up(Volume& volume, const std::string& backend, io::ObjectStore& store, const Progress& progress);
  Status compare(const io::File& dat, const RemoteFile& file, io::ObjectStore& store) const;
  Status carry_down(const Volume& volume, const RemoteFile& file, io::ObjectStore& store, const Progress& progress);
  Status remove_dat(const Volume& volume);

  const World world_;

  Mutex mutex_;  // leaf
  std::set<VolumeId> moving_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::volume
