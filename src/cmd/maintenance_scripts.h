// MaintenanceScripts: the lines of master.maintenance.scripts (spec/weed-cluster appendix B), which the leader has `shell`
// run every master.maintenance.sleep_minutes.
//
// The shell is a process of its own: this program once more, given one command at a time through a pipe. So a command that
// hangs or dies costs the cluster no leader. Unless the lines take it themselves the admin lock is held around them; when it
// cannot be had, or gets lost, the rest of the run is left out, and the log says who has it. What the commands print goes to
// the log.
//
// A leader that loses its place, and a master that stops, gives no further command. The one that runs goes on to its end
// under the lock, which outlives leaders, since stopping it halfway would leave volumes read-only. Each leader counts the
// time from when it began to lead, and begins with the first line.
//
// Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"

namespace holdfast::cmd {

// What master.toml says of it.
struct MaintenancePlan {
  std::vector<std::string> commands;  // each one line for the shell, the lock's included; none: nothing is ever run
  Duration interval = std::chrono::minutes(17);
  std::string scripts;     // as they were written, for those who ask
  std::string config_dir;  // where the shell finds security.toml
  std::string masters;     // for its -master
};

// The commands of `scripts`: lines, or parted by `;`; those that begin with # are remarks. What the shell does not have, and
// what cannot be read, is left out and told of in `warnings`, with the number of its line. When none of them is `lock`, there
// is one before the first and an `unlock` behind the last.
std::vector<std::string> maintenance_commands(std::string_view scripts, std::vector<std::string>& warnings);

class MaintenanceScripts {
 public:
  // `is_leader` says whether this master leads now; it may be called on any thread until this ends.
  MaintenanceScripts(MaintenancePlan plan, std::function<bool()> is_leader);
  ~MaintenanceScripts();  // waits for a command that runs, kEndPatience at most; then it is left to itself

  static constexpr Duration kEndPatience = std::chrono::seconds(5);

 private:
  class Session;

  void run();
  // Gives all commands to one shell, as long as that makes sense.
  void run_once();
  // False when this is to end before `until`.
  bool sleep(Duration length);
  bool is_stopping();

  const MaintenancePlan plan_;
  const std::function<bool()> is_leader_;
  Mutex mutex_;
  Condition stopped_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::cmd
