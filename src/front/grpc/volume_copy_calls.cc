#include "front/grpc/volume_copy_calls.h"

#include "api/convert.h"
#include "api/request_id.h"
#include "base/crc32c.h"
#include "front/grpc/fence.h"
#include "front/grpc/request_ids.h"
#include "front/grpc/status.h"
#include "service/volume/upkeep.h"

namespace holdfast::front {

namespace pb = volume_server_pb;
using grpc::StatusCode;

namespace {

grpc::Status said(const Error& error) {
  // UNAVAILABLE and its like would make callers drop a connection that is in order (spec/weed-grpc 1).
  const bool is_overtaken = error.code() == Code::refused;
  return grpc::Status(is_overtaken ? StatusCode::FAILED_PRECONDITION : StatusCode::UNKNOWN, api::utf8(error.what()));
}

grpc::Status said(const Status& status) { return status ? grpc::Status::OK : said(status.error()); }

// What ReadNeedleMeta, VolumeNeedleStatus and ReadAllNeedles tell as the crc.
std::uint32_t told_crc(const volume::NeedleView& needle) {
  // A needle whose stored form is the old one already keeps it.
  const auto crc = crc32c(needle.data);
  return volume::crc_matches(crc, needle.stored_crc) ? volume::legacy_crc(crc) : volume::legacy_crc(needle.stored_crc);
}

void fill(const volume::MaintenanceState& state, pb::VolumeServerState* out) {
  out->set_maintenance(state.maintenance);
  out->set_version(state.version);
}

}  // namespace

std::optional<grpc::Status> VolumeCopyCalls::refused(Context* context, bool changes) const {
  if (changes) {
    if (auto no = refuse_(context)) return no;
  }
  if (service_.upkeep() == nullptr) return grpc::Status(StatusCode::FAILED_PRECONDITION, "no volumes are kept here");
  return {};
}

template <typename Response, typename Work>
VolumeCopyCalls::Stream<Response>* VolumeCopyCalls::stream(Context* context, bool changes, Work work) {
  if (const auto no = refused(context, changes)) return BlockingWriter<Response>::refused(*no);
  return BlockingWriter<Response>::run(threads_, [this, id = std::string(request_id_of(*context)), work = std::move(work)](BlockingWriter<Response>& call) {
    const api::RequestScope scope(id);
    return said(work(*service_.upkeep(), call));
  });
}

template <typename Work>
VolumeCopyCalls::Unary* VolumeCopyCalls::unary(Context* context, bool changes, Work work) {
  if (const auto no = refused(context, changes)) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(*no);
    return reactor;
  }
  return BlockingUnary::run(threads_, [this, id = std::string(request_id_of(*context)), work = std::move(work)](volume::Cancel& cancel) {
    const api::RequestScope scope(id);
    return said(work(*service_.upkeep(), cancel));
  });
}

// On a thread of its own, since a master is told too.
template <typename Request, typename Work>
VolumeCopyCalls::Unary* VolumeCopyCalls::marking(Context* context, const Request* request, Work work) {
  if (const auto no = refuse_(context)) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(*no);
    return reactor;
  }
  return BlockingUnary::run(threads_, [request, id = std::string(request_id_of(*context)), work = std::move(work)](volume::Cancel&) {
    const api::RequestScope scope(id);
    const auto fence = fence_of(*request);
    return fence ? said(work(*fence)) : said(fence.error());
  });
}

// --- as a source ---

VolumeCopyCalls::Stream<pb::CopyFileResponse>* VolumeCopyCalls::CopyFile(Context* context,
                                                                         const pb::CopyFileRequest* request) {
  using Response = pb::CopyFileResponse;
  return stream<Response>(context, false, [request](volume::Upkeep& upkeep, BlockingWriter<Response>& call) {
    return upkeep.sender().file({.volume = VolumeId(request->volume_id()),
                                 .collection = request->collection(),
                                 .extension = request->ext(),
                                 .compaction_revision = request->compaction_revision(),
                                 .stop_offset = request->stop_offset(),
                                 .is_ec_volume = request->is_ec_volume(),
                                 .ignore_missing = request->ignore_source_file_not_found()},
                                [&](BytesView bytes, std::int64_t modified_ts_ns) {
                                  Response response;
                                  response.set_file_content(bytes.data(), bytes.size());
                                  response.set_modified_ts_ns(modified_ts_ns);
                                  return call.write(response);
                                });
  });
}

VolumeCopyCalls::Stream<pb::VolumeIncrementalCopyResponse>* VolumeCopyCalls::VolumeIncrementalCopy(
    Context* context, const pb::VolumeIncrementalCopyRequest* request) {
  using Response = pb::VolumeIncrementalCopyResponse;
  return stream<Response>(context, false, [request](volume::Upkeep& upkeep, BlockingWriter<Response>& call) {
    return upkeep.sender().since(VolumeId(request->volume_id()), request->since_ns(), [&](BytesView bytes) {
      Response response;
      response.set_file_content(bytes.data(), bytes.size());
      return call.write(response);
    });
  });
}

VolumeCopyCalls::Stream<pb::VolumeTailSenderResponse>* VolumeCopyCalls::VolumeTailSender(
    Context* context, const pb::VolumeTailSenderRequest* request) {
  using Response = pb::VolumeTailSenderResponse;
  return stream<Response>(context, false, [request](volume::Upkeep& upkeep, BlockingWriter<Response>& call) {
    const auto send = [&](const volume::VolumeSender::TailPiece& piece) {
      Response response;
      response.set_needle_header(piece.header.data(), piece.header.size());
      response.set_needle_body(piece.body.data(), piece.body.size());
      response.set_is_last_chunk(piece.is_last);
      response.set_version(piece.version);
      response.set_kind(static_cast<std::uint32_t>(piece.kind));
      return call.write(response);
    };
    return upkeep.sender().tail(VolumeId(request->volume_id()), request->since_ns(), request->idle_timeout_seconds(),
                                send, *call.cancel());
  });
}

VolumeCopyCalls::Stream<pb::ReadAllNeedlesResponse>* VolumeCopyCalls::ReadAllNeedles(
    Context* context, const pb::ReadAllNeedlesRequest* request) {
  using Response = pb::ReadAllNeedlesResponse;
  return stream<Response>(context, false, [request](volume::Upkeep& upkeep, BlockingWriter<Response>& call) -> Status {
    for (const auto id : request->volume_ids()) {
      const auto done = upkeep.sender().all_needles(VolumeId(id), [&](const volume::NeedleView& needle) {
        Response response;
        response.set_volume_id(id);
        response.set_needle_id(needle.id.value());
        response.set_cookie(needle.cookie.value());
        response.set_needle_blob(needle.data.data(), needle.data.size());
        response.set_needle_blob_compressed(needle.has(volume::kFlagCompressed));
        response.set_last_modified(needle.last_modified);
        response.set_crc(told_crc(needle));
        response.set_name(std::string(needle.name));
        response.set_mime(std::string(needle.mime));
        return call.write(response);
      });
      if (!done) return done;
    }
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::ReadNeedleBlob(Context* context, const pb::ReadNeedleBlobRequest* request,
                                                        pb::ReadNeedleBlobResponse* response) {
  return unary(context, false, [request, response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    auto blob = upkeep.sender().blob(VolumeId(request->volume_id()), request->offset(), request->size());
    if (!blob) return blob.error();
    response->set_needle_blob(std::move(*blob));
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::ReadNeedleMeta(Context* context, const pb::ReadNeedleMetaRequest* request,
                                                        pb::ReadNeedleMetaResponse* response) {
  return unary(context, false, [request, response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    const auto found = upkeep.sender().needle_at(VolumeId(request->volume_id()), request->offset(), request->size());
    if (!found) return found.error();
    const auto& needle = found->needle;
    response->set_cookie(needle.cookie.value());
    response->set_last_modified(needle.last_modified);
    response->set_crc(told_crc(needle));
    response->set_ttl(text(needle.ttl));
    response->set_append_at_ns(needle.append_at_ns);
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeNeedleStatus(Context* context,
                                                            const pb::VolumeNeedleStatusRequest* request,
                                                            pb::VolumeNeedleStatusResponse* response) {
  return unary(context, false, [request, response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    const auto found = upkeep.sender().needle(VolumeId(request->volume_id()), NeedleId(request->needle_id()));
    if (!found) return found.error();
    const auto& needle = found->needle;
    response->set_needle_id(needle.id.value());
    response->set_cookie(needle.cookie.value());
    response->set_size(static_cast<std::uint32_t>(needle.size));
    response->set_last_modified(needle.last_modified);
    response->set_crc(told_crc(needle));
    response->set_ttl(text(needle.ttl));
    return {};
  });
}

// --- as a target ---

VolumeCopyCalls::Stream<pb::VolumeCopyResponse>* VolumeCopyCalls::VolumeCopy(Context* context,
                                                                             const pb::VolumeCopyRequest* request) {
  using Response = pb::VolumeCopyResponse;
  return stream<Response>(context, true, [request](volume::Upkeep& upkeep, BlockingWriter<Response>& call) -> Status {
    const auto fence = fence_of(*request);
    if (!fence) return fence.error();
    const VolumeId id(request->volume_id());
    if (auto may = upkeep.admit(*fence, id); !may) return may;
    const auto told = [&](std::uint64_t bytes) {
      Response response;
      response.set_processed_bytes(static_cast<std::int64_t>(bytes));
      return call.write(response);
    };
    const auto copied = upkeep.receiver().copy(
        {.id = id,
         .disk_type = request->disk_type(),
         .source = request->source_data_node(),
         .bytes_per_second = static_cast<std::uint64_t>(std::max<std::int64_t>(request->io_byte_per_second(), 0))},
        told, *call.cancel());
    if (!copied) return copied.error();
    Response last;
    last.set_last_append_at_ns(*copied);
    call.write(last);
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeTailReceiver(Context* context,
                                                            const pb::VolumeTailReceiverRequest* request,
                                                            pb::VolumeTailReceiverResponse*) {
  return unary(context, true, [request](volume::Upkeep& upkeep, volume::Cancel& cancel) -> Status {
    if (auto may = upkeep.maintenance().check(); !may) return may;
    return upkeep.receiver().tail(VolumeId(request->volume_id()), request->since_ns(), request->idle_timeout_seconds(),
                                  request->source_volume_server(), cancel);
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::WriteNeedleBlob(Context* context, const pb::WriteNeedleBlobRequest* request,
                                                         pb::WriteNeedleBlobResponse*) {
  return unary(context, true, [request](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    if (auto may = upkeep.maintenance().check(); !may) return may;
    return upkeep.receiver().write_blob(VolumeId(request->volume_id()), NeedleId(request->needle_id()), request->size(),
                                        bytes_of(request->needle_blob()));
  });
}

// Troubles are told in the answer; the call itself ends well.
grpc::ServerReadReactor<pb::ReceiveFileRequest>* VolumeCopyCalls::ReceiveFile(Context* context,
                                                                              pb::ReceiveFileResponse* response) {
  using Reader = BlockingReader<pb::ReceiveFileRequest>;
  if (const auto no = refused(context, true)) return Reader::refused(*no);
  return Reader::run(threads_, [this, response](Reader& call) -> grpc::Status {
    auto& upkeep = *service_.upkeep();
    const auto failed = [&](const Error& error) {
      response->set_error(api::utf8(error.what()));
      return grpc::Status::OK;
    };
    if (auto may = upkeep.maintenance().check(); !may) return failed(may.error());
    std::unique_ptr<volume::VolumeReceiver::Incoming> file;
    pb::ReceiveFileRequest request;
    while (call.read(request)) {
      if (request.has_info()) {
        if (file) return failed(Error(Code::invalid, "a second file in one call"));
        const auto& info = request.info();
        auto begun = upkeep.receiver().receive({.id = VolumeId(info.volume_id()),
                                                .collection = info.collection(),
                                                .extension = info.ext(),
                                                .is_ec_volume = info.is_ec_volume(),
                                                .bytes = info.file_size(),
                                                .disk_id = info.disk_id(),
                                                .disk_type = info.disk_type()});
        if (!begun) return failed(begun.error());
        file = std::move(*begun);
        continue;
      }
      if (!file) return failed(Error(Code::invalid, "file info must be sent first"));
      if (auto taken = file->append(bytes_of(request.file_content())); !taken) return failed(taken.error());
    }
    // The sender's end and its death look alike to a reader; only the former may make a file of what came.
    if (call.cancel()->is_set()) return grpc::Status::CANCELLED;
    if (!file) return failed(Error(Code::invalid, "no file info came"));
    const auto bytes = file->finish();
    if (!bytes) return failed(bytes.error());
    response->set_bytes_written(*bytes);
    return grpc::Status::OK;
  });
}

// --- marks and state ---

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeMarkReadonly(Context* context,
                                                            const pb::VolumeMarkReadonlyRequest* request,
                                                            pb::VolumeMarkReadonlyResponse*) {
  return marking(context, request, [this, request](const volume::OrderFence& fence) {
    return service_.mark_read_only(VolumeId(request->volume_id()), request->persist(), request->can_delete(), fence);
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeMarkWritable(Context* context,
                                                            const pb::VolumeMarkWritableRequest* request,
                                                            pb::VolumeMarkWritableResponse*) {
  return marking(context, request, [this, request](const volume::OrderFence& fence) {
    return service_.mark_writable(VolumeId(request->volume_id()), fence);
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeConfigure(Context* context, const pb::VolumeConfigureRequest* request,
                                                         pb::VolumeConfigureResponse* response) {
  return unary(context, true, [request, response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    const auto fence = fence_of(*request);
    if (!fence) return fence.error();
    const auto set = upkeep.set_replication(VolumeId(request->volume_id()), request->replication(), *fence);
    if (!set) response->set_error(api::utf8(set.error().what()));
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::VolumeConsolidateIndex(Context* context,
                                                                const pb::VolumeConsolidateIndexRequest* request,
                                                                pb::VolumeConsolidateIndexResponse*) {
  return unary(context, true, [request](volume::Upkeep& upkeep, volume::Cancel&) {
    return upkeep.sync_index(VolumeId(request->volume_id()));
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::GetState(Context* context, const pb::GetStateRequest*,
                                                  pb::GetStateResponse* response) {
  return unary(context, false, [response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    fill(upkeep.maintenance().state(), response->mutable_state());
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::SetState(Context* context, const pb::SetStateRequest* request,
                                                  pb::SetStateResponse* response) {
  return unary(context, true, [request, response](volume::Upkeep& upkeep, volume::Cancel&) -> Status {
    auto state = upkeep.maintenance().state();
    if (request->has_state()) {  // without one it only asks
      const auto set = upkeep.set_state({request->state().maintenance(), request->state().version()});
      if (!set) return set.error();
      state = *set;
    }
    fill(state, response->mutable_state());
    return {};
  });
}

VolumeCopyCalls::Unary* VolumeCopyCalls::ScrubVolume(Context* context, const pb::ScrubVolumeRequest* request,
                                                     pb::ScrubVolumeResponse* response) {
  return unary(context, true, [request, response](volume::Upkeep& upkeep, volume::Cancel& cancel) -> Status {
    // A volume that is not erasure-coded lies here as a whole: LOCAL and CHECKSUM are FULL.
    if (request->mode() == pb::UNKNOWN || !pb::VolumeScrubMode_IsValid(request->mode())) {
      return Error(Code::invalid, "unsupported volume scrub mode " + std::to_string(request->mode()));
    }
    const auto mode = request->mode() == pb::INDEX ? volume::ScrubMode::index : volume::ScrubMode::full;
    std::vector<VolumeId> ids;
    for (const auto id : request->volume_ids()) ids.emplace_back(id);
    const auto answer = upkeep.scrub_volumes(std::move(ids), mode, request->mark_broken_volumes_readonly(), cancel);
    if (!answer) return answer.error();
    response->set_total_volumes(answer->volumes);
    response->set_total_files(answer->files);
    for (const auto id : answer->broken) response->add_broken_volume_ids(id.value());
    for (const auto& detail : answer->details) response->add_details(api::utf8(detail));
    return {};
  });
}

}  // namespace holdfast::front
