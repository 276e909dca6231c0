// Image: the masters' whole state at one entry, as one plain file that can be copied anywhere: `metadata.mfs.back` of a
// master, `metadata_ml.mfs.back` of a metalogger, what `holdfast backup` and `mfsmetarestore` write (docs/backups.md).
//
// Its head tells whose state it is and where in the history it stands, so that nobody takes another cluster's for his own;
// a checksum over the head and one over each part of the body tell damage, and the mark at the end a file that was cut off.
//
// Pure. decode_image() takes any bytes: they may come from a damaged disk or from a stranger.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/raft/configuration.h"
#include "core/raft/messages.h"
#include "core/topology/state_machine.h"
#include "io/clock.h"
#include "io/disk.h"
#include "model/ids.h"

namespace holdfast::backup {

// A longer file is no image: the state in it is bounded (storage/raft/snapshots.h).
inline constexpr std::uint64_t kImageBytesMax = 1_GiB + 1_MiB;

struct ImageHead {
  ClusterId cluster;
  Generation generation;
  raft::LogPosition last;            // the last entry that is in it
  std::uint32_t check = 0;           // of that entry (change_log.h); 0: not known
  std::uint32_t feature_level = 0;   // a build below does not understand the state
  io::WallTime made{};               // for people
  raft::Configuration configuration; // the members at that entry

  friend bool operator==(const ImageHead&, const ImageHead&) = default;
};

struct Image {
  ImageHead head;
  std::vector<topology::CheckpointFile> files;

  friend bool operator==(const Image&, const Image&) = default;
};

std::string encode(const Image& image);

// corrupt: says what is wrong and where; unsupported: of a newer build.
Result<Image> decode_image(BytesView bytes);

// "generation 3, entry 1050 of term 7, cluster ..." for people.
std::string text(const ImageHead& head);

// Of two whole images the one to go on from: a later generation first, then the later entry.
bool is_newer(const ImageHead& a, const ImageHead& b);

// The file at `path`, read and checked.
Result<Image> load_image(io::Disk& disk, const std::string& path);

// Puts `bytes` of an image at folder/name by way of folder/temporary, and moves what was there to name.1, that to name.2
// and so on; of those before, `keep` stay. After a crash each name is a whole file of before or after.
Status store_image(io::Disk& disk, const std::string& folder, const std::string& name, const std::string& temporary,
                   std::string_view bytes, std::size_t keep);

// The second half of that alone: `name` becomes name.1 and so on, and nothing has the name.
Status shift_images(io::Disk& disk, const std::string& folder, const std::string& name, std::size_t keep);

}  // namespace holdfast::backup
