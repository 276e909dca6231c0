// A successor: the first member of a new cluster that takes the place of a lost one, out of a state of that one. Made by
// `recover`, from what a member holds, and at the start of a master on a restored image (docs/decisions/recover.md).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/configuration.h"
#include "core/raft/messages.h"
#include "core/topology/registry.h"
#include "io/disk.h"
#include "io/random.h"
#include "storage/raft/identity.h"
#include "storage/raft/raft_store.h"

namespace holdfast::master {

struct Predecessor {
  ClusterId cluster;
  raft::LogPosition last;                 // where its state stands
  Term term;                              // no lower than that of `last`
  raft::Configuration configuration;      // its members then
  NodeId itself;                          // the one whose place the successor's member takes; empty: none
  std::vector<ClusterId> superseded;      // clusters it had succeeded
  std::vector<std::string> former;        // where members of those were
};

// Makes vote, log and snapshot of the new member in `folder`, which has none; changes `state` to the successor's: another
// cluster id, a generation further, keys and volume ids skipped. Answers the identity, which it does not store: the caller
// does when all else is in place.
Result<storage::Identity> make_successor(io::Disk& disk, io::Random& random, const std::string& folder, const std::string& self,
                                         const Predecessor& predecessor, topology::Registry& state,
                                         std::uint64_t segment_bytes);

}  // namespace holdfast::master
