// LinkAcceptor: what the gRPC service of the masters (front/grpc/raft_service.h) calls when another master calls it.
// The messages are those of api/raft.proto; the service itself understands nothing but their transport.
//
// All functions may be called from any thread and return at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace holdfast {
class RaftFrame;
class RaftGreeting;
class RaftJoinReply;
}  // namespace holdfast

namespace holdfast::master {

// RaftGreeting.format of this build; a master refuses another one in words.
inline constexpr std::uint32_t kGreetingFormat = 1;

// One incoming Link, from its first frame to its end.
class IncomingLink {
 public:
  // The end of the stream, for whatever reason: a hint that the other master may be gone.
  virtual ~IncomingLink() = default;

  // One frame after the greeting. False: the sender does not keep to the protocol, close the stream.
  virtual bool received(const RaftFrame& frame) = 0;
};

class LinkAcceptor {
 public:
  virtual ~LinkAcceptor() = default;

  virtual void meet(const RaftGreeting& from, RaftGreeting* answer) = 0;
  virtual void join(const RaftGreeting& from, RaftJoinReply* answer) = 0;

  // The first frame of a stream. `answer` is to be sent back in any case; without a link (foreign cluster, unknown
  // member: `answer` says why) the stream is closed after it.
  virtual std::unique_ptr<IncomingLink> opened(const RaftGreeting& from, RaftGreeting* answer) = 0;
};

}  // namespace holdfast::master
