#include "front/grpc/volume_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include "api/convert.h"
#include "api/jwt.h"
#include "api/volume_server.grpc.pb.h"
#include "front/grpc/fence.h"
#include "front/grpc/status.h"
#include "front/grpc/volume_copy_calls.h"
#include "front/grpc/volume_heal_calls.h"
#include "front/grpc/volume_ping_call.h"
#include "front/grpc/volume_query_call.h"
#include "front/grpc/volume_tier_calls.h"
#include "front/grpc/volume_vacuum_calls.h"
#include "io/posix/clock.h"
#include "io/posix/memory.h"
#include "service/volume/upkeep.h"
#include "front/grpc/volume_ec_calls.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {

namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::StatusCode;
namespace pb = volume_server_pb;

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

grpc::Status status_of(const Status& status) { return status ? grpc::Status::OK : grpc_status(status.error()); }

// HTTP statuses of BatchDelete (spec/weed-grpc 6).
std::int32_t delete_status(const Error& error) {
  switch (error.code()) {
    case Code::not_found: return 404;
    case Code::invalid:
    case Code::refused: return 400;  // a wrong cookie
    default: return 500;
  }
}

// The deletes of one BatchDelete run side by side; the last to end finishes the call.
class Batch final : public std::enable_shared_from_this<Batch> {
 public:
  Batch(volume::VolumeService& service, const api::JwtKeys* jwt, const pb::BatchDeleteRequest* request,
        pb::BatchDeleteResponse* response, ServerUnaryReactor* reactor)
      : service_(service), jwt_(jwt), request_(request), response_(response), reactor_(reactor) {}

  void run() {
    waiting_ = request_->file_ids_size() + 1;  // one for this function itself
    for (const std::string& text : request_->file_ids()) {
      pb::DeleteResult* result = response_->add_results();
      result->set_file_id(text);
    }
    for (int i = 0; i < request_->file_ids_size(); ++i) remove(request_->file_ids(i), response_->mutable_results(i));
    ended();
  }

 private:
  void remove(const std::string& text, pb::DeleteResult* result) {
    const auto id = parse_file_id(text);
    if (!id) {
      result->set_status(400);
      result->set_error(api::utf8(id.error().what()));
      return ended();
    }
    if (request_->skip_cookie_check()) return remove_found(*id, result);
    // Its chunks would stay behind for ever. Who skips the check of cookies knows what the files are.
    service_.read(*id, {}, [self = shared_from_this(), id = *id, result](const Result<volume::Found>& found) {
      if (found && found->needle.has(volume::kFlagChunkManifest)) {
        result->set_status(406);
        result->set_error("a chunk manifest is not deleted in a batch: delete it over HTTP, with its chunks");
        return self->ended();
      }
      self->remove_found(id, result);
    });
  }

  void remove_found(const FileId& id, pb::DeleteResult* result) {
    // Callers go to every replica themselves. What is sent on, to copies of a mended volume that they may not know, goes
    // under this server's own token: the caller has shown none.
    const auto token = std::make_shared<const std::string>(token_for(id));
    service_.remove({.id = id, .is_for_each = true, .skip_cookie_check = request_->skip_cookie_check(), .authorization = *token},
                    [self = shared_from_this(), result, token](const Result<volume::Removed>& removed) {
                      if (!removed) {
                        result->set_status(delete_status(removed.error()));
                        result->set_error(api::utf8(removed.error().what()));
                      } else if (removed->size == 0) {
                        result->set_status(304);
                      } else {
                        result->set_status(202);
                        result->set_size(static_cast<std::uint32_t>(removed->size));
                      }
                      self->ended();
                    });
  }

  std::string token_for(const FileId& id) const {
    if (jwt_ == nullptr || !jwt_->write.is_set()) return {};
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(io::posix::system_clock().wall().time_since_epoch()).count();
    return "Bearer " + jwt_->write.sign(text(id), now);
  }

  void ended() {
    if (--waiting_ == 0) reactor_->Finish(grpc::Status::OK);
  }

  volume::VolumeService& service_;
  const api::JwtKeys* const jwt_;
  const pb::BatchDeleteRequest* const request_;  // these live until the call is finished
  pb::BatchDeleteResponse* const response_;
  ServerUnaryReactor* const reactor_;
  std::atomic<int> waiting_{0};
};

class VolumeServerService final : public pb::VolumeServer::CallbackService {
 public:
  VolumeServerService(VolumeServiceOptions options, volume::VolumeService& service)
      : options_(std::move(options)),
        service_(service),
        copy_calls_(service, [this](CallbackServerContext* context) { return refuse(context); }),
        heal_calls_(service, [this](CallbackServerContext* context) { return refuse(context); }),
        tier_calls_(service, [this](CallbackServerContext* context) { return refuse(context); }),
        query_call_(service),
        ec_calls_(service, [this](CallbackServerContext* context) { return refuse(context); }) {}

  // ---- orders of masters

  ServerUnaryReactor* AllocateVolume(CallbackServerContext* context, const pb::AllocateVolumeRequest* request,
                                     pb::AllocateVolumeResponse*) override {
    return order(context, request, [this, request](const volume::OrderFence& fence) -> Status {
      auto placement = ReplicaPlacement::parse(request->replication());
      if (!placement) return placement.error();
      auto ttl = Ttl::parse(request->ttl());
      if (!ttl) return ttl.error();
      if (request->version() == 0) return Error(Code::invalid, "volume version 0 is not supported");
      return service_.allocate({.id = VolumeId(request->volume_id()),
                                .collection = request->collection(),
                                .replica_placement = *placement,
                                .ttl = *ttl,
                                .disk_type = request->disk_type(),
                                .preallocate_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(
                                    request->preallocate(), 0)),
                                .version = request->version()},
                               fence);
    });
  }

  ServerUnaryReactor* VolumeDelete(CallbackServerContext* context, const pb::VolumeDeleteRequest* request,
                                   pb::VolumeDeleteResponse*) override {
    return order(context, request, [this, request](const volume::OrderFence& fence) {
      return service_.delete_volume(VolumeId(request->volume_id()),
                                    {.only_empty = request->only_empty(), .keep_remote = request->keep_remote_data()}, fence);
    });
  }

  ServerUnaryReactor* DeleteCollection(CallbackServerContext* context, const pb::DeleteCollectionRequest* request,
                                       pb::DeleteCollectionResponse*) override {
    return order(context, request, [this, request](const volume::OrderFence& fence) {
      return service_.delete_collection(request->collection(), fence);
    });
  }

  ServerUnaryReactor* VolumeMount(CallbackServerContext* context, const pb::VolumeMountRequest* request,
                                  pb::VolumeMountResponse*) override {
    return order(context, request, [this, request](const volume::OrderFence& fence) {
      return service_.mount(VolumeId(request->volume_id()), fence);
    });
  }

  ServerUnaryReactor* VolumeUnmount(CallbackServerContext* context, const pb::VolumeUnmountRequest* request,
                                    pb::VolumeUnmountResponse*) override {
    return order(context, request, [this, request](const volume::OrderFence& fence) {
      return service_.unmount(VolumeId(request->volume_id()), fence);
    });
  }

  ServerUnaryReactor* VolumeServerLeave(CallbackServerContext* context, const pb::VolumeServerLeaveRequest* request,
                                        pb::VolumeServerLeaveResponse*) override {
    return order(context, request, [this](const volume::OrderFence&) -> Status {
      service_.leave();
      return {};
    });
  }

  ServerUnaryReactor* BatchDelete(CallbackServerContext* context, const pb::BatchDeleteRequest* request,
                                  pb::BatchDeleteResponse* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (const auto refused = refuse(context)) {
      reactor->Finish(*refused);
    } else {
      std::make_shared<Batch>(service_, options_.jwt, request, response, reactor)->run();
    }
    return reactor;
  }

  // ---- what is told

  ServerUnaryReactor* VolumeStatus(CallbackServerContext* context, const pb::VolumeStatusRequest* request,
                                   pb::VolumeStatusResponse* response) override {
    return about_volume(context, request->volume_id(), [response](const volume::VolumeFileStatus& status) {
      response->set_is_read_only(status.info.read_only);
      response->set_volume_size(status.dat_bytes);
      response->set_file_count(status.info.file_count);
      response->set_file_deleted_count(status.info.delete_count);
    });
  }

  ServerUnaryReactor* VolumeSyncStatus(CallbackServerContext* context, const pb::VolumeSyncStatusRequest* request,
                                       pb::VolumeSyncStatusResponse* response) override {
    return about_volume(context, request->volume_id(), [response](const volume::VolumeFileStatus& status) {
      response->set_volume_id(status.info.id.value());
      response->set_collection(api::utf8(status.info.collection));
      response->set_replication(text(status.info.replica_placement));
      response->set_ttl(text(status.info.ttl));
      response->set_tail_offset(status.dat_bytes);
      response->set_compact_revision(status.info.compact_revision);
      response->set_idx_file_size(status.idx_bytes);
      response->set_version(status.info.version);
    });
  }

  ServerUnaryReactor* ReadVolumeFileStatus(CallbackServerContext* context,
                                           const pb::ReadVolumeFileStatusRequest* request,
                                           pb::ReadVolumeFileStatusResponse* response) override {
    return about_volume(context, request->volume_id(), [response](const volume::VolumeFileStatus& status) {
      response->set_volume_id(status.info.id.value());
      response->set_idx_file_timestamp_seconds(status.idx_modified_seconds);
      response->set_idx_file_size(status.idx_bytes);
      response->set_dat_file_timestamp_seconds(status.dat_modified_seconds);
      response->set_dat_file_size(status.dat_bytes);
      response->set_file_count(status.info.file_count);
      response->set_compaction_revision(status.info.compact_revision);
      response->set_collection(api::utf8(status.info.collection));
      response->set_disk_type(api::utf8(status.info.disk_type));
      response->set_version(status.info.version);
      pb::VolumeInfo* info = response->mutable_volume_info();
      info->set_version(status.info.version);
      info->set_replication(text(status.info.replica_placement));
      info->set_bytes_offset(4);
      info->set_read_only(status.info.read_only);
      if (!status.remote) return;
      auto* file = info->add_files();
      file->set_backend_type(api::utf8(status.remote->backend_type));
      file->set_backend_id(api::utf8(status.remote->backend_id));
      file->set_key(api::utf8(status.remote->key));
      file->set_file_size(status.remote->file_size);
      file->set_modified_time(status.remote->modified_time);
      file->set_extension(api::utf8(status.remote->extension));
    });
  }

  ServerUnaryReactor* VolumeServerStatus(CallbackServerContext* context, const pb::VolumeServerStatusRequest*,
                                         pb::VolumeServerStatusResponse* response) override {
    return on_pool(context, [this, response]() -> Status {
      for (const volume::DiskStatus& disk : service_.disks()) {
        pb::DiskStatus* status = response->add_disk_statuses();
        status->set_dir(api::utf8(disk.directory));
        status->set_disk_type(api::utf8(disk.disk_type));
        status->set_all(disk.all);
        status->set_used(disk.used);
        status->set_free(disk.free);
        status->set_percent_free(static_cast<float>(disk.percent_free));
        status->set_percent_used(static_cast<float>(disk.percent_used));
        status->set_error(api::utf8(disk.error));
      }
      const auto memory = io::posix::memory_use();
      pb::MemStatus* told = response->mutable_memory_status();
      told->set_all(memory.total);
      told->set_free(memory.free);
      told->set_used(memory.total - std::min(memory.total, memory.free));
      told->set_self(memory.self);
      told->set_heap(memory.self - std::min(memory.self, memory.stack));
      told->set_stack(memory.stack);
      pb::VolumeServerState* state = response->mutable_state();
      if (auto* upkeep = service_.upkeep()) {
        state->set_maintenance(upkeep->maintenance().state().maintenance);
        state->set_version(upkeep->maintenance().state().version);
      }
      response->set_version(options_.version);
      response->set_data_center(api::utf8(options_.data_center));
      response->set_rack(api::utf8(options_.rack));
      return {};
    });
  }

  ServerUnaryReactor* Ping(CallbackServerContext* context, const pb::PingRequest* request,
                           pb::PingResponse* response) override {
    if (!request->target().empty()) {
      // It makes this server dial where the caller says.
      if (const auto refused = refuse(context)) return answered(context, *refused);
      return ping_other(context, request, response);
    }
    const std::int64_t now = wall_ns();
    response->set_start_time_ns(now);
    response->set_remote_time_ns(now);
    response->set_stop_time_ns(wall_ns());
    return answered(context, grpc::Status::OK);
  }

  // ---- vacuum: volume_vacuum_calls.h

  ServerUnaryReactor* VacuumVolumeCheck(CallbackServerContext* context, const pb::VacuumVolumeCheckRequest* request,
                                        pb::VacuumVolumeCheckResponse* response) override {
    return vacuum_check(context, refuse(context), service_.vacuum(), request, response);
  }
  grpc::ServerWriteReactor<pb::VacuumVolumeCompactResponse>* VacuumVolumeCompact(
      CallbackServerContext* context, const pb::VacuumVolumeCompactRequest* request) override {
    return vacuum_compact(refuse(context), service_.vacuum(), request);
  }
  ServerUnaryReactor* VacuumVolumeCommit(CallbackServerContext* context, const pb::VacuumVolumeCommitRequest* request,
                                         pb::VacuumVolumeCommitResponse* response) override {
    return vacuum_commit(context, refuse(context), service_.vacuum(), request, response);
  }
  ServerUnaryReactor* VacuumVolumeCleanup(CallbackServerContext* context, const pb::VacuumVolumeCleanupRequest* request,
                                          pb::VacuumVolumeCleanupResponse*) override {
    return vacuum_cleanup(context, refuse(context), service_.vacuum(), request);
  }

  ServerUnaryReactor* HealReplica(CallbackServerContext* context, const pb::HealReplicaRequest* request,
                                  pb::HealReplicaResponse* response) override {
    return heal_calls_.HealReplica(context, request, response);
  }
  grpc::ServerWriteReactor<pb::HealContentResponse>* HealContent(CallbackServerContext* context,
                                                                 const pb::HealContentRequest* request) override {
    return heal_calls_.HealContent(context, request);
  }

  // ---- copies, moves, looks inside (volume_copy_calls.h)

#define HOLDFAST_COPY_CALL(rpc)                                                                                     \
  ServerUnaryReactor* rpc(CallbackServerContext* context, const pb::rpc##Request* request, pb::rpc##Response* response) \
      override {                                                                                                    \
    return copy_calls_.rpc(context, request, response);                                                             \
  }
  HOLDFAST_COPY_CALL(VolumeMarkReadonly)
  HOLDFAST_COPY_CALL(VolumeMarkWritable)
  HOLDFAST_COPY_CALL(VolumeConfigure)
  HOLDFAST_COPY_CALL(VolumeConsolidateIndex)
  HOLDFAST_COPY_CALL(GetState)
  HOLDFAST_COPY_CALL(SetState)
  HOLDFAST_COPY_CALL(ReadNeedleBlob)
  HOLDFAST_COPY_CALL(ReadNeedleMeta)
  HOLDFAST_COPY_CALL(WriteNeedleBlob)
  HOLDFAST_COPY_CALL(VolumeNeedleStatus)
  HOLDFAST_COPY_CALL(VolumeTailReceiver)
  HOLDFAST_COPY_CALL(ScrubVolume)
#undef HOLDFAST_COPY_CALL

#define HOLDFAST_COPY_CALL(rpc)                                                                                 \
  grpc::ServerWriteReactor<pb::rpc##Response>* rpc(CallbackServerContext* context, const pb::rpc##Request* request) \
      override {                                                                                                \
    return copy_calls_.rpc(context, request);                                                                   \
  }
  HOLDFAST_COPY_CALL(CopyFile)
  HOLDFAST_COPY_CALL(VolumeCopy)
  HOLDFAST_COPY_CALL(VolumeIncrementalCopy)
  HOLDFAST_COPY_CALL(VolumeTailSender)
  HOLDFAST_COPY_CALL(ReadAllNeedles)
#undef HOLDFAST_COPY_CALL

  grpc::ServerReadReactor<pb::ReceiveFileRequest>* ReceiveFile(CallbackServerContext* context,
                                                               pb::ReceiveFileResponse* response) override {
    return copy_calls_.ReceiveFile(context, response);
  }

  // ---- erasure-coded volumes (volume_ec_calls.h)

#define HOLDFAST_EC_CALL(rpc)                                                                                       \
  ServerUnaryReactor* rpc(CallbackServerContext* context, const pb::rpc##Request* request, pb::rpc##Response* response) \
      override {                                                                                                    \
    return ec_calls_.rpc(context, request, response);                                                               \
  }
  HOLDFAST_EC_CALL(VolumeEcShardsGenerate)
  HOLDFAST_EC_CALL(VolumeEcShardsRebuild)
  HOLDFAST_EC_CALL(VolumeEcShardsCopy)
  HOLDFAST_EC_CALL(VolumeEcShardsDelete)
  HOLDFAST_EC_CALL(VolumeEcShardsMount)
  HOLDFAST_EC_CALL(VolumeEcShardsUnmount)
  HOLDFAST_EC_CALL(VolumeEcBlobDelete)
  HOLDFAST_EC_CALL(VolumeEcShardsToVolume)
  HOLDFAST_EC_CALL(VolumeEcShardsInfo)
  HOLDFAST_EC_CALL(ScrubEcVolume)
#undef HOLDFAST_EC_CALL

  grpc::ServerWriteReactor<pb::VolumeEcShardReadResponse>* VolumeEcShardRead(
      CallbackServerContext* context, const pb::VolumeEcShardReadRequest* request) override {
    return ec_calls_.VolumeEcShardRead(context, request);
  }

  // ---- what later issues bring

#define HOLDFAST_LATER(rpc)                                                                                  \
  ServerUnaryReactor* rpc(CallbackServerContext* context, const pb::rpc##Request*, pb::rpc##Response*) override { \
    return answered(context, not_yet(#rpc));                                                                 \
  }
  HOLDFAST_LATER(FetchAndWriteNeedle)
#undef HOLDFAST_LATER

  grpc::ServerWriteReactor<pb::QueriedStripe>* Query(CallbackServerContext* context, const pb::QueryRequest* request) override {
    return query_call_.Query(context, request);
  }

  // ---- volumes in remote tiers (volume_tier_calls.h)

  grpc::ServerWriteReactor<pb::VolumeTierMoveDatToRemoteResponse>* VolumeTierMoveDatToRemote(
      CallbackServerContext* context, const pb::VolumeTierMoveDatToRemoteRequest* request) override {
    return tier_calls_.VolumeTierMoveDatToRemote(context, request);
  }
  grpc::ServerWriteReactor<pb::VolumeTierMoveDatFromRemoteResponse>* VolumeTierMoveDatFromRemote(
      CallbackServerContext* context, const pb::VolumeTierMoveDatFromRemoteRequest* request) override {
    return tier_calls_.VolumeTierMoveDatFromRemote(context, request);
  }

 private:
  static ServerUnaryReactor* answered(CallbackServerContext* context, const grpc::Status& status) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  std::optional<grpc::Status> refuse(CallbackServerContext* context) const {
    if (!options_.allows) return std::nullopt;
    const std::string ip = peer_ip(context->peer());
    if (options_.allows(ip)) return std::nullopt;
    return not_authorized(ip);
  }

  // Runs `work` where it may wait for the disk, and finishes with what it says. Request and response live until then.
  template <typename Work>
  ServerUnaryReactor* on_pool(CallbackServerContext* context, Work work) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    if (!service_.post([reactor, work = std::move(work)] { reactor->Finish(status_of(work())); })) {
      reactor->Finish(grpc::Status(StatusCode::UNAVAILABLE, "the volume server stops"));
    }
    return reactor;
  }

  // An order changes something: it must come from who may give it, and its fence, if any, must be readable.
  template <typename Request, typename Work>
  ServerUnaryReactor* order(CallbackServerContext* context, const Request* request, Work work) {
    if (const auto refused = refuse(context)) return answered(context, *refused);
    const auto fence = fence_of(*request);
    if (!fence) return answered(context, grpc::Status(StatusCode::INVALID_ARGUMENT, fence.error().what()));
    return on_pool(context, [work = std::move(work), fence = *fence] { return work(fence); });
  }

  template <typename Fill>
  ServerUnaryReactor* about_volume(CallbackServerContext* context, std::uint32_t id, Fill fill) {
    return on_pool(context, [this, id, fill]() -> Status {
      const auto status = service_.volume_status(VolumeId(id));
      if (!status && status.error().code() == Code::not_found) {
        return Error(Code::not_found, "not found volume id " + std::to_string(id));
      }
      if (!status) return status.error();
      fill(*status);
      return {};
    });
  }

  const VolumeServiceOptions options_;
  volume::VolumeService& service_;
  VolumeCopyCalls copy_calls_;
  VolumeHealCalls heal_calls_;
  VolumeTierCalls tier_calls_;
  VolumeQueryCall query_call_;
  VolumeEcCalls ec_calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_volume_service(VolumeServiceOptions options, volume::VolumeService& service) {
  return std::make_unique<VolumeServerService>(std::move(options), service);
}

}  // namespace holdfast::front
