// The rpcs of a volume server for those who copy, move, look into and mend its volumes (spec/weed-grpc 6 to 8): they
// parse, call volume::Upkeep on a thread of their own, and translate what it says. VolumeServerService passes them on to
// here one by one.
//
// Troubles are UNKNOWN with their words, as upstream's clients expect; only an order that was overtaken is
// FAILED_PRECONDITION, and who may not give it PERMISSION_DENIED.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>

#include "api/volume_server.pb.h"
#include "front/grpc/blocking_call.h"

namespace holdfast::volume {
class Upkeep;
class VolumeService;
}  // namespace holdfast::volume

namespace holdfast::front {

class VolumeCopyCalls {
 public:
  // Says no to who may not change anything here.
  using Refuse = std::function<std::optional<grpc::Status>(grpc::CallbackServerContext*)>;

  VolumeCopyCalls(volume::VolumeService& service, Refuse refuse) : service_(service), refuse_(std::move(refuse)) {}

  template <typename Response>
  using Stream = grpc::ServerWriteReactor<Response>;
  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  // As a source.
  Stream<volume_server_pb::CopyFileResponse>* CopyFile(Context*, const volume_server_pb::CopyFileRequest*);
  Stream<volume_server_pb::VolumeIncrementalCopyResponse>* VolumeIncrementalCopy(
      Context*, const volume_server_pb::VolumeIncrementalCopyRequest*);
  Stream<volume_server_pb::VolumeTailSenderResponse>* VolumeTailSender(Context*,
                                                                       const volume_server_pb::VolumeTailSenderRequest*);
  Stream<volume_server_pb::ReadAllNeedlesResponse>* ReadAllNeedles(Context*,
                                                                   const volume_server_pb::ReadAllNeedlesRequest*);
  Unary* ReadNeedleBlob(Context*, const volume_server_pb::ReadNeedleBlobRequest*,
                        volume_server_pb::ReadNeedleBlobResponse*);
  Unary* ReadNeedleMeta(Context*, const volume_server_pb::ReadNeedleMetaRequest*,
                        volume_server_pb::ReadNeedleMetaResponse*);
  Unary* VolumeNeedleStatus(Context*, const volume_server_pb::VolumeNeedleStatusRequest*,
                            volume_server_pb::VolumeNeedleStatusResponse*);

  // As a target.
  Stream<volume_server_pb::VolumeCopyResponse>* VolumeCopy(Context*, const volume_server_pb::VolumeCopyRequest*);
  Unary* VolumeTailReceiver(Context*, const volume_server_pb::VolumeTailReceiverRequest*,
                            volume_server_pb::VolumeTailReceiverResponse*);
  Unary* WriteNeedleBlob(Context*, const volume_server_pb::WriteNeedleBlobRequest*,
                         volume_server_pb::WriteNeedleBlobResponse*);
  grpc::ServerReadReactor<volume_server_pb::ReceiveFileRequest>* ReceiveFile(Context*,
                                                                             volume_server_pb::ReceiveFileResponse*);

  // Marks and state.
  Unary* VolumeMarkReadonly(Context*, const volume_server_pb::VolumeMarkReadonlyRequest*,
                            volume_server_pb::VolumeMarkReadonlyResponse*);
  Unary* VolumeMarkWritable(Context*, const volume_server_pb::VolumeMarkWritableRequest*,
                            volume_server_pb::VolumeMarkWritableResponse*);
  Unary* VolumeConfigure(Context*, const volume_server_pb::VolumeConfigureRequest*,
                         volume_server_pb::VolumeConfigureResponse*);
  Unary* VolumeConsolidateIndex(Context*, const volume_server_pb::VolumeConsolidateIndexRequest*,
                                volume_server_pb::VolumeConsolidateIndexResponse*);
  Unary* GetState(Context*, const volume_server_pb::GetStateRequest*, volume_server_pb::GetStateResponse*);
  Unary* SetState(Context*, const volume_server_pb::SetStateRequest*, volume_server_pb::SetStateResponse*);
  Unary* ScrubVolume(Context*, const volume_server_pb::ScrubVolumeRequest*, volume_server_pb::ScrubVolumeResponse*);

 private:
  // Runs `work(upkeep, stream)` for a call that streams answers.
  template <typename Response, typename Work>
  Stream<Response>* stream(Context* context, bool changes, Work work);
  // Runs `work(upkeep, cancel)`, which answers a Status.
  template <typename Work>
  Unary* unary(Context* context, bool changes, Work work);
  template <typename Request, typename Work>
  Unary* marking(Context* context, const Request* request, Work work);
  std::optional<grpc::Status> refused(Context* context, bool changes) const;

  volume::VolumeService& service_;
  const Refuse refuse_;
  CallThreads threads_;  // last: it waits for all that uses the others
};

}  // namespace holdfast::front
