// What -debug serves on -debug.port: a look inside this process for those who look after it.
//
//   /debug/threads       each thread: its id, name, state, and the processor time it took
//   /debug/memory        what the kernel and the allocator know of this process's memory
//   /debug/verbosity     the level of -v; POST with v=2 sets it until the next start
//
// Profiles are taken from outside, by perf and gdb: /debug/pprof/ says how. Off unless asked for, and open to this machine
// only: it is served on the loopback address.
#pragma once

#include "front/http/server.h"

namespace holdfast::front {

class DebugRoutes : public http::Handler {
 public:
  void serve(http::Exchange& exchange) override;
};

}  // namespace holdfast::front
