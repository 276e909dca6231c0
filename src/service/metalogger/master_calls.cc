#include "service/metalogger/master_calls.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "client/channel.h"
#include "storage/backup/image.h"

namespace holdfast::metalogger {
namespace {

constexpr int kImageAttempts = 3;
constexpr std::size_t kStubsMax = 64;

}  // namespace

template <typename Reply, typename Start>
Result<Reply> MasterCalls::call(const Address& master, Duration patience, Start start) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(patience));
  std::shared_ptr<Backup::Stub> stub;
  {
    Guard guard(mutex_);
    if (cancelled_) return Error{Code::unavailable, "stops"};
    if (stubs_.size() > kStubsMax) stubs_.clear();
    auto& slot = stubs_[master.grpc()];
    if (!slot) slot = Backup::NewStub(client::make_channel(master));
    stub = slot;
    under_way_.insert(&context);
  }
  Reply reply;
  const auto status = start(*stub, context, reply);
  Guard guard(mutex_);
  under_way_.erase(&context);
  if (status.ok()) return reply;
  // A channel would go on dialling by itself.
  const bool is_lost = status.error_code() == grpc::StatusCode::UNAVAILABLE || status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  const auto found = stubs_.find(master.grpc());
  if (is_lost && found != stubs_.end() && found->second == stub) stubs_.erase(found);
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return Error{Code::unsupported, "the master at " + text(master) + " is of a release that serves no metaloggers"};
  }
  return client::error_of(status).at(text(master));
}

Result<BackupChanges> MasterCalls::changes(const Address& master, const BackupRequest& request, Duration patience) {
  return call<BackupChanges>(master, patience, [&](auto& stub, auto& context, auto& reply) {
    return stub.Changes(&context, request, &reply);
  });
}

Result<BackupImagePiece> MasterCalls::image(const Address& master, const BackupImageRequest& request, Duration patience) {
  return call<BackupImagePiece>(master, patience, [&](auto& stub, auto& context, auto& reply) {
    return stub.Image(&context, request, &reply);
  });
}

Result<std::string> MasterCalls::whole_image(const Address& master, BackupImageRequest request, Duration patience) {
  for (int attempt = 1;; ++attempt) {
    std::string bytes;
    request.clear_image();
    request.set_offset(0);
    for (;;) {
      auto piece = image(master, request, patience);
      if (!piece) {
        const bool is_gone = !request.image().empty() && piece.error().code() == Code::internal;
        if (is_gone && attempt < kImageAttempts) break;
        return piece.error();
      }
      if (piece->size() > backup::kImageBytesMax || piece->offset() != bytes.size() || piece->image().empty() ||
          bytes.size() + piece->data().size() > piece->size() || (piece->data().empty() && bytes.size() < piece->size())) {
        return Error{Code::corrupt, text(master) + ": pieces of an image that do not fit"};
      }
      bytes += piece->data();
      if (bytes.size() == piece->size()) {
        if (const auto whole = backup::decode_image(bytes_of(bytes)); !whole) return whole.error().at(text(master));
        return bytes;
      }
      request.set_image(piece->image());
      request.set_offset(bytes.size());
    }
  }
}

void MasterCalls::cancel() {
  Guard guard(mutex_);
  cancelled_ = true;
  for (auto* context : under_way_) context->TryCancel();
}

}  // namespace holdfast::metalogger
