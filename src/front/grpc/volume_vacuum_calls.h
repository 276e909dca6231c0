// The rpcs VacuumVolumeCheck, Compact, Commit and Cleanup of a volume server (spec/weed-grpc 6): each function takes a
// call, has the VacuumService carry it out and finishes it. `refusal`: finish with that instead.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <optional>

#include "api/volume_server.pb.h"

namespace holdfast::volume {
class VacuumService;
}

namespace holdfast::front {

using Refusal = std::optional<grpc::Status>;

grpc::ServerUnaryReactor* vacuum_check(grpc::CallbackServerContext* context, const Refusal& refusal,
                                       volume::VacuumService* service,
                                       const volume_server_pb::VacuumVolumeCheckRequest* request,
                                       volume_server_pb::VacuumVolumeCheckResponse* response);

// Tells how far it is every 128 MiB, and is called off when the caller goes.
grpc::ServerWriteReactor<volume_server_pb::VacuumVolumeCompactResponse>* vacuum_compact(
    const Refusal& refusal, volume::VacuumService* service, const volume_server_pb::VacuumVolumeCompactRequest* request);

grpc::ServerUnaryReactor* vacuum_commit(grpc::CallbackServerContext* context, const Refusal& refusal,
                                        volume::VacuumService* service,
                                        const volume_server_pb::VacuumVolumeCommitRequest* request,
                                        volume_server_pb::VacuumVolumeCommitResponse* response);

grpc::ServerUnaryReactor* vacuum_cleanup(grpc::CallbackServerContext* context, const Refusal& refusal,
                                         volume::VacuumService* service,
                                         const volume_server_pb::VacuumVolumeCleanupRequest* request);

}  // namespace holdfast::front
