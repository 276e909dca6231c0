// PeerLinks: the connections to the other masters (docs/raft-transport.md).
//
// To each other member one outgoing gRPC stream is kept; its own stream to us is the way back. Beats go by UDP, and by
// the stream as well while no datagram of that member arrives; small messages that decide how long nobody leads (votes,
// hand-over, single entries and their acks) go both ways. The end of a stream in either direction is told at once
// (LinkLost): a hint that the process may be gone, which is much faster to come than silence.
//
// A member is known by its UUID. Where it is dialled is tried in turn: the address it announced itself, the one in the
// configuration, and those of -peers that once answered with its UUID. Whoever else answers there is not talked to.
//
// Threads: everything may be called from any thread. Hooks run on gRPC's threads and must be short.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "io/clock.h"
#include "io/posix/udp.h"
#include "service/master/link_acceptor.h"
#include "service/master/seal.h"
#include "service/master/transport.h"

namespace grpc {
class Channel;
}

namespace holdfast::master {

// Messages waiting for one stream; beyond it they are dropped, as the network might have. Above what flow control lets
// out to one member.
inline constexpr std::size_t kLinkQueueBytesMax = 96u << 20;
inline constexpr std::size_t kFrameBytesMax = 1u << 20;  // then the next frame begins (one message always goes)
inline constexpr Duration kRedialMin = 10ms;
inline constexpr Duration kRedialMax = 250ms;
inline constexpr Duration kDialPatience = 1s;         // then the next address is tried, if there is another
inline constexpr Duration kLinger = 2s;

class PeerLinks final : public Transport {
 public:
  struct Hooks {
    std::function<void(std::vector<raft::Message>)> received;
    std::function<void(NodeId)> lost;
    std::function<void(RaftGreeting*)> greet;               // fills in what we say of ourselves
    std::function<void(const RaftGreeting&)> greeted;       // the answer on an outgoing stream
    std::function<void(const std::string&)> must_stop;      // another master found that our folder is a copy
    const Seal* seal = nullptr;                             // the cluster secret; outlives this
  };

  // `beats` may be null: no datagrams then. It and `clock` outlive this. `beat_interval` decides when datagrams count as
  // lost: one may be, and the next late; then the streams carry beats too, well before three intervals are over.
  PeerLinks(NodeId self, Uuid process, ClusterId cluster, io::Clock& clock, const io::posix::UdpSocket* beats,
            Duration beat_interval, Hooks hooks);
  ~PeerLinks() override;  // stops

  // Ends all links and joins the thread; nothing is called back any more when it returns.
  void stop();

  // --- Transport ---
  void send(std::span<const raft::Message> messages) override;
  void configure(const raft::Configuration& configuration) override;
  bool heard_datagram(NodeId from, Incarnation incarnation, Uuid process) override;
  std::optional<BytesView> open_datagram(BytesView datagram) override;
  [[nodiscard]] std::vector<PeerInfo> peers() const override;
  [[nodiscard]] std::vector<Certificate> certificates(const raft::LeaseRevoked& revoked) const override;
  [[nodiscard]] std::vector<Certificate> farewells(const raft::LeaseRevoked& term, Duration free_in) const override;

  // A datagram of another kind, to a member whose address is known.
  void send_datagram(NodeId to, BytesView datagram);

  // What a greeting says about its sender. A sender that is no member is linked to as well, until the configuration
  // says otherwise: it may be the leader that is about to add us.
  void learn(const RaftGreeting& greeting, bool link);

  // Why the sender cannot be the member it says it is, in a sentence; empty if it may be. Each start of a member counts
  // its incarnation up, so the same number by another process, or a lower one, means that a folder was copied or put
  // back to an older state. Known for as long as this process lives.
  [[nodiscard]] std::string impostor(const RaftGreeting& greeting) const;

  // `address` answered with this UUID.
  void hint(NodeId id, const std::string& address);

  // An incoming stream of a member of our cluster. Null when stopping.
  std::unique_ptr<IncomingLink> accept(const RaftGreeting& greeting);

 private:
  class OutLink;
  class InLink;
  struct Peer {
    PeerInfo info;
    bool member = false;
    // A stranger is linked to while it is linked to us, and a member that was removed for a moment longer: it is owed
    // the notice of it.
    Instant linger_until = kDistantPast;
    std::string configured;          // address in the configuration
    std::vector<std::string> hints;  // other addresses it answered under
    std::shared_ptr<OutLink> link;   // shared with gRPC until OnDone
    bool established = false;
    int incoming = 0;
    std::size_t attempt = 0;  // which address is next
    Instant dial_at = kDistantPast;
    Instant dialled_at = kDistantPast;
    Duration backoff = kRedialMin;
    std::string channel_address;
    std::shared_ptr<grpc::Channel> channel;  // shared with its calls
    std::string datagram_address;            // what `datagrams` was resolved from
    io::posix::UdpPeer datagrams;
    Instant datagram_heard = kDistantPast;
    // With a cluster secret: what is said to that process and what it says.
    Uuid sealed_for;
    std::string datagram_key;
    std::uint64_t datagrams_sent = 0;
    std::shared_ptr<DatagramGate> gate;
    Instant resolve_at = kDistantPast;
  };

  void run();
  Instant dial_due(Instant now);
  void resolve_due(Instant now);
  static std::vector<std::string> addresses(const Peer& peer);
  static bool wanted(const Peer& peer, Instant now) {
    return peer.member || peer.incoming > 0 || now < peer.linger_until;
  }
  bool established(OutLink& link, const RaftGreeting& greeting);
  void ended(OutLink& link, bool was_established, const std::string& why);
  // How one message goes out: as a datagram, over the stream, or both.
  struct Parcel {
    std::shared_ptr<OutLink> link;  // null: there is no stream
    bool by_stream = true;          // whether or not the datagram is taken
    io::posix::UdpPeer to;
    std::string datagram;           // empty: none
  };
  Parcel pack(const raft::Message& message, Instant now) HOLDFAST_REQUIRES(mutex_);
  // At most as many as go into one system call; `parcels` is empty afterwards.
  void send(std::span<const raft::Message> messages, std::span<Parcel> parcels);
  std::string sealed(Peer& peer, std::string content) HOLDFAST_REQUIRES(mutex_);
  void make_keys(Peer& peer) HOLDFAST_REQUIRES(mutex_);
  std::string sealed_beforehand(const Peer& peer, std::string datagram) const HOLDFAST_REQUIRES(mutex_);
  std::vector<Certificate> to_members(const std::function<std::string(NodeId)>& make) const;
  static bool is_impostor(const PeerInfo& known, Incarnation incarnation, Uuid process);
  static std::string impostor(const PeerInfo& known, const RaftGreeting& greeting);
  static void note(Peer& peer, const RaftGreeting& greeting);
  void incoming_ended(NodeId id);

  const NodeId self_;
  const Uuid process_;
  const ClusterId cluster_;
  io::Clock& clock_;
  const io::posix::UdpSocket* const beats_;
  const Duration datagram_silence_;
  const Hooks hooks_;

  mutable Mutex mutex_;  // before OutLink's own
  Condition changed_;
  std::map<NodeId, Peer> peers_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool look_again_ HOLDFAST_GUARDED_BY(mutex_) = false;
  int calls_ HOLDFAST_GUARDED_BY(mutex_) = 0;  // OutLinks that gRPC still knows

  // Incoming links outlive stop(), since their end is the other side's affair: they reach us through this.
  struct Gate {
    Mutex mutex;  // before mutex_
    PeerLinks* links HOLDFAST_GUARDED_BY(mutex) = nullptr;
  };
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();  // shared with the incoming links

  std::thread thread_;
};

}  // namespace holdfast::master
