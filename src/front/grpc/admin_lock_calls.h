// The admin lock over gRPC: LeaseAdminToken, ReleaseAdminToken, GetAdminLockStatus (spec/weed-grpc 5.5) over
// master::AdminLocks. Leasing and releasing are the leader's; another master waits for one as long as none is known, and
// then answers the not-leader error that upstream's shell knows.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "api/master.pb.h"
#include "io/posix/random.h"
#include "service/master/admin_locks.h"

namespace holdfast::front {

class AdminLockCalls {
 public:
  // `master` outlives this, and this every call.
  explicit AdminLockCalls(master::Master& master);

  void lease(const master_pb::LeaseAdminTokenRequest* request, master_pb::LeaseAdminTokenResponse* response,
             grpc::ServerUnaryReactor* reactor);
  void release(const master_pb::ReleaseAdminTokenRequest* request, grpc::ServerUnaryReactor* reactor);
  void status(const master_pb::GetAdminLockStatusRequest* request, master_pb::GetAdminLockStatusResponse* response,
              grpc::ServerUnaryReactor* reactor);

 private:
  // Calls `work` if this master leads; else ends the call.
  void as_leader(grpc::ServerUnaryReactor* reactor, std::function<void()> work);

  master::Master& master_;
  io::posix::SystemRandom random_;
  master::AdminLocks locks_;
};

}  // namespace holdfast::front
