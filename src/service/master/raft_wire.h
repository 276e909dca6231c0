// One conversion per message between core/raft and api/raft.proto, and the form of a datagram.
//
// Decoding trusts nothing: a message that is not what this build understands is an Error, never a guess.
// Pure; thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "core/raft/core.h"
#include "core/raft/messages.h"
#include "model/ids.h"

namespace holdfast {
class RaftMessage;
}

namespace holdfast::master {

void to_wire(const raft::Message& message, RaftMessage* out);
Result<raft::Message> from_wire(const RaftMessage& message);

// A datagram (docs/raft-transport.md): magic "HFB1", checksum of all that follows, cluster id, the sender's process, one
// RaftMessage. Decoding answers `refused` for another cluster's, which is no reason for a log line: ports get reused.
struct Datagram {
  Uuid process;
  raft::Message message;                      // of a certificate only sender, receiver, term and incarnation
  std::optional<raft::LeaseRevoked> revoked;  // a guardian's certificate
  std::optional<Duration> address_free_in;    // likewise, of the virtual IP
};
std::string encode_datagram(ClusterId cluster, Uuid process, const raft::Message& message);
// To be sent by the guardian of that process (guardian.h).
std::string encode_certificate(ClusterId cluster, Uuid process, const raft::LeaseRevoked& revoked, NodeId to);
// The virtual IP is free of whoever led in that term, from then on.
std::string encode_address_free(ClusterId cluster, Uuid process, const raft::LeaseRevoked& term, Duration free_in, NodeId to);
Result<Datagram> decode_datagram(ClusterId cluster, BytesView bytes);

}  // namespace holdfast::master
