// The loop around the core with real threads and the real clock, but with a network and disks that the test commands.
// No gRPC here: what these tests find under the thread sanitizer is ours.
#include "service/master/raft_host.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "io/posix/clock.h"
#include "io/posix/random.h"
#include "test/support/faulty_disk.h"

namespace holdfast::master {
namespace {

using test::FaultyDisk;

// Applied commands in order; an answer is its number.
class Journal final : public topology::StateMachine {
 public:
  Result<std::vector<std::string>> apply(Index index, Term, BytesView entry) override {
    auto requests = topology::decode_batch(entry);
    if (!requests) return requests.error();
    std::vector<std::string> answers;
    Guard guard(mutex_);
    for (auto& request : *requests) {
      commands_.push_back(std::move(request.command));
      answers.push_back(std::to_string(commands_.size()));
    }
    applied_ = index;
    return answers;
  }
  Index applied() const override { return applied_; }
  std::uint64_t digest() const override { return 0; }
  topology::Checkpoint checkpoint() const override { return {applied_, Term(0), {}}; }
  Status restore(const topology::Checkpoint&) override { return {}; }
  std::vector<std::string> commands() const {
    Guard guard(mutex_);
    return commands_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::string> commands_ HOLDFAST_GUARDED_BY(mutex_);
  Index applied_;  // the applying thread only
};

class Network;

// One host's way into the network.
class Wire final : public Transport {
 public:
  Wire(Network& network, NodeId self) : network_(network), self_(self) {}
  void send(std::span<const raft::Message> messages) override;
  void configure(const raft::Configuration&) override {}
  std::vector<PeerInfo> peers() const override { return {}; }

 private:
  Network& network_;
  const NodeId self_;
};

class Network {
 public:
  void attach(NodeId id, RaftHost* host) {
    Guard guard(mutex_);
    hosts_[id] = host;
  }
  void detach(NodeId id) {
    Guard guard(mutex_);
    hosts_.erase(id);
  }
  void cut(NodeId id, bool is_cut) {
    Guard guard(mutex_);
    cut_[id] = is_cut;
  }
  void lose_link(NodeId of) {
    Guard guard(mutex_);
    for (auto& [id, host] : hosts_) {
      if (id != of) host->link_lost(of);
    }
  }
  void send(NodeId from, std::span<const raft::Message> messages) {
    Guard guard(mutex_);
    if (cut_[from]) return;
    for (const auto& message : messages) {
      const auto host = hosts_.find(message.to);
      if (host == hosts_.end() || cut_[message.to]) continue;
      host->second->received({message});
    }
  }

 private:
  Mutex mutex_;
  std::map<NodeId, RaftHost*> hosts_ HOLDFAST_GUARDED_BY(mutex_);
  std::map<NodeId, bool> cut_ HOLDFAST_GUARDED_BY(mutex_);
};

void Wire::send(std::span<const raft::Message> messages) { network_.send(self_, messages); }

struct Member {
  NodeId id;
  std::string folder;
  FaultyDisk disk;
  Journal journal;
  std::unique_ptr<Wire> wire;
  std::unique_ptr<RaftHost> host;
  std::atomic<bool> fatal{false};
  std::uint64_t starts = 0;
};

class RaftHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "holdfast-host-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::vector<raft::Member> founders;
    for (std::uint64_t i = 1; i <= 3; ++i) {
      auto member = std::make_unique<Member>();
      member->id = NodeId(Uuid{i, i});
      member->folder = io::join(folder_, std::to_string(i));
      ASSERT_TRUE(member->disk.make_folder(member->folder).ok());
      founders.push_back({.id = member->id, .address = "m" + std::to_string(i) + ":1", .voter = true});
      members_.push_back(std::move(member));
    }
    for (auto& member : members_) {
      ASSERT_TRUE(storage::RaftStore::found(member->disk, random_, member->folder, store_options(*member),
                                            raft::Configuration(founders))
                      .ok());
      start(*member);
    }
  }
  void TearDown() override {
    for (auto& member : members_) stop(*member);
    members_.clear();
    ASSERT_TRUE(io::posix::system_disk().remove_all(folder_).ok());
  }

  storage::RaftStore::Options store_options(const Member& member) const {
    return {.cluster = cluster_, .voter = member.id, .segment_bytes = 4_MiB};
  }
  void start(Member& member) {
    auto opened = storage::RaftStore::open(member.disk, random_, member.folder, store_options(member));
    ASSERT_TRUE(opened.ok()) << opened.error().what();
    raft::Options core;
    core.silence_min = core.silence_default = silence_;
    core.lease_length = 100ms;  // not before the configuration has a cap
    member.wire = std::make_unique<Wire>(network_, member.id);
    member.host = std::make_unique<RaftHost>(RaftHost::Options{.self = member.id,
                                                               .incarnation = Incarnation(++member.starts),
                                                               .process = random_.uuid(),
                                                               .core = core,
                                                               .on_fatal = [&member](const std::string&) { member.fatal = true; }},
                                             io::posix::system_clock(), member.journal);
    ASSERT_TRUE(member.host->begin(cluster_, std::move(opened->store), std::move(opened->start), *member.wire, nullptr).ok());
    network_.attach(member.id, member.host.get());
  }
  void stop(Member& member) {
    network_.detach(member.id);
    if (member.host) member.host->stop();
    member.host.reset();
  }

  template <typename Condition>
  static bool soon(Condition condition) {
    const Instant until = io::posix::boot_now() + 20s;
    while (!condition()) {
      if (io::posix::boot_now() > until) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
  Member* leader(const Member* not_this = nullptr) {
    Member* found = nullptr;
    (void)soon([&] {
      for (auto& member : members_) {
        if (member.get() != not_this && member->host && !member->fatal && member->host->view()->is_leader()) {
          found = member.get();
        }
      }
      return found != nullptr;
    });
    return found;
  }
  Result<std::string> propose(Member& member, const std::string& command) {
    auto done = std::make_shared<std::promise<Result<std::string>>>();
    auto answer = done->get_future();
    member.host->propose(command, [done](Result<std::string> result) { done->set_value(std::move(result)); });
    if (answer.wait_for(20s) != std::future_status::ready) return Error{Code::timed_out, "no answer"};
    return answer.get();
  }
  bool commit(const std::string& command, const Member* not_at = nullptr) {
    return soon([&] {
      auto* at = leader(not_at);
      return at != nullptr && propose(*at, command).ok();
    });
  }
  bool has(const Member& member, const std::string& command) {
    const auto commands = member.journal.commands();
    return std::find(commands.begin(), commands.end(), command) != commands.end();
  }

  const ClusterId cluster_{Uuid{9, 9}};
  Duration silence_ = 150ms;
  io::Random& random_ = io::posix::system_random();  // the hosts' log threads share it
  Network network_;
  std::string folder_;
  std::vector<std::unique_ptr<Member>> members_;
};

TEST_F(RaftHostTest, CommandsAreCommittedEverywhereAndAnswered) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  const auto answer = propose(*first, "x");
  ASSERT_TRUE(answer.ok()) << answer.error().what();
  EXPECT_EQ(*answer, "1");
  EXPECT_TRUE(soon([&] {
    return std::all_of(members_.begin(), members_.end(), [&](const auto& member) { return has(*member, "x"); });
  }));
}

TEST_F(RaftHostTest, ALeaderHoldsALeaseOnceTheConfigurationAllowsItAndHandsItOver) {
  ASSERT_TRUE(commit("x"));
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  EXPECT_FALSE(first->host->view()->lease.held_until);
  ASSERT_TRUE(soon([&] {
    std::promise<Status> done;
    first = leader();
    first->host->change(raft::SetLeaseCap{200ms}, [&](const Status& status) { done.set_value(status); });
    return done.get_future().get().ok();
  }));
  ASSERT_TRUE(soon([&] { return leader()->host->view()->lease.held_until.has_value(); }));
  first = leader();
  EXPECT_EQ(first->host->view()->lease.cap, 200ms);
  EXPECT_EQ(first->host->view()->lease.length, 100ms);
  first->host->transfer(std::nullopt, [](const Status&) {});
  auto* second = leader(first);
  ASSERT_NE(second, nullptr);
  ASSERT_TRUE(commit("y"));
  EXPECT_TRUE(soon([&] { return leader()->host->view()->lease.held_until.has_value(); }));
  EXPECT_TRUE(soon([&] { return leader() == first || !first->host->view()->lease.held_until; }));
}

// A leader whose followers are cut off has the new member in its log, and Raft goes by it; nobody may count on it.
TEST_F(RaftHostTest, AMemberIsShownAsJoiningUntilTheEntryThatAddsItIsCommitted) {
  const NodeId added(Uuid{4, 4});
  const auto seen = [&](const Member& member) -> std::optional<MemberView> {
    const auto* found = member.host->view()->member(added);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  };
  const auto counted_on = [&](const Member& member) {
    const auto configuration = member.host->committed_configuration();
    return configuration && configuration->find(added) != nullptr;
  };
  Member* first = nullptr;
  ASSERT_TRUE(soon([&] {
    if (!commit("x") || (first = leader()) == nullptr) return false;
    for (auto& member : members_) network_.cut(member->id, member.get() != first);
    first->host->change(raft::AddMember{{.id = added, .address = "m4:1", .voter = false}}, [](const Status&) {});
    const bool appended = soon([&] { return seen(*first) || !first->host->view()->is_leader(); }) && seen(*first);
    if (!appended) {
      for (auto& member : members_) network_.cut(member->id, false);
    }
    return appended;
  }));
  EXPECT_TRUE(seen(*first)->joining);
  EXPECT_FALSE(counted_on(*first));
  ASSERT_TRUE(first->host->committed_configuration());
  EXPECT_EQ(first->host->committed_configuration()->members().size(), 3u);
  EXPECT_EQ(first->host->configuration()->members().size(), 4u);

  for (auto& member : members_) network_.cut(member->id, false);
  ASSERT_TRUE(soon([&] {  // whoever is elected now may not know of it
    auto* at = leader();
    if (at == nullptr) return false;
    at->host->change(raft::AddMember{{.id = added, .address = "m4:1", .voter = false}}, [](const Status&) {});
    return counted_on(*at);
  }));
  for (auto& member : members_) {
    EXPECT_TRUE(soon([&] { return counted_on(*member) && seen(*member) && !seen(*member)->joining; }));
    EXPECT_FALSE(seen(*member)->voter);
  }
}

// And one that is removed is shown until that is committed: until then it may be undone.
TEST_F(RaftHostTest, AMemberIsShownAsLeavingUntilTheEntryThatRemovesItIsCommitted) {
  Member* first = nullptr;
  NodeId removed;
  const auto leaves = [&](const Member& member) {
    const auto view = member.host->view();
    return view->member(removed) == nullptr &&
           std::any_of(view->leaving.begin(), view->leaving.end(), [&](const MemberView& one) { return one.id == removed; });
  };
  ASSERT_TRUE(soon([&] {
    if (!commit("x") || (first = leader()) == nullptr) return false;
    EXPECT_TRUE(first->host->view()->leaving.empty());
    for (auto& member : members_) {
      network_.cut(member->id, member.get() != first);
      if (member.get() != first) removed = member->id;
    }
    first->host->change(raft::RemoveMember{removed}, [](const Status&) {});
    const bool appended = soon([&] { return leaves(*first) || !first->host->view()->is_leader(); }) && leaves(*first);
    if (!appended) {
      for (auto& member : members_) network_.cut(member->id, false);
    }
    return appended;
  }));
  EXPECT_FALSE(first->host->view()->leaving.front().http.empty());

  for (auto& member : members_) network_.cut(member->id, false);
  ASSERT_TRUE(soon([&] {  // whoever is elected now may not know of it
    auto* at = leader();
    if (at == nullptr) return false;
    if (at->id == removed) at->host->transfer(std::nullopt, [](const Status&) {});
    at->host->change(raft::RemoveMember{removed}, [](const Status&) {});
    const auto configuration = at->host->committed_configuration();
    return configuration && configuration->find(removed) == nullptr;
  }));
  for (auto& member : members_) {
    if (member->id == removed) continue;
    EXPECT_TRUE(soon([&] { return member->host->view()->members.size() == 2 && member->host->view()->leaving.empty(); }));
  }
}

// Every batch that the state machine's bounds allow fits into one entry, in the log of every member and on the wire.
TEST_F(RaftHostTest, ACommandAtTheBoundIsCommittedEverywhereAndOneByteMoreIsRefused) {
  ASSERT_TRUE(commit("x"));
  const std::string largest(topology::kCommandBytesMax, 'c');
  ASSERT_TRUE(commit(largest));
  auto* at = leader();
  ASSERT_NE(at, nullptr);
  const auto refused = propose(*at, largest + "c");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::invalid);
  // Commands that arrive together and do not fit into one batch, or fill one to the last byte, go in order.
  const std::string half((topology::kBatchBytesMax - topology::kBatchHeadBytes) / 2 - topology::kRequestHeadBytes, 'h');
  std::atomic<int> done{0};
  for (int i = 0; i < 9; ++i) {
    at->host->propose(i % 3 == 2 ? largest : half, [&](const Result<std::string>& answer) { done += answer.ok() ? 1 : 1000; });
  }
  EXPECT_TRUE(soon([&] { return done >= 9; }));
  EXPECT_EQ(done, 9);
  EXPECT_TRUE(soon([&] {
    return std::all_of(members_.begin(), members_.end(),
                       [&](const auto& member) { return member->journal.commands().size() >= 11; });
  }));
  for (auto& member : members_) EXPECT_FALSE(member->fatal);
}

TEST_F(RaftHostTest, ALeaderWithoutMajorityStopsAssigningWithinTheSilenceTimeout) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  ASSERT_TRUE(soon([&] { return first->host->may_assign(io::posix::boot_now()); }));
  network_.cut(first->id, true);
  // The deadline is counted from what was sent before the cut: it cannot be renewed.
  const Instant cut_at = io::posix::boot_now();
  EXPECT_FALSE(first->host->may_assign(cut_at + 2s));
  auto* second = leader(first);
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(soon([&] { return !first->host->view()->is_leader(); }));
  EXPECT_FALSE(first->host->may_assign(io::posix::boot_now()));
  ASSERT_TRUE(commit("y", first));
  network_.cut(first->id, false);
  EXPECT_TRUE(soon([&] { return has(*first, "y"); }));
}

TEST_F(RaftHostTest, AReadIsConfirmedAtEveryMemberAndSeesWhatWasAcknowledgedBefore) {
  ASSERT_TRUE(commit("warm"));
  for (int i = 0; i < 20; ++i) {
    const std::string command = "x" + std::to_string(i);
    ASSERT_TRUE(commit(command));
    Member& at = *members_[static_cast<std::size_t>(i) % 3];
    // Looked at within the callback: it runs on the applying thread, when everything up to its index is applied.
    std::promise<bool> seen;
    at.host->confirm_read([&](const Result<Index>& read) { seen.set_value(read.ok() && has(at, command)); });
    EXPECT_TRUE(seen.get_future().get()) << i;
  }
}

TEST_F(RaftHostTest, AReadOfALeaderThatIsCutOffIsNeverConfirmed) {
  ASSERT_TRUE(commit("x"));
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  network_.cut(first->id, true);
  std::promise<Result<Index>> outcome;
  first->host->confirm_read([&](Result<Index> read) { outcome.set_value(std::move(read)); });
  const auto read = outcome.get_future().get();
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::unavailable);
  // One that waits when the host stops is answered too.
  std::promise<Result<Index>> stopped;
  first->host->confirm_read([&](Result<Index> outcome_given) { stopped.set_value(std::move(outcome_given)); });
  stop(*first);
  EXPECT_FALSE(stopped.get_future().get().ok());
}

TEST_F(RaftHostTest, AProposalOfALeaderThatIsCutOffEndsAsUnknown) {
  ASSERT_TRUE(commit("x"));
  // On a busy machine the leader may lose its place before the proposal reaches it: then that is surely without effect.
  for (int attempt = 0; attempt < 20; ++attempt) {
    auto* at = leader();
    ASSERT_NE(at, nullptr);
    network_.cut(at->id, true);
    const auto answer = propose(*at, "lost?");
    network_.cut(at->id, false);
    ASSERT_FALSE(answer.ok());
    if (answer.error().code() == Code::outcome_unknown) return;
    ASSERT_EQ(answer.error().code(), Code::not_leader) << answer.error().what();
  }
  FAIL() << "never reached a leader";
}

TEST_F(RaftHostTest, ABrokenLinkToTheLeaderIsAHintThatALivingLeaderSurvives) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  const Term term = first->host->view()->term;
  network_.lose_link(first->id);
  std::this_thread::sleep_for(50ms);
  // A suspicion may end in an election, as the hint reached all, but nothing is lost and someone leads.
  EXPECT_TRUE(commit("y"));
  EXPECT_LE(leader()->host->view()->term.value(), term.value() + 3);
}

TEST_F(RaftHostTest, TransferMovesLeadership) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  std::promise<Status> done;
  first->host->transfer(std::nullopt, [&](Status status) { done.set_value(std::move(status)); });
  const auto status = done.get_future().get();
  EXPECT_TRUE(status.ok()) << status.error().what();
  EXPECT_NE(leader(first), nullptr);
  EXPECT_TRUE(commit("y"));
}

TEST_F(RaftHostTest, ALeaderWhoseDiskHangsGivesUpLeadership) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  first->disk.sync_delay_ns = (10s / 1ns);
  first->host->propose("stuck", [](Result<std::string>) {});
  auto* second = leader(first);
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(soon([&] { return !first->host->view()->is_leader(); }));
  ASSERT_TRUE(commit("y", first));
  first->disk.sync_delay_ns = 0;
  EXPECT_TRUE(soon([&] { return has(*first, "y"); }));
}

// Syncs far above half the silence timeout, on every disk: the leader stays, and beats go on meanwhile.
TEST_F(RaftHostTest, SlowDisksMoveNoLeadership) {
  for (auto& member : members_) stop(*member);
  silence_ = 500ms;  // so that a busy machine is not taken for a slow disk
  for (auto& member : members_) start(*member);
  ASSERT_TRUE(commit("x"));
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  const Term term = first->host->view()->term;
  for (auto& member : members_) member->disk.sync_delay_ns = (1100ms / 1ns);
  for (int i = 0; i < 6; ++i) (void)propose(*first, "y" + std::to_string(i));
  EXPECT_EQ(first->host->view()->term, term);
  EXPECT_TRUE(first->host->view()->is_leader());
  for (auto& member : members_) member->disk.sync_delay_ns = 0;
  EXPECT_TRUE(commit("z"));
}

TEST_F(RaftHostTest, AFailedSyncSilencesTheHostForGood) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  first->disk.sync_fails = true;
  first->host->propose("dies", [](Result<std::string>) {});
  EXPECT_TRUE(soon([&] { return first->fatal.load(); }));
  EXPECT_FALSE(first->host->may_assign(io::posix::boot_now()));
  ASSERT_TRUE(commit("y", first));
  // The process ends and comes back on a mended disk.
  stop(*first);
  first->disk.sync_fails = false;
  first->fatal = false;
  start(*first);
  EXPECT_TRUE(soon([&] { return has(*first, "y"); }));
}

TEST_F(RaftHostTest, AFullDiskEndsLeadershipAndNothingElse) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  first->disk.full = true;
  // Fills the segment in use, so that the reserve is taken and no other can be made.
  const std::string bulk(900'000, 'x');
  for (int i = 0; i < 8; ++i) (void)propose(*first, bulk);
  auto* second = leader(first);
  ASSERT_NE(second, nullptr);
  ASSERT_TRUE(commit("y", first));
  first->disk.full = false;
  EXPECT_TRUE(soon([&] { return has(*first, "y"); }));
  EXPECT_FALSE(first->fatal);
}

TEST_F(RaftHostTest, StoppingAnswersEverythingThatIsPending) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  network_.cut(first->id, true);
  std::atomic<int> answered{0};
  for (int i = 0; i < 100; ++i) first->host->propose("p", [&](Result<std::string> answer) { answered += !answer.ok(); });
  stop(*first);
  EXPECT_EQ(answered, 100);
}

TEST_F(RaftHostTest, ManyThreadsMayProposeAtOnce) {
  auto* first = leader();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(commit("x"));
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        first->host->propose("p", [&](Result<std::string>) { ++done; });
        (void)first->host->view();
        (void)first->host->may_assign(io::posix::boot_now());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(soon([&] { return done == 2000; }));
}

}  // namespace
}  // namespace holdfast::master
