// Guardian: a small child process that says for a master, when it has died or hangs, that its lease is over
// (docs/leases.md, raft-and-leases 2.2). So the next leader commits at once instead of waiting the lease out.
//
// Both share a page of memory. In it:
// - a robust mutex that the master's thread holds until its end: the kernel tells the guardian when that thread is gone,
//   long before the process has freed its memory and closed its connections;
// - the word: the newest term whose lease is revoked. Every read by lease looks at it after it has read the state and the
//   clocks. It only rises;
// - what to say and where to send it, written by the master: finished datagrams, so the guardian decodes nothing;
// - a count of the turns of the thread that runs consensus, as a sign of life.
//
// The guardian raises the word first and sends the certificate then. So what it says is true even of a process that only
// stood still: when that one goes on, it finds the word and reads by rounds for the rest of the term.
//
// A master that is stopped (SIGSTOP, a debugger) is found within about two ticks. One that makes no turn for another
// reason (its machine is overloaded, it waits for a lock) gets as long as others wait for its heartbeats.
//
// The child is forked before any other thread exists, keeps nothing that was open but its own sockets, ignores what a
// terminal or a service manager sends to all of a service (SIGTERM, SIGINT, SIGHUP, SIGQUIT): it ends when the master does
// or tells it to. If it is killed, nothing is said, and leases end by their time: slower, never wrong.
//
// One that ended alone is followed by another (keep()). By then the master has many threads and much memory, so it is no
// fork but this program once more (posix_spawn of /proc/self/exe, see run_if_asked()), which is given the same page of
// memory: the word never goes back, and whose death the mutex tells is the same as before. There is never more than one:
// the next is started when the kernel has told that the one before is gone.
//
// Threads: start(), keep() and end() belong to one thread, which lives as long as the master serves: best the main thread.
// The rest belongs to the thread that runs consensus, but for what says otherwise.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "io/posix/udp.h"
#include "model/ids.h"

namespace holdfast::master {

inline constexpr Duration kGuardianTick = 10ms;          // while the master leads
inline constexpr Duration kGuardianTickAtRest = 100ms;   // else: it only waits for its death
inline constexpr Duration kHangPatience = 100ms;         // without a turn, at least
inline constexpr std::size_t kCertificateBytesMax = 512;  // one datagram

// A datagram that says it, for one member.
struct Certificate {
  io::posix::UdpPeer to;
  std::string datagram;

  friend bool operator==(const Certificate&, const Certificate&) = default;
};

class Guardian {
 public:
  // First thing in main() of a program that calls keep(): in a process that was started as a guardian it does not return.
  static void run_if_asked(int argc, char** argv);

  // Forks. An error if this thread is not the only one of the process.
  static Result<std::unique_ptr<Guardian>> start();
  // From now on a child that ended before its time is followed by another: at once, but one that followed and lasted less
  // than `steady` after a pause that doubles from 1 s to 1 min. Takes a thread, which sleeps until then.
  void keep(Duration steady = 10s);
  // Calls end().
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  // The master serves no more: the guardian says so as well (the hand-over may have failed) and ends. Waits for that, for
  // a moment. On the thread that called start().
  void end();

  // ---- the thread that runs consensus
  // Names that thread.
  void watch();
  // How long it may make no turn while it leads: not less than others wait for its heartbeats.
  void set_patience(Duration patience);
  void turned() { turns()->fetch_add(1, std::memory_order_relaxed); }
  // What is to be said of `term`, replacing what was given before. `leads`: also if the master only hangs.
  void prepare(Term term, bool leads, const std::vector<Certificate>& certificates);
  // The same certificates, but the master leads no more.
  void follows();

  // ---- the thread that holds the virtual IP (vip_keeper.h)
  // How to take it away when this master dies or hangs in `term` (a netlink request), and what to say then; before it is
  // set for the first time. Nothing: it is not held.
  void prepare_removal(Term term, const std::string& request, const std::vector<Certificate>& farewells);

  // ---- any thread
  // Whether no read may be answered by the lease of `term`. To be asked after the state and the clocks were read.
  [[nodiscard]] bool revoked(Term term) const;
  // From now on a crash of this process (SIGSEGV, SIGABRT ...) revokes the lease first: writing its memory to a file may take
  // longer than any lease. Signals that somebody handles already are left alone. Once in a process.
  void revoke_at_crash();

  // 0 when it has ended.
  [[nodiscard]] pid_t pid() const { return child_; }

 private:
  struct Shared;
  Guardian(Shared* shared, int memory, pid_t child) : shared_(shared), memory_(memory), child_(child) {}
  [[nodiscard]] std::atomic<std::uint64_t>* turns();
  void replace_the_dead(Duration steady);
  Result<pid_t> spawn() const;
  [[noreturn]] static void keep_watch(Shared& shared, pid_t master);

  Shared* const shared_;
  const int memory_;  // a file without a name, of which shared_ is the content
  std::atomic<pid_t> child_;
  Mutex mutex_;  // for what follows, and while child_ is replaced
  bool ending_ HOLDFAST_GUARDED_BY(mutex_) = false;
  Condition ended_;
  std::thread keeper_;

  // The thread that runs consensus.
  Term prepared_;  // what lies in shared_
  bool leads_ = false;
  Duration patience_ = kHangPatience;
  std::vector<Certificate> certificates_;
};

}  // namespace holdfast::master
