#include "front/grpc/backup_service.h"

#include <grpcpp/support/server_callback.h>

#include "api/backup.grpc.pb.h"
#include "front/grpc/status.h"
#include "service/master/backup_source.h"

namespace holdfast::front {
namespace {

class BackupService final : public Backup::CallbackService {
 public:
  BackupService(master::BackupSource& source, std::function<bool(std::string_view)> allows)
      : source_(source), allows_(std::move(allows)) {}

  grpc::ServerUnaryReactor* Changes(grpc::CallbackServerContext* context, const BackupRequest* request,
                                    BackupChanges* response) override {
    return answered(context, response, [&](auto done) { source_.changes(*request, peer_ip(context->peer()), std::move(done)); });
  }

  grpc::ServerUnaryReactor* Image(grpc::CallbackServerContext* context, const BackupImageRequest* request,
                                  BackupImagePiece* response) override {
    return answered(context, response, [&](auto done) { source_.image(*request, std::move(done)); });
  }

 private:
  template <typename Response, typename Start>
  grpc::ServerUnaryReactor* answered(grpc::CallbackServerContext* context, Response* response, Start start) {
    auto* reactor = context->DefaultReactor();
    if (const auto ip = peer_ip(context->peer()); allows_ && !allows_(ip)) {
      reactor->Finish(not_authorized(ip));
      return reactor;
    }
    start([reactor, response](Result<Response> answer) {
      if (!answer) return reactor->Finish(grpc_status(answer.error()));
      *response = std::move(*answer);
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  master::BackupSource& source_;
  const std::function<bool(std::string_view)> allows_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_backup_service(master::BackupSource& source, std::function<bool(std::string_view)> allows) {
  return std::make_unique<BackupService>(source, std::move(allows));
}

}  // namespace holdfast::front
