// The gRPC service volume_server_pb.VolumeServer: orders of masters, and what shells, filers and peers ask of a volume
// server (spec/weed-grpc 6). It parses, asks the VolumeService on its pool and translates the answer; fences are
// checked below, by the VolumeService. What later issues bring answers UNIMPLEMENTED in a sentence.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace grpc {
class Service;
}

namespace holdfast::api {
struct JwtKeys;
}
namespace holdfast::volume {
class VolumeService;
}

namespace holdfast::front {

struct VolumeServiceOptions {
  std::string version;  // as told by VolumeServerStatus
  std::string data_center;
  std::string rack;

  // The keys for tokens, or null: deletions that are sent on to other copies carry one.
  const api::JwtKeys* jwt = nullptr;

  // Who may give orders and delete; the peer's IP as text. Empty: everyone.
  std::function<bool(std::string_view peer_ip)> allows;
};

// `service` outlives what is returned; that outlives the server.
std::unique_ptr<grpc::Service> make_volume_service(VolumeServiceOptions options, volume::VolumeService& service);

}  // namespace holdfast::front
