// InterfaceAddress: one IP address that is put on a network interface for a short time, again and again, and taken away
// (rtnetlink). While it has been set for `lifetime` the kernel drops it by itself when nobody sets it again, even if this
// process is frozen: a part of a second later than that at most.
//
// Needs CAP_NET_ADMIN, announce() CAP_NET_RAW. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace holdfast::io::posix {

// "192.0.2.10/24", "2001:db8::10/64"; without a length the address alone (/32, /128).
struct IpPrefix {
  bool is_v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // the first 4 of IPv4
  std::uint8_t length = 0;

  static Result<IpPrefix> parse(const std::string& text);
  [[nodiscard]] std::size_t size() const { return is_v6 ? 16 : 4; }
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};
std::string text(const IpPrefix& prefix);

class InterfaceAddress {
 public:
  // `not_found`: there is no such interface.
  static Result<InterfaceAddress> open(const std::string& interface, const IpPrefix& address);
  ~InterfaceAddress();
  InterfaceAddress(InterfaceAddress&& other) noexcept;
  InterfaceAddress& operator=(InterfaceAddress&&) = delete;

  // Puts it there, or begins its time anew. Whole seconds, at least one.
  Status set(std::chrono::seconds lifetime);
  // Takes it away; fine when it is not there.
  Status remove();
  // Tells the neighbours where it is now: gratuitous ARP, an unsolicited neighbour advertisement for IPv6.
  Status announce();

  enum class Presence { absent, for_a_time, for_ever };
  // Whether the interface has it, and whether somebody means it to stay.
  Result<Presence> presence();

  // The request of remove(), for a process that cannot make it itself any more: to be sent over a netlink route socket.
  [[nodiscard]] std::string removal() const;

 private:
  InterfaceAddress(int netlink, unsigned index, std::string name, const IpPrefix& address)
      : netlink_(netlink), index_(index), name_(std::move(name)), address_(address) {}
  [[nodiscard]] std::string request(std::uint16_t type, std::uint16_t flags, std::optional<std::uint32_t> lifetime) const;
  // Sends a request and answers the errno it ends with, 0 if none.
  int ask(std::string bytes);

  int netlink_;
  unsigned index_;
  std::string name_;
  IpPrefix address_;
  std::uint32_t sequence_ = 0;
};

}  // namespace holdfast::io::posix
