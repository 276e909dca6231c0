#include "cmd/world.h"

#include <algorithm>

#include "io/posix/clock.h"
#include "io/posix/cores.h"
#include "io/posix/disk.h"
#include "io/posix/random.h"
#include "model/address.h"

namespace holdfast::cmd {

World::World(std::size_t loop_count)
    : disk(io::posix::system_disk()),
      clock(io::posix::system_clock()),
      random(io::posix::system_random()),
      loops(loop_count),
      pool(loops) {}

std::size_t volume_loops() { return std::min<std::size_t>(io::posix::usable_cores(), 64); }
std::size_t master_loops() { return std::min<std::size_t>(volume_loops(), 2); }

Uuid new_process_id(World& world) {
  const auto high = world.random.next();
  return Uuid::from_random(high, world.random.next());
}

Error listen_error(const std::string& address, std::uint16_t port, const Error& cause) {
  const std::string place = host_port(address, port);
  if (cause.code() == Code::already_exists) {
    return Error(cause.code(), "listen tcp " + place + ": bind: address already in use");
  }
  std::string advice;
  switch (cause.code()) {
    case Code::invalid:
    case Code::not_found:
      advice = "; " + address + " is no address of this machine: -ip.bind says where to listen (0.0.0.0: everywhere)";
      break;
    case Code::refused: advice = "; ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE"; break;
    default: break;
  }
  return Error(cause.code(), "listen tcp " + place + ": " + cause.what() + advice);
}

}  // namespace holdfast::cmd
