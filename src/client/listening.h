// Which of some servers take connections: to find those that have come back, for next to nothing. A gRPC channel to a server
// that is gone dials four times a second, with several threads, for as long as it is there.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"

namespace holdfast::client {

// For each `host:port` whether a TCP connection to it came about within `patience`; it is closed again. All are tried at
// once, names are looked up first. Waits, so not on a loop.
std::vector<bool> listening(const std::vector<std::string>& addresses, Duration patience);

}  // namespace holdfast::client
