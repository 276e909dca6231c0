// UdpSocket: datagrams, without ever waiting.
//
// Bound to an address it hears that one; bound to "" it hears every IPv4 and IPv6 address of the machine. A name that
// has addresses of both families is taken by its IPv4 one first, here and in resolve(), so that two sides that use one
// name meet.
//
// send() may be called from any thread; receive() from one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace holdfast::io::posix {

// Where to send: opaque, copied freely.
struct UdpPeer {
  std::array<std::uint8_t, 28> address{};  // a sockaddr_in or sockaddr_in6
  std::uint32_t length = 0;

  friend bool operator==(const UdpPeer&, const UdpPeer&) = default;
};

// Asks the resolver: may take seconds, so never on a thread that must not wait.
Result<UdpPeer> resolve_udp(const std::string& host, std::uint16_t port);

// Room for datagrams that are taken in one call.
class DatagramBatch {
 public:
  static constexpr std::size_t kCount = 16;
  static constexpr std::size_t kBytesEach = 2048;

  std::size_t size() const { return size_; }
  bool is_full() const { return taken_ == kCount; }  // more may be waiting
  BytesView operator[](std::size_t i) const { return BytesView(bytes_[at_[i]]).first(length_[i]); }

 private:
  friend class UdpSocket;
  std::array<std::array<std::uint8_t, kBytesEach>, kCount> bytes_;
  std::array<std::uint8_t, kCount> at_{};
  std::array<std::uint16_t, kCount> length_{};
  std::size_t size_ = 0;
  std::size_t taken_ = 0;
};

class UdpSocket {
 public:
  // Port 0: any free one; port() tells which.
  static Result<UdpSocket> bind(const std::string& host, std::uint16_t port);
  ~UdpSocket();
  UdpSocket(UdpSocket&& other) noexcept;
  UdpSocket& operator=(UdpSocket&&) = delete;

  // False when the kernel took it not (buffer full, no route): a datagram lost like any other.
  bool send(const UdpPeer& to, BytesView datagram) const;

  // Several at once, in that order, with one system call, mostly; `taken` says what send() above returns.
  struct Outgoing {
    UdpPeer to;
    BytesView datagram;
    bool taken = false;  // by the kernel, once sent
  };
  void send(std::span<Outgoing> datagrams) const;

  // The next datagram that is here, its length; empty when none is. A longer one than `out` is dropped.
  std::optional<std::size_t> receive(std::span<std::uint8_t> out) const;

  // All that are here, as many as fit; longer ones are dropped. One system call, mostly.
  void receive(DatagramBatch* batch) const;

  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] std::uint16_t port() const;

 private:
  // `to` as this socket's family has it; none when it cannot be reached from it.
  std::optional<UdpPeer> reach(const UdpPeer& to) const;

  UdpSocket(int fd, bool is_v6) : fd_(fd), is_v6_(is_v6) {}

  int fd_;
  bool is_v6_;
};

}  // namespace holdfast::io::posix
