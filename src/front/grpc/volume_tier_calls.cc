#include "front/grpc/volume_tier_calls.h"

#include <string>

#include "api/convert.h"
#include "api/request_id.h"
#include "front/grpc/request_ids.h"
#include "service/volume/tier_mover.h"

namespace holdfast::front {

namespace {

namespace pb = volume_server_pb;
using grpc::StatusCode;

constexpr std::uint64_t kTellEveryBytes = std::uint64_t{16} << 20;

grpc::Status said(const Status& status) {
  if (status) return grpc::Status::OK;
  const bool is_refused = status.error().code() == Code::refused;
  return grpc::Status(is_refused ? StatusCode::FAILED_PRECONDITION : StatusCode::UNKNOWN, api::utf8(status.error().what()));
}

}  // namespace

// Runs `work(mover, progress, cancel)`, which answers a Status.
template <typename Response, typename Work>
grpc::ServerWriteReactor<Response>* VolumeTierCalls::stream(Context* context, Work work) {
  if (const auto no = refuse_(context)) return BlockingWriter<Response>::refused(*no);
  auto* const mover = service_.tier_mover();
  if (mover == nullptr) {
    return BlockingWriter<Response>::refused(grpc::Status(StatusCode::FAILED_PRECONDITION, "no volumes are kept here"));
  }
  return BlockingWriter<Response>::run(threads_, [mover, id = std::string(request_id_of(*context)), work = std::move(work)](BlockingWriter<Response>& call) {
    const api::RequestScope scope(id);
    std::uint64_t told = 0;
    const auto progress = [&](std::uint64_t bytes, float percent) {
      if (bytes >= told && bytes - told < kTellEveryBytes && percent < 100) return !call.cancel()->is_set();
      told = bytes;
      Response response;
      response.set_processed(static_cast<std::int64_t>(bytes));
      response.set_processedpercentage(percent);
      return call.write(response);
    };
    return said(work(*mover, progress, *call.cancel()));
  });
}

grpc::ServerWriteReactor<pb::VolumeTierMoveDatToRemoteResponse>* VolumeTierCalls::VolumeTierMoveDatToRemote(
    Context* context, const pb::VolumeTierMoveDatToRemoteRequest* request) {
  using Response = pb::VolumeTierMoveDatToRemoteResponse;
  return stream<Response>(context, [request](volume::TierMover& mover, const volume::TierMover::Progress& progress, volume::Cancel&) {
    return mover.upload({.id = VolumeId(request->volume_id()),
                         .collection = request->collection(),
                         .backend = request->destination_backend_name(),
                         .keep_dat = request->keep_local_dat_file()},
                        std::nullopt, progress);
  });
}

grpc::ServerWriteReactor<pb::VolumeTierMoveDatFromRemoteResponse>* VolumeTierCalls::VolumeTierMoveDatFromRemote(
    Context* context, const pb::VolumeTierMoveDatFromRemoteRequest* request) {
  using Response = pb::VolumeTierMoveDatFromRemoteResponse;
  return stream<Response>(context, [request](volume::TierMover& mover, const volume::TierMover::Progress& progress, volume::Cancel& cancel) {
    return mover.download({.id = VolumeId(request->volume_id()),
                           .collection = request->collection(),
                           .keep_object = request->keep_remote_dat_file()},
                          std::nullopt, progress, cancel);
  });
}

}  // namespace holdfast::front
