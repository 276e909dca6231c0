#include "service/master/peer_calls.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "api/raft.grpc.pb.h"
#include "base/log.h"
#include "client/channel.h"
#include "model/address.h"
#include "service/master/seal.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kToldMax = 100;

}  // namespace

template <typename Reply>
struct PeerCalls::Call {
  grpc::ClientContext context;
  RaftGreeting request;
  Reply reply;
  std::unique_ptr<Raft::Stub> stub;
  std::function<void(Result<Reply>)> done;
};

// What was answered, as it was meant.
template <typename Reply>
Status PeerCalls::opened(std::string_view purpose, const std::string& address, const std::string& call, Reply* reply) {
  if (seal_ == nullptr) return {};
  const auto number = seal_->open_answer(purpose, call, reply);
  if (number) return {};
  bool first = false;
  {
    Guard guard(mutex_);
    first = told_.size() < kToldMax && told_.insert(address + number.error().what()).second;
  }
  if (first) LOG_WARNING("the master at {} is not believed: {}", address, number.error().what());
  return number.error();
}

template <typename Reply, typename Start>
void PeerCalls::begin(std::string_view purpose, const std::string& address, const RaftGreeting& greeting,
                      std::function<void(Result<Reply>)> done, Start start) {
  const auto parsed = Address::parse(address);
  if (!parsed) return done(parsed.error());
  auto call = std::make_shared<Call<Reply>>();
  call->request = greeting;
  call->request.set_dialled(address);
  const auto number = seal_ != nullptr ? seal_->seal_call(purpose, &call->request) : std::string();
  call->stub = Raft::NewStub(client::make_channel(*parsed));
  call->done = std::move(done);
  call->context.set_deadline(std::chrono::system_clock::now() + kCallPatience);
  {
    Guard guard(mutex_);
    if (stopping_) return;
    under_way_.insert(&call->context);
  }
  start(*call, [this, call, number, purpose, address](const grpc::Status& status) {
    bool silent = false;
    {
      Guard guard(mutex_);
      silent = stopping_;
    }
    if (!silent) {
      if (status.ok()) {
        auto known = opened(purpose, address, number, &call->reply);
        call->done(known ? Result<Reply>(std::move(call->reply)) : Result<Reply>(known.error()));
      } else {
        call->done(client::error_of(status));
      }
    }
    Guard guard(mutex_);
    under_way_.erase(&call->context);
    ended_.notify_all();  // under the lock: this object may go right after
  });
}

void PeerCalls::meet(const std::string& address, const RaftGreeting& greeting,
                     std::function<void(Result<RaftGreeting>)> done) {
  begin<RaftGreeting>("meet", address, greeting, std::move(done), [](auto& call, auto finished) {
    call.stub->async()->Meet(&call.context, &call.request, &call.reply, std::move(finished));
  });
}

void PeerCalls::join(const std::string& address, const RaftGreeting& greeting,
                     std::function<void(Result<RaftJoinReply>)> done) {
  begin<RaftJoinReply>("join", address, greeting, std::move(done), [](auto& call, auto finished) {
    call.stub->async()->Join(&call.context, &call.request, &call.reply, std::move(finished));
  });
}

std::map<std::string, RaftGreeting> PeerCalls::ask(const std::set<std::string>& places, const RaftGreeting& greeting,
                                                   io::Clock& clock, Duration patience, std::map<std::string, Error>* failures) {
  struct Round {
    Mutex mutex;
    Condition ended;
    std::size_t open HOLDFAST_GUARDED_BY(mutex) = 0;
    std::map<std::string, RaftGreeting> answers HOLDFAST_GUARDED_BY(mutex);
    std::map<std::string, Error> failures HOLDFAST_GUARDED_BY(mutex);
  };
  auto round = std::make_shared<Round>();
  {
    Guard guard(round->mutex);
    round->open = places.size();
  }
  for (const auto& place : places) {
    meet(place, greeting, [round, place](Result<RaftGreeting> answer) {
      Guard guard(round->mutex);
      --round->open;
      if (answer) {
        round->answers.emplace(place, std::move(*answer));
      } else {
        round->failures.emplace(place, answer.error());
      }
      round->ended.notify_all();
    });
  }
  const Instant until = clock.now() + patience;
  Guard guard(round->mutex);
  while (round->open > 0) {
    const Duration left = until - clock.now();
    if (left <= Duration(0)) break;
    (void)round->ended.wait_for(round->mutex, left);
  }
  if (failures != nullptr) *failures = round->failures;
  return round->answers;
}

void PeerCalls::stop() {
  Guard guard(mutex_);
  stopping_ = true;
  for (auto* context : under_way_) context->TryCancel();
  while (!under_way_.empty()) ended_.wait(mutex_);
}

std::map<std::string, RaftGreeting> ask_masters(const std::string& secret, std::set<std::string> places,
                                                const RaftGreeting& greeting, io::Clock& clock) {
  std::map<std::string, RaftGreeting> answers;
  std::map<std::string, Error> failures;
  if (!secret.empty()) {
    const Seal seal(secret, clock);
    PeerCalls sealed(&seal);
    answers = sealed.ask(places, greeting, clock, kCallPatience, &failures);
    sealed.stop();
    for (const auto& [place, answer] : answers) places.erase(place);
  }
  if (places.empty()) return answers;
  PeerCalls plain;
  auto others = plain.ask(places, greeting, clock, kCallPatience);
  plain.stop();
  for (auto& [place, answer] : others) {
    const auto sealed = failures.find(place);
    if (answer.refusal().empty() || sealed == failures.end() || sealed->second.code() != Code::refused) continue;
    answer.set_refusal(sealed->second.what());  // its own speaks of a caller without a secret
  }
  answers.merge(others);
  return answers;
}

}  // namespace holdfast::master
