// Scrub: looks for damage in a volume that is served, before a reader meets it (rpc ScrubVolume).
//
//   index      every row of the .idx points at a record that lies in the .dat; no two live records overlap
//   full       that, and every live needle is read and its data held against its crc
//
// Reads only, at no more than so many bytes a second. Waits for the disk. Pure otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "service/volume/cancel.h"
#include "service/volume/pacer.h"
#include "storage/volume/volume.h"

namespace holdfast::volume {

enum class ScrubMode { index, full };

struct Scrubbed {
  std::uint64_t files = 0;            // rows or needles looked at
  std::vector<std::string> details;   // one sentence per damage, at most kDetailsMax
  bool is_broken = false;

  static constexpr std::size_t kDetailsMax = 100;
};

// unavailable when cancelled.
Result<Scrubbed> scrub(const std::shared_ptr<Volume>& volume, ScrubMode mode, Pacer& pacer, Cancel& cancel);

}  // namespace holdfast::volume
