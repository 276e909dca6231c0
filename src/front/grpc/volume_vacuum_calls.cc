#include "front/grpc/volume_vacuum_calls.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <utility>

#include "api/convert.h"
#include "base/mutex.h"
#include "front/grpc/status.h"
#include "service/volume/vacuum_service.h"

namespace holdfast::front {

namespace {

namespace pb = volume_server_pb;
using grpc::StatusCode;

constexpr std::uint64_t kTellEveryBytes = std::uint64_t{128} << 20;  // upstream's

grpc::Status status_of(const Status& status) { return status ? grpc::Status::OK : grpc_status(status.error()); }

// Why the call cannot be taken, or its fence.
template <typename Request>
Refusal refused(const Refusal& refusal, const volume::VacuumService* service, const Request& request,
                std::optional<Fence>& fence) {
  if (refusal) return refusal;
  if (service == nullptr) return grpc::Status(StatusCode::UNIMPLEMENTED, "this volume server does not vacuum");
  if constexpr (requires { request.fence(); }) {
    if (!request.has_fence()) return std::nullopt;
    auto read = api::read(request.fence());
    if (!read) return grpc::Status(StatusCode::INVALID_ARGUMENT, read.error().what());
    fence = *read;
  }
  return std::nullopt;
}

float load_average() {
  double minutes[3] = {};
  return ::getloadavg(minutes, 3) >= 1 ? static_cast<float>(minutes[0]) : 0.0f;
}

// The library deletes nothing and wants one write at a time and Finish last; the vacuum tells and ends on its own
// thread. Shared by the library (until OnDone) and the vacuum.
class CompactCall final : public grpc::ServerWriteReactor<pb::VacuumVolumeCompactResponse>,
                          public std::enable_shared_from_this<CompactCall> {
 public:
  using Reactor = grpc::ServerWriteReactor<pb::VacuumVolumeCompactResponse>;

  static Reactor* run(const Refusal& refusal, volume::VacuumService* service,
                      const pb::VacuumVolumeCompactRequest& request) {
    const auto call = std::make_shared<CompactCall>();
    call->self_ = call;
    std::optional<Fence> fence;
    if (const auto no = refused(refusal, service, request, fence)) {
      call->Finish(*no);
      return call.get();
    }
    service->compact(
        VolumeId(request.volume_id()), static_cast<std::uint64_t>(std::max<std::int64_t>(request.preallocate(), 0)),
        fence, [call](std::uint64_t bytes) { return call->progress(bytes); },
        [call](const Status& status) { call->end(status_of(status)); });
    return call.get();
  }

 private:
  bool progress(std::uint64_t bytes) {
    bool write = false;
    {
      const Guard guard(mutex_);
      if (gone_) return false;
      if (bytes - told_ < kTellEveryBytes) return true;
      // A slow reader hears the newest only.
      told_ = bytes;
      news_ = bytes;
      write = !std::exchange(writing_, true);
      if (write) fill();
    }
    if (write) StartWrite(&response_);
    return true;
  }

  void end(grpc::Status status) {
    {
      const Guard guard(mutex_);
      ending_ = std::move(status);
      if (writing_) return;
    }
    Finish(*ending_);
  }

  void OnWriteDone(bool ok) override {
    bool write = false;
    bool finish = false;
    {
      const Guard guard(mutex_);
      gone_ = gone_ || !ok;
      write = news_.has_value() && !gone_;
      writing_ = write;
      if (write) fill();
      finish = !write && ending_.has_value();
    }
    if (write) return StartWrite(&response_);
    if (finish) Finish(*ending_);
  }

  void OnCancel() override {
    const Guard guard(mutex_);
    gone_ = true;
  }

  void OnDone() override { const auto last = std::move(self_); }

  void fill() HOLDFAST_REQUIRES(mutex_) {
    response_.set_processed_bytes(static_cast<std::int64_t>(*news_));
    response_.set_load_avg_1m(load_average());
    news_.reset();
  }

  std::shared_ptr<CompactCall> self_;
  pb::VacuumVolumeCompactResponse response_;  // of the write under way

  Mutex mutex_;  // leaf
  std::uint64_t told_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  std::optional<std::uint64_t> news_ HOLDFAST_GUARDED_BY(mutex_);
  bool writing_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool gone_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> ending_;  // set once; read by whoever finishes
};

}  // namespace

grpc::ServerUnaryReactor* vacuum_check(grpc::CallbackServerContext* context, const Refusal& refusal,
                                       volume::VacuumService* service, const pb::VacuumVolumeCheckRequest* request,
                                       pb::VacuumVolumeCheckResponse* response) {
  auto* const reactor = context->DefaultReactor();
  std::optional<Fence> fence;  // nothing is changed, so anyone's will do
  if (const auto no = refused(refusal, service, *request, fence)) {
    reactor->Finish(*no);
    return reactor;
  }
  const auto ratio = service->check(VolumeId(request->volume_id()));
  if (ratio) response->set_garbage_ratio(*ratio);
  reactor->Finish(ratio ? grpc::Status::OK : grpc_status(ratio.error()));
  return reactor;
}

grpc::ServerWriteReactor<pb::VacuumVolumeCompactResponse>* vacuum_compact(
    const Refusal& refusal, volume::VacuumService* service, const pb::VacuumVolumeCompactRequest* request) {
  return CompactCall::run(refusal, service, *request);
}

grpc::ServerUnaryReactor* vacuum_commit(grpc::CallbackServerContext* context, const Refusal& refusal,
                                        volume::VacuumService* service, const pb::VacuumVolumeCommitRequest* request,
                                        pb::VacuumVolumeCommitResponse* response) {
  auto* const reactor = context->DefaultReactor();
  std::optional<Fence> fence;
  if (const auto no = refused(refusal, service, *request, fence)) {
    reactor->Finish(*no);
    return reactor;
  }
  service->commit(VolumeId(request->volume_id()), fence, [reactor, response](const Result<volume::Vacuumed>& done) {
    if (!done) return reactor->Finish(grpc_status(done.error()));
    response->set_is_read_only(done->read_only);
    response->set_volume_size(done->bytes);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* vacuum_cleanup(grpc::CallbackServerContext* context, const Refusal& refusal,
                                         volume::VacuumService* service,
                                         const pb::VacuumVolumeCleanupRequest* request) {
  auto* const reactor = context->DefaultReactor();
  std::optional<Fence> fence;
  if (const auto no = refused(refusal, service, *request, fence)) {
    reactor->Finish(*no);
    return reactor;
  }
  service->clean_up(VolumeId(request->volume_id()), fence,
                    [reactor](const Status& done) { reactor->Finish(status_of(done)); });
  return reactor;
}

}  // namespace holdfast::front
