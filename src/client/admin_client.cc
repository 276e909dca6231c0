#include "client/admin_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <thread>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/request_id.h"
#include "client/channel.h"

namespace holdfast::client {
namespace {

using std::chrono::steady_clock;

constexpr Duration kAttemptMax = std::chrono::seconds(10);     // a hand-over and a change of members need an answer each
constexpr Duration kVacuumMax = std::chrono::hours(12);        // it reads and writes whole volumes
constexpr Duration kOrdersMax = std::chrono::minutes(5);       // volumes made or deleted on many servers
constexpr Duration kPause = std::chrono::milliseconds(50);     // between two looks for a leader

}  // namespace

struct AdminClient::Stub {
  std::unique_ptr<master_pb::Seaweed::Stub> rpc;
};

AdminClient::AdminClient(MasterClient& masters, Duration patience) : masters_(masters), patience_(patience) {}
AdminClient::~AdminClient() = default;

AdminClient::Stub& AdminClient::stub(const Address& address) {
  auto& place = stubs_[address.grpc()];
  if (!place) place = std::make_unique<Stub>(Stub{master_pb::Seaweed::NewStub(make_channel(address))});
  return *place;
}

Status AdminClient::once(const Address& address, const CallOnce& call, Duration time_max) {
  grpc::ClientContext context;
  api::pass_request_id(context);
  const Duration time = time_max > Duration::zero() ? time_max : std::min(kAttemptMax, patience_);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(time));
  const grpc::Status status = call(stub(address), &context);
  if (status.ok()) return {};
  return error_of(status, /*sent=*/!is_surely_unsent(status));
}

Status AdminClient::at_leader(const CallOnce& call, bool again, Duration time_max) {
  const auto until = steady_clock::now() + patience_;
  Error last(Code::unavailable, "no master answers");
  for (;;) {
    const auto configuration = masters_.configuration();
    if (!configuration) {
      last = configuration.error();
    } else if (const auto leader = Address::parse(configuration->leader); !leader) {
      last = Error(Code::unavailable, "the masters have no leader: a majority of them must be alive");
    } else {
      const Status status = once(*leader, call, time_max);
      if (status) return status;
      const Code code = status.error().code();
      last = status.error();
      const bool passes = code == Code::not_leader || code == Code::unavailable || code == Code::busy ||
                          (code == Code::outcome_unknown && again);
      if (!passes) return last;
    }
    if (steady_clock::now() >= until) return last;
    std::this_thread::sleep_for(kPause);
  }
}

Result<std::vector<RaftServer>> AdminClient::raft_servers() {
  const auto configuration = masters_.configuration();
  if (!configuration) return configuration.error();
  std::vector<Address> places;
  if (const auto leader = Address::parse(configuration->leader)) places.push_back(*leader);
  for (const auto& address : masters_.masters()) places.push_back(address);
  Error last(Code::unavailable, "no master answers");
  for (const auto& place : places) {
    master_pb::RaftListClusterServersResponse response;
    const Status status = once(place, [&](Stub& stub, grpc::ClientContext* context) {
      return stub.rpc->RaftListClusterServers(context, {}, &response);
    }, Duration::zero());
    if (!status) {
      last = status.error();
      continue;
    }
    std::vector<RaftServer> servers;
    for (const auto& server : response.cluster_servers()) {
      servers.push_back({server.id(), server.address(), server.suffrage(), server.isleader()});
    }
    return servers;
  }
  return last;
}

Status AdminClient::add_raft_server(const std::string& id, const std::string& grpc_address, bool voter) {
  master_pb::RaftAddServerRequest request;
  request.set_id(api::utf8(id));
  request.set_address(api::utf8(grpc_address));
  request.set_voter(voter);
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::RaftAddServerResponse response;
        return stub.rpc->RaftAddServer(context, request, &response);
      },
      /*again=*/true);
}

Status AdminClient::remove_raft_server(const std::string& id) {
  master_pb::RaftRemoveServerRequest request;
  request.set_id(api::utf8(id));
  request.set_force(true);
  bool maybe_done = false;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::RaftRemoveServerResponse response;
        const auto answer = stub.rpc->RaftRemoveServer(context, request, &response);
        // Asked again after a broken link: then it may be gone, and not to be found is what was wanted.
        if (maybe_done && answer.error_code() == grpc::StatusCode::INVALID_ARGUMENT) return grpc::Status::OK;
        maybe_done = maybe_done || (!answer.ok() && !is_surely_unsent(answer));
        return answer;
      },
      /*again=*/true);
  return status;
}

Result<LeadershipMove> AdminClient::transfer_leadership(const std::string& id, const std::string& grpc_address) {
  master_pb::RaftLeadershipTransferRequest request;
  request.set_target_id(api::utf8(id));
  request.set_target_address(api::utf8(grpc_address));
  LeadershipMove move;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::RaftLeadershipTransferResponse response;
        const auto answer = stub.rpc->RaftLeadershipTransfer(context, request, &response);
        move = {response.previous_leader(), response.new_leader()};
        return answer;
      },
      /*again=*/false);
  if (!status) return status.error();
  return move;
}

Result<std::vector<ClusterNode>> AdminClient::cluster_nodes(const std::string& type) {
  master_pb::ListClusterNodesRequest request;
  request.set_client_type(api::utf8(type));
  std::vector<ClusterNode> nodes;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::ListClusterNodesResponse response;
        const auto answer = stub.rpc->ListClusterNodes(context, request, &response);
        nodes.clear();
        for (const auto& node : response.cluster_nodes()) {
          nodes.push_back({node.address(), node.version(), node.data_center(), node.rack()});
        }
        return answer;
      },
      /*again=*/true);
  if (!status) return status.error();
  return nodes;
}

Result<std::vector<std::string>> AdminClient::collections() {
  master_pb::CollectionListRequest request;
  request.set_include_normal_volumes(true);
  request.set_include_ec_volumes(true);
  std::vector<std::string> names;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::CollectionListResponse response;
        const auto answer = stub.rpc->CollectionList(context, request, &response);
        names.clear();
        for (const auto& collection : response.collections()) names.push_back(collection.name());
        return answer;
      },
      /*again=*/true);
  if (!status) return status.error();
  return names;
}

Status AdminClient::delete_collection(const std::string& name) {
  master_pb::CollectionDeleteRequest request;
  request.set_name(api::utf8(name));
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::CollectionDeleteResponse response;
        return stub.rpc->CollectionDelete(context, request, &response);
      },
      /*again=*/false, kOrdersMax);
}

Status AdminClient::grow(const GrowWish& wish) {
  master_pb::VolumeGrowRequest request;
  request.set_writable_volume_count(wish.volumes);
  request.set_replication(api::utf8(wish.replication));
  request.set_collection(api::utf8(wish.collection));
  request.set_ttl(api::utf8(wish.ttl));
  request.set_data_center(api::utf8(wish.data_center));
  request.set_rack(api::utf8(wish.rack));
  request.set_data_node(api::utf8(wish.data_node));
  request.set_disk_type(api::utf8(wish.disk_type));
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::VolumeGrowResponse response;
        return stub.rpc->VolumeGrow(context, request, &response);
      },
      /*again=*/false, kOrdersMax);
}

Status AdminClient::vacuum(double garbage_threshold, VolumeId volume, const std::string& collection) {
  master_pb::VacuumVolumeRequest request;
  request.set_garbage_threshold(static_cast<float>(garbage_threshold));
  request.set_volume_id(volume.value());
  request.set_collection(api::utf8(collection));
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::VacuumVolumeResponse response;
        return stub.rpc->VacuumVolume(context, request, &response);
      },
      /*again=*/false, kVacuumMax);
}

Result<std::uint64_t> AdminClient::mend(VolumeId volume, const std::string& target) {
  master_pb::MendVolumeRequest request;
  request.set_volume_id(volume.value());
  request.set_target(api::utf8(target));
  master_pb::MendVolumeResponse response;
  const auto done = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) { return stub.rpc->MendVolume(context, request, &response); },
      /*again=*/false, kVacuumMax);
  if (!done) return done.error();
  return response.epoch();
}

Status AdminClient::set_vacuum_disabled(bool is_disabled) {
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::DisableVacuumResponse disabled;
        master_pb::EnableVacuumResponse enabled;
        return is_disabled ? stub.rpc->DisableVacuum(context, {}, &disabled) : stub.rpc->EnableVacuum(context, {}, &enabled);
      },
      /*again=*/true);
}

Result<AdminToken> AdminClient::lease_lock(const std::string& name, const AdminToken& previous,
                                           const std::string& client, const std::string& message) {
  master_pb::LeaseAdminTokenRequest request;
  request.set_previous_token(previous.token);
  request.set_previous_lock_time(previous.time_ns);
  request.set_lock_name(api::utf8(name));
  request.set_client_name(api::utf8(client));
  request.set_message(api::utf8(message));
  AdminToken token;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::LeaseAdminTokenResponse response;
        const auto answer = stub.rpc->LeaseAdminToken(context, request, &response);
        token = {response.token(), response.lock_ts_ns()};
        return answer;
      },
      /*again=*/true);
  if (!status) return status.error();
  return token;
}

Status AdminClient::release_lock(const std::string& name, const AdminToken& token) {
  master_pb::ReleaseAdminTokenRequest request;
  request.set_previous_token(token.token);
  request.set_previous_lock_time(token.time_ns);
  request.set_lock_name(api::utf8(name));
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::ReleaseAdminTokenResponse response;
        return stub.rpc->ReleaseAdminToken(context, request, &response);
      },
      /*again=*/true);
}

Result<AdminLockHolder> AdminClient::lock_status(const std::string& name) {
  master_pb::GetAdminLockStatusRequest request;
  request.set_lock_name(api::utf8(name));
  AdminLockHolder holder;
  const Status status = at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::GetAdminLockStatusResponse response;
        const auto answer = stub.rpc->GetAdminLockStatus(context, request, &response);
        holder = {response.is_locked(), response.client_name(), response.message()};
        return answer;
      },
      /*again=*/true);
  if (!status) return status.error();
  return holder;
}

Result<Duration> AdminClient::ping(const Address& master, const std::string& target, const std::string& type) {
  master_pb::PingRequest request;
  request.set_target(api::utf8(target));
  request.set_target_type(api::utf8(type));
  master_pb::PingResponse response;
  const auto begun = steady_clock::now();
  const Status status = once(
      master, [&](Stub& stub, grpc::ClientContext* context) { return stub.rpc->Ping(context, request, &response); },
      Duration::zero());
  if (!status) return status.error();
  if (target.empty()) return Duration(steady_clock::now() - begun);
  return Duration(response.stop_time_ns() - response.start_time_ns());
}

Status AdminClient::mark_volume(const VolumeMark& mark) {
  master_pb::VolumeMarkReadonlyRequest request;
  request.set_ip(api::utf8(mark.ip));
  request.set_port(mark.port);
  request.set_volume_id(mark.volume.value());
  request.set_collection(api::utf8(mark.collection));
  request.set_replica_placement(mark.replica_placement);
  request.set_version(mark.version);
  request.set_ttl(mark.ttl);
  request.set_disk_type(api::utf8(mark.disk_type));
  request.set_is_readonly(mark.is_read_only);
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        master_pb::VolumeMarkReadonlyResponse response;
        return stub.rpc->VolumeMarkReadonly(context, request, &response);
      },
      /*again=*/true);
}

Status AdminClient::volume_list(master_pb::VolumeListResponse* response) {
  return at_leader(
      [&](Stub& stub, grpc::ClientContext* context) {
        response->Clear();
        return stub.rpc->VolumeList(context, {}, response);
      },
      /*again=*/true);
}

}  // namespace holdfast::client
