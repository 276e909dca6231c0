#include "service/master/role_hooks.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/log.h"

namespace holdfast::master {
namespace {

constexpr Duration kLook = 20ms;  // whether a command has ended
constexpr std::size_t kWaitingMax = 16;  // roles that change faster than commands run: the newest count

}  // namespace

RoleHooks::RoleHooks(std::string on_leader, std::string on_follower)
    : on_leader_(std::move(on_leader)), on_follower_(std::move(on_follower)) {
  if (!on_leader_.empty() || !on_follower_.empty()) thread_ = std::thread([this] { run(); });
}

RoleHooks::~RoleHooks() {
  {
    Guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RoleHooks::became(bool leader, Term term) {
  {
    Guard guard(mutex_);
    if (waiting_.size() >= kWaitingMax) waiting_.pop_front();
    waiting_.push_back({leader, term});
  }
  changed_.notify_all();
}

void RoleHooks::run() {
  for (;;) {
    Turn turn;
    {
      Guard guard(mutex_);
      while (waiting_.empty() && !stopping_) changed_.wait(mutex_);
      if (waiting_.empty()) return;
      turn = waiting_.front();
      waiting_.pop_front();
    }
    execute(turn);
  }
}

void RoleHooks::execute(const Turn& turn) {
  const std::string& command = turn.leader ? on_leader_ : on_follower_;
  const char* flag = turn.leader ? "-onLeader" : "-onFollower";
  if (command.empty()) return;
  std::vector<std::string> own = {std::string("HOLDFAST_ROLE=") + (turn.leader ? "leader" : "follower"),
                                  "HOLDFAST_TERM=" + std::to_string(turn.term.value())};
  std::vector<char*> environment;
  for (char** one = environ; *one != nullptr; ++one) {
    if (std::strncmp(*one, "HOLDFAST_ROLE=", 14) != 0 && std::strncmp(*one, "HOLDFAST_TERM=", 14) != 0) {
      environment.push_back(*one);
    }
  }
  for (auto& one : own) environment.push_back(one.data());
  environment.push_back(nullptr);
  std::string shell = "/bin/sh", c = "-c", words = command;
  std::array<char*, 4> arguments = {shell.data(), c.data(), words.data(), nullptr};

  // The master blocks signals that a command expects to get.
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  (void)::posix_spawnattr_init(&attributes);
  (void)::posix_spawnattr_setsigmask(&attributes, &none);
  (void)::posix_spawnattr_setsigdefault(&attributes, &all);
  (void)::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, shell.c_str(), nullptr, &attributes, arguments.data(), environment.data());
  (void)::posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    LOG_ERROR("{} cannot be run: {}", flag, std::strerror(error));
    return;
  }
  LOG_INFO("{} runs as process {}", flag, child);
  Duration left = kHookEndPatience;
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) != 0) {
      if (WIFEXITED(status) && WEXITSTATUS(status) != 0) LOG_WARNING("{} ended with {}", flag, WEXITSTATUS(status));
      if (WIFSIGNALED(status)) LOG_WARNING("{} was ended by signal {}", flag, WTERMSIG(status));
      return;
    }
    bool stopping = false;
    {
      Guard guard(mutex_);
      stopping = stopping_;
    }
    if (stopping && (left -= kLook) <= Duration(0)) {
      LOG_WARNING("{} (process {}) is not waited for", flag, child);
      return;
    }
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace holdfast::master
