#include "client/master_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <future>
#include <optional>
#include <set>
#include <utility>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "base/check.h"
#include "base/mutex.h"
#include "client/channel.h"
#include "client/timer.h"

namespace holdfast::client {

namespace {

using master_pb::Seaweed;

constexpr Duration kPauseMin = 10ms;   // between rounds; doubles up to
constexpr Duration kPauseMax = 250ms;  // which keeps thousands of waiting clients from drowning a new leader
constexpr Duration kLearnEvery = 5s;   // how old the list of masters may be before the next question refreshes it

using Time = Timer::Time;
Time after(Duration duration) { return std::chrono::steady_clock::now() + duration; }

// The library's deadlines count on the system's clock.
std::chrono::system_clock::time_point system_time(Time time) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::microseconds>(time - std::chrono::steady_clock::now());
}

Location read(const master_pb::Location& message) {
  return {.url = message.url(),
          .public_url = message.public_url(),
          .grpc_port = message.grpc_port(),
          .data_center = message.data_center()};
}

Result<Assignment> read(const master_pb::AssignResponse& message) {
  if (!message.error().empty()) return Error(Code::internal, message.error());
  if (message.fid().empty() || !message.has_location()) return Error(Code::internal, "an assign without a place");
  Assignment assignment{.fid = message.fid(),
                        .count = message.count(),
                        .auth = message.auth(),
                        .location = read(message.location()),
                        .replicas = {}};
  for (const auto& replica : message.replicas()) assignment.replicas.push_back(read(replica));
  return assignment;
}

Result<std::vector<VolumeLocations>> read(const master_pb::LookupVolumeResponse& message) {
  std::vector<VolumeLocations> all;
  for (const auto& one : message.volume_id_locations()) {
    VolumeLocations& volume = all.emplace_back();
    volume.volume_or_file_id = one.volume_or_file_id();
    volume.error = one.error();
    volume.auth = one.auth();
    for (const auto& location : one.locations()) volume.locations.push_back(read(location));
  }
  return all;
}

Result<MasterConfiguration> read(const master_pb::GetMasterConfigurationResponse& message) {
  return MasterConfiguration{.default_replication = message.default_replication(),
                             .leader = message.leader(),
                             .volume_size_limit_mb = message.volume_size_limit_m_b(),
                             .volume_preallocate = message.volume_preallocate(),
                             .metrics_address = message.metrics_address(),
                             .metrics_interval_seconds = message.metrics_interval_seconds(),
                             .cluster_id = message.cluster_id(),
                             .members = api::read_members(message.masters())};
}

// What to do about an attempt that failed.
enum class Verdict {
  final,    // the master said no, and another would say the same
  pause,    // busy: asking elsewhere meets the same leader
  next,     // this master cannot: try another at once
};

Verdict verdict(const Error& error) {
  switch (error.code()) {
    case Code::unavailable:
    case Code::timed_out:
    case Code::not_leader:
    case Code::outcome_unknown: return Verdict::next;
    case Code::busy: return Verdict::pause;
    default: return Verdict::final;
  }
}

// Whether the master said nothing: it was not reached, or not heard in time. gRPC tells by its words alone whether it was
// the master that said "unavailable".
bool is_silence(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         (status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_message().starts_with("failed to connect"));
}

struct Master {
  explicit Master(Address at) : address(std::move(at)), stub(Seaweed::NewStub(make_channel(address))) {}
  const Address address;
  const std::unique_ptr<Seaweed::Stub> stub;
};
using MasterPtr = std::shared_ptr<Master>;  // shared by the list and the attempts under way

// What is under way for one caller; shared by the client's list and the library's callbacks.
class Question {
 public:
  virtual ~Question() = default;
  virtual void cancel() = 0;
};

}  // namespace

class MasterClient::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(Options options) : options_(std::move(options)) {
    CHECK(!options_.masters.empty());
    const Guard guard(mutex_);
    for (const Address& address : options_.masters) add(address);
    seeds_ = options_.masters;
  }

  // What the seeds stand for, now and whenever it changes.
  void discover() {
    discovery_ = std::make_unique<Discovery>(Discovery::Options{.places = options_.masters,
                                                                .interval = options_.discovery_interval,
                                                                .resolve = options_.resolve},
                                             [this](const auto& places) { rediscovered(places); });
  }

  void wait_until_known(Duration patience) const { discovery_->wait_until_known(patience); }

  const Options& options() const { return options_; }
  Timer& timer() { return *timer_; }

  // A copy in the order in which to ask.
  std::vector<MasterPtr> in_order() const {
    const Guard guard(mutex_);
    return masters_;
  }

  // The one that failed or stays silent is asked last from now on, until it is learned anew that it leads.
  void failed(const MasterPtr& master) {
    const Guard guard(mutex_);
    const auto place = std::find(masters_.begin(), masters_.end(), master);
    if (place != masters_.end()) std::rotate(place, place + 1, masters_.end());
    learned_at_.reset();
  }

  void learn(const MasterConfiguration& configuration) {
    const Guard guard(mutex_);
    if (!configuration.members.empty()) members_.clear();
    for (const MasterMember& member : configuration.members) {
      members_.push_back(member.address);
      add(member.address);
    }
    // Assigns end at the leader anyway: asking it first saves them a hop.
    if (const auto leader = Address::parse(configuration.leader)) to_front(*leader);
  }

  bool should_learn() {
    const Guard guard(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (stopping_ || (learned_at_ && now - *learned_at_ < kLearnEvery)) return false;
    learned_at_ = now;
    return true;
  }

  bool begin(const std::shared_ptr<Question>& question) {
    const Guard guard(mutex_);
    if (stopping_) return false;
    questions_.insert(question);
    return true;
  }

  void end(const std::shared_ptr<Question>& question) {
    const Guard guard(mutex_);
    questions_.erase(question);
    if (questions_.empty()) all_ended_.notify_all();
  }

  void stop() {
    discovery_->stop();
    std::set<std::shared_ptr<Question>> open;
    {
      const Guard guard(mutex_);
      stopping_ = true;
      open = questions_;
    }
    for (const auto& question : open) question->cancel();
    mutex_.lock();
    while (!questions_.empty()) all_ended_.wait(mutex_);
    mutex_.unlock();
    timer_.reset();  // here, and not by whoever lets go of this last, which may be the timer's own thread
  }

 private:
  // On the resolver's thread. A name without an address yet stays what it was.
  void rediscovered(const std::vector<Discovery::Place>& places) {
    std::vector<Address> seeds;
    for (const auto& place : places) {
      if (!place.is_known) seeds.push_back(place.asked);
      seeds.insert(seeds.end(), place.stands_for.begin(), place.stands_for.end());
    }
    const auto has = [](const std::vector<Address>& all, const Address& address) {
      return std::find(all.begin(), all.end(), address) != all.end();
    };
    const Guard guard(mutex_);
    if (stopping_) return;
    std::erase_if(masters_, [&](const MasterPtr& master) {
      return has(seeds_, master->address) && !has(seeds, master->address) && !has(members_, master->address);
    });
    for (const auto& seed : seeds) add(seed);
    seeds_ = std::move(seeds);
    learned_at_.reset();
  }

  void add(const Address& address) HOLDFAST_REQUIRES(mutex_) {
    const bool known = std::any_of(masters_.begin(), masters_.end(), [&](const MasterPtr& master) {
      return master->address == address && master->address.grpc() == address.grpc();
    });
    if (!known) masters_.push_back(std::make_shared<Master>(address));
  }

  void to_front(const Address& address) HOLDFAST_REQUIRES(mutex_) {
    const auto place = std::find_if(masters_.begin(), masters_.end(),
                                    [&](const MasterPtr& master) { return master->address == address; });
    if (place != masters_.end()) std::rotate(masters_.begin(), place, place + 1);
  }

  const Options options_;
  std::unique_ptr<Timer> timer_ = std::make_unique<Timer>();
  std::unique_ptr<Discovery> discovery_;

  mutable Mutex mutex_;
  std::vector<MasterPtr> masters_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<Address> seeds_ HOLDFAST_GUARDED_BY(mutex_);    // what options_.masters stands for
  std::vector<Address> members_ HOLDFAST_GUARDED_BY(mutex_);  // as the masters last said
  std::optional<std::chrono::steady_clock::time_point> learned_at_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::set<std::shared_ptr<Question>> questions_ HOLDFAST_GUARDED_BY(mutex_);
  Condition all_ended_;
};

namespace {

// One question put to one master after the other, and beside each other when one is silent. The state is small enough
// for one lock; the library's callbacks and timers may come on any thread.
template <typename Client, typename Request, typename Response, typename Answer>
class Asking final : public Question, public std::enable_shared_from_this<Asking<Client, Request, Response, Answer>> {
 public:
  using Start = void (*)(Seaweed::Stub& stub, grpc::ClientContext* context, const Request* request, Response* response,
                         std::function<void(grpc::Status)> done);
  using Done = std::function<void(Result<Answer>)>;

  Asking(std::shared_ptr<Client> client, Request request, Start start, Done done)
      : client_(std::move(client)), request_(std::move(request)), start_(start), done_(std::move(done)) {}

  void begin() {
    if (!client_->begin(this->shared_from_this())) {
      done_(Error(Code::unavailable, "the client stops"));
      return;
    }
    deadline_ = after(client_->options().patience);
    Launches launches;
    {
      const Guard guard(mutex_);
      begin_round(launches);
    }
    launch(launches);
  }

  void cancel() override { finish(Error(Code::unavailable, "the client stops")); }

 private:
  struct Attempt {
    MasterPtr master;
    grpc::ClientContext context;
    Response response;
  };
  using Launches = std::vector<std::shared_ptr<Attempt>>;  // to be started without the lock

  void begin_round(Launches& launches) HOLDFAST_REQUIRES(mutex_) {
    round_ = client_->in_order();
    position_ = 0;
    if (!next_attempt(launches)) pause();
  }

  // Asks the next master of the round that is not being asked already. False when there is none.
  bool next_attempt(Launches& launches) HOLDFAST_REQUIRES(mutex_) {
    const auto asked = [this](const MasterPtr& master) {
      return std::any_of(attempts_.begin(), attempts_.end(),
                         [&](const auto& attempt) { return attempt->master == master; });
    };
    while (position_ < round_.size() && asked(round_[position_])) ++position_;
    if (position_ == round_.size()) return false;
    auto attempt = std::make_shared<Attempt>();
    attempt->master = round_[position_++];
    attempt->context.set_deadline(system_time(std::min(deadline_, after(client_->options().attempt_max))));
    attempts_.insert(attempt);
    launches.push_back(std::move(attempt));
    // The timer also ends the question when patience is over, so one is always set.
    set_timer(client_->options().hedge_after);
    return true;
  }

  // Until the next round. Masters that stay silent are still waited for meanwhile.
  void pause() HOLDFAST_REQUIRES(mutex_) {
    position_ = round_.size();
    pausing_ = true;
    set_timer(pause_);
    pause_ = std::min(2 * pause_, kPauseMax);
  }

  void launch(const Launches& launches) {
    for (const auto& attempt : launches) {
      start_(*attempt->master->stub, &attempt->context, &request_, &attempt->response,
             [self = this->shared_from_this(), attempt](grpc::Status status) { self->ended(attempt, status); });
    }
  }

  void ended(const std::shared_ptr<Attempt>& attempt, const grpc::Status& status) {
    Result<Answer> answer = status.ok() ? read(attempt->response) : Result<Answer>(error_of(status));
    if (answer || verdict(answer.error()) == Verdict::final) {
      finish(std::move(answer));
      return;
    }
    Launches launches;
    {
      const Guard guard(mutex_);
      attempts_.erase(attempt);
      if (over_) return;
      const bool busy = verdict(answer.error()) == Verdict::pause;
      // What a master has said tells more than that another one is not there, or the same one silent now.
      if (!last_error_ || !is_silence(status)) {
        last_error_ = busy ? answer.error() : answer.error().at(attempt->master->address.http());
      }
      if (!busy) client_->failed(attempt->master);
      if (!pausing_ && (busy || !next_attempt(launches))) pause();
    }
    launch(launches);
  }

  void set_timer(Duration delay) HOLDFAST_REQUIRES(mutex_) {
    if (timer_) client_->timer().take_back(*timer_);
    timer_ = client_->timer().call_at(std::min(deadline_, after(delay)),
                                      [self = this->shared_from_this()] { self->timer_rang(); });
  }

  void timer_rang() {
    Launches launches;
    bool late = false;
    {
      const Guard guard(mutex_);
      if (over_) return;
      late = std::chrono::steady_clock::now() >= deadline_;
      if (!late && pausing_) {
        pausing_ = false;
        begin_round(launches);
      } else if (!late) {
        for (const auto& silent : attempts_) client_->failed(silent->master);
        if (!next_attempt(launches)) pause();  // all are silent: look again later, the list may have grown
      }
    }
    if (late) {
      finish(Error(Code::unavailable, "no answer in time"));
    } else {
      launch(launches);
    }
  }

  void finish(Result<Answer> answer) {
    std::set<std::shared_ptr<Attempt>> losers;
    {
      const Guard guard(mutex_);
      if (std::exchange(over_, true)) return;
      losers.swap(attempts_);
      if (timer_) client_->timer().take_back(*timer_);
      if (!answer && answer.error().code() == Code::unavailable && last_error_) {
        // A leader that is busy has answered; its words say more than that time is up.
        const Error late(Code::unavailable, answer.error().what() + "; last: " + last_error_->what());
        answer = last_error_->code() == Code::busy ? *last_error_ : late;
      }
    }
    for (const auto& attempt : losers) attempt->context.TryCancel();
    done_(std::move(answer));
    done_ = nullptr;
    client_->end(this->shared_from_this());
  }

  const std::shared_ptr<Client> client_;
  const Request request_;
  const Start start_;
  Time deadline_;
  Done done_;

  Mutex mutex_;
  std::vector<MasterPtr> round_ HOLDFAST_GUARDED_BY(mutex_);
  std::size_t position_ HOLDFAST_GUARDED_BY(mutex_) = 0;  // of the next one to ask
  std::set<std::shared_ptr<Attempt>> attempts_ HOLDFAST_GUARDED_BY(mutex_);
  bool pausing_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool over_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Duration pause_ HOLDFAST_GUARDED_BY(mutex_) = kPauseMin;
  std::optional<Error> last_error_ HOLDFAST_GUARDED_BY(mutex_);
  std::optional<Timer::Key> timer_ HOLDFAST_GUARDED_BY(mutex_);
};

template <typename Answer, typename Client, typename Request, typename Response>
void ask(const std::shared_ptr<Client>& client, Request request,
         void (*start)(Seaweed::Stub&, grpc::ClientContext*, const Request*, Response*,
                       std::function<void(grpc::Status)>),
         std::function<void(Result<Answer>)> done) {
  std::make_shared<Asking<Client, Request, Response, Answer>>(client, std::move(request), start, std::move(done))
      ->begin();
}

void start_configuration(Seaweed::Stub& stub, grpc::ClientContext* context,
                         const master_pb::GetMasterConfigurationRequest* request,
                         master_pb::GetMasterConfigurationResponse* response,
                         std::function<void(grpc::Status)> done) {
  stub.async()->GetMasterConfiguration(context, request, response, std::move(done));
}

void start_assign(Seaweed::Stub& stub, grpc::ClientContext* context, const master_pb::AssignRequest* request,
                  master_pb::AssignResponse* response, std::function<void(grpc::Status)> done) {
  stub.async()->Assign(context, request, response, std::move(done));
}

void start_lookup(Seaweed::Stub& stub, grpc::ClientContext* context, const master_pb::LookupVolumeRequest* request,
                  master_pb::LookupVolumeResponse* response, std::function<void(grpc::Status)> done) {
  stub.async()->LookupVolume(context, request, response, std::move(done));
}

// Refreshes the list of masters beside the caller's question when it has grown old.
template <typename Client>
void learn_when_due(const std::shared_ptr<Client>& client) {
  if (!client->should_learn()) return;
  ask<MasterConfiguration>(client, master_pb::GetMasterConfigurationRequest(), start_configuration,
                           std::function([client](Result<MasterConfiguration> configuration) {
                             if (configuration) client->learn(*configuration);
                           }));
}

template <typename Answer, typename Call>
Result<Answer> wait_for(Call call) {
  auto promise = std::make_shared<std::promise<Result<Answer>>>();
  auto future = promise->get_future();
  call([promise](Result<Answer> answer) { promise->set_value(std::move(answer)); });
  return future.get();
}

}  // namespace

MasterClient::MasterClient(Options options) : impl_(std::make_shared<Impl>(std::move(options))) { impl_->discover(); }

MasterClient::~MasterClient() { impl_->stop(); }

void MasterClient::assign(const AssignWish& wish, Done<Assignment> done) {
  learn_when_due(impl_);
  master_pb::AssignRequest request;
  request.set_count(wish.count);
  request.set_replication(api::utf8(wish.replication));
  request.set_collection(api::utf8(wish.collection));
  request.set_ttl(api::utf8(wish.ttl));
  request.set_data_center(api::utf8(wish.data_center));
  request.set_rack(api::utf8(wish.rack));
  request.set_data_node(api::utf8(wish.data_node));
  request.set_disk_type(api::utf8(wish.disk_type));
  request.set_writable_volume_count(wish.writable_volume_count);
  request.set_expected_data_size(wish.expected_data_size);
  ask<Assignment>(impl_, std::move(request), start_assign, std::move(done));
}

void MasterClient::lookup(const std::vector<std::string>& volume_or_file_ids, const std::string& collection,
                          Done<std::vector<VolumeLocations>> done) {
  learn_when_due(impl_);
  master_pb::LookupVolumeRequest request;
  for (const auto& id : volume_or_file_ids) request.add_volume_or_file_ids(api::utf8(id));
  request.set_collection(api::utf8(collection));
  ask<std::vector<VolumeLocations>>(impl_, std::move(request), start_lookup, std::move(done));
}

void MasterClient::configuration(Done<MasterConfiguration> done) {
  ask<MasterConfiguration>(impl_, master_pb::GetMasterConfigurationRequest(), start_configuration,
                           std::function([impl = impl_, done = std::move(done)](Result<MasterConfiguration> answer) {
                             if (answer) impl->learn(*answer);
                             done(std::move(answer));
                           }));
}

Result<Assignment> MasterClient::assign(const AssignWish& wish) {
  return wait_for<Assignment>([&](auto done) { assign(wish, std::move(done)); });
}

Result<std::vector<VolumeLocations>> MasterClient::lookup(const std::vector<std::string>& volume_or_file_ids,
                                                          const std::string& collection) {
  return wait_for<std::vector<VolumeLocations>>(
      [&](auto done) { lookup(volume_or_file_ids, collection, std::move(done)); });
}

Result<MasterConfiguration> MasterClient::configuration() {
  return wait_for<MasterConfiguration>([&](auto done) { configuration(std::move(done)); });
}

std::vector<Address> MasterClient::masters() const {
  std::vector<Address> addresses;
  for (const MasterPtr& master : impl_->in_order()) addresses.push_back(master->address);
  return addresses;
}

std::vector<Address> MasterClient::found(Duration patience) const {
  impl_->wait_until_known(patience);
  return masters();
}

}  // namespace holdfast::client
