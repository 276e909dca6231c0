// The bounds of a server, each met from both sides (spec/weed-grpc 1).
#include "front/grpc/server.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <optional>

#include "api/volume_server.grpc.pb.h"
#include "base/bytes.h"
#include "front/grpc/test_fakes.h"
#include "front/http/test_client.h"

namespace holdfast::front {
namespace {

using grpc::StatusCode;
using volume_server_pb::VolumeServer;

constexpr std::size_t kMessageBytesMax = 1 << 30;
constexpr std::size_t kMetadataBytesMax = 8 << 20;
constexpr std::size_t kStreamsMax = 1000;

constexpr char kPing[] = "/volume_server_pb.VolumeServer/Ping";
constexpr char kHold[] = "x-hold";                 // the call is answered when the test says so
constexpr char kAnswerBytes[] = "x-answer-bytes";  // how long the answer is to be

// So many bytes, in memory but once.
grpc::ByteBuffer message_of(std::size_t bytes) {
  static const grpc::Slice piece(std::string(1 << 20, 'x'));
  std::vector<grpc::Slice> slices(bytes / piece.size(), piece);
  slices.emplace_back(std::string(bytes % piece.size(), 'x'));
  return {slices.data(), slices.size()};
}

// Takes any message for a Ping. Counts what came in.
class Measuring final : public VolumeServer::WithRawCallbackMethod_Ping<VolumeServer::Service> {
 public:
  Watched<std::vector<grpc::ServerUnaryReactor*>> held;
  std::atomic<std::size_t> message_bytes{0};

  grpc::ServerUnaryReactor* Ping(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override {
    auto* reactor = context->DefaultReactor();
    const auto& metadata = context->client_metadata();
    if (metadata.contains(kHold)) {
      held.change([&](auto& all) { all.push_back(reactor); });
      return reactor;
    }
    message_bytes = request->Length();
    const auto wanted = metadata.find(kAnswerBytes);
    *response = message_of(wanted == metadata.end() ? 0 : std::stoul(std::string(wanted->second.data(), wanted->second.size())));
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class GrpcServerBounds : public ::testing::Test {
 protected:
  GrpcServerBounds() {
    auto service = std::make_unique<Measuring>();
    service_ = service.get();
    server_ = serve(std::move(service));
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                                                          grpc::InsecureChannelCredentials(), arguments));
  }

  ~GrpcServerBounds() override {
    for (auto* reactor : service_->held.get()) reactor->Finish(grpc::Status::CANCELLED);
  }

  // The status, and the length of the answer.
  std::pair<StatusCode, std::size_t> ping(std::size_t request_bytes, std::size_t answer_bytes) {
    grpc::ClientContext context;
    context.AddMetadata(kAnswerBytes, std::to_string(answer_bytes));
    const auto request = message_of(request_bytes);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> ended;
    stub_->UnaryCall(&context, kPing, {}, &request, &response, [&](grpc::Status status) { ended.set_value(std::move(status)); });
    const auto status = ended.get_future().get();
    return {status.error_code(), status.ok() ? response.Length() : 0};
  }

  // Whether so many calls come to be under way.
  bool are_held(std::size_t calls) {
    return service_->held.wait_until([&](const auto& all) { return all.size() == calls; });
  }

  Measuring* service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

TEST_F(GrpcServerBounds, AMessageMayHaveAGibibyte) {
  EXPECT_EQ(ping(kMessageBytesMax, 5), std::pair(StatusCode::OK, 5ul));
  EXPECT_EQ(service_->message_bytes, kMessageBytesMax);
  EXPECT_EQ(ping(kMessageBytesMax + 1, 5).first, StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerBounds, AnAnswerMayHaveAGibibyte) {
  EXPECT_EQ(ping(0, kMessageBytesMax), std::pair(StatusCode::OK, kMessageBytesMax));
  EXPECT_EQ(ping(0, kMessageBytesMax + 1).first, StatusCode::RESOURCE_EXHAUSTED);
}

// Speaks HTTP/2 by hand, and does not keep to the server's bounds as the library's own clients do.
class BoldClient {
 public:
  enum class Frame : std::uint8_t { data = 0, headers = 1, reset = 3, settings = 4, goaway = 7 };
  enum class Setting : std::uint16_t { streams_max = 3, metadata_bytes_max = 6 };

  // Takes the server's settings before it returns: from then on they are in force.
  explicit BoldClient(std::uint16_t port) : connection_(port) {
    connection_.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    send(Frame::settings, 0, 0, "");
    while (const auto frame = next()) {
      if (frame->first != Frame::settings || frame->second.empty()) continue;
      const auto* at = bytes_of(frame->second).data();
      for (std::size_t i = 0; i + 6 <= frame->second.size(); i += 6) {
        settings_[Setting(load_be<std::uint16_t>(at + i))] = load_be<std::uint32_t>(at + i + 2);
      }
      break;
    }
    send(Frame::settings, kAck, 0, "");
  }

  // As the server told it; 0: not at all.
  std::uint32_t setting(Setting which) { return settings_[which]; }

  // A Ping that is held. `bytes`: what its metadata are to count at least, in steps of 4096 and with less than one more.
  void call(std::size_t bytes = 0) {
    // In RFC 7541's static table 3 is POST, 6 http, 4 the name :path and 1 :authority; 0 says that a name follows, 0x40 that
    // it follows and is to be kept in the dynamic table as entry 62.
    std::string head = "\x83\x86\x04" + text(kPing) + "\x01" + text("x");
    for (const auto& [name, value] : {std::pair("te", "trailers"), {"content-type", "application/grpc"}, {kHold, "1"}}) {
      head += std::string(1, '\0') + text(name) + text(value);
    }
    if (bytes > 0) {
      const std::string name = "x-filler";
      head += "\x40" + text(name) + text(std::string(kEntryBytes - kEntryExtra - name.size(), 'x')) + std::string(bytes / kEntryBytes - 1, '\xbe');
    }
    send(Frame::headers, kEndOfHeaders, stream_, head);
    send(Frame::data, kEndOfStream, stream_, std::string(5, '\0'));  // an empty message
    stream_ += 2;
  }

  // Whether the server answers a call, resets it, or takes leave. A call that is held is not answered.
  bool is_refused() {
    while (const auto frame = next()) {
      if (frame->first == Frame::headers || frame->first == Frame::reset || frame->first == Frame::goaway) return true;
    }
    return false;
  }

 private:
  static constexpr std::uint8_t kAck = 1, kEndOfStream = 1, kEndOfHeaders = 4;
  static constexpr std::size_t kEntryBytes = 4096;  // the most that the dynamic table takes
  static constexpr std::size_t kEntryExtra = 32;    // counted for an entry beside its name and value (RFC 7541 4.1)

  // A string as HPACK has it, below 16,511 bytes.
  static std::string text(std::string_view what) {
    std::string out;
    if (what.size() < 127) {
      out += static_cast<char>(what.size());
    } else {
      out += {'\x7f', static_cast<char>((what.size() - 127) % 128 | 128), static_cast<char>((what.size() - 127) / 128)};
    }
    return out += what;
  }

  void send(Frame frame, std::uint8_t flags, std::uint32_t stream, const std::string& payload) {
    std::string bytes;
    append_be(bytes, static_cast<std::uint32_t>(payload.size() << 8 | static_cast<std::uint8_t>(frame)));
    bytes += static_cast<char>(flags);
    append_be(bytes, stream);
    connection_.send(bytes + payload);
  }

  // Nothing when the server has closed.
  std::optional<std::pair<Frame, std::string>> next() {
    const auto head = connection_.read_to_size(9);
    if (head.size() < 9) return {};
    const auto begin = load_be<std::uint32_t>(bytes_of(head).data());
    return std::pair(Frame(begin & 0xff), connection_.read_to_size(begin >> 8));
  }

  http::test::Client connection_;
  std::map<Setting, std::uint32_t> settings_;
  std::uint32_t stream_ = 1;
};

TEST_F(GrpcServerBounds, AreToldToClients) {
  BoldClient client(server_->port());
  EXPECT_EQ(client.setting(BoldClient::Setting::streams_max), kStreamsMax);
  EXPECT_EQ(client.setting(BoldClient::Setting::metadata_bytes_max), kMetadataBytesMax);
}

TEST_F(GrpcServerBounds, MetadataMayHaveEightMebibytes) {
  BoldClient client(server_->port());
  client.call(kMetadataBytesMax - 4096);
  EXPECT_TRUE(are_held(1));
  client.call(kMetadataBytesMax);
  EXPECT_TRUE(client.is_refused());
  EXPECT_TRUE(are_held(1));
}

TEST_F(GrpcServerBounds, AConnectionMayHaveAThousandCallsUnderWay) {
  BoldClient client(server_->port());
  for (std::size_t i = 0; i < kStreamsMax; ++i) client.call();
  EXPECT_TRUE(are_held(kStreamsMax));
  client.call();
  EXPECT_TRUE(client.is_refused());
  EXPECT_TRUE(are_held(kStreamsMax));
  BoldClient other(server_->port());
  other.call();
  EXPECT_TRUE(are_held(kStreamsMax + 1));  // the bound is one connection's
}

}  // namespace
}  // namespace holdfast::front
