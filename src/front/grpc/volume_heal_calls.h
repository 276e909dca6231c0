// The rpcs HealReplica and HealContent of a volume server, Holdfast's own: parses a step of a mending, has the Healer take
// it on a thread of its own, and translates what it says.
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

class VolumeHealCalls {
 public:
  // Says no to who may not change anything here.
  using Refuse = std::function<std::optional<grpc::Status>(grpc::CallbackServerContext*)>;

  VolumeHealCalls(volume::VolumeService& service, Refuse refuse) : service_(service), refuse_(std::move(refuse)) {}

  grpc::ServerUnaryReactor* HealReplica(grpc::CallbackServerContext*, const volume_server_pb::HealReplicaRequest*,
                                        volume_server_pb::HealReplicaResponse*);
  grpc::ServerWriteReactor<volume_server_pb::HealContentResponse>* HealContent(
      grpc::CallbackServerContext*, const volume_server_pb::HealContentRequest*);

 private:
  Status step(const volume_server_pb::HealReplicaRequest&, volume_server_pb::HealReplicaResponse*, volume::Cancel&);

  volume::VolumeService& service_;
  const Refuse refuse_;
  CallThreads threads_;  // last: it waits for all that uses the others
};

}  // namespace holdfast::front
