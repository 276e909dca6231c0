#include "service/master/bootstrap.h"

#include <algorithm>

namespace holdfast::master {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Which of the clusters that masters belong to is the one for a master that has none, or gives its own up: the one that
// cannot come to another; of several that could, the least.
struct Choice {
  std::optional<ClusterId> cluster;
  std::string at;                              // who told of it
  std::optional<ClusterId> other;              // a second one that cannot come either: the operator must say which
  std::string other_at;
};
class Choosing {
 public:
  void consider(const std::string& name, const Answer& answer) {
    if (answer.cluster.value().empty()) return;
    const bool could_go = answer.configuration.members().size() == 1 && !answer.holds_data;
    if (could_go) {
      if (!least_.cluster || answer.cluster < *least_.cluster) least_ = {answer.cluster, name, {}, ""};
    } else if (!staying_.cluster) {
      staying_ = {answer.cluster, name, {}, ""};
    } else if (*staying_.cluster != answer.cluster) {
      staying_.other = answer.cluster;
      staying_.other_at = name;
    }
  }
  const Choice& staying() const { return staying_; }
  const Choice& least() const { return least_; }
  const Choice& best() const { return staying_.cluster ? staying_ : least_; }

 private:
  Choice staying_;
  Choice least_;
};

}  // namespace

bool all_answered(const std::map<std::string, std::optional<Answer>>& listed) {
  return std::all_of(listed.begin(), listed.end(), [](const auto& one) { return one.second.has_value(); });
}

std::vector<NodeId> seen(const BootstrapSelf& self, const std::map<std::string, std::optional<Answer>>& listed) {
  std::vector<NodeId> nodes;
  for (const auto& [name, answer] : listed) {
    if (answer) nodes.push_back(answer->node);
  }
  // Listed or not: a master that its own list does not name is not part of what it founds.
  (void)self;
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

namespace {

BootstrapStep next_step_as_told(const BootstrapSelf& self, const std::map<std::string, std::optional<Answer>>& listed) {
  std::vector<std::string> names;
  for (const auto& [name, answer] : listed) {
    names.push_back(name);
    if (!answer || answer->cluster != self.told_cluster) continue;
    return Join{.cluster = answer->cluster,
                .founding = answer->founding.find(self.node) != nullptr ? answer->founding : raft::Configuration(),
                .configuration = answer->configuration};
  }
  return Wait{"volume server " + self.told_by + " knows this master's address as one of cluster " +
              text(self.told_cluster) + ": this master waits to join it until one of its masters answers: " +
              joined(names) + ". If they are gone for good, start this one with -peers=" + self.address +
              " to begin a new cluster"};
}

}  // namespace

BootstrapStep next_step(const BootstrapSelf& self, const std::map<std::string, std::optional<Answer>>& listed) {
  if (!self.told_cluster.value().empty()) return next_step_as_told(self, listed);
  Choosing choosing;
  std::vector<std::string> silent;
  bool lists_self = false;
  for (const auto& [name, answer] : listed) {
    if (!answer) {
      silent.push_back(name);
    } else if (answer->node != self.node) {
      choosing.consider(name, *answer);
    } else if (answer->process != self.process) {
      return Refuse{"the master at " + name + " has this master's identity (" + text(self.node) +
                    "): one folder is a copy of the other. Stop one of them and remove its member folder"};
    } else {
      lists_self = true;
    }
  }
  if (const auto& choice = choosing.best(); choice.other) {
    return Refuse{"-peers names masters of two clusters: " + choice.at + " belongs to " + text(*choice.cluster) + ", " +
                  choice.other_at + " to " + text(*choice.other) + ". Name those of one cluster only"};
  } else if (choice.cluster) {
    Join join{.cluster = *choice.cluster, .founding = {}, .configuration = {}};
    for (const auto& [name, answer] : listed) {
      if (!answer || answer->node == self.node || answer->cluster != join.cluster) continue;
      if (answer->founding.find(self.node) != nullptr) join.founding = answer->founding;
      if (!answer->configuration.empty()) join.configuration = answer->configuration;
    }
    return join;
  }
  if (!silent.empty()) return Wait{"this master waits for the listed ones that do not answer yet: " + joined(silent)};
  if (!lists_self) {
    return Wait{"-peers names only other masters, and none of them belongs to a cluster yet: waits to join them"};
  }

  const auto mine = seen(self, listed);
  std::vector<raft::Member> members;
  NodeId least;
  ClusterId drawn;
  for (const auto& [name, answer] : listed) {
    const bool is_self = answer->node == self.node;
    if (!is_self && (!answer->listed_all || answer->listed != mine)) {
      return Wait{answer->listed_all ? "the master at " + name + " was started with another -peers: name the same ones "
                                                                 "everywhere"
                                     : "waits for " + name + ", which waits for others of its -peers"};
    }
    if (std::none_of(members.begin(), members.end(), [&](const auto& m) { return m.id == answer->node; })) {
      members.push_back(
          {.id = answer->node, .address = is_self ? self.address : answer->address, .voter = true});
    }
    if (least.value().empty() || answer->node < least) {
      least = answer->node;
      drawn = is_self ? self.drawn_cluster : answer->drawn_cluster;
    }
  }
  return Found{.cluster = drawn, .configuration = raft::Configuration(std::move(members))};
}

std::optional<ClusterId> cluster_to_join(ClusterId own, const std::map<std::string, Answer>& answers) {
  Choosing choosing;
  for (const auto& [name, answer] : answers) {
    if (answer.cluster != own) choosing.consider(name, answer);
  }
  if (const auto& staying = choosing.staying(); staying.cluster) {
    return staying.other ? std::nullopt : staying.cluster;
  }
  const auto& least = choosing.least().cluster;
  return least && *least < own ? least : std::nullopt;
}

std::string even_count_warning(std::size_t voters) {
  if (voters == 0 || voters % 2 != 0) return "";
  const auto survives = [](std::size_t n) { return std::to_string((n - 1) / 2); };
  const auto n = std::to_string(voters);
  return n + " masters survive the loss of " + survives(voters) + ", as " + std::to_string(voters - 1) + " would; " +
         std::to_string(voters + 1) + " survive the loss of " + survives(voters + 1);
}

}  // namespace holdfast::master
