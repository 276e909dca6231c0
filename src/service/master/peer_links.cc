#include "service/master/peer_links.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <deque>

#include "api/raft.grpc.pb.h"
#include "base/log.h"
#include "client/channel.h"
#include "model/address.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

// With its head and the overhead of its encoding such a message fits kBeatBytesMax.
constexpr std::size_t kUrgentBytesMax = 600;
// Names are resolved anew this often while datagrams do not get through.
constexpr Duration kResolveAgain = 1s;

// Messages that decide how long nobody leads. They go both ways, and whichever comes first counts: a datagram is read by
// the very thread that waits for it, a stream passes several threads on each side, which a busy machine lets wait. Raft
// takes any message twice and in any order.
bool is_urgent(const raft::Message& message) {
  if (const auto* append = std::get_if<raft::Append>(&message.body)) {
    return append->entries.size() <= 1 && raft::bytes_of(message) <= kUrgentBytesMax;
  }
  return std::holds_alternative<raft::VoteRequest>(message.body) ||
         std::holds_alternative<raft::VoteReply>(message.body) ||
         std::holds_alternative<raft::TimeoutNow>(message.body) ||
         std::holds_alternative<raft::AppendReply>(message.body);
}

std::string grpc_address(const std::string& address) {
  const auto parsed = Address::parse(address);
  return parsed ? parsed->grpc() : "";
}

}  // namespace

// One call of Raft.Link, from dialling to its end. gRPC keeps it alive until OnDone.
class PeerLinks::OutLink final : public grpc::ClientBidiReactor<RaftFrame, RaftFrame> {
 public:
  OutLink(PeerLinks& owner, NodeId peer, std::string address, std::shared_ptr<grpc::Channel> channel)
      : owner_(owner), peer_(peer), address_(std::move(address)), stub_(Raft::NewStub(channel)) {
    owner_.hooks_.greet(frame_.mutable_greeting());
    frame_.mutable_greeting()->set_expected(uuid_bytes(peer_.value()));
    frame_.mutable_greeting()->set_dialled(address_);
    if (seal() != nullptr) call_ = seal()->seal_call("link", frame_.mutable_greeting());
  }

  void start(std::shared_ptr<OutLink> self) {
    bool called_off = false;
    {
      Guard guard(mutex_);
      called_off = closed_;
      if (!called_off) {
        keep_alive_ = std::move(self);
        writing_ = true;
      }
    }
    if (called_off) {  // between being made and being started: gRPC never heard of it
      owner_.ended(*this, false, "the member is dialled elsewhere");
      return;
    }
    context_.set_wait_for_ready(true);
    stub_->async()->Link(&context_, this);
    AddHold();  // send() starts writes from other threads
    StartWrite(&frame_);
    StartRead(&incoming_);
    StartCall();  // without the mutex: it may call back from here
    Guard guard(mutex_);
    started_ = true;
    if (closed_) let_go();
  }

  void send(const raft::Message& message) {
    Guard guard(mutex_);
    if (!open_ || closed_) return;
    const auto bytes = raft::bytes_of(message);
    if (queued_bytes_ + bytes > kLinkQueueBytesMax) return;
    queue_.push_back(message);
    queued_bytes_ += bytes;
    if (!writing_) write_next();
  }

  void close() {
    Guard guard(mutex_);
    close_locked();
  }

  NodeId peer() const { return peer_; }
  const std::string& address() const { return address_; }

 private:
  const Seal* seal() const { return owner_.hooks_.seal; }

  void OnReadDone(bool ok) override {
    if (!ok) return close();
    if (!greeted_) {
      greeted_ = true;
      if (seal() != nullptr) {
        const auto number = seal()->open_answer("link", call_, incoming_.mutable_greeting());
        if (!number) {
          why_ = number.error().what();
          return close();
        }
        Guard guard(mutex_);
        stream_ = seal()->stream(call_, *number);
      }
      const auto& greeting = incoming_.greeting();
      if (!greeting.refusal().empty()) {
        why_ = greeting.refusal();
        if (greeting.must_stop()) owner_.hooks_.must_stop(why_);
        return close();
      }
      if (NodeId(uuid_of(greeting.node())) != peer_) {
        why_ = "another master answers there: " + text(NodeId(uuid_of(greeting.node())));
        return close();
      }
      {
        Guard guard(mutex_);
        open_ = true;
      }
      if (!owner_.established(*this, greeting)) return close();
    }
    Guard guard(mutex_);
    if (!closed_) StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    Guard guard(mutex_);
    writing_ = false;
    if (!ok) return close_locked();
    if (!closed_ && !queue_.empty()) write_next();
  }

  void OnDone(const grpc::Status& status) override {
    if (why_.empty() && !status.ok()) why_ = status.error_message();
    bool was_open = false;
    {
      Guard guard(mutex_);
      was_open = open_;
    }
    const auto self = std::move(keep_alive_);
    owner_.ended(*this, was_open, why_);
  }

  void write_next() HOLDFAST_REQUIRES(mutex_) {
    frame_.Clear();
    std::size_t bytes = 0;
    while (!queue_.empty() && (bytes == 0 || bytes < kFrameBytesMax)) {
      const auto size = raft::bytes_of(queue_.front());
      to_wire(queue_.front(), frame_.add_messages());
      queue_.pop_front();
      queued_bytes_ -= size;
      bytes += size;
    }
    stream_.seal(&frame_);
    writing_ = true;
    StartWrite(&frame_);
  }

  void close_locked() HOLDFAST_REQUIRES(mutex_) {
    if (closed_) return;
    closed_ = true;
    if (started_) let_go();  // else start() does
  }
  void let_go() HOLDFAST_REQUIRES(mutex_) {
    context_.TryCancel();
    RemoveHold();
  }

  PeerLinks& owner_;
  const NodeId peer_;
  const std::string address_;
  const std::unique_ptr<Raft::Stub> stub_;
  std::shared_ptr<OutLink> keep_alive_;
  grpc::ClientContext context_;
  RaftFrame incoming_;
  bool greeted_ = false;  // OnReadDone only
  std::string call_;      // constant after construction
  std::string why_;

  Mutex mutex_;
  RaftFrame frame_ HOLDFAST_GUARDED_BY(mutex_);
  Seal::Stream stream_ HOLDFAST_GUARDED_BY(mutex_);
  std::deque<raft::Message> queue_ HOLDFAST_GUARDED_BY(mutex_);
  std::size_t queued_bytes_ HOLDFAST_GUARDED_BY(mutex_) = 0;
  bool writing_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool open_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool started_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool closed_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

class PeerLinks::InLink final : public IncomingLink {
 public:
  InLink(std::shared_ptr<Gate> gate, NodeId self, NodeId peer) : gate_(std::move(gate)), self_(self), peer_(peer) {}
  ~InLink() override {
    Guard guard(gate_->mutex);
    if (gate_->links != nullptr) gate_->links->incoming_ended(peer_);
  }

  bool received(const RaftFrame& frame) override {
    std::vector<raft::Message> messages;
    messages.reserve(static_cast<std::size_t>(frame.messages_size()));
    for (const auto& wire : frame.messages()) {
      auto message = from_wire(wire);
      if (!message) {
        LOG_V(1, "from master {}: {}", text(peer_), message.error().what());
        continue;
      }
      if (message->from != peer_ || message->to != self_) continue;
      messages.push_back(std::move(*message));
    }
    Guard guard(gate_->mutex);
    if (gate_->links == nullptr) return false;
    if (!messages.empty()) gate_->links->hooks_.received(std::move(messages));
    return true;
  }

 private:
  const std::shared_ptr<Gate> gate_;
  const NodeId self_;
  const NodeId peer_;
};

PeerLinks::PeerLinks(NodeId self, Uuid process, ClusterId cluster, io::Clock& clock,
                     const io::posix::UdpSocket* beats, Duration beat_interval, Hooks hooks)
    : self_(self),
      process_(process),
      cluster_(cluster),
      clock_(clock),
      beats_(beats),
      datagram_silence_(beat_interval * 7 / 4),
      hooks_(std::move(hooks)) {
  {
    Guard guard(gate_->mutex);
    gate_->links = this;
  }
  thread_ = std::thread([this] { run(); });
}

PeerLinks::~PeerLinks() { stop(); }

void PeerLinks::stop() {
  {
    Guard guard(gate_->mutex);
    gate_->links = nullptr;
  }
  std::vector<std::shared_ptr<OutLink>> links;
  {
    Guard guard(mutex_);
    stopping_ = true;
    for (auto& [id, peer] : peers_) {
      if (peer.link) links.push_back(peer.link);
    }
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  {
    // The thread may have dialled once more before it saw the flag.
    Guard guard(mutex_);
    links.clear();
    for (auto& [id, peer] : peers_) {
      if (peer.link) links.push_back(peer.link);
    }
  }
  for (const auto& link : links) link->close();
  Guard guard(mutex_);
  while (calls_ > 0) changed_.wait(mutex_);
}

// ---------------------------------------------------------------------------------------------------- sending

void PeerLinks::send(std::span<const raft::Message> messages) {
  const Instant now = clock_.now();
  // A beat to each member costs one system call this way, and a leader at rest does little else.
  std::array<Parcel, io::posix::DatagramBatch::kCount> parcels;
  while (!messages.empty()) {
    const auto some = messages.first(std::min(messages.size(), parcels.size()));
    messages = messages.subspan(some.size());
    {
      Guard guard(mutex_);
      for (std::size_t i = 0; i < some.size(); ++i) parcels[i] = pack(some[i], now);
    }
    send(some, parcels);
  }
}

PeerLinks::Parcel PeerLinks::pack(const raft::Message& message, Instant now) {
  Parcel out;
  const auto found = peers_.find(message.to);
  if (found == peers_.end()) return out;
  auto& peer = found->second;
  if (peer.established) out.link = peer.link;
  if (beats_ != nullptr && raft::is_beat(message)) {
    out.to = peer.datagrams;
    out.by_stream = out.to.length == 0 || now - peer.datagram_heard > datagram_silence_;
  } else if (beats_ != nullptr && is_urgent(message)) {
    out.to = peer.datagrams;
  }
  if (out.to.length == 0) return out;
  out.datagram = encode_datagram(cluster_, process_, message);
  if (out.datagram.size() > raft::kBeatBytesMax) out.datagram.clear();
  if (!out.datagram.empty()) out.datagram = sealed(peer, std::move(out.datagram));
  return out;
}

void PeerLinks::send(std::span<const raft::Message> messages, std::span<Parcel> parcels) {
  std::array<io::posix::UdpSocket::Outgoing, io::posix::DatagramBatch::kCount> outgoing;
  std::size_t count = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto& parcel = parcels[i];
    if (!parcel.datagram.empty()) outgoing[count++] = {.to = parcel.to, .datagram = bytes_of(parcel.datagram)};
  }
  if (count > 0) beats_->send(std::span(outgoing).first(count));
  std::size_t next = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto& parcel = parcels[i];
    const bool taken = !parcel.datagram.empty() && outgoing[next++].taken;
    if (parcel.link && (parcel.by_stream || !taken)) parcel.link->send(messages[i]);
    parcel = Parcel();  // a link must not be held for longer
  }
}

void PeerLinks::send_datagram(NodeId to, BytesView datagram) {
  io::posix::UdpPeer where;
  std::string bytes;
  {
    Guard guard(mutex_);
    const auto found = peers_.find(to);
    if (found == peers_.end()) return;
    where = found->second.datagrams;
    bytes = sealed(found->second, std::string(text_of(datagram)));
  }
  if (beats_ != nullptr && where.length != 0 && !bytes.empty()) (void)beats_->send(where, bytes_of(bytes));
}

// Keys belong to the two processes, as their greetings have told: what an earlier one said or was told opens nothing.
void PeerLinks::make_keys(Peer& peer) {
  if (peer.sealed_for == peer.info.process) return;
  peer.sealed_for = peer.info.process;
  peer.datagram_key = hooks_.seal->datagram_key(process_, peer.info.process);
  peer.datagrams_sent = 0;
  peer.gate = std::make_shared<DatagramGate>(hooks_.seal->datagram_key(peer.info.process, process_));
}

// Empty: it cannot be sent that way yet.
std::string PeerLinks::sealed(Peer& peer, std::string content) {
  if (hooks_.seal == nullptr || !hooks_.seal->is_on()) return content;
  if (peer.info.process.empty()) return "";
  make_keys(peer);
  return seal_datagram(peer.datagram_key, process_, ++peer.datagrams_sent, content);
}

std::optional<BytesView> PeerLinks::open_datagram(BytesView datagram) {
  if (hooks_.seal == nullptr || !hooks_.seal->is_on()) return datagram;
  const auto sender = datagram_sender(datagram);
  if (!sender || sender->empty()) return std::nullopt;
  Guard guard(mutex_);
  for (auto& [id, peer] : peers_) {
    if (peer.info.process != *sender) continue;
    make_keys(peer);
    const auto opened = peer.gate->open(datagram);
    return opened ? std::optional(opened->content) : std::nullopt;
  }
  return std::nullopt;
}

// What is made beforehand for a member to say later, without a number: taken twice it does no harm. "" where none can reach it.
std::string PeerLinks::sealed_beforehand(const Peer& peer, std::string datagram) const {
  if (hooks_.seal == nullptr || !hooks_.seal->is_on()) return datagram;
  if (peer.info.process.empty()) return "";
  return seal_datagram(hooks_.seal->datagram_key(process_, peer.info.process), process_, 0, datagram);
}

std::vector<Certificate> PeerLinks::to_members(const std::function<std::string(NodeId)>& make) const {
  std::vector<Certificate> all;
  Guard guard(mutex_);
  for (const auto& [id, peer] : peers_) {
    if (!peer.member || peer.datagrams.length == 0) continue;
    auto datagram = sealed_beforehand(peer, make(id));
    if (!datagram.empty()) all.push_back({peer.datagrams, std::move(datagram)});
  }
  return all;
}

std::vector<Certificate> PeerLinks::certificates(const raft::LeaseRevoked& revoked) const {
  return to_members([&](NodeId id) { return encode_certificate(cluster_, process_, revoked, id); });
}

std::vector<Certificate> PeerLinks::farewells(const raft::LeaseRevoked& term, Duration free_in) const {
  return to_members([&](NodeId id) { return encode_address_free(cluster_, process_, term, free_in, id); });
}

bool PeerLinks::heard_datagram(NodeId from, Incarnation incarnation, Uuid process) {
  Guard guard(mutex_);
  const auto found = peers_.find(from);
  if (found == peers_.end()) return true;
  auto& info = found->second.info;
  if (is_impostor(info, incarnation, process)) return false;
  info.incarnation = incarnation;
  info.process = process;
  found->second.datagram_heard = clock_.now();
  return true;
}

// ---------------------------------------------------------------------------------------------------- who

void PeerLinks::configure(const raft::Configuration& configuration) {
  if (configuration.empty()) return;  // a member that waits to be added keeps the links it has
  {
    Guard guard(mutex_);
    for (auto& [id, peer] : peers_) {
      if (!peer.member || configuration.find(id) != nullptr) continue;
      peer.member = false;
      peer.linger_until = clock_.now() + kLinger;
    }
    for (const auto& member : configuration.members()) {
      if (member.id == self_) continue;
      auto& peer = peers_[member.id];
      peer.info.id = member.id;
      peer.member = true;
      peer.configured = member.address;
    }
    look_again_ = true;
  }
  changed_.notify_all();
}

bool PeerLinks::is_impostor(const PeerInfo& known, Incarnation incarnation, Uuid process) {
  if (known.process.empty() || incarnation > known.incarnation) return false;
  return incarnation < known.incarnation || process != known.process;
}

std::string PeerLinks::impostor(const PeerInfo& known, const RaftGreeting& greeting) {
  const Incarnation incarnation(greeting.incarnation());
  if (!is_impostor(known, incarnation, uuid_of(greeting.process()))) return "";
  return "start number " + text(incarnation) + " of master " + text(known.id) + " comes after number " +
         text(known.incarnation) + ", by another process: its folder is a copy, or was put back to an older state, and "
         "may lack what it has promised. Stop it, remove its member folder and start it again: it joins as a new member";
}

std::string PeerLinks::impostor(const RaftGreeting& greeting) const {
  Guard guard(mutex_);
  const auto found = peers_.find(NodeId(uuid_of(greeting.node())));
  return found == peers_.end() ? "" : impostor(found->second.info, greeting);
}

void PeerLinks::note(Peer& peer, const RaftGreeting& greeting) {
  if (!impostor(peer.info, greeting).empty()) return;
  peer.info.address = greeting.address();
  peer.info.incarnation = Incarnation(greeting.incarnation());
  peer.info.process = uuid_of(greeting.process());
  peer.info.feature_level = greeting.feature_level();
}

void PeerLinks::learn(const RaftGreeting& greeting, bool link) {
  const NodeId id(uuid_of(greeting.node()));
  if (id.value().empty() || id == self_) return;
  std::shared_ptr<OutLink> former;  // waits at an address that the member does not announce any more
  {
    Guard guard(mutex_);
    auto found = peers_.find(id);
    if (found == peers_.end()) {
      if (!link || peers_.size() > 4 * raft::kMembersMax) return;
      found = peers_.emplace(id, Peer{.info = {.id = id}}).first;
    }
    note(found->second, greeting);
    if (link) found->second.linger_until = clock_.now() + kLinger;
    // It is up: no reason to wait any longer with dialling, and the address it announced comes first.
    auto& peer = found->second;
    if (!peer.link) peer.dial_at = clock_.now();
    if (!peer.established) peer.attempt = 0;
    if (peer.link && !peer.established && peer.link->address() != peer.info.address) {
      former = peer.link;
      peer.attempt = addresses(peer).size() - 1;  // its end counts one up
    }
    peer.backoff = kRedialMin;
    look_again_ = true;
  }
  if (former) former->close();
  changed_.notify_all();
}

void PeerLinks::hint(NodeId id, const std::string& address) {
  if (id == self_) return;
  {
    Guard guard(mutex_);
    const auto found = peers_.find(id);
    if (found == peers_.end()) return;
    auto& hints = found->second.hints;
    if (std::find(hints.begin(), hints.end(), address) != hints.end()) return;
    hints.push_back(address);
    look_again_ = true;
  }
  changed_.notify_all();
}

std::vector<PeerInfo> PeerLinks::peers() const {
  Guard guard(mutex_);
  std::vector<PeerInfo> out;
  for (const auto& [id, peer] : peers_) {
    out.push_back(peer.info);
    out.back().connected = peer.established || peer.incoming > 0;
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------- dialling

std::vector<std::string> PeerLinks::addresses(const Peer& peer) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& address) {
    if (!address.empty() && std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
  };
  add(peer.info.address);
  add(peer.configured);
  for (const auto& hint : peer.hints) add(hint);
  return out;
}

void PeerLinks::run() {
  for (;;) {
    const Instant now = clock_.now();
    resolve_due(now);
    const Instant next = dial_due(now);
    Guard guard(mutex_);
    if (stopping_) return;
    if (look_again_) {
      look_again_ = false;
      continue;
    }
    const Duration left = next - clock_.now();
    if (left > Duration(0)) (void)changed_.wait_for(mutex_, std::min<Duration>(left, 10s));
  }
}

// Dials whoever is due, and gives up on addresses that do not answer when there are others. Answers when to look again.
Instant PeerLinks::dial_due(Instant now) {
  std::vector<std::shared_ptr<OutLink>> starting;
  std::vector<std::shared_ptr<OutLink>> giving_up;
  Instant next = kDistantFuture;
  {
    Guard guard(mutex_);
    if (stopping_) return now;
    for (auto& [id, peer] : peers_) {
      if (!wanted(peer, now)) {
        if (peer.link) giving_up.push_back(peer.link);
        continue;
      }
      if (!peer.member && peer.incoming == 0) next = std::min(next, peer.linger_until);
      const auto known = addresses(peer);
      if (known.empty()) continue;
      if (peer.link) {
        if (peer.established) continue;
        if (std::find(known.begin(), known.end(), peer.link->address()) == known.end()) {
          giving_up.push_back(peer.link);  // it moved
          continue;
        }
        if (known.size() < 2) continue;
        if (now >= peer.dialled_at + kDialPatience) {
          giving_up.push_back(peer.link);
          peer.dialled_at = now;
        }
        next = std::min(next, peer.dialled_at + kDialPatience);
        continue;
      }
      if (peer.dial_at > now) {
        next = std::min(next, peer.dial_at);
        continue;
      }
      const auto& address = known[peer.attempt % known.size()];
      const auto target = grpc_address(address);
      if (target.empty()) {
        ++peer.attempt;
        peer.dial_at = now + kRedialMax;
        next = std::min(next, peer.dial_at);
        continue;
      }
      if (peer.channel_address != target) {
        peer.channel = client::make_channel(target);
        peer.channel_address = target;
      }
      peer.link = std::make_shared<OutLink>(*this, id, address, peer.channel);
      peer.dialled_at = now;
      if (known.size() > 1) next = std::min(next, now + kDialPatience);
      ++calls_;
      starting.push_back(peer.link);
    }
    if (beats_ != nullptr) {
      for (auto& [id, peer] : peers_) {
        if (wanted(peer, now) && now - peer.datagram_heard > datagram_silence_) next = std::min(next, now + kResolveAgain);
      }
    }
  }
  for (const auto& link : starting) link->start(link);
  for (const auto& link : giving_up) link->close();
  return next;
}

// The resolver may take its time, so it is asked here and nowhere else.
void PeerLinks::resolve_due(Instant now) {
  if (beats_ == nullptr) return;
  std::vector<std::pair<NodeId, std::string>> asking;
  {
    Guard guard(mutex_);
    for (auto& [id, peer] : peers_) {
      if (!wanted(peer, now)) continue;
      const auto known = addresses(peer);
      if (known.empty()) continue;
      const auto& address = peer.link ? peer.link->address() : known[peer.attempt % known.size()];
      const bool silent = now - peer.datagram_heard > datagram_silence_;
      if (address == peer.datagram_address && !(silent && now >= peer.resolve_at)) continue;
      peer.resolve_at = now + kResolveAgain;
      asking.emplace_back(id, address);
    }
  }
  for (const auto& [id, address] : asking) {
    const auto parsed = Address::parse(address);
    if (!parsed) continue;
    const auto resolved = io::posix::resolve_udp(parsed->host, parsed->grpc_port_or_default());
    Guard guard(mutex_);
    const auto found = peers_.find(id);
    if (found == peers_.end() || !resolved) continue;
    found->second.datagrams = *resolved;
    found->second.datagram_address = address;
  }
}

bool PeerLinks::established(OutLink& link, const RaftGreeting& greeting) {
  {
    Guard guard(mutex_);
    const auto found = peers_.find(link.peer());
    if (found == peers_.end() || found->second.link.get() != &link) return false;
    if (!impostor(found->second.info, greeting).empty()) return false;
    note(found->second, greeting);
    found->second.established = true;
    found->second.backoff = kRedialMin;
    look_again_ = true;
  }
  changed_.notify_all();
  hooks_.greeted(greeting);
  return true;
}

void PeerLinks::ended(OutLink& link, bool was_established, const std::string& why) {
  const NodeId id = link.peer();
  LOG_V(1, "link to master {} at {} ended: {}", text(id), link.address(), why);
  bool tell = false;
  {
    Guard guard(mutex_);
    const auto found = peers_.find(id);
    if (found != peers_.end() && found->second.link.get() == &link) {
      auto& peer = found->second;
      peer.link.reset();
      peer.established = false;
      if (!was_established) {
        ++peer.attempt;
        peer.backoff = std::min(2 * peer.backoff, kRedialMax);
      }
      peer.dial_at = clock_.now() + peer.backoff;
      tell = was_established && !stopping_;
      if (!wanted(peer, clock_.now())) peers_.erase(found);
    }
    look_again_ = true;
  }
  if (tell) hooks_.lost(id);
  Guard guard(mutex_);
  --calls_;
  changed_.notify_all();  // under the lock: stop() may end the condition's life right after
}

// ---------------------------------------------------------------------------------------------------- incoming

std::unique_ptr<IncomingLink> PeerLinks::accept(const RaftGreeting& greeting) {
  learn(greeting, true);
  const NodeId id(uuid_of(greeting.node()));
  Guard guard(mutex_);
  if (stopping_) return nullptr;
  const auto found = peers_.find(id);
  if (found == peers_.end()) return nullptr;
  ++found->second.incoming;
  return std::make_unique<InLink>(gate_, self_, id);
}

void PeerLinks::incoming_ended(NodeId id) {
  bool tell = false;
  {
    Guard guard(mutex_);
    const auto found = peers_.find(id);
    if (found != peers_.end()) {
      --found->second.incoming;
      look_again_ = true;
      tell = !stopping_;
    }
  }
  changed_.notify_all();
  if (tell) hooks_.lost(id);
}

}  // namespace holdfast::master
