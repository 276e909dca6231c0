// How the shell makes one volume again out of copies of it that have drifted apart (volume.merge, docs/shell.md).
//
// All copies are frozen and read, and what counts of them is planned (core/volume/merge.h). The merged volume is built anew at a
// server that has no copy, read back and held against the plan; only then the copies are replaced by it, one after the other,
// and in the end the one at that server goes. So at any moment there are as many copies as before, and either all old ones or
// the whole merged one is among them. What fails before the first replacement leaves all as it was. What fails later leaves all
// copies read-only, since they differ: the same command again takes up there, from a copy that is merged already.
//
// The merged volume is of the same set of copies as the old ones (docs/self-healing.md); once all are replaced the set goes on to its
// next epoch, so that a copy that was away meanwhile is known for an old one.
//
// Belongs to the shell's thread.
#pragma once

#include "cmd/shell_session.h"
#include "cmd/volume_transfer.h"
#include "core/topology/picture.h"

namespace holdfast::cmd {

struct MergeOptions {
  const topology::PictureServer* target = nullptr;  // builds the merged volume; null: the server with most room
  bool keeps_unclear = false;  // files that a compacted copy does not know are kept; else nothing is done when there are any
  bool no_lock = false;
};

Status merge_volume(Shell& shell, const topology::Picture& picture, VolumeId volume, const MergeOptions& options);

}  // namespace holdfast::cmd
