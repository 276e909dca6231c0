#include "cmd/exposure.h"

#include <fmt/format.h>

#include <string_view>

namespace holdfast::cmd {

namespace {

bool is_loopback(std::string_view address) { return address == "localhost" || address == "::1" || address.starts_with("127."); }

std::string whom(const ListenPlan& listen) {
  if (is_loopback(listen.address)) return "every process of this machine";
  return listen.address.empty() || listen.address == "0.0.0.0" || listen.address == "::"
             ? "everybody who reaches this machine"
             : "everybody who reaches " + listen.address;
}

std::string_view by(const std::shared_ptr<io::TlsContext>& https) { return https ? "HTTPS" : "HTTP, unencrypted"; }

std::string grpc(const ListenPlan& listen, const api::TlsFiles& tls, std::string_view what) {
  if (!tls.ca.empty()) return fmt::format("gRPC, port {}: who shows a certificate of the authority may {}", listen.grpc_port, what);
  return fmt::format("gRPC, port {}: {} may {}; grpc.* in security.toml asks for certificates", listen.grpc_port, whom(listen), what);
}

}  // namespace

std::vector<std::string> exposure_of(const MasterPlan& plan) {
  std::vector<std::string> out;
  const auto& listen = plan.listen;
  const std::string all = whom(listen);
  if (!plan.disable_http) {
    out.push_back(!plan.white_list.empty()
                      ? fmt::format("{}, port {}: only addresses of the white list are answered", by(plan.https), listen.http_port)
                      : fmt::format("{}, port {}: {} may get file ids, grow and delete collections; -whiteList bounds that",
                                    by(plan.https), listen.http_port, all));
    if (plan.admin_token.empty()) {
      out.push_back("stepping down and changes of the members ask for no token; admin.token in security.toml sets one");
    }
  }
  out.push_back(grpc(listen, plan.tls, "do the same and report as a volume server"));
  if (!plan.tiers.empty() && plan.tls.ca.empty()) {
    out.push_back(fmt::format("{} may ask for the keys of the stores of master.toml; grpc.* in security.toml asks for certificates", all));
  }
  if (!plan.runtime.cluster_secret.empty()) {
    out.push_back("masters know each other by the cluster's secret");
  } else if (plan.tls.ca.empty()) {
    out.push_back(fmt::format("{} may pose as a master; -clusterSecretFile keeps strangers out (docs/cluster-secret.md)", all));
  } else {
    out.push_back("masters know each other by their certificates; their heartbeats are datagrams, which -clusterSecretFile covers");
  }
  if (!plan.jwt.write.key.empty()) out.push_back("tokens for writing files are given to whom this master answers");
  return out;
}

std::vector<std::string> exposure_of(const VolumePlan& plan) {
  std::vector<std::string> out;
  const auto& listen = plan.listen;
  const std::string all = whom(listen);
  const bool writes = !plan.jwt.write.key.empty();
  const bool reads = !plan.jwt.read.key.empty();
  const std::string token = "who has a token of the masters";
  const std::string writers = writes ? token : plan.white_list.empty() ? all : "addresses of the white list";
  out.push_back(fmt::format("{}, port {}: {} may write and delete files whose ids they know, {} may read them{}", by(plan.https),
                            listen.http_port, writers, reads ? token : all,
                            writes && reads ? "" : "; jwt.signing.* in security.toml asks for tokens"));
  if (plan.public_port != 0) out.push_back(fmt::format("port {}, the public one: reads only", plan.public_port));
  out.push_back(grpc(listen, plan.tls, "read, copy and delete volumes"));
  return out;
}

}  // namespace holdfast::cmd
