#include "core/topology/heal_plan.h"

#include <algorithm>

#include "core/topology/picture.h"

namespace holdfast::topology {

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

}  // namespace holdfast::topology
