#include "front/grpc/volume_heal_calls.h"

#include "api/convert.h"
#include "api/request_id.h"
#include "front/grpc/fence.h"
#include "front/grpc/request_ids.h"
#include "front/grpc/status.h"
#include "service/volume/healer.h"
#include "service/volume/upkeep.h"

namespace holdfast::front {

namespace pb = volume_server_pb;

namespace {

// The caller must be able to tell what says something of the copies from what does not: a source that is gone, a copy that changed
// meanwhile. UNAVAILABLE and its like would make it drop a connection that is in order.
grpc::Status status_of(const Error& error) {
  using grpc::StatusCode;
  const auto code = [&] {
    switch (error.code()) {
      case Code::refused: return StatusCode::FAILED_PRECONDITION;
      case Code::busy:
      case Code::stale:
      case Code::unavailable:
      case Code::timed_out:
      case Code::outcome_unknown: return StatusCode::RESOURCE_EXHAUSTED;
      default: return StatusCode::UNKNOWN;
    }
  };
  return grpc::Status(code(), api::utf8(error.what()));
}

}  // namespace

grpc::ServerUnaryReactor* VolumeHealCalls::HealReplica(grpc::CallbackServerContext* context,
                                                       const pb::HealReplicaRequest* request,
                                                       pb::HealReplicaResponse* response) {
  auto no = refuse_(context);
  if (!no && service_.healer() == nullptr) no = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no volumes are kept here");
  if (no) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(*no);
    return reactor;
  }
  const std::string id(request_id_of(*context));
  return BlockingUnary::run(threads_, [this, request, response, id](volume::Cancel& cancel) {
    const api::RequestScope scope(id);
    const auto done = step(*request, response, cancel);
    return done ? grpc::Status::OK : status_of(done.error());
  });
}

grpc::ServerWriteReactor<pb::HealContentResponse>* VolumeHealCalls::HealContent(grpc::CallbackServerContext* context,
                                                                                const pb::HealContentRequest* request) {
  using Writer = BlockingWriter<pb::HealContentResponse>;
  auto no = refuse_(context);
  if (!no && service_.healer() == nullptr) no = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no volumes are kept here");
  if (no) return Writer::refused(*no);
  return Writer::run(threads_, [this, request](Writer& call) {
    const auto give = [&](BytesView entries) -> Status {
      pb::HealContentResponse response;
      response.set_entries(entries.data(), entries.size());
      return call.write(response) ? Status() : Error(Code::unavailable, "the caller is gone");
    };
    const auto told = service_.healer()->content(VolumeId(request->volume_id()), give, *call.cancel());
    return told ? grpc::Status::OK : status_of(told.error());
  });
}

Status VolumeHealCalls::step(const pb::HealReplicaRequest& request, pb::HealReplicaResponse* response,
                             volume::Cancel& cancel) {
  // Only who leads may: an order without a fence could come from anywhere, at any time.
  if (!request.has_fence()) return Error(Code::refused, "a step of a mending must carry a fence");
  const auto fence = fence_of(request);
  if (!fence) return fence.error();
  const VolumeId id(request.volume_id());
  auto& upkeep = *service_.upkeep();
  if (auto may = upkeep.admit(*fence, id); !may) return may;
  auto& healer = *service_.healer();
  const Duration time = std::chrono::seconds(request.seconds());
  switch (request.step()) {
    case pb::HealReplicaRequest::FREEZE: {
      const auto epoch = healer.freeze(id, request.token(), time);
      if (!epoch) return epoch.error();
      response->set_epoch(*epoch);
      return {};
    }
    case pb::HealReplicaRequest::EXTEND: return healer.extend(id, request.token(), time);
    case pb::HealReplicaRequest::THAW: return healer.thaw(id, request.token());
    case pb::HealReplicaRequest::COPY: return healer.copy(id, request.source(), request.token(), time, cancel);
    case pb::HealReplicaRequest::ADOPT:
      return healer.adopt(id, request.token(), request.frozen(), request.from(), request.to());
    case pb::HealReplicaRequest::OUTDATE: return healer.outdate(id, request.to());
    case pb::HealReplicaRequest::COMPARE: {
      const auto compared = healer.compare(id, request.source(), request.to(), cancel);
      if (!compared) return compared.error();
      response->set_files(compared->files);
      response->set_files_missing(compared->missing);
      response->set_example(compared->example.value());
      return {};
    }
    case pb::HealReplicaRequest::CATCH_UP: {
      const auto caught_up = healer.catch_up(id, request.source(), cancel);
      if (!caught_up) return caught_up.error();
      response->set_bytes(*caught_up);
      return {};
    }
    case pb::HealReplicaRequest::DISCARD: return healer.discard(id, request.to());
    default: return Error(Code::invalid, "unknown step " + std::to_string(request.step()));
  }
}

}  // namespace holdfast::front
