// The loop around the witness with its real threads and files, on a disk whose syncs the test holds up or breaks.
#include "service/master/witness_loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "io/posix/clock.h"
#include "test/support/faulty_disk.h"

namespace holdfast::master {
namespace {

NodeId node(std::uint64_t n) { return NodeId(Uuid{0, n}); }
const NodeId kA = node(1);
const NodeId kB = node(2);
const NodeId kWitness = node(3);
const ClusterId kCluster(Uuid{0, 9});
constexpr Duration kForever = 24h;

class Said final : public Transport {
 public:
  void send(std::span<const raft::Message> messages) override {
    Guard guard(mutex_);
    all_.insert(all_.end(), messages.begin(), messages.end());
  }
  void configure(const raft::Configuration&) override {}
  std::vector<PeerInfo> peers() const override { return {}; }

  // What was said of that kind, in order.
  template <typename Body>
  std::vector<Body> of() const {
    Guard guard(mutex_);
    std::vector<Body> found;
    for (const auto& message : all_) {
      if (const auto* body = std::get_if<Body>(&message.body)) found.push_back(*body);
    }
    return found;
  }

 private:
  mutable Mutex mutex_;
  std::vector<raft::Message> all_ HOLDFAST_GUARDED_BY(mutex_);
};

class AWitnessLoop : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "holdfast-witness-" + std::to_string(::getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    ASSERT_TRUE(disk_.make_folder(folder_));
    start();
  }
  void TearDown() override {
    disk_.sync_delay_ns = 0;
    loop_.reset();
    (void)disk_.remove(path());
    ::rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/state"; }

  void start() {
    loop_.reset();
    auto file = storage::WitnessFile::open(disk_, path(), kWitness, kCluster);
    ASSERT_TRUE(file) << file.error().what();
    raft::Witness::Options options;
    options.self = kWitness;
    options.incarnation = incarnation_ = incarnation_.next();
    loop_ = std::make_unique<WitnessLoop>(std::move(options), std::move(*file), clock_, said_);
  }
  WitnessLoop::Outcome tell(NodeId from, std::uint64_t term, raft::Body body) {
    const raft::Message message{from, kWitness, Term(term), Incarnation(1), std::move(body)};
    return loop_->step({&message, 1});
  }
  void beat(std::uint64_t sequence, Duration lease = {}) {
    const raft::Lease asked{.epoch = lease > Duration(0) ? 1u : 0u, .length = lease};
    tell(kA, 2, raft::Beat{.sequence = sequence, .lease = asked});
  }
  void record(std::uint64_t number, std::vector<NodeId> members) {
    tell(kA, 2, raft::RegisterRequest{{Term(2), number, std::move(members)}});
  }
  static void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
    ASSERT_TRUE(condition());
  }
  // From now on no sync ends, and one is under way.
  void hold_up_the_disk() {
    disk_.sync_delay_ns = kForever.count();
    tell(kA, 2, raft::VoteRequest{});
    until([&] { return disk_.syncing == 1; });
  }
  void let_the_disk_go_on() { disk_.sync_delay_ns = 0; }

  io::posix::SystemClock clock_;
  test::FaultyDisk disk_;
  std::string folder_;
  Incarnation incarnation_{0};
  Said said_;
  std::unique_ptr<WitnessLoop> loop_;
};

TEST_F(AWitnessLoop, AnswersBeatsWhileItsDiskIsSlow) {
  hold_up_the_disk();
  for (std::uint64_t i = 1; i <= 3; ++i) beat(i);
  const auto replies = said_.of<raft::BeatReply>();
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(replies[2].sequence, 3u);
  EXPECT_TRUE(said_.of<raft::VoteReply>().empty());
}

TEST_F(AWitnessLoop, PromisesNothingBeforeItIsOnDisk) {
  hold_up_the_disk();
  record(1, {kA});
  tell(kA, 2, raft::VoteRequest{});  // the same vote again: no reason to say it sooner
  beat(1, 80ms);
  beat(2, 80ms);
  EXPECT_TRUE(said_.of<raft::VoteReply>().empty());
  EXPECT_TRUE(said_.of<raft::RegisterReply>().empty());
  for (const auto& reply : said_.of<raft::BeatReply>()) EXPECT_EQ(reply.lease, raft::Lease());
  let_the_disk_go_on();
  until([&] { return said_.of<raft::RegisterReply>().size() == 1 && said_.of<raft::VoteReply>().size() == 2; });
  EXPECT_TRUE(said_.of<raft::VoteReply>()[0].granted);
  EXPECT_EQ(said_.of<raft::RegisterReply>()[0].record, (raft::InSync{Term(2), 1, {kA}}));
  until([&] {
    beat(3, 80ms);
    return said_.of<raft::BeatReply>().back().lease.length == Duration(80ms);
  });
}

TEST_F(AWitnessLoop, SaysNothingOfASyncThatFailedNorOfWhatPiledUpBehindIt) {
  hold_up_the_disk();
  record(1, {kA});
  disk_.sync_fails = true;  // this sync and each after it
  let_the_disk_go_on();
  beat(1);
  until([&] { return disk_.syncing == 0; });
  loop_->stop();
  EXPECT_TRUE(said_.of<raft::VoteReply>().empty());
  EXPECT_TRUE(said_.of<raft::RegisterReply>().empty());
}

TEST_F(AWitnessLoop, SaysNotAWordMoreOnceAWriteFailed) {
  disk_.sync_fails = true;
  tell(kA, 2, raft::VoteRequest{});
  until([&] {
    const auto before = said_.of<raft::BeatReply>().size();
    beat(1);
    return said_.of<raft::BeatReply>().size() == before;
  });
  disk_.sync_fails = false;
  tell(kA, 3, raft::VoteRequest{});
  record(1, {kA});
  loop_->stop();
  EXPECT_TRUE(said_.of<raft::VoteReply>().empty());
  EXPECT_TRUE(said_.of<raft::RegisterReply>().empty());
}

TEST_F(AWitnessLoop, FindsWhatItPromisedAfterARestart) {
  hold_up_the_disk();
  record(1, {kA});
  let_the_disk_go_on();
  until([&] { return !said_.of<raft::RegisterReply>().empty(); });
  start();
  EXPECT_EQ(loop_->state().vote, kA);
  EXPECT_EQ(loop_->state().in_sync, (raft::InSync{Term(2), 1, {kA}}));
  tell(kB, 3, raft::VoteRequest{});
  EXPECT_FALSE(said_.of<raft::VoteReply>().back().granted);
}

TEST_F(AWitnessLoop, IsSilentOnceRemoved) {
  hold_up_the_disk();
  EXPECT_EQ(tell(kA, 2, raft::Notice{.kind = raft::NoticeKind::removed}), WitnessLoop::Outcome::removed);
  let_the_disk_go_on();
  beat(1);
  loop_->stop();
  EXPECT_TRUE(said_.of<raft::VoteReply>().empty());
  EXPECT_TRUE(said_.of<raft::BeatReply>().empty());
}

}  // namespace
}  // namespace holdfast::master
