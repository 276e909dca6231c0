// Transport: how the RaftHost's messages reach the other masters. PeerLinks (peer_links.h) is the real one; tests put
// one in between that loses what they want lost.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "core/raft/configuration.h"
#include "core/raft/core.h"
#include "core/raft/messages.h"
#include "model/ids.h"
#include "service/master/guardian.h"

namespace holdfast::master {

// What is known of another master from its greetings.
struct PeerInfo {
  NodeId id;
  bool connected = false;  // a link in at least one direction is up
  std::string address;     // as it announced itself, host:port[.grpcport]; empty: not heard yet
  Incarnation incarnation;
  Uuid process;
  std::uint32_t feature_level = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends or drops each message; never waits. From any thread.
  virtual void send(std::span<const raft::Message> messages) = 0;

  // The members in force: links to all of them are kept, links to others end. From the core's thread.
  virtual void configure(const raft::Configuration& configuration) = 0;

  // A datagram of this start of a member arrived: beats to it need not take the stream as well. False: it is an older
  // start than the one known, or a second process of the same one; what it says must not count.
  virtual bool heard_datagram(NodeId, Incarnation, Uuid /*process*/) { return true; }

  // What a datagram that arrived says, within its bytes; nothing: it lacks the cluster secret, or was here before.
  virtual std::optional<BytesView> open_datagram(BytesView datagram) { return datagram; }

  [[nodiscard]] virtual std::vector<PeerInfo> peers() const = 0;

  // What the guardian is to send, and where, when it says that: one for each member that datagrams reach.
  [[nodiscard]] virtual std::vector<Certificate> certificates(const raft::LeaseRevoked&) const { return {}; }
  // The same for the word that the virtual IP is free.
  [[nodiscard]] virtual std::vector<Certificate> farewells(const raft::LeaseRevoked&, Duration /*free_in*/) const { return {}; }
};

}  // namespace holdfast::master
