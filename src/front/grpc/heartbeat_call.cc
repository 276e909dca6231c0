#include "front/grpc/heartbeat_call.h"

#include <memory>
#include <utility>

#include "front/grpc/report.h"
#include "front/grpc/server_stream.h"
#include "front/grpc/status.h"

namespace holdfast::front {

namespace {

// A volume server that leaves more answers unread is broken; it dials again and begins with a full list.
constexpr std::size_t kRepliesMax = 64;

class HeartbeatCall final : public ServerStream<master_pb::Heartbeat, master_pb::HeartbeatResponse> {
 public:
  explicit HeartbeatCall(master::MasterRuntime* runtime) : ServerStream(kRepliesMax), runtime_(runtime) {}

  // Before the call runs.
  void open(master::Master& master, const std::string& peer) {
    session_ = master.open_session(peer, [self = weak_from_this()](const master::ReportReply& reply) {
      const auto call = self.lock();
      if (!call) return;
      master_pb::HeartbeatResponse response;
      fill(reply, &response);
      call->post(std::move(response));
    });
  }

 protected:
  void received(const master_pb::Heartbeat& message) override {
    if (!session_) return;
    auto report = read(message);
    if (!report) {
      end(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, report.error().what()));
      return;
    }
    if (auto* runtime = std::exchange(runtime_, nullptr)) {
      if (const auto hint = read_hint(message)) runtime->told_of(*hint);
    }
    const auto reply = session_->on_report(*std::move(report));
    if (!reply) return;
    master_pb::HeartbeatResponse response;
    fill(*reply, &response);
    post(std::move(response));
    if (reply->end_with_error) {
      leave();
      end(grpc::Status(grpc::StatusCode::UNKNOWN, *reply->end_with_error));
    }
  }

  // At once, and not only when the library is through with the call: the server leaves the writable set by this.
  void left() override { leave(); }
  void over() override { leave(); }

 private:
  void leave() {
    if (const auto session = std::move(session_)) session->closed();
  }

  master::MasterRuntime* runtime_;  // until the first report
  std::unique_ptr<master::ReportSession> session_;  // until the server has left; used by one reaction at a time
};

}  // namespace

grpc::ServerBidiReactor<master_pb::Heartbeat, master_pb::HeartbeatResponse>* take_reports(
    master::Master& master, master::MasterRuntime* runtime, grpc::CallbackServerContext* context) {
  auto call = std::make_shared<HeartbeatCall>(runtime);
  call->open(master, context->peer());
  return HeartbeatCall::run(std::move(call));
}

}  // namespace holdfast::front
