#include "service/master/successor.h"

#include <algorithm>

namespace holdfast::master {

Result<storage::Identity> make_successor(io::Disk& disk, io::Random& random, const std::string& folder, const std::string& self,
                                         const Predecessor& predecessor, topology::Registry& state,
                                         std::uint64_t segment_bytes) {
  auto fresh = storage::new_identity(random);
  fresh.cluster = ClusterId(random.uuid());
  fresh.self = self;
  fresh.founding = raft::Configuration({{.id = fresh.node, .address = self, .voter = true}});
  fresh.members = fresh.founding.members();
  fresh.superseded = predecessor.superseded;
  fresh.superseded.push_back(predecessor.cluster);
  fresh.former = predecessor.former;
  for (const auto& member : predecessor.configuration.members()) {
    if (member.id != predecessor.itself && !member.address.empty() &&
        std::find(fresh.former.begin(), fresh.former.end(), member.address) == fresh.former.end()) {
      fresh.former.push_back(member.address);
    }
  }
  if (auto done = state.succeed(fresh.cluster); !done) return done.error();
  const raft::SnapshotMeta meta{.last = predecessor.last,
                                .configuration = fresh.founding,
                                .configuration_index = predecessor.last.index};
  const storage::RaftStore::Options options{.cluster = fresh.cluster, .voter = fresh.node, .segment_bytes = segment_bytes};
  if (auto done = storage::RaftStore::found_from(disk, random, folder, options, meta,
                                                 std::max(predecessor.term, predecessor.last.term), state.checkpoint().files);
      !done) {
    return done.error();
  }
  // As the next start will: what cannot be opened is found here, and every file is there that replaces one of before.
  auto opened = storage::RaftStore::open(disk, random, folder, options);
  if (!opened) return opened.error();
  return fresh;
}

}  // namespace holdfast::master
