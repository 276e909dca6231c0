// Address: a host with its HTTP and its gRPC port, written "host:port" or "host:port.grpcport"; IPv6 in brackets
// (spec/weed-cluster 1.4). Without the dotted part the gRPC port is the HTTP port + 10000.
//
// Two addresses are equal when their HTTP forms are the same text; names are not resolved, so localhost:9333 and
// 127.0.0.1:9333 differ. Masters are therefore known by UUID, and an address is only where to dial.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast {

inline constexpr std::uint32_t kGrpcPortDistance = 10000;

struct Address {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::uint16_t grpc_port = 0;  // 0: port + 10000

  // Code::invalid with a text that names the address and what is wrong with it.
  static Result<Address> parse(std::string_view text);

  // Comma separated; blanks around items and empty items are passed over.
  static Result<std::vector<Address>> parse_list(std::string_view text);

  std::uint16_t grpc_port_or_default() const {
    return grpc_port != 0 ? grpc_port : static_cast<std::uint16_t>(port + kGrpcPortDistance);
  }
  bool empty() const { return host.empty() && port == 0; }

  std::string http() const;  // "host:port", what clients dial
  std::string grpc() const;  // "host:grpcport"

  friend bool operator==(const Address& a, const Address& b) { return a.port == b.port && a.host == b.host; }
  friend auto operator<=>(const Address& a, const Address& b) {
    if (const auto order = a.host <=> b.host; order != 0) return order;
    return a.port <=> b.port;
  }
};

// "host:port", and ".grpcport" behind it unless that is port + 10000.
std::string text(const Address& address);

// "host:port", with brackets round an IPv6 host.
std::string host_port(std::string_view host, std::uint16_t port);

}  // namespace holdfast
