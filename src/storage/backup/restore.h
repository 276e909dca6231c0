// Restoring: an image and change logs, in any order, put together to the state at the last entry that they reach without
// a gap. What mfsmetarestore does, and what a metalogger does at its start to find out how far its files go.
//
// Every line is a committed entry, so the state reached is one that the cluster agreed on, whatever is missing behind it.
// Nothing is passed over in silence: gaps, damaged lines and files that do not fit are named.
//
// Reads a Disk; otherwise pure. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/disk.h"
#include "storage/backup/change_log.h"
#include "storage/backup/image.h"

namespace holdfast::backup {

// A file of change logs of any size is read whole; beyond this it is refused.
inline constexpr std::uint64_t kChangeLogBytesMax = 4_GiB;

struct SourceLog {
  std::string name;  // for messages
  ParsedLog parsed;
};

// The names, of those in a folder, that are images, or change logs, of a master or a metalogger.
bool is_image_name(const std::string& name);
bool is_change_log_name(const std::string& name);

// A change log, read and taken apart; `cluster` as in parse_change_log().
Result<SourceLog> load_change_log(io::Disk& disk, const std::string& path, std::optional<ClusterId> cluster);

// All that a folder holds: the newest whole image, and every change log. A folder that cannot be read is the Error; what
// is wrong with single files is in `remarks`.
struct FolderContent {
  std::optional<Image> image;
  std::string image_name;
  std::vector<SourceLog> logs;
  std::vector<std::string> remarks;
};
Result<FolderContent> read_folder(io::Disk& disk, const std::string& folder);

// How far logs go on from `start` without a gap. Logs of other clusters are left out, and that is remarked.
struct Chain {
  raft::LogPosition reached;
  std::vector<const Change*> changes;  // after `start`, one for each entry, pointing into the logs
  Index highest;                       // of all whole lines, gap or not; at least `reached`
  std::vector<std::string> remarks;    // harmless: a torn last line, a file left out
  std::vector<std::string> losses;     // what is between `reached` and `highest`, and damaged lines that nothing replaces
};
Chain chain_of(ClusterId cluster, raft::LogPosition start, const std::vector<SourceLog>& logs);

// Applies the chain to the image. Without one the chain begins with the first entry ever. An Error: a build of this
// `feature_level` cannot read an entry.
Result<Image> apply(const std::optional<Image>& start, ClusterId cluster, const Chain& chain, std::uint32_t feature_level,
                    io::WallTime made);

}  // namespace holdfast::backup
