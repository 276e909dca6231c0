#include "service/master/guardian.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <thread>

#include "service/master/published_lease.h"
#include "service/master/raft_wire.h"

namespace holdfast::master {
namespace {

// Where the guardian's words arrive.
class Ear {
 public:
  Ear() : socket_(*io::posix::UdpSocket::bind("127.0.0.1", 0)) {}
  std::vector<Certificate> certificate(const std::string& text) const {
    return {{*io::posix::resolve_udp("127.0.0.1", socket_.port()), text}};
  }
  // What comes first within `patience`; nothing: silence.
  std::optional<std::string> hear(Duration patience) const {
    const auto until = std::chrono::steady_clock::now() + patience;
    std::array<std::uint8_t, 2048> room{};
    do {
      if (const auto length = socket_.receive(room)) return std::string(text_of(BytesView(room).first(*length)));
      std::this_thread::sleep_for(1ms);
    } while (std::chrono::steady_clock::now() < until);
    return std::nullopt;
  }

 private:
  io::posix::UdpSocket socket_;
};

// A guardian is started before any thread, and the thread sanitizer has one of its own in each process.
#ifdef __SANITIZE_THREAD__
constexpr bool kHasThreads = true;
#else
constexpr bool kHasThreads = false;
#endif
constexpr const char* kWhyNot = "the thread sanitizer runs a thread, so no guardian starts";

// A master in a process of its own: it has a guardian, leads in term 7 and turns, until it is killed.
template <typename Life>
pid_t master_process(Life life) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto guardian = Guardian::start();
    if (!guardian) ::_exit(1);
    (*guardian)->watch();
    life(**guardian);
    ::_exit(0);
  }
  return pid;
}

TEST(Guardian, SaysThatItsMasterIsDead) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  const pid_t master = master_process([&](Guardian& guardian) {
    guardian.prepare(Term(7), true, ear.certificate("gone"));
    for (;;) {
      guardian.turned();
      std::this_thread::sleep_for(5ms);
    }
  });
  EXPECT_FALSE(ear.hear(300ms)) << "it lives";
  ::kill(master, SIGKILL);
  EXPECT_EQ(ear.hear(2s), "gone");
  ::waitpid(master, nullptr, 0);
}

TEST(Guardian, FindsAMasterThatIsStoppedAndTellsItOfThat) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t master = master_process([&](Guardian& guardian) {
    guardian.prepare(Term(7), true, ear.certificate("hangs"));
    bool was_revoked = false;
    for (;;) {
      guardian.turned();
      std::this_thread::sleep_for(5ms);
      if (guardian.revoked(Term(7)) && !std::exchange(was_revoked, true)) {
        (void)!::write(ends[1], guardian.revoked(Term(8)) ? "8" : "7", 1);
      }
    }
  });
  ::close(ends[1]);  // so that the end of the master can be seen
  EXPECT_FALSE(ear.hear(300ms)) << "it turns";
  ::kill(master, SIGSTOP);
  EXPECT_EQ(ear.hear(2s), "hangs");
  ::kill(master, SIGCONT);
  char word = 0;
  ASSERT_EQ(::read(ends[0], &word, 1), 1);
  EXPECT_EQ(word, '7') << "the next term is not concerned";
  ::kill(master, SIGKILL);
  ::waitpid(master, nullptr, 0);
  ::close(ends[0]);
}

TEST(Guardian, ACrashRevokesBeforeTheMemoryIsWrittenDown) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t master = master_process([&](Guardian& guardian) {
    for (const int number : {SIGSEGV, SIGABRT}) ::signal(number, SIG_DFL);  // sanitizers have their own
    guardian.prepare(Term(7), true, ear.certificate("crashes"));
    guardian.revoke_at_crash();
    const pid_t watcher = ::fork();  // shares the word
    if (watcher == 0) {
      while (!guardian.revoked(Term(7))) std::this_thread::sleep_for(1ms);
      (void)!::write(ends[1], "r", 1);
      ::_exit(0);
    }
    ::raise(SIGABRT);
  });
  ::close(ends[1]);
  EXPECT_EQ(ear.hear(2s), "crashes");
  char word = 0;
  EXPECT_EQ(::read(ends[0], &word, 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(master, &status, 0), master);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << "it dies of what it died of";
  ::close(ends[0]);
}

TEST(Guardian, LeavesAFollowerAloneThatMakesNoTurn) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  auto guardian = *Guardian::start();
  guardian->watch();
  guardian->prepare(Term(3), true, ear.certificate("hangs"));
  guardian->follows();
  EXPECT_FALSE(ear.hear(500ms));
  EXPECT_FALSE(guardian->revoked(Term(3)));
  guardian->end();
  // Once more in good order: the hand-over may have failed.
  EXPECT_TRUE(guardian->revoked(Term(3)));
  EXPECT_EQ(ear.hear(1s), "hangs");
  EXPECT_EQ(guardian->pid(), 0);
}

TEST(Guardian, AMasterThatLeadsAndMakesNoTurnIsFoundAfterItsPatience) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  auto guardian = *Guardian::start();
  guardian->watch();
  guardian->set_patience(400ms);
  guardian->prepare(Term(3), true, ear.certificate("hangs"));
  EXPECT_FALSE(ear.hear(250ms));
  EXPECT_EQ(ear.hear(3s), "hangs");
  EXPECT_TRUE(guardian->revoked(Term(3)));
  EXPECT_FALSE(guardian->revoked(Term(4)));
}

// The process that follows `before`, which was killed; 0: none within `patience`.
pid_t follower_of(const Guardian& guardian, pid_t before, Duration patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    if (const pid_t now = guardian.pid(); now != 0 && now != before) return now;
    std::this_thread::sleep_for(1ms);
  }
  return 0;
}

TEST(Guardian, OneThatDiedAloneIsFollowedByAnotherThatKnowsTheSame) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t master = master_process([&](Guardian& guardian) {
    guardian.prepare(Term(7), true, ear.certificate("gone"));
    guardian.keep();
    const pid_t first = guardian.pid();
    std::thread other([&] {
      ::kill(first, SIGKILL);
      pid_t next = follower_of(guardian, first, 3s);
      (void)!::write(ends[1], &next, sizeof next);
    });
    for (;;) {
      guardian.turned();
      std::this_thread::sleep_for(5ms);
    }
  });
  ::close(ends[1]);
  pid_t next = 0;
  ASSERT_EQ(::read(ends[0], &next, sizeof next), static_cast<ssize_t>(sizeof next));
  EXPECT_NE(next, 0) << "none followed";
  EXPECT_FALSE(ear.hear(500ms)) << "the master lives, and turns";
  ::kill(master, SIGKILL);
  EXPECT_EQ(ear.hear(2s), "gone");
  ::waitpid(master, nullptr, 0);
  ::close(ends[0]);
}

TEST(Guardian, TheOneThatFollowsFindsAMasterThatHangsAndEndsWithIt) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  auto guardian = *Guardian::start();
  guardian->watch();
  guardian->prepare(Term(3), false, ear.certificate("hangs"));
  guardian->keep();
  const pid_t first = guardian->pid();
  ::kill(first, SIGKILL);
  const pid_t next = follower_of(*guardian, first, 3s);
  ASSERT_NE(next, 0);
  EXPECT_FALSE(ear.hear(200ms));
  EXPECT_FALSE(guardian->revoked(Term(3)));
  guardian->prepare(Term(3), true, ear.certificate("hangs"));
  EXPECT_EQ(ear.hear(3s), "hangs") << "this thread makes no turn";
  EXPECT_TRUE(guardian->revoked(Term(3)));
  guardian->end();
  EXPECT_EQ(::kill(next, 0), -1);
  EXPECT_EQ(guardian->pid(), 0);
}

TEST(Guardian, WhatIsRevokedStaysRevokedWhenAnotherFollows) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  const Ear ear;
  auto guardian = *Guardian::start();
  guardian->watch();
  guardian->prepare(Term(3), true, ear.certificate("hangs"));
  EXPECT_EQ(ear.hear(3s), "hangs");
  guardian->follows();
  guardian->keep();
  const pid_t first = guardian->pid();
  ::kill(first, SIGKILL);
  ASSERT_NE(follower_of(*guardian, first, 3s), 0);
  EXPECT_TRUE(guardian->revoked(Term(3)));
  EXPECT_FALSE(guardian->revoked(Term(4)));
}

TEST(Guardian, ThoseThatDieSoonAreFollowedAfterAPause) {
  if (kHasThreads) GTEST_SKIP() << kWhyNot;
  auto guardian = *Guardian::start();
  guardian->keep();
  const pid_t first = guardian->pid();
  ::kill(first, SIGKILL);
  const pid_t second = follower_of(*guardian, first, 900ms);
  ASSERT_NE(second, 0) << "at once";
  ::kill(second, SIGKILL);
  EXPECT_EQ(follower_of(*guardian, second, 800ms), 0);
  EXPECT_EQ(guardian->pid(), 0);
  const pid_t third = follower_of(*guardian, second, 3s);
  ASSERT_NE(third, 0);
  ::kill(third, SIGKILL);
  EXPECT_EQ(follower_of(*guardian, third, 1600ms), 0) << "twice as long";
  // In the middle of a pause it ends all the same.
  const auto begun = std::chrono::steady_clock::now();
  guardian->end();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 300ms);
}

TEST(Guardian, IsNotStartedBesideOtherThreads) {
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) std::this_thread::sleep_for(1ms);
  });
  EXPECT_FALSE(Guardian::start().ok());
  over = true;
  other.join();
}

TEST(Guardian, ACertificateCrossesTheWireWhole) {
  const ClusterId cluster(Uuid{1, 2});
  const raft::LeaseRevoked revoked{NodeId(Uuid{3, 4}), Incarnation(5), Term(6)};
  const auto bytes = encode_certificate(cluster, Uuid{7, 8}, revoked, NodeId(Uuid{9, 10}));
  EXPECT_LE(bytes.size(), kCertificateBytesMax);
  const auto datagram = decode_datagram(cluster, bytes_of(bytes));
  ASSERT_TRUE(datagram.ok());
  ASSERT_TRUE(datagram->revoked);
  EXPECT_EQ(datagram->revoked->node, revoked.node);
  EXPECT_EQ(datagram->revoked->incarnation, revoked.incarnation);
  EXPECT_EQ(datagram->revoked->term, revoked.term);
  EXPECT_EQ(datagram->message.to, NodeId(Uuid{9, 10}));
  EXPECT_EQ(datagram->process, (Uuid{7, 8}));
  EXPECT_FALSE(decode_datagram(ClusterId(Uuid{2, 2}), bytes_of(bytes)).ok());
}

TEST(PublishedLease, CoversWhatHasAllThatAnyoneWasToldOfUntilEitherClockIsThere) {
  PublishedLease lease;
  EXPECT_FALSE(lease.covers(Index(9), raft::Time(at(1ms))));
  lease.publish({.term = Term(4), .until = raft::Time(at(10ms), at(20ms))}, Index(7), 3);
  ASSERT_TRUE(lease.covers(Index(7), raft::Time(at(9ms), at(9ms))));
  EXPECT_EQ(lease.covers(Index(7), raft::Time(at(9ms), at(9ms)))->term, Term(4));
  EXPECT_EQ(lease.covers(Index(7), raft::Time(at(9ms), at(9ms)))->marker, 3u);
  EXPECT_TRUE(lease.covers(Index(8), raft::Time(at(9ms), at(19ms))));
  EXPECT_FALSE(lease.covers(Index(6), raft::Time(at(9ms), at(9ms)))) << "others may have seen more";
  EXPECT_FALSE(lease.covers(Index(7), raft::Time(at(10ms), at(9ms))));
  EXPECT_FALSE(lease.covers(Index(7), raft::Time(at(9ms), at(20ms))));
  lease.withdraw();
  EXPECT_FALSE(lease.covers(Index(7), raft::Time(at(9ms), at(9ms))));
  lease.publish({.term = Term(4), .until = raft::Time(at(10ms)), .in_wait = true}, Index(7), 3);
  EXPECT_FALSE(lease.covers(Index(7), raft::Time(at(9ms), at(9ms)))) << "not before it may commit";
}

}  // namespace
}  // namespace holdfast::master

int main(int argc, char** argv) {
  holdfast::master::Guardian::run_if_asked(argc, argv);
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
