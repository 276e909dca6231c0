#include "io/posix/interface_address.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace holdfast::io::posix {
namespace {

constexpr timeval kAnswerPatience{.tv_sec = 1, .tv_usec = 0};  // the kernel answers at once

template <typename T>
void put(std::string* out, const T& value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_attribute(std::string* out, std::uint16_t type, const void* data, std::size_t size) {
  put(out, rtattr{.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size)), .rta_type = type});
  out->append(static_cast<const char*>(data), size);
  out->resize((out->size() + 3) / 4 * 4);
}

class Socket {
 public:
  Socket(int domain, int type, int protocol) : fd_(::socket(domain, type | SOCK_CLOEXEC, protocol)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// The Ethernet address of an interface; all zero where it has none (loopback).
std::array<std::uint8_t, 6> hardware_address(const std::string& name) {
  std::array<std::uint8_t, 6> address{};
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  const Socket any(AF_INET, SOCK_DGRAM, 0);
  if (::ioctl(any.fd(), SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_ETHER) {
    std::memcpy(address.data(), request.ifr_hwaddr.sa_data, address.size());
  }
  return address;
}

}  // namespace

Result<IpPrefix> IpPrefix::parse(const std::string& text) {
  IpPrefix prefix;
  const auto slash = text.find('/');
  const std::string host = text.substr(0, slash);
  if (::inet_pton(AF_INET, host.c_str(), prefix.bytes.data()) == 1) {
    prefix.length = 32;
  } else if (::inet_pton(AF_INET6, host.c_str(), prefix.bytes.data()) == 1) {
    prefix.is_v6 = true;
    prefix.length = 128;
  } else {
    return Error(Code::invalid, "\"" + text + "\" is no address such as 192.0.2.10/24 or 2001:db8::10/64");
  }
  if (slash == std::string::npos) return prefix;
  const std::string digits = text.substr(slash + 1);
  unsigned length = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9' || length > 128) length = 1000;
    length = length * 10 + static_cast<unsigned>(c - '0');
  }
  if (digits.empty() || length == 0 || length > prefix.length) {
    return Error(Code::invalid, "\"" + text + "\": the length of the network must be 1 to " + std::to_string(prefix.length));
  }
  prefix.length = static_cast<std::uint8_t>(length);
  return prefix;
}

std::string text(const IpPrefix& prefix) {
  std::array<char, INET6_ADDRSTRLEN> host{};
  (void)::inet_ntop(prefix.is_v6 ? AF_INET6 : AF_INET, prefix.bytes.data(), host.data(), host.size());
  return std::string(host.data()) + "/" + std::to_string(prefix.length);
}

Result<InterfaceAddress> InterfaceAddress::open(const std::string& interface, const IpPrefix& address) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return Error(Code::not_found, "there is no network interface \"" + interface + "\"");
  const int netlink = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) return errno_error(errno, "netlink socket");
  (void)::setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &kAnswerPatience, sizeof kAnswerPatience);
  return InterfaceAddress(netlink, index, interface, address);
}

InterfaceAddress::~InterfaceAddress() {
  if (netlink_ >= 0) ::close(netlink_);
}

InterfaceAddress::InterfaceAddress(InterfaceAddress&& other) noexcept
    : netlink_(std::exchange(other.netlink_, -1)),
      index_(other.index_),
      name_(std::move(other.name_)),
      address_(other.address_),
      sequence_(other.sequence_) {}

std::string InterfaceAddress::request(std::uint16_t type, std::uint16_t flags,
                                      std::optional<std::uint32_t> lifetime) const {
  std::string out;
  put(&out, nlmsghdr{.nlmsg_len = 0, .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = sequence_, .nlmsg_pid = 0});
  ifaddrmsg head{};
  head.ifa_family = address_.is_v6 ? AF_INET6 : AF_INET;
  head.ifa_prefixlen = address_.length;
  // Unique for as long as it is held: no time for asking whether somebody else has it.
  head.ifa_flags = address_.is_v6 && lifetime ? IFA_F_NODAD : 0;
  head.ifa_index = index_;
  put(&out, head);
  put_attribute(&out, IFA_LOCAL, address_.bytes.data(), address_.size());
  put_attribute(&out, IFA_ADDRESS, address_.bytes.data(), address_.size());
  if (lifetime) {
    // Never preferred where the machine has another address: what it asks others comes from that one.
    const ifa_cacheinfo times{.ifa_prefered = 0, .ifa_valid = *lifetime, .cstamp = 0, .tstamp = 0};
    put_attribute(&out, IFA_CACHEINFO, &times, sizeof times);
  }
  const auto length = static_cast<std::uint32_t>(out.size());
  std::memcpy(out.data(), &length, sizeof length);
  return out;
}

int InterfaceAddress::ask(std::string bytes) {
  nlmsghdr head{};
  std::memcpy(&head, bytes.data(), sizeof head);
  head.nlmsg_seq = ++sequence_;
  std::memcpy(bytes.data(), &head, sizeof head);
  if (::send(netlink_, bytes.data(), bytes.size(), 0) < 0) return errno;
  for (;;) {
    alignas(nlmsghdr) std::array<char, 8192> room{};
    const auto got = ::recv(netlink_, room.data(), room.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    nlmsghdr answer{};
    if (static_cast<std::size_t>(got) < sizeof answer + sizeof(nlmsgerr)) return EPROTO;
    std::memcpy(&answer, room.data(), sizeof answer);
    if (answer.nlmsg_seq != sequence_) continue;  // of an earlier request that was given up
    if (answer.nlmsg_type != NLMSG_ERROR) return EPROTO;
    nlmsgerr result{};
    std::memcpy(&result, room.data() + sizeof answer, sizeof result);
    return -result.error;
  }
}

Status InterfaceAddress::set(std::chrono::seconds lifetime) {
  const int error = ask(request(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                                static_cast<std::uint32_t>(std::max<std::int64_t>(1, lifetime.count()))));
  if (error != 0) return errno_error(error, "put " + text(address_) + " on " + name_);
  return {};
}

std::string InterfaceAddress::removal() const { return request(RTM_DELADDR, NLM_F_REQUEST, std::nullopt); }

Status InterfaceAddress::remove() {
  const int error = ask(request(RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, std::nullopt));
  if (error != 0 && error != EADDRNOTAVAIL && error != ENODEV) {
    return errno_error(error, "take " + text(address_) + " from " + name_);
  }
  return {};
}

Result<InterfaceAddress::Presence> InterfaceAddress::presence() {
  std::string bytes;
  put(&bytes, nlmsghdr{.nlmsg_len = NLMSG_LENGTH(sizeof(ifaddrmsg)), .nlmsg_type = RTM_GETADDR,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = ++sequence_, .nlmsg_pid = 0});
  ifaddrmsg wanted{};
  wanted.ifa_family = address_.is_v6 ? AF_INET6 : AF_INET;
  put(&bytes, wanted);
  if (::send(netlink_, bytes.data(), bytes.size(), 0) < 0) return errno_error(errno, "netlink");
  auto found = Presence::absent;
  for (;;) {
    alignas(nlmsghdr) std::array<char, 32768> room{};
    const auto got = ::recv(netlink_, room.data(), room.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "netlink");
    auto left = static_cast<unsigned>(got);
    for (auto* head = reinterpret_cast<nlmsghdr*>(room.data()); NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
      if (head->nlmsg_seq != sequence_) continue;
      if (head->nlmsg_type == NLMSG_DONE) return found;
      if (head->nlmsg_type == NLMSG_ERROR) return Error(Code::internal, "netlink: addresses cannot be listed");
      const auto* entry = static_cast<const ifaddrmsg*>(NLMSG_DATA(head));
      if (entry->ifa_index != index_ || entry->ifa_prefixlen != address_.length) continue;
      bool is_it = false;
      bool stays = true;
      auto room_left = static_cast<unsigned>(IFA_PAYLOAD(head));
      for (const auto* at = IFA_RTA(entry); RTA_OK(at, room_left); at = RTA_NEXT(at, room_left)) {
        const bool names_it = at->rta_type == IFA_ADDRESS || at->rta_type == IFA_LOCAL;
        if (names_it && RTA_PAYLOAD(at) == address_.size() &&
            std::memcmp(RTA_DATA(at), address_.bytes.data(), address_.size()) == 0) {
          is_it = true;
        }
        if (at->rta_type == IFA_CACHEINFO && RTA_PAYLOAD(at) >= sizeof(ifa_cacheinfo)) {
          ifa_cacheinfo times{};
          std::memcpy(&times, RTA_DATA(at), sizeof times);
          stays = times.ifa_valid == UINT32_MAX;
        }
      }
      if (is_it) found = stays ? Presence::for_ever : Presence::for_a_time;
    }
  }
}

Status InterfaceAddress::announce() {
  const auto hardware = hardware_address(name_);
  if (address_.is_v6) {
    const Socket socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    const int hops = 255;
    const auto index = static_cast<int>(index_);
    (void)::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
    (void)::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
    struct {
      nd_neighbor_advert head{};
      nd_opt_hdr option{};
      std::array<std::uint8_t, 6> hardware{};
    } words;
    words.head.nd_na_type = ND_NEIGHBOR_ADVERT;
    words.head.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
    std::memcpy(&words.head.nd_na_target, address_.bytes.data(), 16);
    words.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1};
    words.hardware = hardware;
    sockaddr_in6 from{};
    from.sin6_family = AF_INET6;
    std::memcpy(&from.sin6_addr, address_.bytes.data(), 16);
    from.sin6_scope_id = index_;
    (void)::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&from), sizeof from);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_scope_id = index_;
    (void)::inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    if (::sendto(socket.fd(), &words, sizeof words, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
      return errno_error(errno, "announce " + text(address_));
    }
    return {};
  }
  const Socket socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ARP));
  // Both forms: some listen to the question, some to the answer.
  for (const std::uint16_t operation : {ARPOP_REQUEST, ARPOP_REPLY}) {
    struct __attribute__((packed)) {
      std::uint16_t hardware_kind, protocol;
      std::uint8_t hardware_size, protocol_size;
      std::uint16_t operation;
      std::array<std::uint8_t, 6> sender_hardware;
      std::array<std::uint8_t, 4> sender;
      std::array<std::uint8_t, 6> target_hardware;
      std::array<std::uint8_t, 4> target;
    } words{};
    words.hardware_kind = htons(ARPHRD_ETHER);
    words.protocol = htons(ETH_P_IP);
    words.hardware_size = 6;
    words.protocol_size = 4;
    words.operation = htons(operation);
    words.sender_hardware = hardware;
    std::memcpy(&words.sender, address_.bytes.data(), 4);
    words.target_hardware.fill(operation == ARPOP_REPLY ? 0xff : 0);
    std::memcpy(&words.target, address_.bytes.data(), 4);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_ARP);
    to.sll_ifindex = static_cast<int>(index_);
    to.sll_halen = 6;
    std::memset(to.sll_addr, 0xff, 6);
    if (::sendto(socket.fd(), &words, sizeof words, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
      return errno_error(errno, "announce " + text(address_));
    }
  }
  return {};
}

}  // namespace holdfast::io::posix
