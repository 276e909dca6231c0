#include "front/grpc/volume_ec_calls.h"

#include "api/convert.h"
#include "api/request_id.h"
#include "base/mutex.h"
#include "front/grpc/request_ids.h"
#include "front/grpc/status.h"
#include "service/volume/ec_service.h"
#include "service/volume/volume_service.h"

namespace holdfast::front {
namespace {

namespace pb = volume_server_pb;
using grpc::StatusCode;
using volume::EcService;

grpc::Status ec_status(const Status& status) {
  if (status) return grpc::Status::OK;
  const auto& error = status.error();
  const auto words = api::utf8(error.what());
  // ec.decode then just removes the shards.
  if (words.find("has no live entries") != std::string::npos) return {StatusCode::FAILED_PRECONDITION, words};
  // Whatever else is the matter, the connection is good: other codes would make callers drop it.
  return {StatusCode::UNKNOWN, words};
}

std::vector<ec::ShardId> ids_of(const google::protobuf::RepeatedField<std::uint32_t>& ids) {
  return {ids.begin(), ids.end()};
}

// Sends pieces of a shard, each read on a thread of the disks when the one before has gone out.
class ReadStream final : public grpc::ServerWriteReactor<pb::VolumeEcShardReadResponse> {
 public:
  ReadStream(EcService& service, const pb::VolumeEcShardReadRequest& request) : service_(service) {
    wish_.id = VolumeId(request.volume_id());
    wish_.shard = request.shard_id();
    wish_.key = NeedleId(request.file_key());
    wish_.encode_ts_ns = request.encode_ts_ns();
    if (request.offset() < 0 || request.size() < 0) {
      Finish({StatusCode::INVALID_ARGUMENT, "a negative offset or size"});
      return;
    }
    wish_.offset = static_cast<std::uint64_t>(request.offset());
    wish_.bytes = static_cast<std::uint64_t>(request.size());
    next();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    if (is_over()) return Finish(grpc::Status::OK);
    next();
  }
  void OnDone() override { delete this; }

 private:
  void next() {
    const bool posted = service_.post_read([this] {
      auto piece = service_.read_shard(wish());
      if (!piece) return Finish(ec_status(piece.error()));
      if (piece->data.empty() && !piece->is_deleted) return Finish(grpc::Status::OK);  // the shard ends here
      put(std::move(*piece));
      StartWrite(&response_);
    });
    if (!posted) Finish({StatusCode::RESOURCE_EXHAUSTED, "too many reads wait for the disks"});
  }

  EcService::PieceWish wish() {
    const Guard guard(mutex_);
    return wish_;
  }
  void put(EcService::Piece piece) {
    const Guard guard(mutex_);
    wish_.offset += piece.data.size();
    wish_.bytes -= piece.data.size();
    response_.set_is_deleted(piece.is_deleted);
    response_.set_encode_ts_ns(piece.encode_ts_ns);
    response_.set_data(std::move(piece.data));
  }
  bool is_over() {
    const Guard guard(mutex_);
    return response_.is_deleted() || wish_.bytes == 0;
  }

  EcService& service_;
  // Of one thread at a time: the one that reads a piece, then the library's. The lock is what orders them.
  Mutex mutex_;
  EcService::PieceWish wish_;
  pb::VolumeEcShardReadResponse response_;
};

class RefusedRead final : public grpc::ServerWriteReactor<pb::VolumeEcShardReadResponse> {
 public:
  explicit RefusedRead(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// Request and response live until the call is finished.
template <typename Work>
VolumeEcCalls::Unary* VolumeEcCalls::run(Context* context, bool is_order, Work work) {
  auto* reactor = context->DefaultReactor();
  auto* service = service_.ec();
  if (service == nullptr) {
    reactor->Finish(not_yet("erasure coding"));
  } else if (const auto refused = is_order ? refuse_(context) : std::nullopt) {
    reactor->Finish(*refused);
  } else if (!service->post([reactor, service, work, id = std::string(request_id_of(*context))] {
               const api::RequestScope scope(id);
               reactor->Finish(ec_status(work(*service)));
             })) {
    reactor->Finish({StatusCode::UNAVAILABLE, "the volume server stops, or has too much to do"});
  }
  return reactor;
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsGenerate(Context* context,
                                                            const pb::VolumeEcShardsGenerateRequest* request,
                                                            pb::VolumeEcShardsGenerateResponse*) {
  return run(context, true, [request](EcService& service) {
    std::optional<ec::Scheme> scheme;
    if (request->data_shards() != 0 || request->parity_shards() != 0) {
      scheme = ec::Scheme{request->data_shards(), request->parity_shards()};
    }
    return service.generate(VolumeId(request->volume_id()), request->collection(), scheme);
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsRebuild(Context* context,
                                                           const pb::VolumeEcShardsRebuildRequest* request,
                                                           pb::VolumeEcShardsRebuildResponse* response) {
  return run(context, true, [request, response](EcService& service) -> Status {
    const auto made =
        service.rebuild(VolumeId(request->volume_id()), request->collection(), request->unsafe_ignore_sidecar());
    if (!made) return made.error();
    for (const auto id : *made) response->add_rebuilt_shard_ids(id);
    return {};
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsCopy(Context* context, const pb::VolumeEcShardsCopyRequest* request,
                                                        pb::VolumeEcShardsCopyResponse*) {
  return run(context, true, [request](EcService& service) -> Status {
    const auto source = Address::parse(request->source_data_node());
    if (!source) return source.error().at("source_data_node");
    return service.copy({.id = VolumeId(request->volume_id()),
                         .collection = request->collection(),
                         .shards = ids_of(request->shard_ids()),
                         .index = request->copy_ecx_file(),
                         .journal = request->copy_ecj_file(),
                         .settings = request->copy_vif_file(),
                         .checksums = request->copy_ecsum_file(),
                         .source = *source,
                         .disk_id = request->disk_id(),
                         .bytes_per_second =
                             static_cast<std::uint64_t>(std::max<std::int64_t>(request->io_byte_per_second(), 0))});
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsDelete(Context* context,
                                                          const pb::VolumeEcShardsDeleteRequest* request,
                                                          pb::VolumeEcShardsDeleteResponse* response) {
  return run(context, true, [request, response](EcService& service) -> Status {
    auto removed = service.remove({.id = VolumeId(request->volume_id()),
                                   .collection = request->collection(),
                                   .shards = ids_of(request->shard_ids()),
                                   .all = request->full_teardown(),
                                   .encode_ts_ns = request->encode_ts_ns()});
    response->set_full_teardown_done(removed.ok() && request->full_teardown());
    return removed;
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsMount(Context* context,
                                                         const pb::VolumeEcShardsMountRequest* request,
                                                         pb::VolumeEcShardsMountResponse*) {
  return run(context, true, [request](EcService& service) {
    return service.mount(VolumeId(request->volume_id()), request->collection(), ids_of(request->shard_ids()),
                         request->recover_missing_index());
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsUnmount(Context* context,
                                                           const pb::VolumeEcShardsUnmountRequest* request,
                                                           pb::VolumeEcShardsUnmountResponse*) {
  return run(context, true, [request](EcService& service) {
    return service.unmount(VolumeId(request->volume_id()), ids_of(request->shard_ids()), request->encode_ts_ns());
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcBlobDelete(Context* context, const pb::VolumeEcBlobDeleteRequest* request,
                                                        pb::VolumeEcBlobDeleteResponse*) {
  // On the disks' threads: who asks holds one of another server's that may wait for others.
  auto* reactor = context->DefaultReactor();
  auto* service = service_.ec();
  if (service == nullptr) {
    reactor->Finish(not_yet("erasure coding"));
  } else if (const auto refused = refuse_(context)) {
    reactor->Finish(*refused);
  } else if (!service->post_read([reactor, service, request] {
               reactor->Finish(ec_status(
                   service->delete_blob(VolumeId(request->volume_id()), NeedleId(request->file_key()))));
             })) {
    reactor->Finish({StatusCode::UNAVAILABLE, "the volume server stops, or has too much to do"});
  }
  return reactor;
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsToVolume(Context* context,
                                                            const pb::VolumeEcShardsToVolumeRequest* request,
                                                            pb::VolumeEcShardsToVolumeResponse*) {
  return run(context, true, [request](EcService& service) {
    return service.to_volume(VolumeId(request->volume_id()), request->collection(), request->from_staged());
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::VolumeEcShardsInfo(Context* context, const pb::VolumeEcShardsInfoRequest* request,
                                                        pb::VolumeEcShardsInfoResponse* response) {
  return run(context, false, [request, response](EcService& service) -> Status {
    const auto info = service.info(VolumeId(request->volume_id()));
    if (!info) return info.error();
    for (const auto& [id, bytes] : info->shards) {
      auto* shard = response->add_ec_shard_infos();
      shard->set_shard_id(id);
      shard->set_size(static_cast<std::int64_t>(bytes));
      shard->set_collection(api::utf8(info->collection));
      shard->set_volume_id(request->volume_id());
    }
    response->set_volume_size(info->volume_bytes);
    response->set_file_count(info->files);
    response->set_file_deleted_count(info->deleted);
    return {};
  });
}

VolumeEcCalls::Unary* VolumeEcCalls::ScrubEcVolume(Context* context, const pb::ScrubEcVolumeRequest* request,
                                                   pb::ScrubEcVolumeResponse* response) {
  return run(context, true, [request, response](EcService& service) -> Status {
    EcService::ScrubMode mode;
    switch (request->mode()) {
      case pb::INDEX: mode = EcService::ScrubMode::index; break;
      case pb::FULL: mode = EcService::ScrubMode::full; break;
      case pb::LOCAL: mode = EcService::ScrubMode::local; break;
      case pb::CHECKSUM: mode = EcService::ScrubMode::checksums; break;
      default: return Error(Code::invalid, "unsupported EC volume scrub mode " + std::to_string(request->mode()));
    }
    std::vector<VolumeId> ids;
    for (const auto id : request->volume_ids()) ids.emplace_back(id);
    const auto scrubbed = service.scrub(mode, ids, request->force_deleted_needles_check());
    if (!scrubbed) return scrubbed.error();
    response->set_total_volumes(scrubbed->volumes);
    response->set_total_files(scrubbed->files);
    for (const auto& broken : scrubbed->broken) {
      response->add_broken_volume_ids(broken.id.value());
      for (const auto& [id, bytes] : broken.shards) {
        auto* shard = response->add_broken_shard_infos();
        shard->set_shard_id(id);
        shard->set_size(static_cast<std::int64_t>(bytes));
        shard->set_collection(api::utf8(broken.collection));
        shard->set_volume_id(broken.id.value());
      }
    }
    for (const auto& detail : scrubbed->details) response->add_details(api::utf8(detail));
    return {};
  });
}

grpc::ServerWriteReactor<pb::VolumeEcShardReadResponse>* VolumeEcCalls::VolumeEcShardRead(
    Context*, const pb::VolumeEcShardReadRequest* request) {
  auto* service = service_.ec();
  if (service == nullptr) return new RefusedRead(not_yet("erasure coding"));
  return new ReadStream(*service, *request);
}

}  // namespace holdfast::front
