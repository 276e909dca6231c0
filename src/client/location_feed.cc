#include "client/location_feed.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "api/master.grpc.pb.h"
#include "base/log.h"
#include "client/channel.h"

namespace holdfast::client {

namespace {

constexpr Duration kPauseFirst = 20ms;  // after a round in which nobody told anything
constexpr Duration kPauseMax = 250ms;

}  // namespace

LocationFeed::LocationFeed(Options options, Events events) : options_(std::move(options)), events_(std::move(events)) {
  discovery_ = std::make_unique<Discovery>(Discovery::Options{.places = options_.masters},
                                           [this](const std::vector<Discovery::Place>& places) {
                                             std::vector<Address> all;
                                             for (const auto& place : places) {
                                               all.insert(all.end(), place.stands_for.begin(), place.stands_for.end());
                                             }
                                             const Guard guard(mutex_);
                                             places_ = std::move(all);
                                             changed_.notify_all();
                                           });
  thread_ = std::thread([this] { run(); });
}

LocationFeed::~LocationFeed() { stop(); }

void LocationFeed::stop() {
  {
    const Guard guard(mutex_);
    stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (discovery_) discovery_->stop();
}

bool LocationFeed::pause(Duration duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  const Guard guard(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < end) {
    changed_.wait_for(mutex_, end - std::chrono::steady_clock::now());
  }
  return !stopping_;
}

std::vector<Address> LocationFeed::seeds() {
  const Guard guard(mutex_);
  return places_;
}

void LocationFeed::run() {
  Duration wait = kPauseFirst;
  while (true) {
    bool told = false;
    for (const auto& seed : seeds()) {
      follow(seed);
      // From leader to leader, as long as each names another one.
      for (int hops = 0; hint_ && hops < 8; ++hops) {
        told = true;
        follow(*std::exchange(hint_, std::nullopt));
      }
      const Guard guard(mutex_);
      if (stopping_) return;
    }
    if (!pause(told ? kPauseFirst : wait)) return;
    wait = told ? kPauseFirst : std::min(wait * 2, kPauseMax);
  }
}

void LocationFeed::follow(const Address& master) {
  grpc::ClientContext context;
  {
    const Guard guard(mutex_);
    if (stopping_) return;
    call_ = &context;
  }
  const auto stub = master_pb::Seaweed::NewStub(make_channel(master));
  const auto stream = stub->KeepConnected(&context);
  master_pb::KeepConnectedRequest hello;
  hello.set_client_type(options_.client_type);
  hello.set_client_address(options_.client_address);
  hello.set_version(options_.version);
  bool connected = false;
  master_pb::KeepConnectedResponse message;
  if (stream->Write(hello)) {
    while (stream->Read(&message)) {
      if (!message.has_volume_location()) continue;
      const auto& location = message.volume_location();
      const auto leader = location.leader().empty() ? Result<Address>(Error(Code::not_found, "")) : Address::parse(location.leader());
      if (leader && leader->grpc() != master.grpc()) {
        hint_ = *leader;
        break;
      }
      if (!std::exchange(connected, true)) {
        trouble_.clear();
        events_.on_connected(master.http());
      }
      events_.on_location(location);
    }
  }
  context.TryCancel();
  const auto status = stream->Finish();
  {
    const Guard guard(mutex_);
    call_ = nullptr;
    if (stopping_) return;
  }
  const Error why = status.ok() ? Error(Code::unavailable, "closed") : error_of(status);
  if (connected) {
    events_.on_lost(master.http(), why);
  } else if (!hint_ && trouble_ != why.what()) {
    trouble_ = why.what();
    LOG_INFO("master {}: {}; others are asked", master.http(), trouble_);
  }
}

}  // namespace holdfast::client
