#include "core/topology/heal_plan.h"

#include <algorithm>
#include <tuple>

#include "core/topology/picture.h"

namespace holdfast::topology {

std::uint64_t next_epoch(std::uint64_t from, Generation generation, Term term, std::uint64_t attempt) {
  // Added rather than joined: what outgrows its bits still counts upwards.
  constexpr int kTermBit = 28, kGenerationBit = 52;
  const auto own = (generation.value() << kGenerationBit) + (term.value() << kTermBit) + attempt;
  return std::max(from + 1, own);
}

bool is_too_much_at_once(const HealView& view) {
  if (2 * view.copies_missing > view.copies_there + view.copies_missing) return true;
  return view.servers_silent > 0 && 2 * view.servers_silent >= view.servers;
}

std::string choose_target(const std::vector<HealPlace>& holders, const std::vector<HealPlace>& candidates,
                          ReplicaPlacement code, PickRandom& random) {
  constexpr int kDraws = 3;
  std::vector<const HealPlace*> fitting;
  std::vector<const HealPlace*> elsewhere;  // on a host of its own
  for (const HealPlace& candidate : candidates) {
    if (candidate.free <= 0) continue;
    std::vector<Place> places;
    for (const HealPlace& holder : holders) places.push_back({holder.data_center, holder.rack, holder.id});
    places.push_back({candidate.data_center, candidate.rack, candidate.id});
    if (!fits_placement(code, places)) continue;
    fitting.push_back(&candidate);
    const bool shares = std::any_of(holders.begin(), holders.end(),
                                    [&](const HealPlace& holder) { return holder.host == candidate.host; });
    if (!shares) elsewhere.push_back(&candidate);
  }
  const auto& from = elsewhere.empty() ? fitting : elsewhere;
  const HealPlace* best = nullptr;
  for (int i = 0; i < kDraws && !from.empty(); ++i) {
    const HealPlace* drawn = from[random.below(from.size())];
    if (best == nullptr || drawn->free > best->free) best = drawn;
  }
  return best == nullptr ? std::string() : best->id;
}

const HealCopy* choose_surplus(const HealVolume& volume) {
  if (volume.copies.size() <= volume.wanted()) return nullptr;
  const HealCopy* best = nullptr;
  const auto fitness = [&](const HealCopy& copy) {
    const auto neighbours = std::count_if(volume.copies.begin(), volume.copies.end(),
                                          [&](const HealCopy& other) { return other.place.host == copy.place.host; });
    return std::tuple(neighbours == 1, copy.place.free, copy.place.id);
  };
  for (const HealCopy& copy : volume.copies) {
    std::vector<Place> rest;
    for (const HealCopy& other : volume.copies) {
      if (&other != &copy) rest.push_back({other.place.data_center, other.place.rack, other.place.id});
    }
    if (largest_fitting(volume.replica_placement, rest).size() < volume.wanted()) continue;
    if (best == nullptr || fitness(copy) < fitness(*best)) best = &copy;
  }
  return best;
}

}  // namespace holdfast::topology
