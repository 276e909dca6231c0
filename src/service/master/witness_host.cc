#include "service/master/witness_host.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "api/raft.pb.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mutex.h"
#include "io/posix/udp.h"
#include "service/master/peer_links.h"
#include "service/master/priority.h"
#include "service/master/raft_wire.h"
#include "service/master/seal_acceptor.h"
#include "service/master/witness_loop.h"
#include "storage/raft/identity.h"

namespace holdfast::master {
namespace {

constexpr std::size_t kMessagesWaitingMax = 4096;  // beyond, they are dropped, as the network might have
constexpr Duration kBeatInterval = 33ms;
constexpr Duration kInUse = 5s;
// Taken in one turn: more than two masters send while one turn lasts.
constexpr int kDatagramBatchesMax = 16;

class Host final : public WitnessHost, public LinkAcceptor {
 public:
  Host(WitnessConfig config, io::Disk& disk, io::Clock& clock, io::Random& random)
      : config_(std::move(config)), disk_(disk), clock_(clock), random_(random), process_(random.uuid()) {
    event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(event_ >= 0);
  }
  ~Host() override {
    stop();
    ::close(event_);
  }

  Status open() {
    auto identity = storage::load_identity(disk_, identity_path());
    if (!identity && identity.error().code() != Code::not_found) {
      LOG_WARNING("{}; this volume server will be a witness under a new name when it is asked", identity.error().what());
    }
    if (identity) {
      // What it promised belongs to this name: without it, the name is of no use any more.
      const bool kept = disk_.info(state_path()).ok();
      auto begun = kept ? begin(std::move(*identity)) : Status(Error{Code::corrupt, "what the witness promised is gone"});
      if (!begun && begun.error().code() != Code::corrupt) return begun.error();
      if (!begun) LOG_WARNING("{}; it will be a witness under a new name when it is asked", begun.error().what());
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  void stop() override {
    {
      Guard guard(mutex_);
      if (stopping_) return;
      stopping_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
    end();
  }

  LinkAcceptor& acceptor() override { return sealed_; }

  // --- LinkAcceptor ---
  void meet(const RaftGreeting& from, RaftGreeting* answer) override {
    greet(answer);
    const auto ours = config_.cluster();
    if (ours.value().empty() || from.cluster() != uuid_bytes(ours.value())) {
      answer->clear_node();
      return;
    }
    // Only a leader knows who is a member; one that asks while this name has spoken and is none of them needs another.
    const auto configuration = raft::decode_configuration(from.configuration());
    const bool leads = !from.leader().empty() && from.leader() == from.node();
    Guard guard(mutex_);
    const bool member = configuration && configuration->find(node_) != nullptr;
    // A leader of the past does not know that others count on this name.
    const bool in_use = clock_.now() - heard_ < kInUse;
    const bool usable = !node_.value().empty() && cluster_ == ours && (member || virgin_);
    if (usable) return;
    answer->clear_node();
    if (leads && configuration && !in_use) {
      wanted_ = ours;
      wake();
    }
  }

  void join(const RaftGreeting&, RaftJoinReply* answer) override {
    answer->set_text("this is a volume server, not a master: give -peers the masters' addresses");
  }

  std::unique_ptr<IncomingLink> opened(const RaftGreeting& from, RaftGreeting* answer) override {
    greet(answer);
    std::shared_ptr<PeerLinks> links;
    {
      Guard guard(mutex_);
      links = links_;
      if (!links || from.cluster() != uuid_bytes(cluster_.value())) {
        answer->set_refusal("the volume server at " + text(config_.self) + " is no witness of that cluster");
        return nullptr;
      }
      if (!from.expected().empty() && from.expected() != uuid_bytes(node_.value())) {
        answer->set_refusal("this is another witness than expected: " + text(node_));
        return nullptr;
      }
    }
    if (const auto why = links->impostor(from); !why.empty()) {
      answer->set_refusal(why);
      answer->set_must_stop(true);
      return nullptr;
    }
    auto link = links->accept(from);
    if (!link) answer->set_refusal("this witness is stopping");
    return link;
  }

 private:
  std::string identity_path() const { return io::join(config_.folder, "identity.json"); }
  std::string state_path() const { return io::join(config_.folder, "state"); }

  void greet(RaftGreeting* greeting) {
    Guard guard(mutex_);
    greeting->set_format(kGreetingFormat);
    greeting->set_process(uuid_bytes(process_));
    greeting->set_feature_level(config_.feature_level);
    greeting->set_address(text(config_.self));
    greeting->set_phase(RAFT_PHASE_WITNESS);
    if (node_.value().empty()) return;
    greeting->set_node(uuid_bytes(node_.value()));
    greeting->set_cluster(uuid_bytes(cluster_.value()));
    greeting->set_incarnation(incarnation_.value());
  }

  // A start of this name: counted on disk before it says a word.
  Status begin(storage::Identity identity) {
    identity.incarnation = identity.incarnation.next();
    identity.self = text(config_.self);
    auto file = storage::WitnessFile::open(disk_, state_path(), identity.node, identity.cluster);
    if (!file) return file.error();
    if (auto done = storage::store_identity(disk_, identity_path(), identity); !done) return done;
    raft::Witness::Options options;
    options.self = identity.node;
    options.incarnation = identity.incarnation;
    options.beat_interval = kBeatInterval;
    options.leader_heard_within = 2 * kBeatInterval;
    PeerLinks::Hooks hooks;
    hooks.received = [this](std::vector<raft::Message> messages) { received(std::move(messages)); };
    hooks.lost = [](NodeId) {};
    hooks.greet = [this](RaftGreeting* greeting) { greet(greeting); };
    hooks.greeted = [](const RaftGreeting&) {};
    hooks.must_stop = [this](const std::string& why) { disown(why); };
    hooks.seal = &seal_;
    auto links = std::make_shared<PeerLinks>(identity.node, process_, identity.cluster, clock_, listen(), kBeatInterval,
                                             std::move(hooks));
    loop_ = std::make_unique<WitnessLoop>(std::move(options), std::move(*file), clock_, *links);
    LOG_INFO("this volume server is witness {} of cluster {}, start number {}, term {}", text(identity.node),
             text(identity.cluster), text(identity.incarnation), text(loop_->state().term));
    node_of_links_ = identity.node;
    cluster_of_links_ = identity.cluster;
    Guard guard(mutex_);
    node_ = identity.node;
    cluster_ = identity.cluster;
    incarnation_ = identity.incarnation;
    virgin_ = loop_->virgin();
    links_ = std::move(links);
    return {};
  }

  // On the thread, or after it: what is left of this name falls silent.
  void end() {
    std::shared_ptr<PeerLinks> links;
    {
      Guard guard(mutex_);
      links = std::move(links_);
      links_.reset();
      node_ = NodeId();
      virgin_ = false;
      inbox_.clear();
    }
    loop_.reset();
    if (links) links->stop();
  }

  // The old name is gone from the disk before the new one is there.
  Status begin_anew(ClusterId cluster) {
    end();
    if (auto done = disk_.make_folders(config_.folder); !done) return done;
    for (const auto& path : {identity_path(), state_path()}) {
      if (!disk_.info(path)) continue;
      if (auto done = disk_.remove(path); !done) return done;
    }
    if (auto done = disk_.sync_dir(config_.folder); !done) return done;
    auto identity = storage::new_identity(random_);
    identity.cluster = cluster;
    return begin(std::move(identity));
  }

  // One socket for all names, once there is one: links that end late may still use it.
  const io::posix::UdpSocket* listen() {
    if (!datagrams_) {
      auto bound = io::posix::UdpSocket::bind(config_.bind_host, config_.self.grpc_port_or_default());
      if (bound) {
        datagrams_.emplace(std::move(*bound));
      } else {
        LOG_WARNING("the witness answers heartbeats the slower way, through streams: {}", bound.error().what());
      }
    }
    return datagrams_ ? &*datagrams_ : nullptr;
  }

  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(event_, &one, sizeof one);
  }

  void wait() const {
    std::array<pollfd, 2> watched{pollfd{.fd = event_, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = datagrams_ ? datagrams_->descriptor() : -1, .events = POLLIN, .revents = 0}};
    (void)::poll(watched.data(), watched.size(), -1);
    // Before the inbox is emptied: what is posted from now on raises the event again.
    std::uint64_t count = 0;
    if ((watched[0].revents & POLLIN) != 0) (void)!::read(event_, &count, sizeof count);
  }

  void take_datagrams(std::vector<raft::Message>* messages) {
    if (!datagrams_) return;
    std::shared_ptr<PeerLinks> links;
    {
      Guard guard(mutex_);
      links = links_;
    }
    const auto before = messages->size();
    for (int i = 0; i < kDatagramBatchesMax; ++i) {
      datagrams_->receive(&batch_);
      for (std::size_t at = 0; links && at < batch_.size(); ++at) take_datagram(batch_[at], *links, messages);
      if (!batch_.is_full()) break;
    }
    if (messages->size() == before) return;
    Guard guard(mutex_);
    heard_ = clock_.now();
  }

  // Certificates of guardians are for who may be elected.
  void take_datagram(BytesView received, PeerLinks& links, std::vector<raft::Message>* messages) {
    const auto content = links.open_datagram(received);
    if (!content) return;
    auto datagram = decode_datagram(cluster_of_links_, *content);
    if (!datagram || datagram->revoked || datagram->address_free_in || datagram->message.to != node_of_links_) return;
    const auto& message = datagram->message;
    if (!links.heard_datagram(message.from, message.incarnation, datagram->process)) return;
    messages->push_back(std::move(datagram->message));
  }

  void received(std::vector<raft::Message> messages) {
    {
      Guard guard(mutex_);
      if (inbox_.size() + messages.size() > kMessagesWaitingMax) return;
      heard_ = clock_.now();
      inbox_.insert(inbox_.end(), std::make_move_iterator(messages.begin()), std::make_move_iterator(messages.end()));
    }
    wake();
  }

  void disown(const std::string& why) {
    LOG_ERROR("the witness falls silent: {}", why);
    Guard guard(mutex_);
    disowned_ = true;
    wake();
  }

  void run() {
    go_before_bulk_work();
    for (;;) {
      wait();
      std::vector<raft::Message> messages;
      std::optional<ClusterId> wanted;
      bool disowned = false;
      {
        Guard guard(mutex_);
        if (stopping_) return;
        messages.swap(inbox_);
        wanted.swap(wanted_);
        disowned = std::exchange(disowned_, false);
      }
      if (disowned) {
        end();
        continue;
      }
      if (wanted) {
        if (auto done = begin_anew(*wanted); !done) LOG_ERROR("cannot be a witness: {}", done.error().what());
        continue;
      }
      take_datagrams(&messages);
      if (loop_ && !messages.empty()) step(messages);
    }
  }

  void step(const std::vector<raft::Message>& messages) {
    const auto outcome = loop_->step(messages);
    if (!loop_->virgin()) {
      Guard guard(mutex_);
      virgin_ = false;
    }
    if (outcome != WitnessLoop::Outcome::removed) return;
    LOG_INFO("this volume server is no witness any more: the masters removed it");
    end();
    for (const auto& path : {identity_path(), state_path()}) {
      if (auto done = disk_.remove(path); !done) LOG_WARNING("{}", done.error().what());
    }
    (void)disk_.sync_dir(config_.folder);
  }

  const WitnessConfig config_;
  io::Disk& disk_;
  io::Clock& clock_;
  io::Random& random_;
  const Uuid process_;
  Seal seal_{config_.cluster_secret, clock_};
  SealedAcceptor sealed_{seal_, *this};

  // The thread's own, and open()'s before it.
  std::unique_ptr<WitnessLoop> loop_;  // speaks over links_
  NodeId node_of_links_;               // as node_ and cluster_
  ClusterId cluster_of_links_;
  std::optional<io::posix::UdpSocket> datagrams_;
  io::posix::DatagramBatch batch_;
  std::thread thread_;
  int event_ = -1;  // eventfd: there is something for the thread

  Mutex mutex_;  // leaf
  NodeId node_ HOLDFAST_GUARDED_BY(mutex_);
  ClusterId cluster_ HOLDFAST_GUARDED_BY(mutex_);
  Incarnation incarnation_ HOLDFAST_GUARDED_BY(mutex_);
  bool virgin_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Instant heard_ HOLDFAST_GUARDED_BY(mutex_) = kDistantPast;  // a master, on a link
  std::shared_ptr<PeerLinks> links_ HOLDFAST_GUARDED_BY(mutex_);  // shared with calls under way
  std::vector<raft::Message> inbox_ HOLDFAST_GUARDED_BY(mutex_);
  std::optional<ClusterId> wanted_ HOLDFAST_GUARDED_BY(mutex_);
  bool disowned_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace

Result<std::unique_ptr<WitnessHost>> WitnessHost::open(WitnessConfig config, io::Disk& disk, io::Clock& clock,
                                                       io::Random& random) {
  auto host = std::make_unique<Host>(std::move(config), disk, clock, random);
  if (auto done = host->open(); !done) return done.error();
  return std::unique_ptr<WitnessHost>(std::move(host));
}

}  // namespace holdfast::master
