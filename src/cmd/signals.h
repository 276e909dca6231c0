// Signals as ordinary calls: they are blocked in every thread and taken by one that waits for them, so no handler ever
// runs in the middle of anything.
//
// block_signals() comes first in main(), before any thread is made. Then a server calls wait_for_stop() in its main
// thread, and a command that must tidy up on Ctrl-C makes an Interruption.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace holdfast::cmd {

// Blocks SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGQUIT and SIGUSR1, and ignores SIGPIPE: a broken connection is an error of its
// write, not the end of the process.
void block_signals();

// Waits for SIGINT, SIGTERM or SIGALRM and answers its name; SIGHUP calls `reload` and goes on waiting. SIGQUIT ends
// the process at once with status 2, SIGUSR1 calls `report` and goes on waiting. What ends the wait is still caught afterwards: a second one while the process
// stops ends it at once with status 1.
std::string wait_for_stop(const std::function<void()>& reload, const std::function<void()>& report = nullptr);

// While it lives, SIGINT, SIGTERM, SIGALRM and SIGHUP call `tidy` on a thread of its own and end the process with
// status 130. `tidy` must not wait for what the other threads do.
class Interruption {
 public:
  explicit Interruption(std::function<void()> tidy);
  ~Interruption();
  Interruption(const Interruption&) = delete;

 private:
  std::thread thread_;
};

}  // namespace holdfast::cmd
