#include "service/master/pass_on.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "api/master.grpc.pb.h"
#include "api/request_id.h"
#include "base/mutex.h"
#include "client/channel.h"
#include "client/timer.h"
#include "service/master/master.h"

namespace holdfast::master {

namespace {

using client::Timer;
using master_pb::Seaweed;

constexpr Duration kLook = 5ms;  // how often a waiting request looks who leads; an election takes some 10 ms

// How long a leader that has lost the lead may still answer what must not be sent twice: that nothing was done, or that
// it was. After that nobody knows.
constexpr Duration kLastWord = 500ms;

// A request on its way; kept alive by the list of those under way.
class Passage {
 public:
  virtual ~Passage() = default;
  virtual void stop() = 0;
};

std::chrono::system_clock::time_point in(Duration duration) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

bool is_not_leader(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNKNOWN &&
         status.error_message().find("Not current leader") != std::string::npos;
}

// The link failed, rather than the leader having said no. The leader's own UNAVAILABLE (warming up, no leader at its
// side either) counts as well: asking again is what it means.
bool is_link_trouble(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED: return true;
    default: return false;
  }
}

}  // namespace

class PassOn::Impl {
 public:
  Impl(Master& of, Duration wait, Duration work) : master(of), leader_wait(wait), work_max(work) {}

  std::shared_ptr<Seaweed::Stub> stub(const std::string& grpc_address) {
    const Guard guard(mutex_);
    auto& stub = stubs_[grpc_address];
    if (!stub) stub = Seaweed::NewStub(client::make_channel(grpc_address));
    return stub;
  }

  // The next request to that address dials anew.
  void drop(const std::string& grpc_address, const std::shared_ptr<Seaweed::Stub>& stub) {
    const Guard guard(mutex_);
    const auto found = stubs_.find(grpc_address);
    if (found != stubs_.end() && found->second == stub) stubs_.erase(found);
  }

  bool begin(const std::shared_ptr<Passage>& passage) {
    const Guard guard(mutex_);
    if (stopping_) return false;
    under_way_.insert(passage);
    return true;
  }

  void end(const std::shared_ptr<Passage>& passage) {
    const Guard guard(mutex_);
    under_way_.erase(passage);
    if (under_way_.empty()) all_ended_.notify_all();
  }

  void stop() {
    std::set<std::shared_ptr<Passage>> all;
    {
      const Guard guard(mutex_);
      stopping_ = true;
      all = under_way_;
    }
    for (const auto& passage : all) passage->stop();
    mutex_.lock();
    while (!under_way_.empty()) all_ended_.wait(mutex_);
    mutex_.unlock();
    timer.reset();
  }

  Master& master;
  const Duration leader_wait;
  const Duration work_max;
  std::unique_ptr<Timer> timer = std::make_unique<Timer>();  // gone after stop()

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Seaweed::Stub>> stubs_ HOLDFAST_GUARDED_BY(mutex_);
  std::set<std::shared_ptr<Passage>> under_way_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Condition all_ended_;
};

namespace {

template <typename Request, typename Response>
class PassageOf final : public Passage, public std::enable_shared_from_this<PassageOf<Request, Response>> {
 public:
  using Start = void (*)(Seaweed::Stub&, grpc::ClientContext*, const Request*, Response*,
                         std::function<void(grpc::Status)>);
  using Done = PassOn::Done<Response>;

  PassageOf(std::shared_ptr<PassOn::Impl> impl, Request request, bool repeatable, Start start, Done done)
      : impl_(std::move(impl)),
        request_(std::move(request)),
        repeatable_(repeatable),
        start_(start),
        done_(std::move(done)) {
    request_.set_passed_on(true);
  }

  void begin() {
    if (!impl_->begin(this->shared_from_this())) {
      done_(Passed::no_leader, grpc::Status(grpc::StatusCode::UNAVAILABLE, "this master stops"), Response());
      return;
    }
    {
      const Guard guard(mutex_);
      idle_from_ = std::chrono::steady_clock::now();
    }
    look();
  }

  void stop() override {
    finish(Passed::no_leader, grpc::Status(grpc::StatusCode::UNAVAILABLE, "this master stops"), Response());
  }

 private:
  struct Call {
    Leader leader;
    std::chrono::steady_clock::time_point begun;
    std::optional<std::chrono::steady_clock::time_point> replaced;  // when another leader was first seen
    std::shared_ptr<Seaweed::Stub> stub;
    grpc::ClientContext context;
    Response response;
  };

  // The one function that decides: sends when there is someone to send to, watches who leads while the leader works,
  // and otherwise looks again in a moment.
  void look() {
    const auto leader = impl_->master.leader();
    std::shared_ptr<Call> started;
    std::shared_ptr<Call> left;
    std::optional<Passed> end;
    {
      const Guard guard(mutex_);
      if (over_) return;
      const auto now = std::chrono::steady_clock::now();
      if (call_) {
        const bool replaced = leader && (leader->id != call_->leader.id || leader->term != call_->leader.term);
        if (replaced && !call_->replaced) call_->replaced = now;
        if (replaced && (repeatable_ || now - *call_->replaced >= kLastWord)) {
          left = std::exchange(call_, nullptr);
          idle_from_ = now;
          if (!repeatable_) end = Passed::unknown;
        }
      }
      if (!end && !call_) {
        if (leader && leader->self) {
          end = Passed::lead_here;
        } else if (leader && !is_same(*leader, refused_by_)) {
          started = call_ = make_call(*leader);
          idle_ += now - idle_from_;
        } else if (idle_ + (now - idle_from_) >= impl_->leader_wait) {
          end = Passed::no_leader;
        } else {
          refused_by_.reset();  // try the same one again next time
        }
      }
      if (!end) timer_ = impl_->timer->call_at(now + kLook, [self = this->shared_from_this()] { self->look(); });
    }
    if (left) left->context.TryCancel();
    if (end) return finish(*end, status_of(*end), Response());
    if (started) send(started);
  }

  static bool is_same(const Leader& leader, const std::optional<Leader>& other) {
    return other && other->id == leader.id && other->term == leader.term;
  }

  std::shared_ptr<Call> make_call(const Leader& leader) {
    auto call = std::make_shared<Call>();
    call->leader = leader;
    call->begun = std::chrono::steady_clock::now();
    call->stub = impl_->stub(leader.grpc);
    call->context.set_deadline(in(impl_->work_max));
    api::pass_request_id(call->context, request_id_);
    return call;
  }

  void send(const std::shared_ptr<Call>& call) {
    start_(*call->stub, &call->context, &request_, &call->response,
           [self = this->shared_from_this(), call](const grpc::Status& status) { self->answered(call, status); });
  }

  void answered(const std::shared_ptr<Call>& call, const grpc::Status& status) {
    const bool trouble = is_link_trouble(status);
    if (trouble) impl_->drop(call->leader.grpc, call->stub);
    {
      const Guard guard(mutex_);
      if (over_ || call_ != call) return;  // another one is asked already
      const bool nothing_done = is_not_leader(status) || client::is_surely_unsent(status);
      if (nothing_done || (trouble && repeatable_)) {
        refused_by_ = call->leader;
        idle_from_ = nothing_done ? call->begun : std::chrono::steady_clock::now();
        call_ = nullptr;
        return;  // the timer looks again
      }
    }
    if (trouble) {
      finish(Passed::unknown, status_of(Passed::unknown), Response());
    } else {
      finish(Passed::answered, status, call->response);
    }
  }

  grpc::Status status_of(Passed passed) const {
    switch (passed) {
      case Passed::no_leader:
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, impl_->master.no_leader_refusal().text);
      case Passed::unknown:
        return grpc::Status(grpc::StatusCode::UNKNOWN,
                            "the leader was lost while it worked on this: it may have been done or not; look before "
                            "asking again");
      default: return grpc::Status::OK;
    }
  }

  void finish(Passed passed, const grpc::Status& status, const Response& response) {
    std::shared_ptr<Call> left;
    {
      const Guard guard(mutex_);
      if (std::exchange(over_, true)) return;
      left = std::exchange(call_, nullptr);
      if (timer_) impl_->timer->take_back(*timer_);
    }
    if (left && passed != Passed::answered) left->context.TryCancel();
    const api::RequestScope scope(request_id_);  // which goes on where this master leads by now
    done_(passed, status, response);
    done_ = nullptr;
    impl_->end(this->shared_from_this());
  }

  const std::shared_ptr<PassOn::Impl> impl_;
  Request request_;
  const bool repeatable_;
  const Start start_;
  const std::string request_id_{api::RequestScope::current()};
  Done done_;

  Mutex mutex_;
  std::shared_ptr<Call> call_ HOLDFAST_GUARDED_BY(mutex_);           // with a leader now
  std::optional<Leader> refused_by_ HOLDFAST_GUARDED_BY(mutex_);     // skipped for one look
  // Time without anyone to send to, up to idle_from_; what a leader spends working does not count.
  Duration idle_ HOLDFAST_GUARDED_BY(mutex_){0};
  std::chrono::steady_clock::time_point idle_from_ HOLDFAST_GUARDED_BY(mutex_);
  std::optional<Timer::Key> timer_ HOLDFAST_GUARDED_BY(mutex_);
  bool over_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace

PassOn::PassOn(Master& master, Duration leader_wait, Duration work_max)
    : impl_(std::make_shared<Impl>(master, leader_wait, work_max)) {}

PassOn::~PassOn() { stop(); }

void PassOn::stop() { impl_->stop(); }

void PassOn::assign(const master_pb::AssignRequest& request, Done<master_pb::AssignResponse> done) {
  using P = PassageOf<master_pb::AssignRequest, master_pb::AssignResponse>;
  const P::Start start = [](Seaweed::Stub& stub, grpc::ClientContext* context, const auto* asked, auto* answer,
                            std::function<void(grpc::Status)> then) {
    stub.async()->Assign(context, asked, answer, std::move(then));
  };
  std::make_shared<P>(impl_, request, /*repeatable=*/true, start, std::move(done))->begin();
}

void PassOn::grow(const master_pb::VolumeGrowRequest& request, Done<master_pb::VolumeGrowResponse> done) {
  using P = PassageOf<master_pb::VolumeGrowRequest, master_pb::VolumeGrowResponse>;
  const P::Start start = [](Seaweed::Stub& stub, grpc::ClientContext* context, const auto* asked, auto* answer,
                            std::function<void(grpc::Status)> then) {
    stub.async()->VolumeGrow(context, asked, answer, std::move(then));
  };
  std::make_shared<P>(impl_, request, /*repeatable=*/false, start, std::move(done))->begin();
}

void PassOn::delete_collection(const master_pb::CollectionDeleteRequest& request,
                               Done<master_pb::CollectionDeleteResponse> done) {
  using P = PassageOf<master_pb::CollectionDeleteRequest, master_pb::CollectionDeleteResponse>;
  const P::Start start = [](Seaweed::Stub& stub, grpc::ClientContext* context, const auto* asked, auto* answer,
                            std::function<void(grpc::Status)> then) {
    stub.async()->CollectionDelete(context, asked, answer, std::move(then));
  };
  std::make_shared<P>(impl_, request, /*repeatable=*/false, start, std::move(done))->begin();
}

namespace {

// A single call without a second try, for what has an answer of its own when it fails.
template <typename Request, typename Response>
class SingleCall final : public Passage, public std::enable_shared_from_this<SingleCall<Request, Response>> {
 public:
  SingleCall(std::shared_ptr<PassOn::Impl> impl, Duration time_max) : impl_(std::move(impl)) {
    context.set_deadline(in(time_max));
  }

  // `start(this)` starts the call with the members below and passes it `done`, which runs `then` and ends.
  template <typename Start, typename Then>
  void begin(Start start, Then then) {
    if (!impl_->begin(this->shared_from_this())) {
      then(grpc::Status(grpc::StatusCode::UNAVAILABLE, "this master stops"));
      return;
    }
    start([self = this->shared_from_this(), then = std::move(then)](const grpc::Status& status) {
      then(status);
      self->impl_->end(self);
    });
  }
  void stop() override { context.TryCancel(); }

  grpc::ClientContext context;
  Request request;
  Response response;

 private:
  const std::shared_ptr<PassOn::Impl> impl_;
};

constexpr Duration kLookupMax = 1s;  // beyond it this master's own picture has to do
constexpr Duration kPingMax = 5s;

}  // namespace

void PassOn::lookup(const master_pb::LookupVolumeRequest& request, Done<master_pb::LookupVolumeResponse> done) {
  const auto leader = impl_->master.leader();
  if (!leader || leader->self) {
    done(leader ? Passed::lead_here : Passed::no_leader, grpc::Status::OK, {});
    return;
  }
  const auto call = std::make_shared<SingleCall<master_pb::LookupVolumeRequest, master_pb::LookupVolumeResponse>>(
      impl_, kLookupMax);
  call->request = request;
  call->request.set_passed_on(true);
  call->begin(
      [&](auto then) {
        impl_->stub(leader->grpc)->async()->LookupVolume(&call->context, &call->request, &call->response,
                                                         std::move(then));
      },
      [call, done = std::move(done)](const grpc::Status& status) { done(Passed::answered, status, call->response); });
}

// All three services have the same Ping, to the byte.
void PassOn::ping(const std::string& type, const std::string& grpc_address,
                  std::function<void(const grpc::Status&, std::int64_t)> done) {
  const std::string service = type == "master"  ? "master_pb.Seaweed"
                              : type == "filer" ? "filer_pb.SeaweedFiler"
                                                : "volume_server_pb.VolumeServer";
  const auto call = std::make_shared<SingleCall<master_pb::PingRequest, master_pb::PingResponse>>(impl_, kPingMax);
  const auto stub = std::make_shared<grpc::TemplatedGenericStub<master_pb::PingRequest, master_pb::PingResponse>>(
      client::make_channel(grpc_address));
  call->begin(
      [&](auto then) {
        stub->UnaryCall(&call->context, "/" + service + "/Ping", {}, &call->request, &call->response, std::move(then));
      },
      [call, stub, done = std::move(done)](const grpc::Status& status) {
        done(status, call->response.start_time_ns());
      });
}

}  // namespace holdfast::master
