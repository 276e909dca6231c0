// Bootstrap: what a master without state does next, decided from what the listed masters answered
// (design/architecture 4).
//
//  - Someone belongs to a cluster: join it; as a founder, if that cluster was founded with us in its list.
//  - All listed answer, all are new, and all of them say that they see the very same ones: found the cluster. Each of
//    them comes to the same decision with the same list, whoever is first; who comes later finds a cluster that was
//    founded with it.
//  - Otherwise wait, and say for whom.
//
// Why unanimity: two lists that differ would found two clusters. A member founds only when every other has said that
// it sees the same set of UUIDs, which are on disk before they are said; so no member of that set can be brought to
// found another one, not even by a restart. A wiped one has a new UUID and finds the cluster already there.
//
// Without -peers a volume server may tell of a cluster that has a master at our address. Then its other masters are the
// listed ones, and there is nothing to found: join that cluster, or wait until one of them answers. A tale of the past is
// enough to wait for, never enough to begin something new.
//
// A listed master that answers with our own UUID is ourselves, whatever name it was given.
//
// Pure: answers in, a step out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/raft/configuration.h"
#include "model/ids.h"

namespace holdfast::master {

// What one listed master answered.
struct Answer {
  NodeId node;
  Uuid process;
  ClusterId cluster;  // empty: it is new
  std::string address;
  ClusterId drawn_cluster;
  std::vector<NodeId> listed;  // whom it sees under its own list, sorted
  bool listed_all = false;     // all of its list answered
  raft::Configuration founding;
  raft::Configuration configuration;
  bool holds_data = false;     // its cluster has assigned something
};

struct BootstrapSelf {
  NodeId node;
  Uuid process;
  std::string address;
  ClusterId drawn_cluster;
  // Without -peers: a volume server (`told_by`) says that this master's address belongs to a cluster, whose other masters
  // are the listed ones then.
  ClusterId told_cluster = {};
  std::string told_by = {};
};

struct Wait {
  std::string why;                   // a sentence, for the log and the page
};
struct Found {
  ClusterId cluster;
  raft::Configuration configuration;
};
struct Join {
  ClusterId cluster;
  raft::Configuration founding;      // founded with us in it: begin as a founder. Empty: ask to be added
  raft::Configuration configuration; // whom to ask
};
struct Refuse {
  std::string why;
};
using BootstrapStep = std::variant<Wait, Found, Join, Refuse>;

// `listed`: -peers in order, with the newest answer of each (empty: none yet).
BootstrapStep next_step(const BootstrapSelf& self, const std::map<std::string, std::optional<Answer>>& listed);

// For a master that founded cluster `own` by itself, and holds nothing: the cluster that -peers names, if it should give
// its own up for that one. Of several such masters that name each other all go to the one with the least cluster id, so
// that each needs one restart, in whatever order they come.
std::optional<ClusterId> cluster_to_join(ClusterId own, const std::map<std::string, Answer>& answers);

// What we say to others about our own list: whom we see under it, ourselves included, sorted; and whether all answered.
std::vector<NodeId> seen(const BootstrapSelf& self, const std::map<std::string, std::optional<Answer>>& listed);
bool all_answered(const std::map<std::string, std::optional<Answer>>& listed);

// "4 masters survive the loss of 1, as 3 would; 5 survive 2". Empty for an odd number.
std::string even_count_warning(std::size_t voters);

}  // namespace holdfast::master
