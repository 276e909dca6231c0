// Sockets that listen on TCP ports, and how many descriptors may be open.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace holdfast::io::posix {

struct ListenAddress {
  sockaddr_storage bytes{};
  socklen_t length = 0;
  bool dual_stack = false;  // all addresses of the machine, IPv6 and IPv4

  void set_port(std::uint16_t port);
};

// Those that `name` stands for, at port 0; "": all of the machine, IPv6 and IPv4 if it has both.
Result<std::vector<ListenAddress>> listen_addresses(const std::string& name);

// A non-blocking socket that listens; `shared` with others that say so too (SO_REUSEPORT). -1, and errno, when it cannot be.
int listening_socket(const ListenAddress& address, bool shared);

std::uint16_t local_port(int socket);

// Says how full this process' table of open files is by the number of the descriptor that was opened last: the kernel gives the
// lowest that is free. Connections give way while there is room left, so that volumes, logs and calls to others never lack one
// because of clients that only hold a place.
//   kRoomy   there is enough
//   kTight   above three quarters of RLIMIT_NOFILE: what is idle should go
//   kFull    above seven eighths: nothing more should come
enum class Descriptors : std::uint8_t { kRoomy, kTight, kFull };
Descriptors descriptors_left(int newest);

}  // namespace holdfast::io::posix
