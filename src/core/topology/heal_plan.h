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

  bool is_complete() const { return copies.size() >= static_cast<std::size_t>(replica_placement.copies()); }
};

// Both lists are cut where they are long: more than that is not mended at a time.
struct HealView {
  static constexpr std::size_t kShortMax = 20'000;
  static constexpr std::size_t kAsideMax = 2'000;

  std::vector<VolumeId> short_of_copies;    // ascending
  std::size_t short_count = 0;              // all of them
  std::vector<HealVolume> with_aside;       // by id
  std::vector<VolumeId> only_aside;         // of which no copy that counts is there
  std::uint64_t copies_there = 0;           // of all volumes
  std::uint64_t copies_missing = 0;
  std::size_t servers = 0;
  std::size_t servers_silent = 0;  // known and not to be asked now
};

// A loss of so much at once looks like a cut network or a start rather than like lost servers: nothing is begun.
bool is_too_much_at_once(const HealView& view);

// Where one more copy goes: with a free slot, fitting, on another host than the holders if there is one, the emptiest of a
// few drawn at random. "" if there is none.
std::string choose_target(const std::vector<HealPlace>& holders, const std::vector<HealPlace>& candidates,
                          ReplicaPlacement code, PickRandom& random);

}  // namespace holdfast::topology
