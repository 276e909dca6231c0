// Recovery: a cluster of one out of what one member holds, when the majority of its masters is gone for good
// (raft-and-leases 3.6, docs/decisions/recover.md).
//
// What the lost members agreed on after this one's last entry is lost. So the state that goes on is not the old
// cluster's: it is a *new* cluster, with a new id and a new member, that has taken over the old one's volumes, is a
// generation further, and has skipped 2^40 file keys and 4096 volume ids, so that nothing is given twice. Old members that
// come back belong to another cluster, and are told to stop by each member of the new one (runtime.cc, superseded).
//
// Nothing of the old files is changed until all of the new ones are on disk. Then the identity is replaced, which says
// that a recovery is being put in place, and the files are moved, the old ones aside. After a crash halfway no master
// starts on the folder, and open() with carry_out() goes on where it was.
//
// One thread; the folder's lock is held as long as this lives.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/configuration.h"
#include "core/raft/core.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/random.h"
#include "model/ids.h"

namespace holdfast::master {

struct RecoveryConfig {
  std::string folder;  // -mdir
  std::uint16_t port = 0;
  std::uint32_t feature_level = 1;
  std::uint64_t segment_bytes = 8u << 20;
  std::string cluster_secret;  // "": none
};

// What one other member said when it was called.
struct OtherMember {
  raft::Member member;
  bool answers = false;
  bool same_cluster = false;      // it takes part in the lost cluster, with or without a leader
  bool succeeded = false;         // it belongs to a cluster that has taken the lost one's place already
  std::string text;               // a few words for the operator
};

struct RecoveryReport {
  std::string folder;             // the member's own
  NodeId node;
  ClusterId cluster;
  std::string address;
  bool voter = false;
  Term term;
  raft::LogPosition last;         // the last entry here
  Index commit;                   // known here to be committed; what is above may be
  std::optional<raft::Damage> damage;
  raft::Configuration configuration;
  Generation generation;
  std::uint64_t next_key = 0;     // every key below is spoken for
  VolumeId max_volume_id;
  std::size_t folders = 0;        // of volume servers
  bool interrupted = false;       // a recovery was begun here and did not end; of the above only folder, address, cluster
};

class Recovery {
 public:
  // Takes the folder's lock and reads all of it. The Error says what to do: the master runs, there is nothing, the
  // member is the whole cluster anyway, the files are of a newer build.
  static Result<std::unique_ptr<Recovery>> open(RecoveryConfig config, io::Disk& disk, io::Random& random);
  virtual ~Recovery() = default;

  virtual const RecoveryReport& report() const = 0;

  // Calls the other members, a second for all of them.
  virtual std::vector<OtherMember> ask_others(io::Clock& clock) = 0;

  // Puts the new cluster in place; answers where the files of before are. Whatever fails, the folder is as it was, or
  // another carry_out() ends it.
  virtual Result<std::string> carry_out() = 0;
};

}  // namespace holdfast::master
