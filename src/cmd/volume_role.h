// VolumeRole: a running volume server: the store, its reports to every master, its HTTP routes and its gRPC services.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/uuid.h"
#include "cmd/plan.h"
#include "cmd/world.h"

namespace holdfast::cmd {

// What a metalogger is at the moment, in lines of "name: value".
std::string describe(const metalogger::MetaloggerState& state);

class VolumeRole {
 public:
  // `process` names this start of this process; the master beside it, if any, has the same. Volumes are loaded and everything listens when this returns; no master need have answered yet.
  static Result<std::unique_ptr<VolumeRole>> start(VolumePlan plan, World& world, Uuid process);
  ~VolumeRole();  // stops, without the wait of -preStopSeconds

  // What this volume server is at the moment, in lines of "name: value".
  std::string describe() const;

  // Tells the masters, waits -preStopSeconds while reads and writes go on, then finishes what is under way and closes
  // the store.
  void stop();

  // SIGHUP: the white list of the newly read settings; volumes whose files have appeared are loaded.
  void reload(const Reread& news);

 private:
  struct Inside;
  explicit VolumeRole(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace holdfast::cmd
