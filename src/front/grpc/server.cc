#include "front/grpc/server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <atomic>
#include <utility>

#include "api/library.h"
#include "api/tls.h"
#include "front/grpc/acceptor.h"
#include "front/grpc/reflection_service.h"
#include "model/address.h"

namespace holdfast::front {

namespace {

constexpr int kMessageBytesMax = 1 << 30;
constexpr int kMetadataBytesMax = 8 << 20;
constexpr int kStreamsMax = 1000;            // of one connection
constexpr int kClientPingMsMin = 5'000;      // upstream's clients ping every 20 s; more is no offence down to this
// As upstream's. What must know sooner that a peer is gone has reports or beats of its own.
constexpr int kOwnPingMs = 60'000;
constexpr int kOwnPingTimeoutMs = 20'000;
constexpr int kHandshakeMsMax = 20'000;  // who connects and does not say HTTP/2, or does not finish TLS, holds a place no longer

void configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  // The library's default of 300 s answers upstream's pings with GOAWAY too_many_pings.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kClientPingMsMin);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kOwnPingMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kOwnPingTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMsMax);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, api::kStreamWindowBytes);
}

class GrpcServerImpl final : public GrpcServer {
 public:
  GrpcServerImpl(std::vector<std::unique_ptr<grpc::Service>> services, std::unique_ptr<grpc::Server> server,
                 std::unique_ptr<Acceptor> acceptor, std::uint16_t port)
      : services_(std::move(services)), server_(std::move(server)), acceptor_(std::move(acceptor)), port_(port) {}

  ~GrpcServerImpl() override { stop(Duration(0)); }

  void stop(Duration grace) override {
    if (stopped_.exchange(true)) return;
    acceptor_->stop();
    for (const auto& service : services_) {
      if (auto* stops_early = dynamic_cast<StopsEarly*>(service.get())) stops_early->stop_early();
    }
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(grace));
    server_->Wait();
  }

  std::uint16_t port() const override { return port_; }

 private:
  const std::vector<std::unique_ptr<grpc::Service>> services_;  // outlive the server
  const std::unique_ptr<grpc::Server> server_;
  const std::unique_ptr<Acceptor> acceptor_;
  const std::uint16_t port_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(Options options) {
  api::prepare_library();
  grpc::ServerBuilder builder;
  configure(builder);
  auto acceptor = std::make_unique<Acceptor>(builder, api::server_credentials(options.tls), std::chrono::milliseconds(kOwnPingTimeoutMs));
  std::vector<std::pair<std::string, std::uint16_t>> places;
  for (const std::string& host : options.hosts) places.emplace_back(host, options.port);
  if (places.empty()) places.emplace_back("", options.port);
  places.insert(places.end(), options.more.begin(), options.more.end());
  std::uint16_t port = 0;
  for (const auto& [host, wanted] : places) {
    const auto found = acceptor->listen(host, wanted);
    if (!found) {
      return Error(Code::io, "cannot listen for gRPC on " + host_port(host.empty() ? "::" : host, wanted) + ": is the port in use? (" +
                                 found.error().what() + ")");
    }
    if (port == 0) port = *found;
  }
  std::vector<std::string> names;
  for (const auto& service : options.services) names.push_back(name_of(*service));
  for (auto& service : make_reflection_services(names)) options.services.push_back(std::move(service));
  for (const auto& service : options.services) builder.RegisterService(service.get());
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(make_request_ids(std::move(options.on_call_ended)));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return Error(Code::io, "the gRPC server did not start");
  acceptor->start();
  return std::unique_ptr<GrpcServer>(
      std::make_unique<GrpcServerImpl>(std::move(options.services), std::move(server), std::move(acceptor), port));
}

}  // namespace holdfast::front
