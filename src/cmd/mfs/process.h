// What a daemon does to its own process before it serves: leaves the terminal, takes limits, priority and user.
//
//     Detached detached = ...detach()        the parent never comes back from it: it waits for the child's result
//     as root: prepare_process()             limits, memory, priority, then the user of WORKING_USER
//     ... starts to serve ...
//     detached.succeeded()                   the parent ends with 0; this process lets go of the terminal
//
// Before any thread is made.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "cmd/mfs/config.h"

namespace holdfast::mfs {

// The way from a child to the parent that waits for it. Ending without succeeded() tells the parent that it failed.
class Detached {
 public:
  // In the foreground: nobody waits.
  Detached() = default;
  ~Detached();
  Detached(Detached&& other) noexcept;
  Detached& operator=(Detached&& other) noexcept;

  // Forks. The parent waits until the child says how its start went, and ends with status 0 or 1; the child, in a
  // session of its own, goes on.
  static Result<Detached> detach();

  // stdin, stdout and stderr become /dev/null, then the parent is told.
  void succeeded();

 private:
  int pipe_ = -1;
};

// Who the daemon runs as.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;  // "" when only the number is known
};

// What WORKING_USER and WORKING_GROUP mean here: without root the user that we are. The default user "mfs" may be
// missing: then root stays root, which is said in `remark`; one that was named must exist.
Result<User> working_user(const Config& config, std::string* remark);

// Makes DATA_PATH for `user` when only its last part is missing.
Status make_data_folder(const std::string& path, const User& user);

// Limits of files and core dumps, LOCK_MEMORY, DISABLE_OOM_KILLER, NICE_LEVEL, FILE_UMASK, then the user. What cannot be
// had, but for the user, is passed over, and told in `remarks` when it was asked for.
Status prepare_process(const Config& config, const User& user, bool keeps_core_limit, std::vector<std::string>* remarks);

}  // namespace holdfast::mfs
