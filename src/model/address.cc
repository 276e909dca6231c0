#include "model/address.h"

#include "base/strconv.h"

namespace holdfast {
namespace {

Error bad(std::string_view text, const char* why) {
  return Error(Code::invalid, "address \"" + std::string(text) + "\": " + why);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string host_port(std::string_view host, std::uint16_t port) {
  std::string out;
  if (host.find(':') != std::string_view::npos) {
    out.append("[").append(host).append("]");
  } else {
    out.append(host);
  }
  return out + ":" + std::to_string(port);
}

std::string Address::http() const { return host_port(host, port); }
std::string Address::grpc() const { return host_port(host, grpc_port_or_default()); }

std::string text(const Address& address) {
  auto out = address.http();
  if (address.grpc_port != 0 && address.grpc_port != static_cast<std::uint16_t>(address.port + kGrpcPortDistance)) {
    out += "." + std::to_string(address.grpc_port);
  }
  return out;
}

Result<Address> Address::parse(std::string_view whole) {
  Address out;
  std::string_view ports;
  if (!whole.empty() && whole.front() == '[') {
    const auto close = whole.find(']');
    if (close == std::string_view::npos) return bad(whole, "no ] behind the IPv6 host");
    out.host = whole.substr(1, close - 1);
    if (close + 1 >= whole.size() || whole[close + 1] != ':') return bad(whole, "no port: write host:port, as localhost:9333");
    ports = whole.substr(close + 2);
  } else {
    const auto colon = whole.rfind(':');
    if (colon == std::string_view::npos) return bad(whole, "no port: write host:port, as localhost:9333");
    out.host = whole.substr(0, colon);
    if (out.host.find(':') != std::string::npos) return bad(whole, "an IPv6 host needs brackets, as in [::1]:9333");
    ports = whole.substr(colon + 1);
  }
  if (out.host.empty()) return bad(whole, "no host");
  const auto dot = ports.find('.');
  const auto port = strconv::parse_uint(ports.substr(0, dot), 10, 16);
  if (!port || *port == 0) return bad(whole, "the port is not a number from 1 to 65535");
  out.port = static_cast<std::uint16_t>(*port);
  if (dot != std::string_view::npos) {
    const auto grpc_port = strconv::parse_uint(ports.substr(dot + 1), 10, 16);
    if (!grpc_port || *grpc_port == 0) return bad(whole, "the gRPC port is not a number from 1 to 65535");
    out.grpc_port = static_cast<std::uint16_t>(*grpc_port);
  } else if (out.port + kGrpcPortDistance > 65535) {
    return bad(whole, "the port + 10000 is no port; write the gRPC port behind a dot, as in host:60000.50000");
  }
  return out;
}

Result<std::vector<Address>> Address::parse_list(std::string_view list) {
  std::vector<Address> out;
  while (true) {
    const auto comma = list.find(',');
    const auto item = trimmed(list.substr(0, comma));
    if (!item.empty()) {
      auto address = parse(item);
      if (!address) return address.error();
      out.push_back(std::move(*address));
    }
    if (comma == std::string_view::npos) return out;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace holdfast
