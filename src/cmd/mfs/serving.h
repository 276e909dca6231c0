// Serving: what a daemon of one role does once its process is prepared: the running parts, and what signals ask of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/mfs/config.h"

namespace holdfast::mfs {

class Serving {
 public:
  virtual ~Serving() = default;

  // Lines for `info`.
  virtual std::string describe() const = 0;

  // SIGHUP, with the settings that were read again.
  virtual void reload(const Config& config) = 0;

  virtual void stop() = 0;
};

// Everything listens when this returns. `data_path` is the folder of the daemon. `remarks` are for the terminal of the
// one who starts.
Result<std::unique_ptr<Serving>> start_serving(const Config& config, const std::string& data_path,
                                               std::vector<std::string>* remarks);

// `mfsmaster restore`: reads and mends what a master keeps in `data_path`, as a start would, and says what is there.
Result<std::string> restore_master(const Config& config, const std::string& data_path, std::vector<std::string>* remarks);

// `mfsmaster -e`: the state of this member goes aside, into a folder beside it; its new name, "" when there was none.
Result<std::string> put_state_aside(const Config& config, const std::string& data_path);

}  // namespace holdfast::mfs
