// AdminClient: what an operator's tool asks of the masters and has them do (`shell`).
//
// A change goes to the leader, which is looked for again when it moved or died meanwhile. Changes of members name what is
// wanted, so that asking twice is harmless: a broken link is answered by asking the next leader. A hand-over is not: then
// the Error is outcome_unknown, and who leads now is the answer.
//
// Waits for its answers. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/master_client.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc
namespace master_pb {
class ListClusterNodesResponse;
class VolumeListResponse;
}  // namespace master_pb

namespace holdfast::client {

struct RaftServer {
  std::string id;        // as its masters name it: a UUID here
  std::string address;   // host:grpcport
  std::string suffrage;  // "Voter" or "Nonvoter"
  bool is_leader = false;
};

struct LeadershipMove {
  std::string from;  // host:port; "" if there was none
  std::string to;
};

struct ClusterNode {
  std::string address;
  std::string version;
  std::string data_center;
  std::string rack;
};

// A lease of the admin lock; each renewal gives another pair (spec/weed-grpc 5.5).
struct AdminToken {
  std::int64_t token = 0;
  std::int64_t time_ns = 0;
};

struct AdminLockHolder {
  bool is_locked = false;
  std::string client;
  std::string message;
};

struct GrowWish {
  std::uint32_t volumes = 1;
  std::string replication;  // "" is the masters' default
  std::string collection;
  std::string ttl;
  std::string data_center;
  std::string rack;
  std::string data_node;
  std::string disk_type;
};

// What a volume server tells the leader of one of its volumes, as upstream's masters want it.
struct VolumeMark {
  std::string ip;  // of the volume server, as it reports itself
  std::uint16_t port = 0;
  VolumeId volume;
  std::string collection;
  std::uint32_t replica_placement = 0;  // as one byte
  std::uint32_t version = 3;
  std::uint32_t ttl = 0;  // as on the wire
  std::string disk_type;
  bool is_read_only = false;
};

class AdminClient {
 public:
  // `masters` outlives this. No call takes much longer than `patience`, elections included.
  AdminClient(MasterClient& masters, Duration patience);
  ~AdminClient();

  // By the leader, or by any master that answers when there is none: the list is then as that one last knew it.
  Result<std::vector<RaftServer>> raft_servers();
  // A master is named by its address ("host:port", "host:port.grpcport"), the one that is there by its id as well.
  Status add_raft_server(const std::string& id, const std::string& grpc_address, bool voter);
  Status remove_raft_server(const std::string& id);
  // To the named one, or without a name to the best heir.
  Result<LeadershipMove> transfer_leadership(const std::string& id, const std::string& grpc_address);

  // `type`: "filer", "broker", "s3". Of the leader.
  Result<std::vector<ClusterNode>> cluster_nodes(const std::string& type);
  Result<std::vector<std::string>> collections();
  // OK as well when there is none of that name. Asked once: it may take long, and a broken link is outcome_unknown.
  Status delete_collection(const std::string& name);
  // Likewise.
  Status grow(const GrowWish& wish);
  // Waits for the vacuum. Volume 0: all; collection "": all.
  Status vacuum(double garbage_threshold, VolumeId volume, const std::string& collection);
  Status set_vacuum_disabled(bool is_disabled);
  // One more copy on this server, made by the leader; "": the copies there are only go on to their next epoch. That epoch.
  // Code::unsupported: the master, or a server that takes part, knows nothing of epochs of copies.
  Result<std::uint64_t> mend(VolumeId volume, const std::string& target);

  // Code::internal and its like when another one has it.
  Result<AdminToken> lease_lock(const std::string& name, const AdminToken& previous, const std::string& client,
                                const std::string& message);
  Status release_lock(const std::string& name, const AdminToken& token);
  Result<AdminLockHolder> lock_status(const std::string& name);

  // How long `master` needs to reach `target` ("master", "volumeServer", "filer"); an empty target: to be reached itself.
  Result<Duration> ping(const Address& master, const std::string& target, const std::string& type);

  Status mark_volume(const VolumeMark& mark);
  // All that the leader knows of data centers, racks, servers and volumes.
  Status volume_list(master_pb::VolumeListResponse* response);

 private:
  struct Stub;
  using CallOnce = std::function<grpc::Status(Stub&, grpc::ClientContext*)>;
  Stub& stub(const Address& address);
  Status once(const Address& address, const CallOnce& call, Duration time_max);
  // `again`: whether a request that may have taken effect is put to the next leader. `time_max`: of one attempt; 0: as
  // patience allows.
  Status at_leader(const CallOnce& call, bool again, Duration time_max = Duration::zero());

  MasterClient& masters_;
  const Duration patience_;
  std::map<std::string, std::unique_ptr<Stub>> stubs_;  // by host:grpcport
};

}  // namespace holdfast::client
