#include "api/library.h"

#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include "base/log.h"

namespace holdfast::api {

namespace {

struct Keeper {
  grpc::GenericStub stub{
      grpc::CreateChannel("unix-abstract:holdfast-nobody-listens-here", grpc::InsecureChannelCredentials())};
  grpc::ClientContext context;
  grpc::Slice nothing;
  grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;
};

void log_line(gpr_log_func_args* line) { LOG_V(1, "grpc: {}", line->message); }

}  // namespace

void prepare_library() {
  // A static pointer, so that a leak checker sees that it is meant.
  static Keeper* const keeper = [] {
    gpr_set_log_function(log_line);
    auto* made = new Keeper;
    made->stub.UnaryCall(&made->context, "/holdfast.Nobody/Nothing", {}, &made->request, &made->response,
                         [](const grpc::Status&) {});
    return made;
  }();
  (void)keeper;
}

}  // namespace holdfast::api
