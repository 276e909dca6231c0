#include "front/grpc/status.h"

#include <string_view>

namespace holdfast::front {

grpc::Status grpc_status(const master::Refusal& refusal) {
  using Kind = master::Refusal::Kind;
  using grpc::StatusCode;
  switch (refusal.kind) {
    case Kind::not_leader: return grpc::Status(StatusCode::UNKNOWN, kNotLeader);
    case Kind::busy: return grpc::Status(StatusCode::RESOURCE_EXHAUSTED, refusal.text);
    case Kind::warming_up:
    case Kind::unavailable: return grpc::Status(StatusCode::UNAVAILABLE, refusal.text);
    case Kind::unsupported: return grpc::Status(StatusCode::UNIMPLEMENTED, refusal.text);
    case Kind::bad_request:
    case Kind::not_acceptable:
    case Kind::not_found:
    case Kind::timed_out:
    case Kind::outcome_unknown:
    case Kind::failed: break;
  }
  return grpc::Status(StatusCode::UNKNOWN, refusal.text);
}

grpc::Status grpc_status(const Error& error) {
  using grpc::StatusCode;
  switch (error.code()) {
    case Code::not_leader: return grpc::Status(StatusCode::UNKNOWN, kNotLeader);
    case Code::busy: return grpc::Status(StatusCode::RESOURCE_EXHAUSTED, error.what());
    case Code::unavailable: return grpc::Status(StatusCode::UNAVAILABLE, error.what());
    case Code::unsupported: return grpc::Status(StatusCode::UNIMPLEMENTED, error.what());
    // An older fence or a foreign cluster: our own masters must be able to tell it from other troubles.
    case Code::refused: return grpc::Status(StatusCode::FAILED_PRECONDITION, error.what());
    default: return grpc::Status(StatusCode::UNKNOWN, error.what());
  }
}

grpc::Status not_yet(const std::string& what) {
  return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, what + " is not built yet in Holdfast.");
}

std::string peer_ip(const std::string& peer) {
  const auto without_port = [](std::string_view address) { return address.substr(0, address.rfind(':')); };
  if (peer.rfind("ipv4:", 0) == 0) return std::string(without_port(std::string_view(peer).substr(5)));
  if (peer.rfind("ipv6:", 0) != 0) return "";
  std::string_view address = without_port(std::string_view(peer).substr(5));
  for (const std::string_view open : {"%5B", "["}) {
    if (address.substr(0, open.size()) == open) address.remove_prefix(open.size());
  }
  for (const std::string_view close : {"%5D", "]"}) {
    if (address.size() >= close.size() && address.substr(address.size() - close.size()) == close) {
      address.remove_suffix(close.size());
    }
  }
  return std::string(address.substr(0, address.find('%')));  // without a zone
}

grpc::Status not_authorized(const std::string& ip) {
  return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not authorized: " + ip);
}

}  // namespace holdfast::front
