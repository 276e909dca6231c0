#include "io/posix/udp.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace holdfast::io::posix {
namespace {

static_assert(sizeof(sockaddr_in6) <= sizeof(UdpPeer::address));

Result<UdpPeer> look_up(const std::string& host, std::uint16_t port, bool passive) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  const int trouble = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (trouble != 0) return Error{Code::unavailable, "resolve " + host + ": " + gai_strerror(trouble)};
  const addrinfo* chosen = nullptr;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    if (chosen == nullptr || (one->ai_family == AF_INET && chosen->ai_family == AF_INET6)) chosen = one;
  }
  UdpPeer peer;
  if (chosen != nullptr) {
    peer.length = chosen->ai_addrlen;
    std::memcpy(peer.address.data(), chosen->ai_addr, chosen->ai_addrlen);
  }
  freeaddrinfo(found);
  if (peer.length == 0) return Error{Code::unavailable, "resolve " + host + ": no address"};
  return peer;
}

int family(const UdpPeer& peer) {
  sockaddr head{};
  std::memcpy(&head, peer.address.data(), sizeof head.sa_family);
  return head.sa_family;
}

// ::ffff:a.b.c.d, by which a socket of both families reaches an IPv4 address.
UdpPeer mapped(const UdpPeer& peer) {
  sockaddr_in in{};
  std::memcpy(&in, peer.address.data(), sizeof in);
  sockaddr_in6 out{};
  out.sin6_family = AF_INET6;
  out.sin6_port = in.sin_port;
  out.sin6_addr.s6_addr[10] = 0xff;
  out.sin6_addr.s6_addr[11] = 0xff;
  std::memcpy(&out.sin6_addr.s6_addr[12], &in.sin_addr, 4);
  UdpPeer made;
  made.length = sizeof out;
  std::memcpy(made.address.data(), &out, sizeof out);
  return made;
}

}  // namespace

Result<UdpPeer> resolve_udp(const std::string& host, std::uint16_t port) { return look_up(host, port, false); }

Result<UdpSocket> UdpSocket::bind(const std::string& host, std::uint16_t port) {
  UdpPeer where;
  bool both = false;
  if (host.empty() || host == "0.0.0.0" || host == "::") {
    both = host != "0.0.0.0";
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(port);
    sockaddr_in any4{};
    any4.sin_family = AF_INET;
    any4.sin_port = htons(port);
    where.length = both ? sizeof any6 : sizeof any4;
    std::memcpy(where.address.data(), both ? static_cast<void*>(&any6) : static_cast<void*>(&any4), where.length);
  } else {
    auto found = look_up(host, port, true);
    if (!found) return found.error();
    where = *found;
  }
  const int fd = ::socket(family(where), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    // A machine without IPv6: all of IPv4 then.
    if (both && errno == EAFNOSUPPORT) return bind("0.0.0.0", port);
    return errno_error(errno, "udp socket");
  }
  UdpSocket socket(fd, family(where) == AF_INET6);
  if (both) {
    const int off = 0;
    (void)::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(where.address.data()), where.length) < 0) {
    const int trouble = errno;
    if (both && trouble == EADDRNOTAVAIL) return bind("0.0.0.0", port);
    return errno_error(trouble, "listen on udp " + host + ":" + std::to_string(port));
  }
  return socket;
}

UdpSocket::UdpSocket(UdpSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)), is_v6_(other.is_v6_) {}

UdpSocket::~UdpSocket() {
  if (fd_ >= 0) ::close(fd_);
}

std::optional<UdpPeer> UdpSocket::reach(const UdpPeer& to) const {
  if (to.length == 0 || (!is_v6_ && family(to) == AF_INET6)) return std::nullopt;
  return is_v6_ && family(to) == AF_INET ? mapped(to) : to;
}

bool UdpSocket::send(const UdpPeer& to, BytesView datagram) const {
  const auto target = reach(to);
  if (!target) return false;
  const auto sent = ::sendto(fd_, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(target->address.data()), target->length);
  return sent == static_cast<ssize_t>(datagram.size());
}

void UdpSocket::send(std::span<Outgoing> datagrams) const {
  std::array<UdpPeer, DatagramBatch::kCount> targets;
  std::array<iovec, DatagramBatch::kCount> contents;
  std::array<mmsghdr, DatagramBatch::kCount> heads;
  std::array<Outgoing*, DatagramBatch::kCount> owners{};
  for (std::size_t next = 0; next < datagrams.size();) {
    unsigned count = 0;
    for (; next < datagrams.size() && count < heads.size(); ++next) {
      auto& one = datagrams[next];
      one.taken = false;
      const auto target = reach(one.to);
      if (!target) continue;
      targets[count] = *target;
      contents[count] = {.iov_base = const_cast<std::uint8_t*>(one.datagram.data()), .iov_len = one.datagram.size()};
      heads[count] = {};
      heads[count].msg_hdr.msg_name = targets[count].address.data();
      heads[count].msg_hdr.msg_namelen = target->length;
      heads[count].msg_hdr.msg_iov = &contents[count];
      heads[count].msg_hdr.msg_iovlen = 1;
      owners[count++] = &one;
    }
    for (unsigned at = 0; at < count;) {
      const int sent = ::sendmmsg(fd_, &heads[at], count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      // One that the kernel refuses ends the call before it, or is refused by the next: the rest still goes.
      for (int i = 0; i < sent; ++i) owners[at + static_cast<unsigned>(i)]->taken = true;
      at += sent > 0 ? static_cast<unsigned>(sent) : 1;
    }
  }
}

std::optional<std::size_t> UdpSocket::receive(std::span<std::uint8_t> out) const {
  for (;;) {
    const auto got = ::recv(fd_, out.data(), out.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got >= 0 && static_cast<std::size_t>(got) <= out.size()) return static_cast<std::size_t>(got);
    if (got >= 0) continue;
    // ECONNREFUSED and friends belong to datagrams sent earlier (ICMP): the next call goes on.
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH) return std::nullopt;
  }
}

void UdpSocket::receive(DatagramBatch* batch) const {
  std::array<iovec, DatagramBatch::kCount> room;
  std::array<mmsghdr, DatagramBatch::kCount> heads{};
  for (std::size_t i = 0; i < heads.size(); ++i) {
    room[i] = {.iov_base = batch->bytes_[i].data(), .iov_len = DatagramBatch::kBytesEach};
    heads[i].msg_hdr.msg_iov = &room[i];
    heads[i].msg_hdr.msg_iovlen = 1;
  }
  batch->size_ = batch->taken_ = 0;
  for (;;) {
    const int got = ::recvmmsg(fd_, heads.data(), heads.size(), MSG_DONTWAIT, nullptr);
    if (got >= 0) {
      batch->taken_ = static_cast<std::size_t>(got);
      break;
    }
    // As above.
    if (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH) return;
  }
  for (std::size_t i = 0; i < batch->taken_; ++i) {
    if ((heads[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
    batch->at_[batch->size_] = static_cast<std::uint8_t>(i);
    batch->length_[batch->size_++] = static_cast<std::uint16_t>(heads[i].msg_len);
  }
}

std::uint16_t UdpSocket::port() const {
  sockaddr_in6 bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &length) < 0) return 0;
  return ntohs(bound.sin6_port);  // at the same place in sockaddr_in
}

}  // namespace holdfast::io::posix
