#include "service/master/discovered.h"

#include <algorithm>

#include "model/address.h"

namespace holdfast::master {
namespace {

bool same(const std::string& a, const std::string& b) {
  const auto one = Address::parse(a), other = Address::parse(b);
  return a == b || (one && other && *one == *other);
}

std::string state_of(const std::optional<Answer>& answer, ClusterId cluster) {
  if (!answer) return "does not answer";
  if (answer->cluster.value().empty()) return cluster.value().empty() ? "is new and waits, as this one does" : "is new: it joins in a moment";
  if (cluster.value().empty()) return "is a member of cluster " + text(answer->cluster);
  if (answer->cluster == cluster) return "is of this cluster, but no member: it asks to be let in, or was removed";
  return "belongs to another cluster, " + text(answer->cluster);
}

}  // namespace

std::vector<DiscoveredMaster> discovered_masters(const std::map<std::string, std::optional<Answer>>& listed,
                                                 const std::set<std::string>& nameless,
                                                 const raft::Configuration* configuration, ClusterId cluster,
                                                 NodeId self, const std::string& self_address) {
  std::vector<DiscoveredMaster> out;
  for (const auto& [address, answer] : listed) {
    if ((answer && answer->node == self) || same(address, self_address)) continue;
    const bool is_member = configuration != nullptr &&
                           std::any_of(configuration->members().begin(), configuration->members().end(), [&, &address = address, &answer = answer](const auto& member) {
                             return (answer && answer->node == member.id) || same(member.address, address);
                           });
    if (is_member) continue;
    out.push_back({address, nameless.contains(address) ? "is a name without an address yet" : state_of(answer, cluster)});
  }
  return out;
}

}  // namespace holdfast::master
