// MasterRole: a running master: consensus, the Master facade, its HTTP routes and its gRPC services, started and
// stopped in the right order. `master` and `server` are thin around it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/uuid.h"
#include "cmd/plan.h"
#include "cmd/world.h"

namespace holdfast::cmd {

// The guardian of the master that is about to start (service/master/guardian.h): before anything that makes threads. Null,
// and a line in the log, when there can be none.
std::shared_ptr<master::Guardian> start_guardian(bool wanted = true);

class MasterRole {
 public:
  // Everything listens and takes part when this returns; there need not be a leader yet.
  static Result<std::unique_ptr<MasterRole>> start(MasterPlan plan, World& world);
  ~MasterRole();  // stops

  // Of this start of this process; a volume server beside it reports the same, so that others know they die together.
  Uuid process() const;

  // What this master is at the moment, in lines of "name: value".
  std::string describe() const;

  // Gives leadership away, if this master has it, and goes on as a follower. Waits at most a second.
  void hand_over();

  // Leadership first, then what is under way, then everything else.
  void stop();

  // SIGHUP: the white list of the newly read settings.
  void reload(const Reread& news);

 private:
  struct Inside;
  explicit MasterRole(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::cmd
