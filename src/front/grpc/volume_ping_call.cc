#include "front/grpc/volume_ping_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <memory>
#include <string>

#include "api/convert.h"
#include "api/request_id.h"
#include "api/volume_server.grpc.pb.h"
#include "client/channel.h"
#include "front/grpc/request_ids.h"
#include "model/address.h"

namespace holdfast::front {

namespace {

constexpr auto kPatience = std::chrono::seconds(5);

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One question to the target; it lives until the answer. All services have the same Ping, to the byte.
struct Question {
  explicit Question(const Address& target) : stub(client::make_channel(target)) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
  }
  grpc::TemplatedGenericStub<volume_server_pb::PingRequest, volume_server_pb::PingResponse> stub;
  grpc::ClientContext context;
  volume_server_pb::PingRequest request;  // empty: itself
  volume_server_pb::PingResponse response;
};

std::string service_of(const std::string& type) {
  if (type == "master") return "master_pb.Seaweed";
  if (type == "volumeServer") return "volume_server_pb.VolumeServer";
  return type == "filer" ? "filer_pb.SeaweedFiler" : "";
}

}  // namespace

grpc::ServerUnaryReactor* ping_other(grpc::CallbackServerContext* context, const volume_server_pb::PingRequest* request,
                                     volume_server_pb::PingResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto target = Address::parse(request->target());
  const auto service = service_of(request->target_type());
  if (!target || service.empty()) {
    reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT,
                     api::utf8("unknown ping target " + request->target() + " of type " + request->target_type())});
    return reactor;
  }
  response->set_start_time_ns(wall_ns());
  auto question = std::make_shared<Question>(*target);
  auto* raw = question.get();
  api::pass_request_id(raw->context, request_id_of(*context));
  raw->stub.UnaryCall(&raw->context, "/" + service + "/Ping", {}, &raw->request, &raw->response,
                      [question = std::move(question), request, response, reactor](const grpc::Status& status) {
                        if (!status.ok()) {
                          return reactor->Finish({grpc::StatusCode::UNKNOWN, api::utf8("ping " + request->target_type() + " " +
                                                                                       request->target() + ": " + status.error_message())});
                        }
                        response->set_remote_time_ns(question->response.remote_time_ns());
                        response->set_stop_time_ns(wall_ns());
                        reactor->Finish(grpc::Status::OK);
                      });
  return reactor;
}

}  // namespace holdfast::front
