// A witness with its real links and sockets; the test is the leader, as far as it takes.
#include "service/master/witness_host.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "api/raft.pb.h"
#include "core/raft/configuration.h"
#include "core/raft/messages.h"
#include "io/posix/clock.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "io/posix/udp.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

using io::posix::UdpSocket;

const NodeId kLeader(Uuid{0, 1});
const Uuid kLeadersProcess{0, 2};
const ClusterId kCluster(Uuid{0, 9});

std::uint16_t free_port() { return UdpSocket::bind("127.0.0.1", 0)->port(); }

class AWitnessHost : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "holdfast-witness-host-" + std::to_string(::getpid());
    auto leader = UdpSocket::bind("127.0.0.1", 0);
    ASSERT_TRUE(leader) << leader.error().what();
    leader_.emplace(std::move(*leader));
    port_ = free_port();
    auto host = WitnessHost::open({.folder = folder_,
                                   .self = Address{.host = "127.0.0.1", .port = 1, .grpc_port = port_},
                                   .bind_host = "127.0.0.1",
                                   .feature_level = 3,
                                   .cluster_secret = {},
                                   .cluster = [] { return kCluster; }},
                                  disk_, clock_, random_);
    ASSERT_TRUE(host) << host.error().what();
    host_ = std::move(*host);
  }
  void TearDown() override {
    link_.reset();
    host_.reset();
    for (const auto* name : {"identity.json", "state"}) (void)disk_.remove(folder_ + "/" + name);
    ::rmdir(folder_.c_str());
  }

  // What a leader that looks for a witness says; the answer.
  RaftGreeting meet() {
    RaftGreeting answer;
    host_->acceptor().meet(greeting(), &answer);
    return answer;
  }
  RaftGreeting greeting() const {
    RaftGreeting out;
    out.set_format(kGreetingFormat);
    out.set_node(uuid_bytes(kLeader.value()));
    out.set_leader(uuid_bytes(kLeader.value()));
    out.set_process(uuid_bytes(kLeadersProcess));
    out.set_cluster(uuid_bytes(kCluster.value()));
    out.set_incarnation(1);
    out.set_term(1);
    out.set_address("127.0.0.1:1." + std::to_string(leader_->port()));
    out.set_configuration(raft::encode(raft::Configuration({{.id = kLeader, .address = "127.0.0.1:1", .voter = true}})));
    return out;
  }

  // Has it be a witness, and links to it. Its name.
  NodeId make_witness() {
    for (int i = 0; i < 500; ++i) {
      const auto answer = meet();
      if (!answer.node().empty()) {
        RaftGreeting reply;
        link_ = host_->acceptor().opened(greeting(), &reply);
        EXPECT_TRUE(link_) << reply.refusal();
        return NodeId(uuid_of(answer.node()));
      }
      std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << "it never became a witness";
    return {};
  }

  void send(ClusterId cluster, NodeId to, std::uint64_t sequence) {
    const raft::Message beat{kLeader, to, Term(1), Incarnation(1), raft::Beat{.sequence = sequence, .heirs = {}}};
    const auto where = io::posix::resolve_udp("127.0.0.1", port_);
    ASSERT_TRUE(where);
    (void)leader_->send(*where, bytes_of(encode_datagram(cluster, kLeadersProcess, beat)));
  }
  // The sequence of the next beat's answer that comes by datagram within 100 ms.
  std::optional<std::uint64_t> answered(NodeId from) {
    for (int i = 0; i < 100; ++i, std::this_thread::sleep_for(1ms)) {
      std::array<std::uint8_t, 2048> room{};
      const auto length = leader_->receive(room);
      if (!length) continue;
      const auto datagram = decode_datagram(kCluster, BytesView(room).first(*length));
      if (!datagram || datagram->message.from != from) continue;
      if (const auto* reply = std::get_if<raft::BeatReply>(&datagram->message.body)) return reply->sequence;
    }
    return {};
  }

  std::string folder_;
  io::posix::SystemDisk disk_;
  io::posix::SystemClock clock_;
  io::posix::SystemRandom random_;
  std::optional<UdpSocket> leader_;
  std::uint16_t port_ = 0;
  std::unique_ptr<WitnessHost> host_;
  std::unique_ptr<IncomingLink> link_;  // before the host goes
};

TEST_F(AWitnessHost, AnswersBeatsByDatagram) {
  const auto witness = make_witness();
  // Where the leader is to be answered is resolved beside; until then answers go nowhere, as its stream leads to nobody here.
  std::uint64_t sequence = 0;
  std::optional<std::uint64_t> answer;
  while (!answer && sequence < 50) {
    send(kCluster, witness, ++sequence);
    answer = answered(witness);
  }
  ASSERT_TRUE(answer) << "no answer to " << sequence << " beats";
  EXPECT_EQ(*answer, sequence);
}

TEST_F(AWitnessHost, DropsDatagramsOfOtherClustersAndForOthers) {
  const auto witness = make_witness();
  std::uint64_t sequence = 0;
  while (sequence < 50) {
    send(kCluster, witness, ++sequence);
    if (answered(witness)) break;
  }
  ASSERT_LT(sequence, 50u);
  send(ClusterId(Uuid{0, 10}), witness, 101);
  send(kCluster, NodeId(Uuid{0, 77}), 102);
  EXPECT_FALSE(answered(witness));
  send(kCluster, witness, 103);
  EXPECT_EQ(answered(witness), 103u);
}

}  // namespace
}  // namespace holdfast::master
