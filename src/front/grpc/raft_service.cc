#include "front/grpc/raft_service.h"

#include <grpcpp/support/server_callback.h>

#include "api/raft.grpc.pb.h"
#include "base/mutex.h"
#include "service/master/link_acceptor.h"

namespace holdfast::front {
namespace {

// One incoming Link. Reads go on until the caller's end; the only thing ever written is the greeting.
class LinkReactor final : public grpc::ServerBidiReactor<RaftFrame, RaftFrame> {
 public:
  explicit LinkReactor(master::LinkAcceptor& acceptor) : acceptor_(acceptor) { StartRead(&incoming_); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return finish(grpc::Status::OK);
    if (greeted_) {
      if (!link_->received(incoming_)) {
        return finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not the masters' protocol"));
      }
      return StartRead(&incoming_);
    }
    greeted_ = true;
    link_ = acceptor_.opened(incoming_.greeting(), answer_.mutable_greeting());
    StartWrite(&answer_);
    // Without a link the answer says why, and the stream ends when it is on its way.
    if (link_) StartRead(&incoming_);
  }

  void OnWriteDone(bool) override {
    if (!link_) finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, answer_.greeting().refusal()));
  }

  void OnCancel() override { finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

  void finish(const grpc::Status& status) {
    {
      Guard guard(mutex_);
      if (finished_) return;
      finished_ = true;
    }
    Finish(status);
  }

  master::LinkAcceptor& acceptor_;
  RaftFrame incoming_;
  RaftFrame answer_;
  bool greeted_ = false;
  std::unique_ptr<master::IncomingLink> link_;
  Mutex mutex_;
  bool finished_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

class RaftService final : public Raft::CallbackService {
 public:
  explicit RaftService(master::LinkAcceptor& acceptor) : acceptor_(acceptor) {}

  grpc::ServerUnaryReactor* Meet(grpc::CallbackServerContext* context, const RaftGreeting* request,
                                 RaftGreeting* response) override {
    acceptor_.meet(*request, response);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const RaftGreeting* request,
                                 RaftJoinReply* response) override {
    acceptor_.join(*request, response);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<RaftFrame, RaftFrame>* Link(grpc::CallbackServerContext*) override {
    return new LinkReactor(acceptor_);
  }

 private:
  master::LinkAcceptor& acceptor_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_raft_service(master::LinkAcceptor& acceptor) {
  return std::make_unique<RaftService>(acceptor);
}

}  // namespace holdfast::front
