// TierSwitch: the moment in which a volume's .dat comes to lie in a remote tier, or on the disk again. What takes long,
// carrying the bytes and comparing them, is done before (service/volume/tier_mover.h).
//
// The .vif decides: with a file named in it the volume is a remote one, without it is one on the disk. It changes in one
// step, while nothing is written, and the .dat is whole in both places then; so a crash leaves the one or the other, and
// at worst one copy of the .dat too many. The volume that was open passes its queue and its marks on to the one that is
// opened in its place; reads under way on it go on.
//
// Not on the pool's threads: writes under way are waited for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

class TierSwitch {
 public:
  // Called once the new volume is the one, before the old one lets go of its queue: puts it into the table.
  using Publish = std::function<void(const std::shared_ptr<Volume>&)>;

  // `file.key` holds what the .dat was at `file.file_size`. stale: it has grown since. With `keep_dat` the .dat on the disk
  // is read from then on; without it is not, and the caller removes it. outcome_unknown: the .vif may name the file, so it
  // must stay, and so must the .dat.
  static Result<std::shared_ptr<Volume>> to_remote(std::shared_ptr<Volume> volume, const RemoteFile& file, bool keep_dat,
                                                   const Publish& publish);

  // The .dat lies on the disk, under its name, synced.
  static Result<std::shared_ptr<Volume>> to_disk(std::shared_ptr<Volume> volume, const Publish& publish);

 private:
  struct Change;
  static Result<std::shared_ptr<Volume>> carry_out(Volume& old, const Change& change, const Publish& publish);
  static Status save_files(Volume& volume, const Change& change);
};

}  // namespace holdfast::volume
