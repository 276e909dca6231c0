// A master's start on a restored image: `metadata.mfs` in its folder, as mfsmetarestore leaves it (docs/backups.md).
//
// The image becomes a new cluster of this one member, a generation further, as a recovery does (recovery.h): the cluster of
// the image may have gone on behind its last entry, and nothing is to be given twice. Then the file gets its usual name,
// metadata.mfs.back. A crash in between leaves either all of it undone or the last step, which the next start does.
//
// One thread, before the runtime is opened.
#pragma once

#include <string>

#include "base/result.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/random.h"
#include "service/master/config.h"

namespace holdfast::master {

// Nothing to do, and "" when there is no such file. The Error says what to do: there is a state of another origin as well, a
// member of the image's cluster is alive, the image is damaged or of a newer release. Otherwise one sentence for the log.
Result<std::string> take_restored_state(const RuntimeConfig& config, io::Disk& disk, io::Clock& clock, io::Random& random);

}  // namespace holdfast::master
