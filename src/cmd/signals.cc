#include "cmd/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"

namespace holdfast::cmd {
namespace {

constexpr int kWake = SIGUSR2;  // ends an Interruption's wait; sent to its own thread only

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

std::string name_of(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal";
}

}  // namespace

void block_signals() {
  const auto set = set_of({SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGQUIT, SIGUSR1, kWake});
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

std::string wait_for_stop(const std::function<void()>& reload, const std::function<void()>& report) {
  const auto set = set_of({SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGQUIT, SIGUSR1});
  for (;;) {
    int signal = 0;
    if (::sigwait(&set, &signal) != 0) continue;
    if (signal == SIGHUP) {
      reload();
    } else if (signal == SIGUSR1) {
      if (report) report();
    } else if (signal == SIGQUIT) {
      LOG_INFO("SIGQUIT: ending at once");
      ::_exit(2);
    } else {
      // A person who presses Ctrl-C twice means it. Detached: it lives until the process ends.
      std::thread([] {
        const auto again = set_of({SIGINT, SIGTERM, SIGQUIT});
        int second = 0;
        ::sigwait(&again, &second);
        LOG_WARNING("{} while stopping: ending at once", name_of(second));
        ::_exit(1);
      }).detach();
      return name_of(signal);
    }
  }
}

Interruption::Interruption(std::function<void()> tidy)
    : thread_([tidy = std::move(tidy)] {
        const auto set = set_of({SIGINT, SIGTERM, SIGALRM, SIGHUP, SIGQUIT, kWake});
        int signal = 0;
        ::sigwait(&set, &signal);
        if (signal == kWake) return;
        tidy();
        ::_exit(130);
      }) {}

Interruption::~Interruption() {
  ::pthread_kill(thread_.native_handle(), kWake);
  thread_.join();
}

}  // namespace holdfast::cmd
