#include "io/posix/listening.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace holdfast::io::posix {

namespace {

constexpr int kBacklog = 4096;

// One IPv6 socket that takes IPv4 too, or IPv4 alone on a machine without IPv6.
std::vector<ListenAddress> all_addresses() {
  ListenAddress v6;
  v6.bytes.ss_family = AF_INET6;
  reinterpret_cast<sockaddr_in6&>(v6.bytes).sin6_addr = in6addr_any;
  v6.length = sizeof(sockaddr_in6);
  v6.dual_stack = true;
  if (const int probe = listening_socket(v6, false); probe >= 0) {
    ::close(probe);
    return {v6};
  }
  ListenAddress v4;
  v4.bytes.ss_family = AF_INET;
  v4.length = sizeof(sockaddr_in);
  return {v4};
}

}  // namespace

void ListenAddress::set_port(std::uint16_t port) {
  if (bytes.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(bytes).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(bytes).sin6_port = htons(port);
  }
}

std::uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
}

int listening_socket(const ListenAddress& address, bool shared) {
  const int fd = ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int one = 1;
  const int zero = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (shared) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (address.bytes.ss_family == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address.dual_stack ? &zero : &one, sizeof one);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.bytes), address.length) == 0 &&
      ::listen(fd, kBacklog) == 0) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

Result<std::vector<ListenAddress>> listen_addresses(const std::string& name) {
  if (name.empty()) return all_addresses();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found); error != 0) {
    return Error(Code::invalid, "listen on " + name + ": " + gai_strerror(error));
  }
  std::vector<ListenAddress> addresses;
  for (const auto* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    ListenAddress address;
    std::memcpy(&address.bytes, info->ai_addr, info->ai_addrlen);
    address.length = info->ai_addrlen;
    addresses.push_back(address);
  }
  freeaddrinfo(found);
  return addresses;
}

Descriptors descriptors_left(int newest) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return Descriptors::kRoomy;
  const auto used = static_cast<rlim_t>(newest) + 1;
  if (used > limit.rlim_cur - limit.rlim_cur / 8) return Descriptors::kFull;
  return used > limit.rlim_cur - limit.rlim_cur / 4 ? Descriptors::kTight : Descriptors::kRoomy;
}

}  // namespace holdfast::io::posix
