// Metalogger: keeps copies of the masters' state on another machine, as plain files (storage/backup/backup_folder.h):
// the whole state at the start and every so often, and each change as it commits.
//
// It asks one master at a time for what comes behind its last entry, and writes and syncs that before it asks again: so a
// slow disk here slows nobody else. A master that falls silent is left for the next one, wherever that is; since all of them
// answer with committed entries only, it goes on from the same place. It is no member of the masters' group: it has no vote,
// no quorum counts it, nobody waits for it (docs/decisions/metaloggers.md). All other masters are told now and then how far
// it is, so that each can show it.
//
// What it does not do: delete, or go back, because a master says so. One that is behind is waited for or left for another;
// one of another cluster is refused, unless that cluster has taken the place of ours: then the files of before go into a
// folder of their own, and it begins anew (spec/moosefs-ha 15, numbers 2 to 4).
//
// One thread of its own; status() from any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/address.h"
#include "model/ids.h"

namespace holdfast::metalogger {

struct Options {
  std::vector<Address> masters;     // names and addresses; one that answers is enough, it tells of the others
  Duration discovery_interval = std::chrono::seconds(5);
  Duration silence_max = std::chrono::seconds(10);      // a master that says nothing for so long is left
  Duration redial_after = std::chrono::seconds(5);      // when none answers; sooner one that begins to take connections
  std::string folder;
  std::size_t logs_kept = 50;
  std::size_t images_kept = 3;
  Duration image_interval = std::chrono::hours(24);     // between two downloads of the whole state
  Duration log_interval = std::chrono::hours(1);        // a new change log begins
  std::string name;                 // what masters call it; the host
};

struct MetaloggerState {
  std::string follows;              // empty: none at the moment
  ClusterId cluster;
  Generation generation;
  Index position;                   // on disk
  Index image;
  std::uint64_t behind = 0;         // entries that the masters have committed and this one lacks, as last heard
  Duration heard_ago{};
  std::string trouble;              // why it does not follow; empty: it does
};

class Metalogger {
 public:
  // Reads the folder; says in the log what is wrong with files there. No thread runs yet.
  static Result<std::unique_ptr<Metalogger>> open(Options options, io::Disk& disk, io::Clock& clock, io::Random& random);
  virtual ~Metalogger() = default;  // stops

  virtual void start() = 0;
  virtual void stop() = 0;
  [[nodiscard]] virtual MetaloggerState status() const = 0;
};

// A whole image from any of these masters, for `holdfast backup`: everything acknowledged before the call is in it. The
// bytes are checked.
Result<std::string> fetch_image(const std::vector<Address>& masters, Duration patience, io::Clock& clock);

}  // namespace holdfast::metalogger
