#include "service/volume/file_query.h"

#include <algorithm>
#include <future>
#include <memory>

#include "base/crc32c.h"
#include "base/gzip.h"

namespace holdfast::volume {
namespace {

constexpr std::size_t kPieceBytes = 256_KiB;

Result<Found> read(VolumeService& service, const FileId& id) {
  // Shared with the answer, which may come when nobody waits any more.
  const auto promise = std::make_shared<std::promise<Result<Found>>>();
  service.read(id, {}, [promise](Result<Found> found) { promise->set_value(std::move(found)); });
  return promise->get_future().get();
}

// The stored bytes of a file, held against its checksum.
Status for_each_piece(const Found& found, Cancel& cancel, const std::function<Status(BytesView)>& take) {
  if (!found.body) return take(found.needle.data);
  std::vector<std::uint8_t> room(kPieceBytes);
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < found.body->size();) {
    if (cancel.is_set()) return Error(Code::unavailable, "the query was called off");
    const std::span<std::uint8_t> piece(room.data(), static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), found.body->size() - at)));
    if (auto got = found.body->read(at, piece); !got) return got;
    crc = crc32c(piece, crc);
    at += piece.size();
    if (at == found.body->size() && !crc_matches(crc, found.needle.stored_crc)) {
      return Error(Code::corrupt, "the data's crc is wrong: what came of this file may be wrong, too");
    }
    if (auto taken = take(piece); !taken) return taken;
  }
  return {};
}

// A gzip stream on its way to something else; plain bytes as they are, unless they have to be a stream.
class Unpacked {
 public:
  using Take = std::function<Status(BytesView)>;
  Unpacked(bool must_be_gzip, Take take) : must_be_gzip_(must_be_gzip), take_(std::move(take)) {}

  Status add(BytesView bytes) {
    if (bytes.empty()) return {};
    if (!is_decided_) {
      // A stream's first two bytes tell; one alone waits for the next.
      begin_.insert(begin_.end(), bytes.begin(), bytes.end());
      if (begin_.size() < 2) return {};
      const auto all = std::move(begin_);
      return decide(all);
    }
    return unpacker_ ? unpacker_->add(bytes, take_) : take_(bytes);
  }
  Status finish() {
    if (!is_decided_ && !begin_.empty()) {
      const auto all = std::move(begin_);
      if (auto decided = decide(all); !decided) return decided;
    }
    return unpacker_ ? unpacker_->finish() : Status();
  }

 private:
  Status decide(BytesView bytes) {
    is_decided_ = true;
    if (gzip::is_gzip(bytes)) {
      unpacker_ = std::make_unique<gzip::Decompressor>();
      return unpacker_->add(bytes, take_);
    }
    if (must_be_gzip_) return Error(Code::invalid, "its contents are no gzip stream: leave compression_type empty");
    return take_(bytes);
  }

  const bool must_be_gzip_;
  const Take take_;
  bool is_decided_ = false;
  std::vector<std::uint8_t> begin_;
  std::unique_ptr<gzip::Decompressor> unpacker_;
};

Status run_one(const Found& found, bool is_gzip, query::Runner& runner, Cancel& cancel) {
  if (found.needle.has(kFlagChunkManifest)) {
    return Error(Code::unsupported, "it is a manifest of chunks: a record may lie in two of them, so query files below the size of a chunk");
  }
  const auto to_runner = [&](BytesView plain) -> Status {
    if (cancel.is_set()) return Error(Code::unavailable, "the query was called off");
    return runner.add(text_of(plain));
  };
  // What the server packed, or was sent packed, is unpacked without being asked: the caller cannot know of it.
  const bool is_packed = found.needle.has(kFlagCompressed);
  Unpacked contents(is_gzip && !is_packed, to_runner);
  const auto to_contents = [&](BytesView bytes) { return is_gzip ? contents.add(bytes) : to_runner(bytes); };
  Unpacked stored(false, to_contents);
  const auto take = [&](BytesView bytes) { return is_packed ? stored.add(bytes) : to_contents(bytes); };
  if (auto read = for_each_piece(found, cancel, take); !read) return read;
  if (is_packed) {
    if (auto ended = stored.finish(); !ended) return ended;
  }
  if (is_gzip) {
    if (auto ended = contents.finish(); !ended) return ended;
  }
  return runner.end_file();
}

}  // namespace

Status run(VolumeService& service, const FileQuery& wish, query::Runner::Emit emit, Cancel& cancel) {
  auto runner = query::Runner::make(wish.query, std::move(emit));
  if (!runner) return runner.error();
  for (const auto& id : wish.files) {
    const auto found = read(service, id);
    if (!found) return found.error().at(text(id));
    if (auto done = run_one(*found, wish.is_gzip, **runner, cancel); !done) return done.error().at(text(id));
  }
  return (*runner)->finish();
}

}  // namespace holdfast::volume
