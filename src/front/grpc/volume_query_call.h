// The rpc Query of a volume server: parses what is asked, has it run on a thread of its own (service/volume/file_query.h), and
// sends the stripes as the caller takes them. docs/query.md says what each field means.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "api/volume_server.pb.h"
#include "base/result.h"
#include "front/grpc/blocking_call.h"
#include "service/volume/file_query.h"

namespace holdfast::front {

// Code::invalid, or Code::unsupported for Parquet, in a sentence.
Result<volume::FileQuery> read(const volume_server_pb::QueryRequest& request);

class VolumeQueryCall {
 public:
  explicit VolumeQueryCall(volume::VolumeService& service) : service_(service) {}

  grpc::ServerWriteReactor<volume_server_pb::QueriedStripe>* Query(grpc::CallbackServerContext*,
                                                                   const volume_server_pb::QueryRequest*);

 private:
  volume::VolumeService& service_;
  CallThreads threads_;  // last: it waits for all that uses the others
};

}  // namespace holdfast::front
