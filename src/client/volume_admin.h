// VolumeAdmin: one volume server after the other as an administrator's tool drives them, over upstream's rpcs
// (spec/weed-grpc 6), so they may be upstream's.
//
// call() is there once for each rpc of one request and one answer; its request's type says which. A server is named by
// its gRPC address "host:port". An Error says first which server and which call, and its code is outcome_unknown when
// the call may have been carried out.
//
// Calls wait for their answers. Thread-safe. Connections are kept, one to each server.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/volume_server.pb.h"
#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace holdfast::client {

class VolumeAdmin {
 public:
  // What is asked or marked; and what reads or writes whole volumes, which may be large and the disks slow.
  static constexpr Duration kQuick = std::chrono::seconds(30);
  static constexpr Duration kLong = std::chrono::hours(12);

  VolumeAdmin();
  ~VolumeAdmin();

#define HOLDFAST_UNARY_CALLS(X)                                                                                 \
  X(VolumeStatus, kQuick) X(ReadVolumeFileStatus, kQuick) X(VolumeMount, kQuick) X(VolumeUnmount, kQuick)       \
  X(VolumeDelete, kQuick) X(VolumeMarkReadonly, kQuick) X(VolumeMarkWritable, kQuick) X(VolumeConfigure, kQuick) \
  X(VolumeServerStatus, kQuick) X(VolumeServerLeave, kQuick) X(GetState, kQuick) X(SetState, kQuick)            \
  X(Ping, kQuick) X(BatchDelete, kQuick) X(ReadNeedleBlob, kQuick) X(ReadNeedleMeta, kQuick)                    \
  X(WriteNeedleBlob, kQuick) X(VolumeEcShardsInfo, kQuick) X(VolumeEcShardsMount, kQuick)                       \
  X(VolumeEcShardsUnmount, kQuick) X(VolumeEcBlobDelete, kQuick) X(VolumeEcShardsDelete, kQuick) X(VolumeEcShardsGenerate, kLong)             \
  X(VolumeEcShardsRebuild, kLong) X(VolumeEcShardsCopy, kLong) X(VolumeEcShardsToVolume, kLong)                 \
  X(ScrubVolume, kLong) X(ScrubEcVolume, kLong) X(VacuumVolumeCheck, kLong) X(VacuumVolumeCommit, kLong)        \
  X(VacuumVolumeCleanup, kQuick)

#define HOLDFAST_DECLARE(rpc, time_max)                                                              \
  Result<volume_server_pb::rpc##Response> call(const std::string& server,                            \
                                               const volume_server_pb::rpc##Request& request);
  HOLDFAST_UNARY_CALLS(HOLDFAST_DECLARE)
#undef HOLDFAST_DECLARE

  // VolumeCopy: `server` pulls the volume. `progress` is told the bytes that came, now and then. The time of the newest
  // write in the copy.
  Result<std::uint64_t> copy(const std::string& server, const volume_server_pb::VolumeCopyRequest& request,
                             const std::function<void(std::int64_t bytes)>& progress);

  // Rpcs that only tell how far they are; `progress` as above.
  using Progress = std::function<void(std::int64_t bytes)>;
  Status compact(const std::string& server, const volume_server_pb::VacuumVolumeCompactRequest& request, const Progress& progress);
  Status to_tier(const std::string& server, const volume_server_pb::VolumeTierMoveDatToRemoteRequest& request, const Progress& progress);
  Status from_tier(const std::string& server, const volume_server_pb::VolumeTierMoveDatFromRemoteRequest& request,
                   const Progress& progress);

  // ReceiveFile: `feed` gives the bytes of the file one piece after the other; an error of it breaks the file off, and nothing of it
  // stays there.
  using Give = std::function<Status(BytesView piece)>;
  Status send_file(const std::string& server, const volume_server_pb::ReceiveFileInfo& info,
                   const std::function<Status(const Give& give)>& feed);

 private:
  struct Servers;
  const std::unique_ptr<Servers> servers_;
};

}  // namespace holdfast::client
