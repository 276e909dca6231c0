// The one entry of the program. What to do is decided by cmd/dispatch.h, or, under the name of one of the daemons of
// MooseFS, by cmd/mfs/daemon.h. mfsmetarestore is the command metarestore. A master starts the program once more as its
// guardian (service/master/guardian.h), a volume server as the worker that resizes images (front/image/image_worker.h).
#include <absl/synchronization/mutex.h>
#include <malloc.h>

#include "cmd/dispatch.h"
#include "cmd/mfs/daemon.h"
#include "cmd/servers.h"
#include "cmd/signals.h"
#include "front/image/image_worker.h"
#include "service/master/guardian.h"

int main(int argc, char** argv) {
  holdfast::master::Guardian::run_if_asked(argc, argv);
  holdfast::front::become_image_worker_if_asked(argc, argv);
  // A heap for each thread would cost megabytes each and gain nothing: hot paths here do not allocate.
  ::mallopt(M_ARENA_MAX, 2);
  // Debian's libabsl, with whose mutexes gRPC locks, follows the order of all locks that are taken and ends the program where two
  // orders cross, as if it were under test; that is a good tenth of what a small call costs.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  holdfast::cmd::block_signals();
  std::vector<std::string> line(argv, argv + argc);
  if (const auto* role = holdfast::mfs::role_of_program(argc > 0 ? line[0] : "")) {
    return holdfast::mfs::run(*role, {line.begin() + 1, line.end()});
  }
  if (!line.empty() && line[0].substr(line[0].rfind('/') + 1) == "mfsmetarestore") {
    line[0] = "holdfast";
    line.insert(line.begin() + 1, "metarestore");
  }
  return holdfast::cmd::dispatch(line, holdfast::cmd::process_environment);
}
