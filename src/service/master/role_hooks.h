// RoleHooks: runs -onLeader and -onFollower, `sh -c`, one after the other on a thread of its own. The command finds
// HOLDFAST_ROLE (leader, follower) and HOLDFAST_TERM in its environment; how it ends stands in the log when it fails.
//
// Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/time.h"
#include "model/ids.h"

namespace holdfast::master {

class RoleHooks {
 public:
  // Empty commands run nothing.
  RoleHooks(std::string on_leader, std::string on_follower);
  ~RoleHooks();  // waits for what runs, kHookEndPatience at most

  void became(bool leader, Term term);

 private:
  struct Turn {
    bool leader = false;
    Term term;
  };
  void run();
  void execute(const Turn& turn);

  const std::string on_leader_;
  const std::string on_follower_;
  Mutex mutex_;
  Condition changed_;
  std::deque<Turn> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

inline constexpr Duration kHookEndPatience = 5s;  // at the end of the master; then it is left to itself

}  // namespace holdfast::master
