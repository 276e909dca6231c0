#include "client/volume_admin.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "api/volume_server.grpc.pb.h"
#include "base/mutex.h"
#include "client/channel.h"

namespace holdfast::client {

namespace pb = volume_server_pb;

namespace {

void set_deadline(grpc::ClientContext& context, Duration time_max) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(time_max));
}

Error told(const std::string& server, const char* rpc, const grpc::Status& status) {
  return error_of(status, /*sent=*/!is_surely_unsent(status)).at(std::string(rpc) + " at " + server);
}

// Until the server has said all.
template <typename Response, typename Seen>
Status drain(grpc::ClientReader<Response>& stream, const std::string& server, const char* rpc, Seen seen) {
  Response response;
  while (stream.Read(&response)) seen(response);
  const auto status = stream.Finish();
  return status.ok() ? Status() : told(server, rpc, status);
}

}  // namespace

struct VolumeAdmin::Servers {
  std::shared_ptr<pb::VolumeServer::Stub> stub(const std::string& server) {
    const Guard guard(mutex);
    auto& place = stubs[server];
    if (!place) place = pb::VolumeServer::NewStub(make_channel(server));
    return place;
  }

  Mutex mutex;  // leaf
  std::map<std::string, std::shared_ptr<pb::VolumeServer::Stub>> stubs HOLDFAST_GUARDED_BY(mutex);
};

VolumeAdmin::VolumeAdmin() : servers_(std::make_unique<Servers>()) {}
VolumeAdmin::~VolumeAdmin() = default;

#define HOLDFAST_DEFINE(rpc, time_max)                                                                            \
  Result<pb::rpc##Response> VolumeAdmin::call(const std::string& server, const pb::rpc##Request& request) {       \
    grpc::ClientContext context;                                                                                  \
    set_deadline(context, time_max);                                                                              \
    pb::rpc##Response response;                                                                                   \
    const auto status = servers_->stub(server)->rpc(&context, request, &response);                                \
    if (!status.ok()) return told(server, #rpc, status);                                                          \
    return response;                                                                                              \
  }
HOLDFAST_UNARY_CALLS(HOLDFAST_DEFINE)
#undef HOLDFAST_DEFINE

Result<std::uint64_t> VolumeAdmin::copy(const std::string& server, const pb::VolumeCopyRequest& request,
                                        const std::function<void(std::int64_t)>& progress) {
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const auto stream = servers_->stub(server)->VolumeCopy(&context, request);
  std::uint64_t last = 0;
  const auto copied = drain(*stream, server, "VolumeCopy", [&](const auto& response) {
    if (response.last_append_at_ns() != 0) last = response.last_append_at_ns();
    if (response.processed_bytes() != 0) progress(response.processed_bytes());
  });
  if (!copied) return copied.error();
  return last;
}

Status VolumeAdmin::compact(const std::string& server, const pb::VacuumVolumeCompactRequest& request, const Progress& progress) {
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const auto stream = servers_->stub(server)->VacuumVolumeCompact(&context, request);
  return drain(*stream, server, "VacuumVolumeCompact", [&](const auto& response) { progress(response.processed_bytes()); });
}

Status VolumeAdmin::to_tier(const std::string& server, const pb::VolumeTierMoveDatToRemoteRequest& request, const Progress& progress) {
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const auto stream = servers_->stub(server)->VolumeTierMoveDatToRemote(&context, request);
  return drain(*stream, server, "VolumeTierMoveDatToRemote", [&](const auto& response) { progress(response.processed()); });
}

Status VolumeAdmin::from_tier(const std::string& server, const pb::VolumeTierMoveDatFromRemoteRequest& request,
                              const Progress& progress) {
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const auto stream = servers_->stub(server)->VolumeTierMoveDatFromRemote(&context, request);
  return drain(*stream, server, "VolumeTierMoveDatFromRemote", [&](const auto& response) { progress(response.processed()); });
}

Status VolumeAdmin::send_file(const std::string& server, const pb::ReceiveFileInfo& info,
                              const std::function<Status(const Give&)>& feed) {
  constexpr std::size_t kPieceBytes = 1_MiB;
  grpc::ClientContext context;
  set_deadline(context, kLong);
  pb::ReceiveFileResponse response;
  const auto stream = servers_->stub(server)->ReceiveFile(&context, &response);
  pb::ReceiveFileRequest request;
  *request.mutable_info() = info;
  const Error gone(Code::unavailable, "the connection broke");
  std::uint64_t sent = 0;
  const auto fed = !stream->Write(request) ? Status(gone) : feed([&](BytesView bytes) -> Status {
    for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes) {
      const auto piece = bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at));
      request.set_file_content(piece.data(), piece.size());
      if (!stream->Write(request)) return gone;
      sent += piece.size();
    }
    return {};
  });
  // A stream that broke has a reason to tell.
  const bool is_broken_off = !fed && fed.error().what() != gone.what();
  if (is_broken_off) context.TryCancel();
  stream->WritesDone();
  const auto status = stream->Finish();
  if (is_broken_off) return fed;
  if (!status.ok()) return told(server, "ReceiveFile", status);
  if (!response.error().empty()) return Error(Code::refused, "ReceiveFile at " + server + ": " + response.error());
  if (!fed) return fed.error().at("ReceiveFile at " + server);
  if (response.bytes_written() != sent) {
    return Error(Code::corrupt, "ReceiveFile at " + server + ": wrote " + std::to_string(response.bytes_written()) + " bytes of " +
                                    std::to_string(sent));
  }
  return {};
}

}  // namespace holdfast::client
