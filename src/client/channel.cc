#include "client/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include "api/library.h"
#include "api/tls.h"

namespace holdfast::client {

namespace {

constexpr int kMessageBytesMax = 1 << 30;
constexpr int kReconnectMsMin = 20;
constexpr int kReconnectMsMax = 250;
constexpr int kKeepaliveMs = 20'000;  // upstream's servers answer more frequent pings with GOAWAY

}  // namespace

std::shared_ptr<grpc::Channel> make_channel(const std::string& grpc_address) {
  api::prepare_library();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  // The library takes this also as the time a connection may take to come about.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(milliseconds(kSilenceMax)));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  // The timeout becomes TCP_USER_TIMEOUT too, and that is what finds a vanished machine while data flows.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(milliseconds(kSilenceMax)));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, api::kStreamWindowBytes);
  // A proxy named in the environment must never stand between the parts of one cluster.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return grpc::CreateCustomChannel("dns:///" + grpc_address, api::channel_credentials(), arguments);
}

bool is_surely_unsent(const grpc::Status& status) {
  // The library's words for a call that never had a connection to go out on; a test holds it to them.
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().rfind("failed to connect to all addresses", 0) == 0;
}

Error error_of(const grpc::Status& status, bool sent) {
  using grpc::StatusCode;
  const std::string& words = status.error_message();
  const Code link_trouble = sent ? Code::outcome_unknown : Code::unavailable;
  switch (status.error_code()) {
    case StatusCode::UNAVAILABLE:
    case StatusCode::CANCELLED:
    case StatusCode::ABORTED: return Error(link_trouble, words);
    case StatusCode::DEADLINE_EXCEEDED: return Error(sent ? Code::outcome_unknown : Code::timed_out, words);
    case StatusCode::RESOURCE_EXHAUSTED: return Error(Code::busy, words);
    case StatusCode::NOT_FOUND: return Error(Code::not_found, words);
    case StatusCode::ALREADY_EXISTS: return Error(Code::already_exists, words);
    case StatusCode::INVALID_ARGUMENT:
    case StatusCode::OUT_OF_RANGE: return Error(Code::invalid, words);
    case StatusCode::UNIMPLEMENTED: return Error(Code::unsupported, words);
    case StatusCode::PERMISSION_DENIED:
    case StatusCode::UNAUTHENTICATED:
    case StatusCode::FAILED_PRECONDITION: return Error(Code::refused, words);
    case StatusCode::DATA_LOSS: return Error(Code::corrupt, words);
    case StatusCode::UNKNOWN:
      // Upstream's masters say everything with this code; only their words tell.
      if (words.find("Not current leader") != std::string::npos) return Error(Code::not_leader, words);
      return Error(Code::internal, words);
    default: return Error(Code::internal, words);
  }
}

}  // namespace holdfast::client
