// HeartbeatStream: one volume server's report stream to one master (SendHeartbeat, spec/weed-grpc 5.1). One stream is
// one connection and one attempt: the owner makes a new one after on_closed, so the pace of redialling is the owner's
// alone and nothing of a failed attempt (the library's backoff, a half-dead socket) burdens the next.
//
// A connection that is refused or reset, and a stream that the master ends, are told by on_closed at once. A peer whose
// machine vanished is found by unacknowledged bytes after about two seconds (kSilenceMax), as reports flow all the
// time.
//
// Thread-safe. Events come from threads of the gRPC library, one at a time per stream, and must not block. After the
// destructor has returned no event comes any more; it waits for one that is running, unless called from within it. So
// do not destroy a stream while holding a lock that its events take.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"
#include "base/time.h"
#include "model/address.h"

namespace master_pb {
class Heartbeat;
class HeartbeatResponse;
}  // namespace master_pb

namespace holdfast::client {

class HeartbeatStream {
 public:
  // More reports than this waiting behind a slow link close the stream (Code::busy): a new one begins with a full list.
  static constexpr std::size_t kWaitingMax = 256;

  struct Events {
    std::function<void(const master_pb::HeartbeatResponse&)> on_response;

    // Exactly once, unless the stream is destroyed first. Code::unavailable: not reached, or the link broke;
    // Code::not_leader: an upstream master that does not know its leader; otherwise the master's own words.
    // An Error with Code::unavailable and "closed" when the master ended the stream in order.
    std::function<void(const Error&)> on_closed;
  };

  // Dials master.grpc() at once and does not wait.
  HeartbeatStream(const Address& master, Events events);

  // Cuts the connection.
  ~HeartbeatStream();

  HeartbeatStream(const HeartbeatStream&) = delete;
  HeartbeatStream& operator=(const HeartbeatStream&) = delete;

  // Sends in order; the message is copied. False when the stream is closed or just closes for kWaitingMax.
  bool send(const master_pb::Heartbeat& report);

  // The IP address this stream goes to, as numbers; "" before the first response, or if it is none.
  [[nodiscard]] std::string peer_ip() const;

  // Reports given to send() but not yet to the network. While it is not 0 a mere pulse adds nothing and can be skipped.
  [[nodiscard]] std::size_t waiting() const;

  // No more reports; what waits still goes out, then the master is told in order. on_closed follows.
  void finish();

 private:
  class Call;
  std::shared_ptr<Call> call_;  // shared with the gRPC library until the call is over
};

}  // namespace holdfast::client
