#include "client/volume_source.h"

#include <grpcpp/channel.h>
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "api/convert.h"
#include "api/request_id.h"
#include "api/volume_server.grpc.pb.h"
#include "base/mutex.h"
#include "client/channel.h"

namespace holdfast::client {
namespace {

namespace pb = volume_server_pb;

constexpr std::uint64_t kRecordBytesMax = 4_GiB;  // a needle's size field has 31 bits

// Upstream says everything with UNKNOWN and words (spec/weed-grpc 2).
Error source_error(const grpc::Status& status) {
  if (is_surely_unsent(status)) return Error(Code::unavailable, status.error_message());
  Error error = error_of(status);
  if (error.code() != Code::internal) return error;
  const auto says = [&](const char* words) { return error.what().find(words) != std::string::npos; };
  if (says("is compacted")) return Error(Code::stale, error.what());
  if (says("not found volume") || says("not found ec volume")) return Error(Code::not_found, error.what());
  return error;
}

class GrpcVolumeSource final : public VolumeSource {
 public:
  explicit GrpcVolumeSource(const Address& server) : name_(server.http()), stub_(pb::VolumeServer::NewStub(make_channel(server))) {}

  Result<RemoteVolume> status(VolumeId volume) override {
    pb::ReadVolumeFileStatusRequest request;
    request.set_volume_id(volume.value());
    pb::ReadVolumeFileStatusResponse response;
    const Call call(*this);
    const grpc::Status status = stub_->ReadVolumeFileStatus(call.context(), request, &response);
    if (!status.ok()) return source_error(status).at(name_);
    if (response.volume_info().files_size() > 0) {
      const auto& file = response.volume_info().files(0);
      return Error(Code::read_only, fmt::format("{}: the data of volume {} lies in a remote tier ({} {}): bring it back first, with "
                                                "volume.tier.download", name_, text(volume), file.backend_type(), file.backend_id()));
    }
    return RemoteVolume{.collection = response.collection(),
                        .disk_type = response.disk_type(),
                        .version = response.version() != 0 ? response.version() : response.volume_info().version(),
                        .compaction_revision = response.compaction_revision(),
                        .dat_bytes = response.dat_file_size(),
                        .idx_bytes = response.idx_file_size(),
                        .dat_modified_seconds = response.dat_file_timestamp_seconds(),
                        .idx_modified_seconds = response.idx_file_timestamp_seconds(),
                        .file_count = response.file_count()};
  }

  Result<FileCopied> copy_file(const FileWish& wish, const Take& take) override {
    pb::CopyFileRequest request;
    request.set_volume_id(wish.volume.value());
    request.set_ext(wish.extension);
    request.set_compaction_revision(wish.compaction_revision);
    request.set_stop_offset(wish.stop_offset);
    request.set_collection(api::utf8(wish.collection));
    request.set_is_ec_volume(wish.is_ec_volume);
    request.set_ignore_source_file_not_found(wish.ignore_missing);
    FileCopied out;
    const Call call(*this);
    const auto stream = stub_->CopyFile(call.context(), request);
    Status trouble;
    pb::CopyFileResponse response;
    while (trouble.ok() && stream->Read(&response)) {
      if (!out.is_there) out.modified_ts_ns = response.modified_ts_ns();
      out.is_there = true;
      const BytesView piece = bytes_of(response.file_content());
      // A source that goes on beyond the end it was told is not what it says it is; the disk is not filled with it.
      if (piece.size() > wish.stop_offset - out.bytes) {
        trouble = Error(Code::corrupt, name_ + ": sends more of " + wish.extension + " than was asked for");
        break;
      }
      out.bytes += piece.size();
      if (!piece.empty()) trouble = take(piece);
    }
    if (auto ended = end(call, *stream, trouble); !ended) return ended.error();
    return out;
  }

  Status tail(VolumeId volume, std::uint64_t since_ns, std::uint32_t idle_rounds, const TakeRecord& take) override {
    pb::VolumeTailSenderRequest request;
    request.set_volume_id(volume.value());
    request.set_since_ns(since_ns);
    request.set_idle_timeout_seconds(idle_rounds);
    const Call call(*this);
    const auto stream = stub_->VolumeTailSender(call.context(), request);
    Status trouble;
    pb::VolumeTailSenderResponse response;
    TailRecord record;
    while (trouble.ok() && stream->Read(&response)) {
      if (response.needle_header().empty()) continue;  // it is still there
      if (record.body.empty()) {
        record.header = response.needle_header();
        record.version = response.version();
        record.kind = response.kind() <= 2 ? static_cast<TailRecord::Kind>(response.kind()) : TailRecord::Kind::unknown;
      } else if (record.header != response.needle_header()) {
        trouble = Error(Code::corrupt, name_ + ": sends two needles at once");
        break;
      }
      record.body += response.needle_body();
      if (record.body.size() > kRecordBytesMax) trouble = Error(Code::corrupt, name_ + ": sends a needle without end");
      if (!response.is_last_chunk() || !trouble.ok()) continue;
      trouble = take(record);
      record = {};
    }
    return end(call, *stream, trouble);
  }

  Status content(VolumeId volume, const Take& take) override {
    pb::HealContentRequest request;
    request.set_volume_id(volume.value());
    const Call call(*this);
    const auto stream = stub_->HealContent(call.context(), request);
    Status trouble;
    pb::HealContentResponse response;
    while (trouble.ok() && stream->Read(&response)) trouble = take(bytes_of(response.entries()));
    return end(call, *stream, trouble);
  }

  void cancel() override {
    const Guard guard(mutex_);
    is_cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  // The context of one call, known to cancel() as long as it is there.
  class Call {
   public:
    explicit Call(GrpcVolumeSource& source) : source_(source) {
      api::pass_request_id(context_);
      const Guard guard(source_.mutex_);
      source_.context_ = &context_;
      if (source_.is_cancelled_) context_.TryCancel();
    }
    ~Call() {
      const Guard guard(source_.mutex_);
      source_.context_ = nullptr;
    }
    grpc::ClientContext* context() const { return &context_; }

   private:
    GrpcVolumeSource& source_;
    mutable grpc::ClientContext context_;
  };

  template <typename Stream>
  Status end(const Call& call, Stream& stream, const Status& trouble) {
    if (!trouble.ok()) {
      call.context()->TryCancel();
      (void)stream.Finish();
      return trouble;
    }
    const grpc::Status status = stream.Finish();
    if (!status.ok()) return source_error(status).at(name_);
    return {};
  }

  const std::string name_;
  const std::unique_ptr<pb::VolumeServer::Stub> stub_;

  Mutex mutex_;  // leaf
  grpc::ClientContext* context_ HOLDFAST_GUARDED_BY(mutex_) = nullptr;
  bool is_cancelled_ HOLDFAST_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<VolumeSource> VolumeSource::at(const Address& server) { return std::make_unique<GrpcVolumeSource>(server); }

}  // namespace holdfast::client
