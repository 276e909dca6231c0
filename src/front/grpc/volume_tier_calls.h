// The rpcs VolumeTierMoveDatToRemote and VolumeTierMoveDatFromRemote of a volume server (spec/weed-grpc 6): each is carried out
// on a thread of its own, tells how far it is every 16 MiB, and is called off when the caller goes.
//
// Troubles are UNKNOWN with their words, as upstream's clients expect; what must be done first, and an order that was
// overtaken, FAILED_PRECONDITION.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>

#include "api/volume_server.pb.h"
#include "front/grpc/blocking_call.h"

namespace holdfast::volume {
class VolumeService;
}

namespace holdfast::front {

class VolumeTierCalls {
 public:
  using Context = grpc::CallbackServerContext;
  // Says no to who may not change anything here.
  using Refuse = std::function<std::optional<grpc::Status>(Context*)>;

  VolumeTierCalls(volume::VolumeService& service, Refuse refuse) : service_(service), refuse_(std::move(refuse)) {}

  grpc::ServerWriteReactor<volume_server_pb::VolumeTierMoveDatToRemoteResponse>* VolumeTierMoveDatToRemote(
      Context*, const volume_server_pb::VolumeTierMoveDatToRemoteRequest*);
  grpc::ServerWriteReactor<volume_server_pb::VolumeTierMoveDatFromRemoteResponse>* VolumeTierMoveDatFromRemote(
      Context*, const volume_server_pb::VolumeTierMoveDatFromRemoteRequest*);

 private:
  template <typename Response, typename Work>
  grpc::ServerWriteReactor<Response>* stream(Context* context, Work work);

  volume::VolumeService& service_;
  const Refuse refuse_;
  CallThreads threads_;  // last: it waits for all that uses the others
};

}  // namespace holdfast::front
