#include "test/sim/survival.h"

#include <fmt/format.h>

#include <algorithm>

#include "test/sim/world.h"

namespace holdfast::sim {
namespace {

struct Cluster {
  std::size_t masters;
  bool witness;
};

using Machines = std::vector<std::size_t>;

// Every choice of `count` of the masters, with or without the witness.
std::vector<Machines> choices(const Cluster& cluster, std::size_t count, bool witness) {
  std::vector<Machines> found;
  for (std::uint64_t bits = 0; bits < (1u << cluster.masters); ++bits) {
    Machines machines;
    for (std::size_t slot = 0; slot < cluster.masters; ++slot) {
      if ((bits >> slot) & 1) machines.push_back(slot);
    }
    if (machines.size() != count) continue;
    if (witness) machines.push_back(kSlots);
    found.push_back(machines);
  }
  return found;
}

World calm(const Cluster& cluster) {
  return World(WorldOptions{.seed = 1, .calm_masters = cluster.masters, .calm_witness = cluster.witness});
}

// "goes on" when it does whichever of them are lost; "may stop" when that depends on which.
std::string verdict(const Cluster& cluster, std::size_t masters, bool witness) {
  if (masters >= cluster.masters || (witness && !cluster.witness)) return "";
  std::size_t good = 0;
  const auto all = choices(cluster, masters, witness);
  for (const auto& lost : all) good += calm(cluster).writes_go_on(lost) ? 1 : 0;
  return good == all.size() ? "goes on" : good == 0 ? "stops" : "may stop";
}

// One master is lost and writes go on; then the other ones are, and the first comes back with what it had.
std::string swapped(const Cluster& cluster) {
  if (cluster.masters < 2) return "";
  Machines others;
  for (std::size_t slot = 1; slot < cluster.masters; ++slot) others.push_back(slot);
  if (!calm(cluster).writes_go_on({0})) return "stops before";
  return calm(cluster).writes_go_on({0}, {0}, others) ? "goes on: LOSS" : "waits";
}

}  // namespace

std::string survival_table() {
  std::string out =
      "| masters | lost: 1 master | 2 masters | the witness | it and 1 master | it and 2 masters | 1 master; then the others, when it is back |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const auto& cluster : {Cluster{1, false}, Cluster{2, false}, Cluster{2, true}, Cluster{3, false}, Cluster{4, false},
                              Cluster{4, true}, Cluster{5, false}, Cluster{6, true}}) {
    out += fmt::format("| {}{} | {} | {} | {} | {} | {} | {} |\n", cluster.masters, cluster.witness ? " and a witness" : "",
                       verdict(cluster, 1, false), verdict(cluster, 2, false), verdict(cluster, 0, true),
                       verdict(cluster, 1, true), verdict(cluster, 2, true), swapped(cluster));
  }
  return out;
}

}  // namespace holdfast::sim
