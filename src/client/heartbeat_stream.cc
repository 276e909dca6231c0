#include "client/heartbeat_stream.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <mutex>
#include <utility>

#include "api/master.grpc.pb.h"
#include "base/mutex.h"
#include "client/channel.h"

namespace holdfast::client {

namespace {

// The library names a peer "ipv4:1.2.3.4:5" or "ipv6:[::1]:5", the brackets perhaps as %5B and %5D.
std::string ip_of(std::string peer) {
  for (const auto& [code, sign] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}, std::pair{"%25", "%"}}) {
    for (auto at = peer.find(code); at != std::string::npos; at = peer.find(code, at)) peer.replace(at, 3, sign);
  }
  if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return {};
  const auto end = peer.rfind(':');
  std::string ip = peer.substr(5, end < 5 ? 0 : end - 5);
  if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
  return ip;
}

}  // namespace

// The library's side of the stream. Lives until OnDone: the call holds itself by `self_`.
//
// One read is always under way, and at most one write; the others wait in queue_. The hold keeps the call open for
// writes from outside, and goes when the reading side has ended: after that no operation may be started.
class HeartbeatStream::Call final : public grpc::ClientBidiReactor<master_pb::Heartbeat, master_pb::HeartbeatResponse> {
 public:
  Call(const Address& master, Events events)
      : events_(std::move(events)), channel_(make_channel(master)), stub_(master_pb::Seaweed::NewStub(channel_)) {}

  void start(std::shared_ptr<Call> self) {
    self_ = std::move(self);
    stub_->async()->SendHeartbeat(&context_, this);
    AddHold();
    StartRead(&response_);
    StartCall();
  }

  bool send(const master_pb::Heartbeat& report) {
    const Guard guard(mutex_);
    if (!open_ || finishing_) return false;
    if (queue_.size() >= kWaitingMax) {
      overflowed_ = true;
      open_ = false;
      context_.TryCancel();
      return false;
    }
    queue_.push_back(report);
    if (queue_.size() == 1) StartWrite(&queue_.front());
    return true;
  }

  std::string peer_ip() const {
    const Guard guard(mutex_);
    return peer_ip_;
  }

  std::size_t waiting() const {
    const Guard guard(mutex_);
    return queue_.size();
  }

  void finish() {
    const Guard guard(mutex_);
    if (!open_ || std::exchange(finishing_, true)) return;
    if (queue_.empty()) StartWritesDone();
  }

  // After this no event comes. Waits for one that is running in another thread.
  void abandon() {
    {
      const std::lock_guard<std::recursive_mutex> events_guard(events_mutex_);
      muted_ = true;
    }
    const Guard guard(mutex_);
    open_ = false;
    context_.TryCancel();
  }

  void OnWriteDone(bool ok) override {
    const Guard guard(mutex_);
    queue_.pop_front();
    if (!ok || !open_) {
      queue_.clear();
      return;
    }
    if (!queue_.empty()) {
      StartWrite(&queue_.front());
    } else if (finishing_) {
      StartWritesDone();
    }
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        const Guard guard(mutex_);
        open_ = false;
      }
      RemoveHold();
      return;
    }
    {
      const Guard guard(mutex_);
      if (peer_ip_.empty()) peer_ip_ = ip_of(context_.peer());
    }
    {
      const std::lock_guard<std::recursive_mutex> events_guard(events_mutex_);
      if (!muted_ && events_.on_response) events_.on_response(response_);
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<Call> last = std::move(self_);
    bool overflowed = false;
    {
      const Guard guard(mutex_);
      overflowed = overflowed_;
    }
    const std::lock_guard<std::recursive_mutex> events_guard(events_mutex_);
    if (muted_ || !events_.on_closed) return;
    muted_ = true;
    if (overflowed) {
      events_.on_closed(Error(Code::busy, "the link is too slow for the reports"));
    } else {
      events_.on_closed(status.ok() ? Error(Code::unavailable, "closed") : error_of(status));
    }
  }

 private:
  const Events events_;
  const std::shared_ptr<grpc::Channel> channel_;  // shared with the stub
  const std::unique_ptr<master_pb::Seaweed::Stub> stub_;
  grpc::ClientContext context_;
  master_pb::HeartbeatResponse response_;  // of the read under way
  std::shared_ptr<Call> self_;             // until OnDone

  // Held while an event runs. Recursive: the owner may destroy the stream from within an event.
  std::recursive_mutex events_mutex_;
  bool muted_ = false;

  mutable Mutex mutex_;  // leaf
  bool open_ HOLDFAST_GUARDED_BY(mutex_) = true;
  bool finishing_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool overflowed_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::string peer_ip_ HOLDFAST_GUARDED_BY(mutex_);
  std::deque<master_pb::Heartbeat> queue_ HOLDFAST_GUARDED_BY(mutex_);  // the front one is being written
};

HeartbeatStream::HeartbeatStream(const Address& master, Events events)
    : call_(std::make_shared<Call>(master, std::move(events))) {
  call_->start(call_);
}

HeartbeatStream::~HeartbeatStream() { call_->abandon(); }

bool HeartbeatStream::send(const master_pb::Heartbeat& report) { return call_->send(report); }

std::string HeartbeatStream::peer_ip() const { return call_->peer_ip(); }

std::size_t HeartbeatStream::waiting() const { return call_->waiting(); }

void HeartbeatStream::finish() { call_->finish(); }

}  // namespace holdfast::client
