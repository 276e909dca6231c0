#include "client/volume_orders.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <list>
#include <map>
#include <utility>

#include "api/convert.h"
#include "api/request_id.h"
#include "api/volume_server.grpc.pb.h"
#include "base/mutex.h"
#include "client/channel.h"

namespace holdfast::client {

namespace {

using volume_server_pb::VolumeServer;

// Upstream's volume servers put every trouble into UNKNOWN and words (spec/weed-grpc 2, 6).
Status answer_of(const grpc::Status& status) {
  if (status.ok()) return {};
  if (is_surely_unsent(status)) return Error(Code::unavailable, status.error_message());
  Error error = error_of(status, /*sent=*/true);
  if (error.code() != Code::internal) return error;
  const auto says = [&](const char* words) { return error.what().find(words) != std::string::npos; };
  if (says("already exists")) return Error(Code::already_exists, error.what());
  if (says("No more free space left")) return Error(Code::no_space, error.what());
  if (says("not found volume") || says("not found on disk")) return Error(Code::not_found, error.what());
  return error;
}

// One connection to one server; shared by the orders under way on it and, while it works, the table.
struct Link {
  explicit Link(const std::string& server) : stub(VolumeServer::NewStub(make_channel(server))) {}
  const std::unique_ptr<VolumeServer::Stub> stub;
};

class GrpcVolumeOrders final : public VolumeOrders {
 public:
  explicit GrpcVolumeOrders(Duration order_time_max) : order_time_max_(order_time_max) {}

  ~GrpcVolumeOrders() override {
    mutex_.lock();
    for (const auto& context : under_way_) context->TryCancel();
    while (!under_way_.empty()) all_answered_.wait(mutex_);
    mutex_.unlock();
  }

  void allocate(const std::string& server, const Allocate& order, const Fence& fence, Done done) override {
    volume_server_pb::AllocateVolumeRequest request;
    request.set_volume_id(order.volume.value());
    request.set_collection(api::utf8(order.collection));
    request.set_preallocate(order.preallocate_bytes);
    request.set_replication(text(order.replica_placement));
    request.set_ttl(text(order.ttl));
    request.set_disk_type(api::utf8(order.disk_type));
    request.set_memory_map_max_size_mb(order.memory_map_max_size_mb);
    request.set_version(order.version);
    give<volume_server_pb::AllocateVolumeResponse>(
        server, std::move(request), fence, std::move(done),
        [](auto* stub, auto... rest) { stub->AllocateVolume(rest...); });
  }

  void remove(const std::string& server, VolumeId volume, bool only_empty, const Fence& fence,
              Done done) override {
    volume_server_pb::VolumeDeleteRequest request;
    request.set_volume_id(volume.value());
    request.set_only_empty(only_empty);
    request.set_keep_remote_data(true);  // what a leader does of its own accord never takes the only data along
    give<volume_server_pb::VolumeDeleteResponse>(server, std::move(request), fence, std::move(done),
                                                 [](auto* stub, auto... rest) { stub->VolumeDelete(rest...); });
  }

  void delete_collection(const std::string& server, const std::string& collection, const Fence& fence,
                         Done done) override {
    volume_server_pb::DeleteCollectionRequest request;
    request.set_collection(api::utf8(collection));
    give<volume_server_pb::DeleteCollectionResponse>(
        server, std::move(request), fence, std::move(done),
        [](auto* stub, auto... rest) { stub->DeleteCollection(rest...); });
  }

  void vacuum_check(const std::string& server, VolumeId volume, Duration time_max,
                    std::function<void(Result<double>)> done) override {
    volume_server_pb::VacuumVolumeCheckRequest request;
    request.set_volume_id(volume.value());
    using Response = volume_server_pb::VacuumVolumeCheckResponse;
    call<Response>(
        server, std::move(request), nullptr, time_max,
        [done = std::move(done)](const Status& status, const Response& response) {
          done(status ? Result<double>(response.garbage_ratio()) : status.error());
        },
        [](auto* stub, auto... rest) { stub->VacuumVolumeCheck(rest...); });
  }

  // Its answers tell how far it is; only the end is of interest here.
  void vacuum_compact(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                      Done done) override {
    using Request = volume_server_pb::VacuumVolumeCompactRequest;
    using Response = volume_server_pb::VacuumVolumeCompactResponse;
    class Reader final : public grpc::ClientReadReactor<Response> {
     public:
      Reader(std::shared_ptr<Order<Request, Response>> order, std::function<void(const grpc::Status&)> ended)
          : order_(std::move(order)), ended_(std::move(ended)) {
        order_->link->stub->async()->VacuumVolumeCompact(order_->context.get(), &order_->request, this);
        StartRead(&order_->response);
        StartCall();
      }
      void OnReadDone(bool ok) override {
        if (ok) StartRead(&order_->response);
      }
      void OnDone(const grpc::Status& status) override {
        ended_(status);
        delete this;
      }

     private:
      const std::shared_ptr<Order<Request, Response>> order_;
      const std::function<void(const grpc::Status&)> ended_;
    };
    Request request;
    request.set_volume_id(volume.value());
    auto order = begin<Response>(server, std::move(request), &fence, time_max,
                                 [done = std::move(done)](const Status& status, const Response&) { done(status); });
    new Reader(order, [this, order, server](const grpc::Status& status) { end(server, order, status); });
  }

  void vacuum_commit(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                     Done done) override {
    volume_server_pb::VacuumVolumeCommitRequest request;
    request.set_volume_id(volume.value());
    give<volume_server_pb::VacuumVolumeCommitResponse>(
        server, std::move(request), fence, time_max, std::move(done),
        [](auto* stub, auto... rest) { stub->VacuumVolumeCommit(rest...); });
  }

  void vacuum_clean_up(const std::string& server, VolumeId volume, const Fence& fence, Duration time_max,
                       Done done) override {
    volume_server_pb::VacuumVolumeCleanupRequest request;
    request.set_volume_id(volume.value());
    give<volume_server_pb::VacuumVolumeCleanupResponse>(
        server, std::move(request), fence, time_max, std::move(done),
        [](auto* stub, auto... rest) { stub->VacuumVolumeCleanup(rest...); });
  }

  void heal(const std::string& server, const Heal& order, const Fence& fence, Duration time_max,
            HealDone done) override {
    using Request = volume_server_pb::HealReplicaRequest;
    using Response = volume_server_pb::HealReplicaResponse;
    Request request;
    request.set_step(step_of(order.step));
    request.set_volume_id(order.volume.value());
    request.set_token(order.token);
    request.set_seconds(static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(order.time).count()));
    request.set_source(order.source);
    request.set_from(order.from);
    request.set_to(order.to);
    request.set_frozen(order.frozen);
    call<Response>(
        server, std::move(request), &fence, time_max,
        [done = std::move(done)](const Status& status, const Response& response) {
          if (!status) return done(status.error());
          done(Healed{response.epoch(), response.files(), response.files_missing(), NeedleId(response.example()), response.bytes()});
        },
        [](auto* stub, auto... rest) { stub->HealReplica(rest...); });
  }

 private:
  static volume_server_pb::HealReplicaRequest::Step step_of(Heal::Step step) {
    using Request = volume_server_pb::HealReplicaRequest;
    switch (step) {
      case Heal::Step::freeze: return Request::FREEZE;
      case Heal::Step::extend: return Request::EXTEND;
      case Heal::Step::thaw: return Request::THAW;
      case Heal::Step::copy: return Request::COPY;
      case Heal::Step::adopt: return Request::ADOPT;
      case Heal::Step::outdate: return Request::OUTDATE;
      case Heal::Step::compare: return Request::COMPARE;
      case Heal::Step::discard: return Request::DISCARD;
      case Heal::Step::catch_up: return Request::CATCH_UP;
    }
    return Request::NONE;
  }

  using Contexts = std::list<std::shared_ptr<grpc::ClientContext>>;  // shared with the order's callback

  template <typename Request, typename Response>
  struct Order {
    std::shared_ptr<Link> link;
    std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>();
    Request request;
    Response response;
    std::function<void(Status, const Response&)> done;
    Contexts::iterator place;
  };

  template <typename Response, typename Request>
  std::shared_ptr<Order<Request, Response>> begin(const std::string& server, Request request, const Fence* fence,
                                                  Duration time_max,
                                                  std::function<void(Status, const Response&)> done) {
    auto order = std::make_shared<Order<Request, Response>>();
    order->request = std::move(request);
    if (fence != nullptr) api::fill(*fence, order->request.mutable_fence());
    order->done = std::move(done);
    api::pass_request_id(*order->context);
    order->context->set_deadline(std::chrono::system_clock::now() +
                                 std::chrono::duration_cast<std::chrono::microseconds>(time_max));
    const Guard guard(mutex_);
    auto& link = links_[server];
    if (!link) link = std::make_shared<Link>(server);
    order->link = link;
    order->place = under_way_.insert(under_way_.end(), order->context);
    return order;
  }

  template <typename OrderPtr>
  void end(const std::string& server, const OrderPtr& order, const grpc::Status& status) {
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) drop(server, order->link);
    order->done(answer_of(status), order->response);
    const Guard guard(mutex_);
    under_way_.erase(order->place);
    if (under_way_.empty()) all_answered_.notify_all();
  }

  template <typename Response, typename Request, typename Method>
  void call(const std::string& server, Request request, const Fence* fence, Duration time_max,
            std::function<void(Status, const Response&)> done, Method method) {
    auto order = begin<Response>(server, std::move(request), fence, time_max, std::move(done));
    method(order->link->stub->async(), order->context.get(), &order->request, &order->response,
           [this, order, server](const grpc::Status& status) { end(server, order, status); });
  }

  template <typename Response, typename Request, typename Method>
  void give(const std::string& server, Request request, const Fence& fence, Done done, Method method) {
    give<Response>(server, std::move(request), fence, order_time_max_, std::move(done), method);
  }
  template <typename Response, typename Request, typename Method>
  void give(const std::string& server, Request request, const Fence& fence, Duration time_max, Done done,
            Method method) {
    call<Response>(server, std::move(request), &fence, time_max,
                   [done = std::move(done)](const Status& status, const Response&) { done(status); }, method);
  }

  // A broken connection: the next order dials anew instead of waiting for the library's backoff.
  void drop(const std::string& key, const std::shared_ptr<Link>& link) {
    const Guard guard(mutex_);
    const auto found = links_.find(key);
    if (found != links_.end() && found->second == link) links_.erase(found);
  }

  const Duration order_time_max_;

  Mutex mutex_;  // leaf
  std::map<std::string, std::shared_ptr<Link>> links_ HOLDFAST_GUARDED_BY(mutex_);  // by host:grpc port
  Contexts under_way_ HOLDFAST_GUARDED_BY(mutex_);
  Condition all_answered_;  // under_way_ became empty
};

}  // namespace

std::unique_ptr<VolumeOrders> make_volume_orders(Duration order_time_max) {
  return std::make_unique<GrpcVolumeOrders>(order_time_max);
}

}  // namespace holdfast::client
