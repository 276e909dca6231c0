#include "front/grpc/master_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <ctime>
#include <set>
#include <utility>
#include <vector>

#include "api/convert.h"
#include "api/jwt.h"
#include "api/master.grpc.pb.h"
#include "api/request_id.h"
#include "front/grpc/admin_lock_calls.h"
#include "front/grpc/asked_lately.h"
#include "front/grpc/cluster_nodes.h"
#include "front/grpc/heartbeat_call.h"
#include "front/grpc/keep_connected_call.h"
#include "front/grpc/request_ids.h"
#include "front/grpc/server.h"
#include "front/grpc/server_stream.h"
#include "front/grpc/status.h"
#include "front/grpc/volume_list.h"
#include "io/posix/clock.h"
#include "model/file_id.h"
#include "service/master/master.h"
#include "service/master/staleness.h"
#include "service/master/pass_on.h"
#include "service/master/runtime.h"

namespace holdfast::front {

namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::StatusCode;
using master::Passed;

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ServerUnaryReactor* answered(CallbackServerContext* context, const grpc::Status& status = grpc::Status::OK) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// The views point into `message`, which lives until the call is finished.
master::AssignRequest read(const master_pb::AssignRequest& message) {
  master::AssignRequest request;
  request.count = message.count();
  request.collection = message.collection();
  request.replication = message.replication();
  request.ttl = message.ttl();
  request.disk_type = message.disk_type();
  request.data_center = message.data_center();
  request.rack = message.rack();
  request.data_node = message.data_node();
  request.writable_volume_count = message.writable_volume_count();
  request.data_size = message.expected_data_size();
  request.memory_map_max_size_mb = message.memory_map_max_size_mb();
  request.known_data_center_only = true;
  return request;
}

void fill(const master::Location& place, master_pb::Location* message) {
  message->set_url(api::utf8(place.url));
  message->set_public_url(api::utf8(place.public_url));
  message->set_grpc_port(place.grpc_port);
  message->set_data_center(api::utf8(place.data_center));
}

// A token to write this file with; "" when none is needed.
std::string token_for(const api::JwtKeys* keys, std::string_view fid) {
  return keys == nullptr ? "" : keys->write.sign(fid, std::time(nullptr));
}

void fill(const master::AssignAnswer& answer, const api::JwtKeys* keys, master_pb::AssignResponse* message) {
  message->set_fid(text(answer.fid));
  message->set_auth(token_for(keys, message->fid()));
  message->set_count(answer.count);
  const auto& places = answer.locations->places;
  fill(places.front(), message->mutable_location());
  for (std::size_t i = 1; i < places.size(); ++i) fill(places[i], message->add_replicas());
}

// Of a master that only reads (-readOnly).
grpc::Status read_only_status(master::Master& master) {
  const auto leader = master.leader();
  return grpc_status(Error{Code::refused, master::read_only_text(leader ? leader->http : "")});
}

// One assign, here or at the leader. `message` and `response` live until `done`.
class Assigner {
 public:
  Assigner(master::Master& master, master::PassOn& pass_on, const MasterServiceOptions& options)
      : master_(master), pass_on_(pass_on), read_only_(options.read_only), jwt_(options.jwt) {}

  template <typename Done>
  void assign(const master_pb::AssignRequest* message, master_pb::AssignResponse* response, Done done) {
    if (read_only_) return done(read_only_status(master_));
    if (const auto answer = master_.try_assign(read(*message))) {
      fill(*answer, jwt_, response);
      return done(grpc::Status::OK);
    }
    const auto leader = master_.leader();
    if (message->passed_on() || (leader && leader->self)) return assign_here(message, response, kTurnsMax, std::move(done));
    pass_on(message, response, kTurnsMax, std::move(done));
  }

 private:
  // The lead may come and go while an assign waits; keys that nobody uses cost nothing, so it follows. Bounded, since two
  // looks at who leads might disagree for long.
  static constexpr int kTurnsMax = 4;

  template <typename Done>
  void pass_on(const master_pb::AssignRequest* message, master_pb::AssignResponse* response, int turns, Done done) {
    pass_on_.assign(*message, [this, message, response, turns, done = std::move(done)](
                                  Passed passed, const grpc::Status& status, const auto& answer) mutable {
      if (passed == Passed::lead_here) return assign_here(message, response, turns - 1, std::move(done));
      if (status.ok()) *response = answer;
      done(status);
    });
  }

  template <typename Done>
  void assign_here(const master_pb::AssignRequest* message, master_pb::AssignResponse* response, int turns, Done done) {
    master_.assign(read(*message), [=, this, id = std::string(api::RequestScope::current())](const master::OrRefusal<master::AssignAnswer>& answer) {
      const api::RequestScope scope(id);
      if (const auto* refusal = std::get_if<master::Refusal>(&answer)) {
        const bool lost_the_lead = refusal->kind == master::Refusal::Kind::not_leader;
        if (lost_the_lead && !message->passed_on() && turns > 0) return pass_on(message, response, turns, done);
        return done(grpc_status(*refusal));
      }
      fill(std::get<master::AssignAnswer>(answer), jwt_, response);
      done(grpc::Status::OK);
    });
  }

  master::Master& master_;
  master::PassOn& pass_on_;
  const bool read_only_;
  const api::JwtKeys* const jwt_;
};

// Answers come one per request and in order, so the next request is read when the last one is answered.
class StreamAssignCall final : public ServerStream<master_pb::AssignRequest, master_pb::AssignResponse> {
 public:
  StreamAssignCall(Assigner& assigner, std::string_view request_id)
      : ServerStream(kWaitingMax), assigner_(assigner), request_id_(request_id) {}

 protected:
  // A client may send many before it reads: an answer counts as waiting until the library has taken it.
  static constexpr std::size_t kWaitingMax = 10'000;

  bool reads_on() override { return false; }

  void received(const master_pb::AssignRequest& request) override {
    const api::RequestScope scope(request_id_);
    response_.Clear();
    const auto self = std::static_pointer_cast<StreamAssignCall>(shared_from_this());
    assigner_.assign(&request, &response_, [self](const grpc::Status& status) { self->assigned(status); });
  }

 private:
  void assigned(const grpc::Status& status) {
    const bool is_passing =
        status.error_code() == StatusCode::UNAVAILABLE || status.error_code() == StatusCode::RESOURCE_EXHAUSTED;
    if (!status.ok() && !is_passing) return end(status);
    if (is_passing) {
      response_.Clear();
      response_.set_error(status.error_message());
    }
    if (post(response_)) resume();
  }

  Assigner& assigner_;
  const std::string request_id_;
  master_pb::AssignResponse response_;
};

// A list that is at hand, sent piece by piece as fast as the client reads.
class VolumeListCall final : public grpc::ServerWriteReactor<master_pb::VolumeListStreamResponse> {
 public:
  explicit VolumeListCall(std::vector<master_pb::VolumeListStreamResponse> pieces) : pieces_(std::move(pieces)) {
    StartWrite(&pieces_[0]);
  }

 private:
  void OnWriteDone(bool ok) override {
    if (ok && ++at_ < pieces_.size()) {
      StartWrite(&pieces_[at_]);
    } else {
      Finish(ok ? grpc::Status::OK : grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

  const std::vector<master_pb::VolumeListStreamResponse> pieces_;
  std::size_t at_ = 0;
};

class MasterService final : public master_pb::Seaweed::CallbackService, public StopsEarly {
 public:
  MasterService(MasterServiceOptions options, master::Master& master, master::MasterRuntime* runtime)
      : options_(std::move(options)),
        master_(master),
        runtime_(runtime),
        pass_on_(master, options_.leader_wait),
        assigner_(master, pass_on_, options_),
        admin_locks_(master) {}

  void stop_early() override { pass_on_.stop(); }

  // ---- streams

  grpc::ServerBidiReactor<master_pb::Heartbeat, master_pb::HeartbeatResponse>* SendHeartbeat(
      CallbackServerContext* context) override {
    return take_reports(master_, runtime_, context);
  }

  grpc::ServerBidiReactor<master_pb::KeepConnectedRequest, master_pb::KeepConnectedResponse>* KeepConnected(
      CallbackServerContext* context) override {
    return keep_connected(master_, nodes_, rings_, context);
  }

  grpc::ServerBidiReactor<master_pb::AssignRequest, master_pb::AssignResponse>* StreamAssign(
      CallbackServerContext* context) override {
    return StreamAssignCall::run(std::make_shared<StreamAssignCall>(assigner_, request_id_of(*context)));
  }

  // ---- assign, lookup

  ServerUnaryReactor* Assign(CallbackServerContext* context, const master_pb::AssignRequest* request,
                             master_pb::AssignResponse* response) override {
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    assigner_.assign(request, response, [reactor](const grpc::Status& status) { reactor->Finish(status); });
    return reactor;
  }

  // A follower whose picture lacks a volume, or a copy of it, asks the leader: the volume may be a moment old, and a
  // volume server that learns of too few copies refuses the write. Of two lists the longer one is the answer.
  ServerUnaryReactor* LookupVolume(CallbackServerContext* context, const master_pb::LookupVolumeRequest* request,
                                   master_pb::LookupVolumeResponse* response) override {
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    Lacking lacking;
    const grpc::Status here = look_up(*request, response, &lacking);
    if (!lacking.is_worth_asking || request->passed_on()) {
      reactor->Finish(here);
      return reactor;
    }
    pass_on_.lookup(*request, [this, reactor, response, here, lacking](Passed passed, const grpc::Status& status, const auto& answer) {
      const bool told = passed == Passed::answered && status.ok() && answer.volume_id_locations_size() == response->volume_id_locations_size();
      for (int i = 0; told && i < answer.volume_id_locations_size(); ++i) {
        auto& mine = *response->mutable_volume_id_locations(i);
        const auto& leaders = answer.volume_id_locations(i);
        if (leaders.locations_size() >= mine.locations_size()) mine = leaders;
      }
      for (const auto& short_of : lacking.copies) {
        const bool in_vain = response->volume_id_locations(short_of.row).locations_size() == short_of.known;
        if (in_vain && passed == Passed::answered) asked_lately_.add(short_of.volume, io::posix::boot_now());
      }
      reactor->Finish(told ? status : here);
    });
    return reactor;
  }

  // ---- orders for the leader

  ServerUnaryReactor* VolumeGrow(CallbackServerContext* context, const master_pb::VolumeGrowRequest* request,
                                 master_pb::VolumeGrowResponse*) override {
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (options_.read_only) return answered(context, read_only_status(master_));
    if (request->passed_on() || leads()) {
      grow_here(request, reactor);
      return reactor;
    }
    pass_on_.grow(*request, [this, request, reactor](Passed passed, const grpc::Status& status, const auto&) {
      if (passed == Passed::lead_here) return grow_here(request, reactor);
      reactor->Finish(status);
    });
    return reactor;
  }

  ServerUnaryReactor* CollectionDelete(CallbackServerContext* context,
                                       const master_pb::CollectionDeleteRequest* request,
                                       master_pb::CollectionDeleteResponse*) override {
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (options_.read_only) return answered(context, read_only_status(master_));
    if (request->name().empty()) {
      // A forgotten name must not cost the default collection (docs/compatibility.md).
      reactor->Finish(grpc::Status(StatusCode::INVALID_ARGUMENT, "name the collection to delete"));
      return reactor;
    }
    if (request->passed_on() || leads()) {
      delete_here(request, reactor);
      return reactor;
    }
    pass_on_.delete_collection(*request, [this, request, reactor](Passed passed, const grpc::Status& status,
                                                                  const auto&) {
      if (passed == Passed::lead_here) return delete_here(request, reactor);
      reactor->Finish(status);
    });
    return reactor;
  }

  // Only the leader's mark keeps assigns away; upstream's volume servers look for the leader when told so.
  ServerUnaryReactor* VolumeMarkReadonly(CallbackServerContext* context,
                                         const master_pb::VolumeMarkReadonlyRequest* request,
                                         master_pb::VolumeMarkReadonlyResponse*) override {
    if (!leads()) return answered(context, grpc::Status(StatusCode::UNKNOWN, kNotLeader));
    // What this master has not heard of is not assigned to, so there is nothing to keep away from it; the report that
    // brings it carries the mark.
    (void)master_.mark_readonly(host_port(request->ip(), static_cast<std::uint16_t>(request->port())),
                                VolumeId(request->volume_id()), request->is_readonly());
    return answered(context);
  }

  // ---- what is told of the cluster; any master knows it

  ServerUnaryReactor* GetMasterConfiguration(CallbackServerContext* context,
                                             const master_pb::GetMasterConfigurationRequest*,
                                             master_pb::GetMasterConfigurationResponse* response) override {
    const master::ClusterStatus status = master_.cluster_status();
    response->set_metrics_address(options_.metrics_address);
    response->set_metrics_interval_seconds(options_.metrics_interval_seconds);
    response->set_default_replication(options_.default_replication);
    response->set_volume_size_limit_m_b(static_cast<std::uint32_t>(status.volume_size_limit >> 20));
    response->set_volume_preallocate(options_.preallocate);
    response->set_maintenance_scripts(api::utf8(options_.maintenance_scripts));
    response->set_maintenance_sleep_minutes(options_.maintenance_sleep_minutes);
    const auto tiers = master_.tiers();  // kept while it is walked through
    for (const auto& tier : *tiers) api::fill(tier, response->add_storage_backends());
    if (const auto leader = master_.leader()) {
      response->set_leader(api::utf8(hint_of(*leader)));
      response->set_leader_uuid(text(leader->id));
      response->set_term(leader->term.value());
    }
    if (!status.cluster_id.value().empty()) response->set_cluster_id(text(status.cluster_id));
    response->set_generation(status.generation.value());
    response->set_feature_level(status.feature_level);
    if (!status.view) return answered(context);
    response->set_master_uuid(text(status.view->self));
    for (const master::MemberView& member : status.view->members) {
      if (member.http.empty() || member.witness) continue;
      auto* message = response->add_masters();
      message->set_uuid(text(member.id));
      message->set_http_address(api::utf8(member.http));
      message->set_grpc_address(api::utf8(member.grpc));
      message->set_voter(member.voter);
    }
    return answered(context);
  }

  ServerUnaryReactor* ListClusterNodes(CallbackServerContext* context,
                                       const master_pb::ListClusterNodesRequest* request,
                                       master_pb::ListClusterNodesResponse* response) override {
    if (request->client_type() == "master") {
      const master::ClusterStatus status = master_.cluster_status();
      if (!status.view) return answered(context);
      for (const master::MemberView& member : status.view->members) {
        if ((member.connected || member.self) && !member.witness) response->add_cluster_nodes()->set_address(api::utf8(member.http));
      }
      return answered(context);
    }
    for (const ClusterNode& node : nodes_.list(request->client_type(), request->filer_group(), request->limit())) {
      auto* message = response->add_cluster_nodes();
      message->set_address(node.address);
      message->set_version(node.version);
      message->set_created_at_ns(node.created_at_ns);
      message->set_data_center(node.data_center);
      message->set_rack(node.rack);
    }
    return answered(context);
  }

  ServerUnaryReactor* Statistics(CallbackServerContext* context, const master_pb::StatisticsRequest* request,
                                 master_pb::StatisticsResponse* response) override {
    const Status filled =
        fill_statistics(master_.topology_status(true), *request, options_.default_replication,
                        master_.cluster_status().volume_size_limit, response);
    return answered(context, filled ? grpc::Status::OK : grpc::Status(StatusCode::UNKNOWN, filled.error().what()));
  }

  ServerUnaryReactor* CollectionList(CallbackServerContext* context, const master_pb::CollectionListRequest* request,
                                     master_pb::CollectionListResponse* response) override {
    std::set<std::string> names;
    const auto add = [&](const std::vector<std::string>& some) { names.insert(some.begin(), some.end()); };
    if (request->include_normal_volumes()) add(master_.collections());
    if (request->include_ec_volumes()) add(master_.ec_collections());
    for (const std::string& name : names) response->add_collections()->set_name(api::utf8(name));
    return answered(context);
  }

  ServerUnaryReactor* CollectionStatistics(CallbackServerContext* context,
                                           const master_pb::CollectionStatisticsRequest*,
                                           master_pb::CollectionStatisticsResponse* response) override {
    fill_collections(master_.topology_status(true), response);
    return answered(context);
  }

  ServerUnaryReactor* VolumeList(CallbackServerContext* context, const master_pb::VolumeListRequest* request,
                                 master_pb::VolumeListResponse* response) override {
    front::fill(master_.topology_status(true), *request, response->mutable_topology_info());
    response->set_volume_size_limit_mb(master_.cluster_status().volume_size_limit >> 20);
    return answered(context);
  }

  grpc::ServerWriteReactor<master_pb::VolumeListStreamResponse>* VolumeListStream(
      CallbackServerContext*, const master_pb::VolumeListRequest* request) override {
    return new VolumeListCall(
        pieces(master_.topology_status(true), *request, master_.cluster_status().volume_size_limit >> 20));
  }

  ServerUnaryReactor* Ping(CallbackServerContext* context, const master_pb::PingRequest* request,
                           master_pb::PingResponse* response) override {
    const std::int64_t begun = wall_ns();
    response->set_start_time_ns(begun);
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (request->target().empty()) {
      response->set_remote_time_ns(begun);
      response->set_stop_time_ns(wall_ns());
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    const std::string address = address_of(request->target_type(), request->target());
    if (address.empty()) {
      reactor->Finish(grpc::Status(StatusCode::INVALID_ARGUMENT, "unknown ping target " + request->target() +
                                                                     " of type " + request->target_type()));
      return reactor;
    }
    pass_on_.ping(request->target_type(), address,
                  [reactor, response](const grpc::Status& status, std::int64_t remote_time_ns) {
                    response->set_remote_time_ns(remote_time_ns);
                    response->set_stop_time_ns(wall_ns());
                    reactor->Finish(status);
                  });
    return reactor;
  }

  // ---- members

  ServerUnaryReactor* RaftListClusterServers(CallbackServerContext* context,
                                             const master_pb::RaftListClusterServersRequest*,
                                             master_pb::RaftListClusterServersResponse* response) override {
    const master::ClusterStatus status = master_.cluster_status();
    if (!status.view) return answered(context);
    for (const master::MemberView& member : status.view->members) {
      auto* server = response->add_cluster_servers();
      server->set_id(text(member.id));
      server->set_address(api::utf8(member.grpc));
      server->set_suffrage(member.voter && !member.joining ? "Voter" : "Nonvoter");
      server->set_isleader(status.view->leader == member.id);
    }
    for (const master::MemberView& member : status.view->leaving) {
      auto* server = response->add_cluster_servers();
      server->set_id(text(member.id));
      server->set_address(api::utf8(member.grpc));
      server->set_suffrage("Leaving");
    }
    return answered(context);
  }

  ServerUnaryReactor* RaftLeadershipTransfer(CallbackServerContext* context,
                                             const master_pb::RaftLeadershipTransferRequest* request,
                                             master_pb::RaftLeadershipTransferResponse* response) override {
    if (const auto refused = refuse_change(context)) return answered(context, *refused);
    std::optional<NodeId> target;
    if (!request->target_id().empty() || !request->target_address().empty()) {
      target = member_named(request->target_id(), request->target_address());
      if (!target) {
        return answered(context, nobody_called(request->target_id().empty() ? request->target_address()
                                                                           : request->target_id()));
      }
    }
    const auto leader = master_.leader();
    if (leader) response->set_previous_leader(api::utf8(leader->http));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    runtime_->transfer_leadership(target, [this, reactor, response](const Status& status) {
      if (!status) return reactor->Finish(grpc_status(status.error()));
      // The lead is given up some milliseconds before the next one's first heartbeat tells who that is.
      master_.wait_for_leader([reactor, response](const master::OrRefusal<master::Leader>& next) {
        if (const auto* leader = std::get_if<master::Leader>(&next)) response->set_new_leader(api::utf8(leader->http));
        reactor->Finish(grpc::Status::OK);
      });
    });
    return reactor;
  }

  ServerUnaryReactor* RaftAddServer(CallbackServerContext* context, const master_pb::RaftAddServerRequest* request,
                                    master_pb::RaftAddServerResponse*) override {
    if (const auto refused = refuse_change(context)) return answered(context, *refused);
    auto address = member_address(request->id(), request->address());
    if (!address) return answered(context, grpc::Status(StatusCode::INVALID_ARGUMENT, address.error().what()));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    runtime_->add_server(*address, request->voter(), [reactor](const Status& status) {
      reactor->Finish(status ? grpc::Status::OK : grpc_status(status.error()));
    });
    return reactor;
  }

  ServerUnaryReactor* RaftRemoveServer(CallbackServerContext* context,
                                       const master_pb::RaftRemoveServerRequest* request,
                                       master_pb::RaftRemoveServerResponse*) override {
    if (const auto refused = refuse_change(context)) return answered(context, *refused);
    const auto id = member_named(request->id(), "");
    if (!id) return answered(context, nobody_called(request->id()));
    const master::ClusterStatus status = master_.cluster_status();
    const master::MemberView* member = status.view ? status.view->member(*id) : nullptr;
    if (member != nullptr && member->connected && !request->force()) {
      return answered(context, grpc::Status(StatusCode::UNKNOWN, "master " + member->http +
                                                                     " is connected; stop it first, or use force"));
    }
    ServerUnaryReactor* reactor = context->DefaultReactor();
    runtime_->remove_server(*id, [reactor](const Status& removed) {
      reactor->Finish(removed ? grpc::Status::OK : grpc_status(removed.error()));
    });
    return reactor;
  }

  // ---- what later issues bring

  ServerUnaryReactor* LookupEcVolume(CallbackServerContext* context, const master_pb::LookupEcVolumeRequest* request,
                                     master_pb::LookupEcVolumeResponse* response) override {
    const auto shards = master_.lookup_ec(VolumeId(request->volume_id()));
    if (shards.empty()) {
      return answered(context, grpc::Status(StatusCode::UNKNOWN,
                                            "ec volume " + std::to_string(request->volume_id()) + " not found"));
    }
    response->set_volume_id(request->volume_id());
    for (const auto& [shard, places] : shards) {
      auto* locations = response->add_shard_id_locations();
      locations->set_shard_id(shard);
      for (const auto& place : places) {
        auto* location = locations->add_locations();
        location->set_url(api::utf8(place.url));
        location->set_public_url(api::utf8(place.public_url));
        location->set_grpc_port(place.grpc_port);
        location->set_data_center(api::utf8(place.data_center));
      }
    }
    return answered(context);
  }
  ServerUnaryReactor* VacuumVolume(CallbackServerContext* context, const master_pb::VacuumVolumeRequest* request,
                                   master_pb::VacuumVolumeResponse*) override {
    if (options_.read_only) return answered(context, read_only_status(master_));
    if (!leads()) return answered(context, grpc::Status(StatusCode::UNKNOWN, kNotLeader));
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    master_.vacuum({.garbage_threshold = request->garbage_threshold(),
                    .volume = VolumeId(request->volume_id()),
                    .collection = request->collection()},
                   [reactor](const master::OrRefusal<master::Done>& answer) { finish(answer, reactor); });
    return reactor;
  }
  ServerUnaryReactor* MendVolume(CallbackServerContext* context, const master_pb::MendVolumeRequest* request,
                                 master_pb::MendVolumeResponse* response) override {
    if (options_.read_only) return answered(context, read_only_status(master_));
    if (!leads()) return answered(context, grpc::Status(StatusCode::UNKNOWN, kNotLeader));
    const api::RequestScope scope(request_id_of(*context));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    master_.mend(VolumeId(request->volume_id()), request->target(),
                 [reactor, response](const master::OrRefusal<std::uint64_t>& answer) {
                   if (const auto* epoch = std::get_if<std::uint64_t>(&answer)) response->set_epoch(*epoch);
                   finish(answer, reactor);
                 });
    return reactor;
  }
  ServerUnaryReactor* DisableVacuum(CallbackServerContext* context, const master_pb::DisableVacuumRequest* request,
                                    master_pb::DisableVacuumResponse*) override {
    return disable_vacuum(context, true, request->by_plugin());
  }
  ServerUnaryReactor* EnableVacuum(CallbackServerContext* context, const master_pb::EnableVacuumRequest* request,
                                   master_pb::EnableVacuumResponse*) override {
    return disable_vacuum(context, false, request->by_plugin());
  }

  // ---- the admin lock

  ServerUnaryReactor* LeaseAdminToken(CallbackServerContext* context, const master_pb::LeaseAdminTokenRequest* request,
                                      master_pb::LeaseAdminTokenResponse* response) override {
    if (options_.read_only) return answered(context, read_only_status(master_));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    admin_locks_.lease(request, response, reactor);
    return reactor;
  }
  ServerUnaryReactor* ReleaseAdminToken(CallbackServerContext* context,
                                        const master_pb::ReleaseAdminTokenRequest* request,
                                        master_pb::ReleaseAdminTokenResponse*) override {
    if (options_.read_only) return answered(context, read_only_status(master_));
    ServerUnaryReactor* reactor = context->DefaultReactor();
    admin_locks_.release(request, reactor);
    return reactor;
  }
  ServerUnaryReactor* GetAdminLockStatus(CallbackServerContext* context,
                                         const master_pb::GetAdminLockStatusRequest* request,
                                         master_pb::GetAdminLockStatusResponse* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    admin_locks_.status(request, response, reactor);
    return reactor;
  }

 private:
  bool leads() const {
    const auto leader = master_.leader();
    return leader && leader->self;
  }

  // What of a lookup is not known here.
  struct Lacking {
    struct Copies {
      int row = 0;  // of the answer
      VolumeId volume;
      int known = 0;
    };
    bool is_worth_asking = false;  // the leader
    std::vector<Copies> copies;
  };

  // `id` may be a bare volume id or a whole file id; the answer names the bare one.
  grpc::Status look_up(const master_pb::LookupVolumeRequest& request, master_pb::LookupVolumeResponse* response, Lacking* lacking) {
    bool any_found = false;
    bool any_warming = false;
    for (const std::string& asked : request.volume_or_file_ids()) {
      auto* one = response->add_volume_id_locations();
      const std::string bare = asked.substr(0, asked.find(','));
      one->set_volume_or_file_id(bare);
      const auto volume = parse_volume_id(bare);
      if (!volume) {
        one->set_error(api::utf8(volume.error().what()));
        continue;
      }
      const master::LookupAnswer found = master_.lookup(*volume, request.collection());
      if (!found.locations) {
        lacking->is_worth_asking = true;
        one->set_error("volume id " + bare + " not found");
        any_warming = any_warming || found.warming_up;
        continue;
      }
      any_found = true;
      if (!found.locations->complete()) {
        const auto known = static_cast<int>(found.locations->places.size());
        lacking->copies.push_back({response->volume_id_locations_size() - 1, *volume, known});
        if (found.copies_may_appear || !asked_lately_.contains(*volume, io::posix::boot_now())) lacking->is_worth_asking = true;
      }
      for (const auto& place : found.locations->places) fill(place, one->add_locations());
      if (bare.size() < asked.size()) one->set_auth(token_for(options_.jwt, asked));
    }
    if (any_warming && !any_found) {
      return grpc::Status(StatusCode::UNAVAILABLE, "master is warming up, topology is still loading");
    }
    return grpc::Status::OK;
  }

  void grow_here(const master_pb::VolumeGrowRequest* request, ServerUnaryReactor* reactor) {
    master_.grow({.count = request->writable_volume_count(),
                  .collection = request->collection(),
                  .replication = request->replication(),
                  .ttl = request->ttl(),
                  .disk_type = request->disk_type(),
                  .data_center = request->data_center(),
                  .rack = request->rack(),
                  .data_node = request->data_node(),
                  .memory_map_max_size_mb = request->memory_map_max_size_mb()},
                 [reactor](const master::OrRefusal<master::GrowAnswer>& answer) { finish(answer, reactor); });
  }

  ServerUnaryReactor* disable_vacuum(CallbackServerContext* context, bool disabled, bool by_plugin) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    master_.disable_vacuum(disabled, by_plugin, [reactor](const master::OrRefusal<master::Done>& answer) {
      finish(answer, reactor);
    });
    return reactor;
  }

  void delete_here(const master_pb::CollectionDeleteRequest* request, ServerUnaryReactor* reactor) {
    master_.delete_collection(request->name(), [reactor](const master::OrRefusal<master::Done>& answer) {
      // A collection that is not there is as good as deleted (spec/weed-grpc 3).
      const auto* refusal = std::get_if<master::Refusal>(&answer);
      if (refusal != nullptr && refusal->kind == master::Refusal::Kind::bad_request) {
        return reactor->Finish(grpc::Status::OK);
      }
      finish(answer, reactor);
    });
  }

  template <typename T>
  static void finish(const master::OrRefusal<T>& answer, ServerUnaryReactor* reactor) {
    const auto* refusal = std::get_if<master::Refusal>(&answer);
    reactor->Finish(refusal != nullptr ? grpc_status(*refusal) : grpc::Status::OK);
  }

  // Why this caller may not change the members here, if so.
  std::optional<grpc::Status> refuse_change(CallbackServerContext* context) const {
    const std::string ip = peer_ip(context->peer());
    if (options_.allows && !options_.allows(ip)) return not_authorized(ip);
    if (runtime_ == nullptr) return not_yet("Changing members here");
    if (!leads()) return grpc::Status(StatusCode::UNKNOWN, kNotLeader);
    return std::nullopt;
  }

  // A member by its UUID, or by any form of its address: "host:port", "host:port.grpcport", "host:grpcport".
  std::optional<NodeId> member_named(const std::string& id, const std::string& address) const {
    const master::ClusterStatus status = master_.cluster_status();
    if (!status.view) return std::nullopt;
    for (const master::MemberView& member : status.view->members) {
      if (!id.empty() && id == text(member.id)) return member.id;
    }
    for (const auto& name : {id, address}) {
      const auto parsed = Address::parse(name);
      for (const master::MemberView& member : status.view->members) {
        if (parsed && !member.http.empty() && (name == member.grpc || parsed->http() == member.http)) return member.id;
      }
    }
    return std::nullopt;
  }

  grpc::Status nobody_called(const std::string& name) const {
    std::string known;
    const master::ClusterStatus status = master_.cluster_status();
    if (status.view) {
      for (const master::MemberView& member : status.view->members) known += (known.empty() ? "" : ", ") + member.http;
    }
    return grpc::Status(StatusCode::INVALID_ARGUMENT, "no master is called " + name + "; there are " + known);
  }

  // Upstream's shell gives the gRPC address, and as id the HTTP one, sometimes with ".grpcport".
  static Result<Address> member_address(const std::string& id, const std::string& grpc_address) {
    if (auto address = Address::parse(id)) return address;
    auto grpc = Address::parse(grpc_address);
    if (!grpc) return grpc;
    if (grpc->port <= kGrpcPortDistance) {
      return Error(Code::invalid, "give the HTTP address as id: host:port or host:port.grpcport");
    }
    return Address{.host = grpc->host, .port = static_cast<std::uint16_t>(grpc->port - kGrpcPortDistance)};
  }

  // Where to dial a known server of the cluster; "" for any other: nobody is to send this master about the network.
  std::string address_of(const std::string& type, const std::string& target) const {
    if (type == "master") {
      const master::ClusterStatus status = master_.cluster_status();
      if (!status.view) return "";
      const auto asked = Address::parse(target);
      for (const master::MemberView& member : status.view->members) {
        const bool is_meant = target == member.http || target == member.grpc || (asked && asked->http() == member.http);
        if (is_meant) return member.grpc;
      }
    } else if (type == "volumeServer") {
      const auto asked = Address::parse(target);
      if (!asked) return "";
      for (const auto& data_center : master_.topology_status(false).data_centers) {
        for (const auto& rack : data_center.racks) {
          for (const auto& server : rack.servers) {
            if (server.url != asked->http() && server.id != target) continue;
            const auto address = api::read_address(server.url, server.grpc_port);
            return address ? address->grpc() : "";
          }
        }
      }
    } else if (type == "filer") {
      const auto asked = Address::parse(target);
      const auto filer = Address::parse(asked ? nodes_.address_of(type, *asked) : "");
      return filer ? filer->grpc() : "";
    }
    return "";
  }

  const MasterServiceOptions options_;
  master::Master& master_;
  master::MasterRuntime* const runtime_;
  ClusterNodes nodes_;
  LockRings rings_{[this](const std::string& group) {
    std::vector<std::string> filers;
    for (const ClusterNode& node : nodes_.list("filer", group, 0)) filers.push_back(node.address);
    return filers;
  }};
  master::PassOn pass_on_;
  AskedLately asked_lately_;
  Assigner assigner_;
  AdminLockCalls admin_locks_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_master_service(MasterServiceOptions options, master::Master& master,
                                                   master::MasterRuntime* runtime) {
  return std::make_unique<MasterService>(std::move(options), master, runtime);
}

}  // namespace holdfast::front
