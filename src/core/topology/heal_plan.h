// What is missing of volumes, and where a copy that was lost can be made again (docs/self-healing.md). Values, and one
// choice made of them: nothing here touches anything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/topology/layout.h"
#include "model/ids.h"
#include "model/replica_placement.h"

namespace holdfast::topology {

// From this feature level on a volume server knows epochs of copies.
constexpr std::uint32_t kHealingServerLevel = 2;

struct HealPlace {
  std::string id;
  std::string host;
  std::string data_center;
  std::string rack;
  std::int64_t free = 0;  // slots
};

struct HealCopy {
  HealPlace place;
  std::string address;         // host:grpcport
  std::string source;          // host:port.grpcport, as another volume server dials it
  std::uint64_t epoch = 0;
  bool can_take_part = false;  // a server of ours that knows epochs, and can be asked now
  bool is_outdated = false;    // it has been told that it does not count, and serves nothing any more
  bool is_read_only = false;
};

struct HealVolume {
  VolumeId id;
  std::string collection;
  std::string disk_type;
  ReplicaPlacement replica_placement;
  std::uint64_t bytes = 0;
  std::uint64_t epoch = 0;       // of the copies that count
  std::uint64_t agreed_epoch = 0;  // the registry's: at most that
  bool busy = false;             // under vacuum, half made, or erasure-coded
  std::vector<HealCopy> copies;  // that count
  std::vector<HealCopy> aside;   // that do not

  std::size_t wanted() const { return static_cast<std::size_t>(replica_placement.copies()); }
  bool is_complete() const { return copies.size() >= wanted(); }
};

// Both lists are cut where they are long: more than that is not mended at a time.
struct HealView {
  static constexpr std::size_t kShortMax = 20'000;
  static constexpr std::size_t kAsideMax = 2'000;
  static constexpr std::size_t kSurplusMax = 2'000;

  std::vector<VolumeId> short_of_copies;    // ascending
  std::size_t short_count = 0;              // all of them
  std::vector<HealVolume> with_aside;       // by id
  std::vector<VolumeId> only_aside;         // of which no copy that counts is there
  std::vector<VolumeId> with_surplus;       // ascending; more copies count than were asked for
  std::uint64_t copies_there = 0;           // of all volumes
  std::uint64_t copies_missing = 0;
  std::size_t servers = 0;
  std::size_t servers_silent = 0;  // known and not to be asked now
};

// The epoch to which an attempt moves copies of `from`. No two attempts share one, and it is above those of all attempts before it, those
// of leaders that are gone and that nobody agreed on too: a copy that adopted such a one and was away since is older than all that came
// afterwards. `attempt`: from 1 on in each term.
std::uint64_t next_epoch(std::uint64_t from, Generation generation, Term term, std::uint64_t attempt);

// A loss of so much at once looks like a cut network or a start rather than like lost servers: nothing is begun.
bool is_too_much_at_once(const HealView& view);

// Where one more copy goes: with a free slot, fitting, on another host than the holders if there is one, the emptiest of a
// few drawn at random. "" if there is none.
std::string choose_target(const std::vector<HealPlace>& holders, const std::vector<HealPlace>& candidates,
                          ReplicaPlacement code, PickRandom& random);

// Which of its copies is one too many, as those that stay still stand as the placement asks: the one on a host that has
// another, then the one on the fullest server. Null if there is none such.
const HealCopy* choose_surplus(const HealVolume& volume);

}  // namespace holdfast::topology
