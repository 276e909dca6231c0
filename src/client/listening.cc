#include "client/listening.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

namespace holdfast::client {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One connection to be; a server with several addresses has as many.
struct Dialled {
  std::size_t server;
  int descriptor;
};

void dial(const std::string& address, std::size_t server, std::vector<Dialled>* dialled) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return;
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  if (::getaddrinfo(host.c_str(), address.c_str() + colon + 1, &wanted, &raw) != 0) return;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(raw, ::freeaddrinfo);
  for (const auto* one = found.get(); one != nullptr; one = one->ai_next) {
    const int descriptor = ::socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) continue;
    if (::connect(descriptor, one->ai_addr, one->ai_addrlen) == 0 || errno == EINPROGRESS) {
      dialled->push_back({server, descriptor});
    } else {
      ::close(descriptor);
    }
  }
}

}  // namespace

std::vector<bool> listening(const std::vector<std::string>& addresses, Duration patience) {
  std::vector<Dialled> dialled;
  for (std::size_t i = 0; i < addresses.size(); ++i) dial(addresses[i], i, &dialled);
  std::vector<bool> found(addresses.size());
  const auto until = SteadyClock::now() + patience;
  while (!dialled.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - SteadyClock::now()).count();
    if (left <= 0) break;
    std::vector<pollfd> watched;
    for (const auto& one : dialled) watched.push_back({.fd = one.descriptor, .events = POLLOUT, .revents = 0});
    if (::poll(watched.data(), watched.size(), static_cast<int>(left)) < 0 && errno != EINTR) break;
    std::vector<Dialled> rest;
    for (std::size_t i = 0; i < dialled.size(); ++i) {
      if (watched[i].revents == 0) {
        rest.push_back(dialled[i]);
        continue;
      }
      int error = 0;
      socklen_t length = sizeof error;
      if (::getsockopt(dialled[i].descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0) {
        found[dialled[i].server] = true;
      }
      ::close(dialled[i].descriptor);
    }
    dialled = std::move(rest);
  }
  for (const auto& one : dialled) ::close(one.descriptor);
  return found;
}

}  // namespace holdfast::client
