// Pulls one file of a volume from another server onto this one's disk, for copies of volumes and of shards.
//
// The file is whole and synced when this returns ok; its name is durable after the caller's sync_dir. After a failure
// or a crash there may be a part of it: whoever pulls keeps a marker or a name beside it that tells.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "client/volume_source.h"
#include "io/disk.h"
#include "service/volume/cancel.h"
#include "service/volume/pacer.h"

namespace holdfast::volume {

struct PullOptions {
  Pacer& pacer;
  Cancel& cancel;
  std::function<void(std::uint64_t bytes)> moved;  // after each piece, may be empty
};

// Writes what `wish` asks for to `path`, in place of what is there, with the source's time. When the source has no such
// file there is none here either, and is_there says so.
Result<client::FileCopied> pull_file(client::VolumeSource& source, const client::FileWish& wish, io::Disk& disk,
                                     const std::string& path, const PullOptions& options);

}  // namespace holdfast::volume
