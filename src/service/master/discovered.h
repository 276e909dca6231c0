// Discovered masters: what is known of the masters that -peers and DNS name, beside the members of the cluster.
// Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/raft/configuration.h"
#include "service/master/bootstrap.h"

namespace holdfast::master {

struct DiscoveredMaster {
  std::string address;
  std::string state;  // "does not answer", "belongs to cluster ...": for people

  friend bool operator==(const DiscoveredMaster&, const DiscoveredMaster&) = default;
};

// `listed`: the last answers, by address; `nameless`: those of them that have no address yet. This master (`self`, as it is
// called) and the members are left out. `configuration` may be null.
std::vector<DiscoveredMaster> discovered_masters(const std::map<std::string, std::optional<Answer>>& listed,
                                                 const std::set<std::string>& nameless,
                                                 const raft::Configuration* configuration, ClusterId cluster,
                                                 NodeId self, const std::string& self_address);

}  // namespace holdfast::master
