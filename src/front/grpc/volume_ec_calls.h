// The rpcs of a volume server about erasure-coded volumes (spec/weed-grpc 6, 8): they parse, call volume::EcService on
// its threads, and translate what it says. VolumeServerService passes them on to here one by one.
//
// Troubles are UNKNOWN with their words, as upstream's clients expect; that there is nothing left to decode is
// FAILED_PRECONDITION, and who may not give an order is PERMISSION_DENIED.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>

#include "api/volume_server.pb.h"

namespace holdfast::volume {
class EcService;
class VolumeService;
}  // namespace holdfast::volume

namespace holdfast::front {

class VolumeEcCalls {
 public:
  // Says no to who may not change anything here.
  using Refuse = std::function<std::optional<grpc::Status>(grpc::CallbackServerContext*)>;

  VolumeEcCalls(volume::VolumeService& service, Refuse refuse) : service_(service), refuse_(std::move(refuse)) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

#define HOLDFAST_EC_CALL(rpc) \
  Unary* rpc(Context*, const volume_server_pb::rpc##Request*, volume_server_pb::rpc##Response*);
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

  grpc::ServerWriteReactor<volume_server_pb::VolumeEcShardReadResponse>* VolumeEcShardRead(
      Context*, const volume_server_pb::VolumeEcShardReadRequest*);

 private:
  template <typename Work>
  Unary* run(Context* context, bool is_order, Work work);

  volume::VolumeService& service_;
  const Refuse refuse_;
};

}  // namespace holdfast::front
