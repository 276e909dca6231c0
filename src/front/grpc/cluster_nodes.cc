#include "front/grpc/cluster_nodes.h"

#include <utility>

namespace holdfast::front {

bool ClusterNodes::is_node_type(const std::string& type) { return type == "filer" || type == "broker" || type == "s3"; }

void ClusterNodes::join(const ClusterNode& node) {
  const Guard guard(mutex_);
  Entry& entry = nodes_[key(node)];
  if (entry.streams++ > 0) return;
  entry.node = node;
  tell(node, true);
}

void ClusterNodes::leave(const ClusterNode& node) {
  const Guard guard(mutex_);
  const auto place = nodes_.find(key(node));
  if (place == nodes_.end() || --place->second.streams > 0) return;
  const ClusterNode gone = std::move(place->second.node);
  nodes_.erase(place);
  tell(gone, false);
}

std::vector<ClusterNode> ClusterNodes::list(const std::string& type, const std::string& group,
                                            std::int32_t limit) const {
  std::vector<ClusterNode> found;
  const Guard guard(mutex_);
  for (const auto& [at, entry] : nodes_) {
    if (at.type != type || at.group != group) continue;
    if (limit > 0 && found.size() >= static_cast<std::size_t>(limit)) break;
    found.push_back(entry.node);
  }
  return found;
}

std::string ClusterNodes::address_of(const std::string& type, const Address& asked) const {
  const Guard guard(mutex_);
  for (const auto& [at, entry] : nodes_) {
    if (at.type != type) continue;
    const auto address = Address::parse(at.address);
    if (address && address->http() == asked.http()) return at.address;
  }
  return "";
}

std::uint64_t ClusterNodes::watch(std::string group, Watcher watcher) {
  const Guard guard(mutex_);
  for (const auto& [at, entry] : nodes_) {
    if (at.group == group && at.type == "filer") watcher(entry.node, true);
  }
  const std::uint64_t id = ++last_watcher_;
  watchers_.emplace(id, std::make_pair(std::move(group), std::move(watcher)));
  return id;
}

void ClusterNodes::unwatch(std::uint64_t id) {
  const Guard guard(mutex_);
  watchers_.erase(id);
}

void ClusterNodes::tell(const ClusterNode& node, bool is_added) {
  for (const auto& [id, watcher] : watchers_) {
    if (watcher.first == node.group) watcher.second(node, is_added);
  }
}

}  // namespace holdfast::front
