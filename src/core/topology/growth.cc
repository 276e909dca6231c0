#include "core/topology/growth.h"

#include <algorithm>
#include <functional>
#include <map>

namespace holdfast::topology {

namespace {

using ServerPtr = GrowthServer*;
using Servers = std::vector<ServerPtr>;
using Racks = std::map<std::string, Servers>;
using DataCenters = std::map<std::string, Racks>;

std::int64_t free_slots(const Servers& servers) {
  std::int64_t sum = 0;
  for (const ServerPtr s : servers) sum += std::max<std::int64_t>(s->free, 0);
  return sum;
}
std::int64_t free_slots(const Racks& racks) {
  std::int64_t sum = 0;
  for (const auto& [name, servers] : racks) sum += free_slots(servers);
  return sum;
}
std::int64_t with_slot(const Servers& servers) {
  return std::count_if(servers.begin(), servers.end(), [](ServerPtr s) { return s->free > 0; });
}

// One of `weights`, each as likely as it is heavy. `sum` is that of all above 0, and not 0.
std::size_t weighted_draw(const std::vector<std::int64_t>& weights, std::int64_t sum, PickRandom& random) {
  auto at = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(sum)));
  std::size_t i = 0;
  while (weights[i] <= 0 || at >= weights[i]) at -= std::max<std::int64_t>(weights[i++], 0);
  return i;
}

// The indexes of `weights` in a random order where the heavy ones tend to come first; those without weight not at all.
// Of two draws that weigh alike the heavier comes next: a few volumes on a few servers spread evenly so, where one draw
// would now and then leave a server out (power of two choices). Between unlike ones the first stands, so that a large
// server gets its share and not all.
std::vector<std::size_t> weighted_order(std::vector<std::int64_t> weights, PickRandom& random) {
  std::vector<std::size_t> order;
  std::int64_t sum = 0;
  for (const std::int64_t w : weights) sum += std::max<std::int64_t>(w, 0);
  while (sum > 0) {
    const auto one = weighted_draw(weights, sum, random), other = weighted_draw(weights, sum, random);
    const bool heavier = weights[other] > weights[one] && weights[other] <= 2 * weights[one];
    const auto next = heavier ? other : one;
    order.push_back(next);
    sum -= weights[next];
    weights[next] = 0;
  }
  return order;
}

// Why nothing fitted: a line for each place that was looked at, of the innermost kind that was reached.
class Reasons {
 public:
  void add(int depth, const std::string& place, const std::string& reason) {
    if (depth > depth_) {
      depth_ = depth;
      lines_.clear();
    }
    if (depth == depth_ && std::find(lines_.begin(), lines_.end(), place + ":" + reason) == lines_.end()) {
      lines_.push_back(place + ":" + reason);
    }
  }
  std::string text() const {
    std::string all = "No matching data node found! ";
    for (const std::string& line : lines_) all += "\n" + line;
    return all;
  }

 private:
  int depth_ = 0;
  std::vector<std::string> lines_;
};

std::string free_reason(std::int64_t free, std::int64_t needed) {
  return "Free:" + std::to_string(free) + " < Expected:" + std::to_string(needed);
}
std::string rack_reason(std::int64_t racks, std::int64_t nodes, std::int64_t needed) {
  return "Only has " + std::to_string(racks) + " racks with more than " + std::to_string(nodes) +
         " free data nodes, not enough for " + std::to_string(needed) + ".";
}

class Placer {
 public:
  Placer(DataCenters& places, const GrowthRequest& request, PickRandom& random)
      : places_(places), wish_(request.wish), code_(request.replica_placement), random_(random) {}

  // The servers of one volume, or why there are none.
  Result<Servers> place() {
    if (places_.size() < code_.other_data_centers + 1u) {
      return Error(Code::unavailable, "Not enough data nodes found!");
    }
    std::vector<const std::string*> names;
    std::vector<std::int64_t> weights;
    for (const auto& [name, racks] : places_) {
      names.push_back(&name);
      weights.push_back(fits(name, racks) ? free_slots(racks) : 0);
    }
    bool others_missing = false;
    for (const std::size_t i : weighted_order(weights, random_)) {
      Servers others;
      for (const std::size_t j : weighted_order(weights_of_others(*names[i]), random_)) {
        if (others.size() == code_.other_data_centers) break;
        others.push_back(any_server(places_.at(*names[j])));
      }
      if (others.size() < code_.other_data_centers) {
        others_missing = true;
        continue;
      }
      if (auto chosen = place_in(places_.at(*names[i])); !chosen.empty()) {
        chosen.insert(chosen.end(), others.begin(), others.end());
        return chosen;
      }
    }
    if (others_missing) return Error(Code::unavailable, "Not enough data nodes found!");
    return Error(Code::unavailable, reasons_.text());
  }

 private:
  std::vector<std::int64_t> weights_of_others(const std::string& main) const {
    std::vector<std::int64_t> weights;
    for (const auto& [name, racks] : places_) weights.push_back(name == main ? 0 : free_slots(racks));
    return weights;
  }

  ServerPtr any_server(const Racks& racks) {
    Servers all;
    std::vector<std::int64_t> weights;
    for (const auto& [name, servers] : racks) {
      for (const ServerPtr s : servers) {
        all.push_back(s);
        weights.push_back(s->free);
      }
    }
    return all[weighted_order(weights, random_).front()];
  }

  // Whether the data center can hold the first copy and those in its own racks.
  bool fits(const std::string& name, const Racks& racks) {
    const std::int64_t needed = code_.other_racks + code_.same_rack + 1;
    if (!wish_.data_center.empty() && name != wish_.data_center) {
      reasons_.add(1, name, "Not matching preferred data center:" + std::string(wish_.data_center));
      return false;
    }
    if (const std::int64_t free = free_slots(racks); free < needed) {
      reasons_.add(1, name, free_reason(free, needed));
      return false;
    }
    // A rack for the first copy and its z neighbours, and y further racks with a slot each.
    std::int64_t main = 0, any = 0;
    for (const auto& [rack, servers] : racks) {
      main += with_slot(servers) >= code_.same_rack + 1 ? 1 : 0;
      any += with_slot(servers) > 0 ? 1 : 0;
    }
    if (main < 1 || any < code_.other_racks + 1) {
      reasons_.add(1, name, rack_reason(main < 1 ? main : any, main < 1 ? code_.same_rack + 1 : 1,
                                        main < 1 ? 1 : code_.other_racks + 1));
      return false;
    }
    return true;
  }

  Servers place_in(const Racks& racks) {
    std::vector<const std::string*> names;
    std::vector<std::int64_t> weights;
    for (const auto& [name, servers] : racks) {
      names.push_back(&name);
      const bool wished = wish_.rack.empty() || name == wish_.rack;
      const bool room = with_slot(servers) >= code_.same_rack + 1;
      if (!wished) reasons_.add(2, name, "Not matching preferred rack:" + std::string(wish_.rack));
      if (wished && !room) reasons_.add(2, name, free_reason(with_slot(servers), code_.same_rack + 1));
      weights.push_back(wished && room ? free_slots(servers) : 0);
    }
    for (const std::size_t i : weighted_order(weights, random_)) {
      Servers chosen = place_in(racks.at(*names[i]));
      if (chosen.empty()) continue;
      std::vector<std::int64_t> other_weights;
      for (std::size_t j = 0; j < names.size(); ++j) {
        other_weights.push_back(j == i ? 0 : free_slots(racks.at(*names[j])));
      }
      const auto order = weighted_order(other_weights, random_);
      for (std::size_t k = 0; k < order.size() && k < code_.other_racks; ++k) {
        const Servers& servers = racks.at(*names[order[k]]);
        chosen.push_back(any_server({{"", servers}}));
      }
      if (chosen.size() == code_.same_rack + 1u + code_.other_racks) return chosen;
    }
    return {};
  }

  // The first copy and its z neighbours, empty when the wish names a server that is not here or has no room.
  Servers place_in(const Servers& servers) {
    std::vector<std::int64_t> weights;
    for (const ServerPtr s : servers) {
      const bool wished = wish_.server.empty() || s->id == wish_.server || s->url == wish_.server;
      if (!wished) reasons_.add(3, s->id, "Not matching preferred data node:" + std::string(wish_.server));
      if (wished && s->free < 1) reasons_.add(3, s->id, free_reason(s->free, 1));
      weights.push_back(wished ? s->free : 0);
    }
    const auto first = weighted_order(weights, random_);
    if (first.empty()) return {};
    Servers chosen{servers[first.front()]};

    // The neighbours, those on hosts not used yet before those on the same ones.
    weights.clear();
    for (const ServerPtr s : servers) weights.push_back(s == chosen.front() ? 0 : s->free);
    const auto order = weighted_order(weights, random_);
    for (const bool same_host : {false, true}) {
      for (const std::size_t i : order) {
        if (chosen.size() == code_.same_rack + 1u) return chosen;
        const auto uses_host = [&](ServerPtr s) { return s->host == servers[i]->host; };
        if (std::find(chosen.begin(), chosen.end(), servers[i]) != chosen.end()) continue;
        if (!same_host && std::any_of(chosen.begin(), chosen.end(), uses_host)) continue;
        chosen.push_back(servers[i]);
      }
    }
    return chosen.size() == code_.same_rack + 1u ? chosen : Servers{};
  }

  DataCenters& places_;
  const Wish& wish_;
  const ReplicaPlacement code_;
  PickRandom& random_;
  Reasons reasons_;
};

}  // namespace

Result<GrowthPlan> plan_growth(std::vector<GrowthServer> servers, const GrowthRequest& request, PickRandom& random) {
  DataCenters places;
  std::int64_t free = 0;
  for (GrowthServer& s : servers) {
    places[s.data_center][s.rack].push_back(&s);
    free += std::max<std::int64_t>(s.free, 0);
  }
  if (free <= 0) return Error(Code::no_space, "no free volumes left");

  GrowthPlan plan;
  for (std::uint32_t n = 0; n < request.volumes; ++n) {
    auto chosen = Placer(places, request, random).place();
    if (!chosen) {
      if (plan.volumes.empty()) return chosen.error();
      plan.stopped = chosen.error().what();
      break;
    }
    auto& ids = plan.volumes.emplace_back();
    for (const ServerPtr s : *chosen) {
      --s->free;
      ids.push_back(s->id);
    }
  }
  return plan;
}

}  // namespace holdfast::topology
