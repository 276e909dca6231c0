#include "client/ec_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include "api/convert.h"
#include "api/master.grpc.pb.h"
#include "api/request_id.h"
#include "api/volume_server.grpc.pb.h"
#include "base/mutex.h"
#include "client/channel.h"

namespace holdfast::client {
namespace {

namespace pb = volume_server_pb;

std::chrono::system_clock::time_point deadline(Duration from_now) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(from_now);
}

// Counts down to the last answer of several calls.
class Latch {
 public:
  explicit Latch(std::size_t count) : count_(count) {}
  void down() {
    const Guard guard(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void wait() {
    const Guard guard(mutex_);
    while (count_ > 0) none_.wait(mutex_);
  }

 private:
  Mutex mutex_;
  Condition none_;
  std::size_t count_ HOLDFAST_GUARDED_BY(mutex_);
};

// One VolumeEcShardRead. The other must send exactly what was asked for, of the encoding asked for.
class ReadCall final : public grpc::ClientReadReactor<pb::VolumeEcShardReadResponse> {
 public:
  ReadCall(pb::VolumeServer::Stub& stub, VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
           const EcClient::Read& read, Latch& latch)
      : wanted_ts_(encode_ts_ns), out_(read.out), latch_(latch) {
    request_.set_volume_id(volume.value());
    request_.set_shard_id(read.shard);
    request_.set_offset(static_cast<std::int64_t>(read.offset));
    request_.set_size(static_cast<std::int64_t>(read.out.size()));
    request_.set_file_key(key.value());
    request_.set_encode_ts_ns(encode_ts_ns);
    context_.set_deadline(deadline(EcClient::kReadMax));
    api::pass_request_id(context_);
    stub.async()->VolumeEcShardRead(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  // After the latch.
  Result<bool> result() const {
    if (!trouble_.empty()) return Error(Code::io, trouble_);
    if (!status_.ok()) return error_of(status_, true);
    if (deleted_) return false;
    if (at_ != out_.size()) return Error(Code::io, "a shard's piece came short");
    return true;
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (wanted_ts_ != 0 && !response_.is_deleted() && response_.encode_ts_ns() != wanted_ts_) {
      trouble_ = "the other server's shard belongs to a different encode run";
    } else if (response_.data().size() > out_.size() - at_) {
      trouble_ = "a shard's piece came too long";
    } else {
      std::copy(response_.data().begin(), response_.data().end(), out_.begin() + static_cast<std::ptrdiff_t>(at_));
      at_ += response_.data().size();
      deleted_ = deleted_ || response_.is_deleted();
    }
    if (!trouble_.empty()) context_.TryCancel();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    latch_.down();
  }

  const std::int64_t wanted_ts_;
  const std::span<std::uint8_t> out_;
  Latch& latch_;
  grpc::ClientContext context_;
  pb::VolumeEcShardReadRequest request_;
  pb::VolumeEcShardReadResponse response_;
  std::size_t at_ = 0;
  bool deleted_ = false;
  std::string trouble_;
  grpc::Status status_;
};

}  // namespace

struct EcClient::Servers {
  std::shared_ptr<pb::VolumeServer::Stub> volume_server(const std::string& address) {
    const Guard guard(mutex);
    auto& stub = volume_servers[address];
    if (!stub) stub = pb::VolumeServer::NewStub(make_channel(address));
    return stub;
  }
  std::shared_ptr<master_pb::Seaweed::Stub> master(const Address& address) {
    const Guard guard(mutex);
    auto& stub = masters[address.grpc()];
    if (!stub) stub = master_pb::Seaweed::NewStub(make_channel(address));
    return stub;
  }

  Mutex mutex;  // leaf
  std::map<std::string, std::shared_ptr<pb::VolumeServer::Stub>> volume_servers HOLDFAST_GUARDED_BY(mutex);
  std::map<std::string, std::shared_ptr<master_pb::Seaweed::Stub>> masters HOLDFAST_GUARDED_BY(mutex);
};

EcClient::EcClient() : servers_(std::make_unique<Servers>()) {}
EcClient::~EcClient() = default;

Result<EcClient::Holders> EcClient::lookup(const std::vector<Address>& masters, VolumeId volume) {
  Error last(Code::unavailable, "no master is known");
  for (const auto& master : masters) {
    grpc::ClientContext context;
    context.set_deadline(deadline(kLookupMax));
    api::pass_request_id(context);
    master_pb::LookupEcVolumeRequest request;
    request.set_volume_id(volume.value());
    master_pb::LookupEcVolumeResponse response;
    const auto status = servers_->master(master)->LookupEcVolume(&context, request, &response);
    if (!status.ok()) {
      const bool says_no = status.error_message().find("not found") != std::string::npos;
      // That there is none counts for more than that another did not answer.
      if (says_no || last.code() != Code::not_found) {
        last = says_no ? Error(Code::not_found, status.error_message()) : error_of(status);
      }
      continue;
    }
    Holders out;
    for (const auto& shard : response.shard_id_locations()) {
      for (const auto& location : shard.locations()) {
        const auto address = api::read_address(location.url(), location.grpc_port());
        if (address) out[shard.shard_id()].push_back({location.url(), address->grpc()});
      }
    }
    return out;
  }
  return last;
}

std::vector<Result<bool>> EcClient::read(VolumeId volume, std::int64_t encode_ts_ns, NeedleId key,
                                         const std::vector<Read>& reads) {
  Latch latch(reads.size());
  std::vector<std::unique_ptr<ReadCall>> calls;
  std::vector<std::shared_ptr<pb::VolumeServer::Stub>> stubs;
  for (const auto& read : reads) {
    stubs.push_back(servers_->volume_server(read.server));
    calls.push_back(std::make_unique<ReadCall>(*stubs.back(), volume, encode_ts_ns, key, read, latch));
  }
  if (!reads.empty()) latch.wait();
  std::vector<Result<bool>> out;
  for (const auto& call : calls) out.push_back(call->result());
  return out;
}

Status EcClient::delete_blob(const std::vector<std::string>& servers, VolumeId volume, const std::string& collection,
                             NeedleId key, std::uint32_t version) {
  if (servers.empty()) return {};
  struct Call {
    std::shared_ptr<pb::VolumeServer::Stub> stub;
    grpc::ClientContext context;
    pb::VolumeEcBlobDeleteResponse response;
    grpc::Status status;
  };
  pb::VolumeEcBlobDeleteRequest request;
  request.set_volume_id(volume.value());
  request.set_collection(api::utf8(collection));
  request.set_file_key(key.value());
  request.set_version(version);
  Latch latch(servers.size());
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& server : servers) {
    auto& call = *calls.emplace_back(std::make_unique<Call>());
    call.stub = servers_->volume_server(server);
    call.context.set_deadline(deadline(kDeleteMax));
    api::pass_request_id(call.context);
    call.stub->async()->VolumeEcBlobDelete(&call.context, &request, &call.response, [&](grpc::Status status) {
      call.status = std::move(status);
      latch.down();
    });
  }
  latch.wait();
  for (std::size_t i = 0; i < calls.size(); i++) {
    if (!calls[i]->status.ok()) return error_of(calls[i]->status, true).at(servers[i]);
  }
  return {};
}

}  // namespace holdfast::client
