#include "front/grpc/volume_ping_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/volume_server.grpc.pb.h"
#include "client/channel.h"
#include "model/address.h"

namespace holdfast::front {

namespace {

constexpr auto kPatience = std::chrono::seconds(5);

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One question to the target; it lives until the answer.
template <typename Service, typename Request, typename Response>
struct Question {
  explicit Question(const Address& target) : stub(Service::NewStub(client::make_channel(target))) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
  }
  const std::unique_ptr<typename Service::Stub> stub;
  grpc::ClientContext context;
  Request request;  // empty: itself
  Response response;
};

template <typename Service, typename Request, typename Response>
void ask(const Address& target, const volume_server_pb::PingRequest* request, volume_server_pb::PingResponse* response,
         grpc::ServerUnaryReactor* reactor) {
  auto question = std::make_shared<Question<Service, Request, Response>>(target);
  auto* raw = question.get();
  raw->stub->async()->Ping(&raw->context, &raw->request, &raw->response,
                           [question = std::move(question), request, response, reactor](const grpc::Status& status) {
                             if (!status.ok()) {
                               return reactor->Finish({grpc::StatusCode::UNKNOWN, api::utf8("ping " + request->target_type() + " " +
                                                                                            request->target() + ": " + status.error_message())});
                             }
                             response->set_remote_time_ns(question->response.remote_time_ns());
                             response->set_stop_time_ns(wall_ns());
                             reactor->Finish(grpc::Status::OK);
                           });
}

}  // namespace

grpc::ServerUnaryReactor* ping_other(grpc::CallbackServerContext* context, const volume_server_pb::PingRequest* request,
                                     volume_server_pb::PingResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto target = Address::parse(request->target());
  const bool is_master = request->target_type() == "master";
  if (!target || (!is_master && request->target_type() != "volumeServer")) {
    reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT,
                     api::utf8("unknown ping target " + request->target() + " of type " + request->target_type())});
    return reactor;
  }
  response->set_start_time_ns(wall_ns());
  if (is_master) {
    ask<master_pb::Seaweed, master_pb::PingRequest, master_pb::PingResponse>(*target, request, response, reactor);
  } else {
    ask<volume_server_pb::VolumeServer, volume_server_pb::PingRequest, volume_server_pb::PingResponse>(*target, request, response, reactor);
  }
  return reactor;
}

}  // namespace holdfast::front
