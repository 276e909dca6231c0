#include "front/grpc/admin_lock_calls.h"

#include <chrono>
#include <utility>

#include "api/convert.h"
#include "front/grpc/status.h"

namespace holdfast::front {

namespace {

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

AdminLockCalls::AdminLockCalls(master::Master& master)
    : master_(master), locks_(master.key_values(), random_, wall_ns) {}

void AdminLockCalls::as_leader(grpc::ServerUnaryReactor* reactor, std::function<void()> work) {
  const auto begin = [reactor, work = std::move(work)](const master::Leader& leader) {
    if (leader.self) return work();
    reactor->Finish(grpc::Status(grpc::StatusCode::UNKNOWN, kNotLeader));
  };
  if (const auto leader = master_.leader()) return begin(*leader);
  master_.wait_for_leader([reactor, begin](const master::OrRefusal<master::Leader>& answer) {
    if (const auto* leader = std::get_if<master::Leader>(&answer)) return begin(*leader);
    reactor->Finish(grpc::Status(grpc::StatusCode::UNKNOWN, kNotLeader));
  });
}

void AdminLockCalls::lease(const master_pb::LeaseAdminTokenRequest* request,
                           master_pb::LeaseAdminTokenResponse* response, grpc::ServerUnaryReactor* reactor) {
  as_leader(reactor, [this, request, response, reactor] {
    locks_.lease(request->lock_name(), {request->previous_token(), request->previous_lock_time()},
                 request->client_name(), request->message(),
                 [response, reactor](const master::OrRefusal<master::AdminToken>& answer) {
                   if (const auto* refusal = std::get_if<master::Refusal>(&answer)) {
                     return reactor->Finish(grpc_status(*refusal));
                   }
                   const auto& token = std::get<master::AdminToken>(answer);
                   response->set_token(token.token);
                   response->set_lock_ts_ns(token.time_ns);
                   reactor->Finish(grpc::Status::OK);
                 });
  });
}

void AdminLockCalls::release(const master_pb::ReleaseAdminTokenRequest* request, grpc::ServerUnaryReactor* reactor) {
  as_leader(reactor, [this, request, reactor] {
    locks_.release(request->lock_name(), {request->previous_token(), request->previous_lock_time()},
                   [reactor](const master::OrRefusal<master::Done>& answer) {
                     const auto* refusal = std::get_if<master::Refusal>(&answer);
                     reactor->Finish(refusal != nullptr ? grpc_status(*refusal) : grpc::Status::OK);
                   });
  });
}

void AdminLockCalls::status(const master_pb::GetAdminLockStatusRequest* request,
                            master_pb::GetAdminLockStatusResponse* response, grpc::ServerUnaryReactor* reactor) {
  locks_.status(request->lock_name(), [response, reactor](const master::OrRefusal<master::AdminLock>& answer) {
    if (const auto* refusal = std::get_if<master::Refusal>(&answer)) return reactor->Finish(grpc_status(*refusal));
    const auto& lock = std::get<master::AdminLock>(answer);
    response->set_is_locked(lock.locked);
    response->set_client_name(api::utf8(lock.client));
    response->set_message(api::utf8(lock.message));
    reactor->Finish(grpc::Status::OK);
  });
}

}  // namespace holdfast::front
