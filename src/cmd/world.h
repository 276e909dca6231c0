// World: what all roles of one process share: the machine's disk, clocks and random bits, the event loops, and the
// pool of HTTP connections to other servers. Outlives every role.
#pragma once

#include "base/uuid.h"
#include "client/http_pool.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/event_loop.h"
#include "io/random.h"

namespace holdfast::cmd {

class World {
 public:
  explicit World(std::size_t loop_count);

  io::Disk& disk;
  io::Clock& clock;
  io::Random& random;
  io::EventLoops loops;
  client::HttpPool pool;
};

// Loops for a master alone (it is never the bottleneck of more than two) and for anything that serves files.
std::size_t master_loops();
std::size_t volume_loops();

// A name for this start of this process.
Uuid new_process_id(World& world);

// What a role could not listen on, in upstream's words: "listen tcp H:P: bind: address already in use".
Error listen_error(const std::string& address, std::uint16_t port, const Error& cause);

}  // namespace holdfast::cmd
