// The gRPC service master_pb.Seaweed: what volume servers, clients, shells and filers ask of a master
// (spec/weed-grpc 3, 5). It parses, asks the Master and translates the answer; it decides nothing.
//
// Every master takes reports, looks up and shows the cluster. What only the leader does is passed on to it (PassOn), so
// a client may ask any master; what upstream's clients must be sent to the leader for (KeepConnected, marks) answers
// with its hint or its not-leader error. What later issues bring answers UNIMPLEMENTED in a sentence.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"

namespace holdfast::api {
struct JwtKeys;
}

namespace grpc {
class Service;
}

namespace holdfast::master {
class Master;
class MasterRuntime;
}  // namespace holdfast::master

namespace holdfast::front {

struct MasterServiceOptions {
  std::string default_replication = "000";
  bool preallocate = false;
  std::string metrics_address;
  std::uint32_t metrics_interval_seconds = 0;
  std::string maintenance_scripts;  // as master.toml has them
  std::uint32_t maintenance_sleep_minutes = 17;
  bool read_only = false;  // what changes anything is refused instead of passed on to the leader
  Duration leader_wait = std::chrono::seconds(2);  // for a leader to pass a request on to

  const api::JwtKeys* jwt = nullptr;  // tokens for the file ids that are given out and looked up; outlives the service

  // Who may change the cluster's members; the peer's IP as text. Empty: everyone.
  std::function<bool(std::string_view peer_ip)> allows;
};

// `master` and `runtime` outlive the service; `runtime` may be null (no membership changes then). The service outlives
// the server; when the server has been shut down no call is under way.
std::unique_ptr<grpc::Service> make_master_service(MasterServiceOptions options, master::Master& master,
                                                   master::MasterRuntime* runtime);

}  // namespace holdfast::front
