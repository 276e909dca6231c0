// VolumeServer: the volume service with a store on disk, reports to every master and copies to siblings.
//
//   auto server = VolumeServer::open(config, world);  // volumes are loaded; nobody knows of them yet
//   ... listen on the HTTP and the gRPC port, with *server as their VolumeService ...
//   (*server)->start();                                // reports to the masters begin
//   ...
//   (*server)->leave();    // the masters are told, healthz says 503; reads and writes go on
//   ... wait config.pre_stop, close the ports ...
//   (*server)->stop();     // what is under way is finished, volumes are synced
//
// open() and start() wait for no master: files can be read at once, and reports begin as soon as a master answers.
#pragma once

#include <memory>

#include "base/result.h"
#include "base/uuid.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/event_loop.h"
#include "io/random.h"
#include "service/volume/config.h"
#include "service/volume/volume_service.h"

namespace holdfast::client {
class HttpPool;
}

namespace holdfast::volume {

class VolumeServer : public VolumeService {
 public:
  // All outlive the server.
  struct World {
    io::Disk& disk;
    io::Clock& clock;
    io::Random& random;
    io::EventLoops& loops;
    client::HttpPool& pool;
    Uuid process;  // of this start of this process; a master in the same process sends the same
  };

  // Code::invalid with upstream's text when the config cannot be; busy when another process has a folder.
  static Result<std::unique_ptr<VolumeServer>> open(VolumeConfig config, World world);

  virtual void start() = 0;
  virtual void stop() = 0;

  // The cluster it belongs to; empty before it was ever in one.
  virtual ClusterId cluster() const = 0;

  // Loads volumes whose files have appeared since (SIGHUP); how many. May wait for the disk.
  virtual std::size_t load_new_volumes() = 0;
};

}  // namespace holdfast::volume
