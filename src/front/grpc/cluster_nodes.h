// ClusterNodes: the filers, brokers and S3 gateways that hold a KeepConnected stream to this master (spec/weed-grpc
// 5.2). They are nodes of the cluster for as long as the stream lasts; nothing here is replicated or kept.
//
// Thread-safe. Watchers are called in the order of the changes, with the lock held: they must only queue.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "model/address.h"

namespace holdfast::front {

struct ClusterNode {
  std::string type;   // "filer", "broker", "s3"
  std::string group;  // filer_group
  std::string address;
  std::string version;
  std::string data_center;
  std::string rack;
  std::int64_t created_at_ns = 0;
};

class ClusterNodes {
 public:
  using Watcher = std::function<void(const ClusterNode& node, bool is_added)>;

  // Whether clients of this type are nodes at all ("client", "adminShell" and others are not).
  static bool is_node_type(const std::string& type);

  // Several streams of one node count as one; the last leave() takes it out.
  void join(const ClusterNode& node);
  void leave(const ClusterNode& node);

  // By address; limit 0: all.
  std::vector<ClusterNode> list(const std::string& type, const std::string& group, std::int32_t limit) const;

  // One of this type and HTTP address, in any group; "" when there is none, else its address as it told it.
  std::string address_of(const std::string& type, const Address& asked) const;

  // Tells of the nodes there are of `group`, then of each change in it, until unwatch().
  std::uint64_t watch(std::string group, Watcher watcher);
  void unwatch(std::uint64_t id);

 private:
  struct Key {
    std::string group;
    std::string type;
    std::string address;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Entry {
    ClusterNode node;
    int streams = 0;
  };
  static Key key(const ClusterNode& node) { return {node.group, node.type, node.address}; }
  void tell(const ClusterNode& node, bool is_added) HOLDFAST_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<Key, Entry> nodes_ HOLDFAST_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::pair<std::string, Watcher>> watchers_ HOLDFAST_GUARDED_BY(mutex_);
  std::uint64_t last_watcher_ HOLDFAST_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::front
