#include "front/http/chunk_reader.h"

#include <algorithm>
#include <charconv>

#include "base/crc32c.h"
#include "base/log.h"

namespace holdfast::front {

namespace {

constexpr std::uint64_t kPieceBytes = 256_KiB;

std::optional<std::uint64_t> length_of(const client::HttpAnswer& answer) {
  const auto text = client::header(answer.headers, "Content-Length");
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return length;
}

}  // namespace

unsigned chunk_depth_of(const http::Request& request) {
  const auto text = request.header(kChunkDepthHeader);
  if (text.empty()) return 0;
  unsigned depth = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), depth);
  return error == std::errc() && end == text.data() + text.size() ? depth : kChunkDepthMax;
}

ChunkReader::ChunkReader(VolumeRoutes::Inside& routes, io::EventLoop& loop, const client::ChunkManifest& manifest,
                         ByteRange range, unsigned depth)
    : routes_(routes),
      loop_(loop),
      manifest_(manifest),
      begin_(range.begin),
      end_(range.begin + range.length),
      depth_(depth),
      at_(range.begin) {
  const auto& chunks = manifest_.chunks;
  const auto first = std::upper_bound(chunks.begin(), chunks.end(), at_, [](std::uint64_t at, const client::Chunk& chunk) { return at < chunk.end(); });
  index_ = static_cast<std::size_t>(first - chunks.begin());
}

void ChunkReader::close() {
  is_open_ = false;
  read_ = 0;
  compared_ = 0;
  compared_crc_ = 0;
  crc_ = 0;
  found_.reset();
  call_.reset();
}

void ChunkReader::next_chunk() {
  attempts_.clear();
  attempt_ = 0;
  has_looked_ = false;
  given_crc_ = 0;
  do {
    ++index_;
  } while (index_ < manifest_.chunks.size() && chunk().size == 0);
}

Async<Result<std::string_view>> ChunkReader::next() {
  while (true) {
    if (is_open_ && at_ == part_end()) {
      if (call_) {
        const Result<BytesView> nothing = co_await call_->read();  // its end, so that the connection can be kept
        if (!nothing) LOG_V(1, "chunk {}: {}", text(chunk().id), nothing.error().what());
      }
      close();
    }
    if (at_ == end_) co_return std::string_view();
    if (at_ == part_end()) next_chunk();
    if (!is_open_) {
      const Status opened = co_await open();
      if (!opened) co_return opened.error();
    }
    Result<std::string_view> piece = co_await read_source();
    if (!piece) {
      LOG_WARNING("chunk {}: {}", text(chunk().id), piece.error().what());
      failure_ = piece.error();
      close();
      continue;
    }
    const auto given = at_ - part_begin();
    if (compared_ < given) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(given - compared_, piece->size()));
      compared_crc_ = crc32c(bytes_of(piece->substr(0, n)), compared_crc_);
      compared_ += n;
      if (compared_ == given && compared_crc_ != given_crc_) {
        co_return Error(Code::corrupt, "two copies of the chunk " + text(chunk().id) + " differ");
      }
      piece->remove_prefix(n);
      if (piece->empty()) continue;
    }
    given_crc_ = crc32c(bytes_of(*piece), given_crc_);
    compared_ += piece->size();
    at_ += piece->size();
    co_return *piece;
  }
}

Async<Status> ChunkReader::find_holders() {
  has_looked_ = true;
  auto start = [&](auto done) { routes_.service.locate(chunk().id.volume, done); };
  auto located = co_await awaited<Result<std::vector<volume::Location>>>(loop_, start);
  if (!located) co_return located.error();
  auto& servers = *located;
  if (servers.size() > 1) {
    std::rotate(servers.begin(), servers.begin() + static_cast<std::ptrdiff_t>(quick_random() % servers.size()), servers.end());
    std::stable_partition(servers.begin(), servers.end(), [this](const auto& server) { return server.url == routes_.service.self(); });
  }
  for (const auto& server : servers) {
    attempts_.push_back({server.url, false});
    attempts_.push_back({server.url, true});
  }
  co_return Status();
}

Async<Status> ChunkReader::open() {
  if (attempts_.empty() && !has_looked_) {
    failure_ = Error(Code::not_found, "volume id " + text(chunk().id.volume) + " not found");
    if (routes_.service.has_volume(chunk().id.volume)) attempts_.push_back({"", false});
  }
  while (true) {
    if (attempt_ == attempts_.size() && !has_looked_) {
      const Status looked = co_await find_holders();
      if (!looked && failure_.code() == Code::not_found) failure_ = looked.error();
    }
    if (attempt_ == attempts_.size()) co_return failure_;
    const Attempt attempt = attempts_[attempt_++];
    Status opened;
    if (attempt.server.empty()) {
      opened = co_await open_here();
    } else {
      opened = co_await open_elsewhere(attempt);
    }
    if (opened) {
      is_open_ = true;
      co_return opened;
    }
    close();
    // What the last one says counts, but "not there" says least.
    if (opened.error().code() != Code::not_found || failure_.code() == Code::not_found) failure_ = opened.error();
    // No use asking it again.
    if (opened.error().code() == Code::not_found && !attempt.fresh && !attempt.server.empty()) ++attempt_;
  }
}

Async<Status> ChunkReader::open_here() {
  auto start = [&](auto done) { routes_.service.read(chunk().id, {}, done); };
  auto found = co_await awaited<Result<volume::Found>>(loop_, start);
  if (!found) co_return found.error();
  const auto& needle = found->needle;
  if (needle.has(volume::kFlagCompressed) || needle.has(volume::kFlagChunkManifest)) {
    co_return Error(Code::unsupported, "not stored as it is read");
  }
  const auto size = found->body ? found->body->size() : needle.data.size();
  if (size != chunk().size) {
    co_return Error(Code::corrupt, "holds " + std::to_string(size) + " bytes, not " + std::to_string(chunk().size));
  }
  found_ = std::make_unique<volume::Found>(std::move(*found));
  co_return Status();
}

Async<Status> ChunkReader::open_elsewhere(const Attempt& attempt) {
  client::HttpRequest request;
  request.authority = attempt.server;
  request.target = "/" + text(chunk().id);
  request.fresh_connection = attempt.fresh;
  request.headers.emplace_back(kChunkDepthHeader, std::to_string(depth_ + 1));
  if (auto token = routes_.token_for(chunk().id, &api::JwtKeys::read); !token.empty()) request.headers.emplace_back("Authorization", std::move(token));
  const auto length = part_end() - part_begin();
  if (!is_whole_chunk()) {
    const auto from = part_begin() - chunk().offset;
    request.headers.emplace_back("Range", "bytes=" + std::to_string(from) + "-" + std::to_string(from + length - 1));
  }
  call_ = routes_.pool.open(loop_, std::move(request), 0);
  const Result<client::HttpAnswer> answer = co_await call_->answer();
  if (!answer) co_return answer.error();
  const auto where = attempt.server + ": ";
  if (answer->status == 404) co_return Error(Code::not_found, where + "not found");
  if (answer->status != (is_whole_chunk() ? 200 : 206)) co_return Error(Code::io, where + "status " + std::to_string(answer->status));
  if (const auto told = length_of(*answer); told && *told != length) {
    co_return Error(Code::corrupt, where + "has " + std::to_string(*told) + " bytes, not " + std::to_string(length));
  }
  co_return Status();
}

Async<Result<std::string_view>> ChunkReader::read_source() {
  const auto left = part_end() - part_begin() - read_;
  if (call_) {
    const Result<BytesView> piece = co_await call_->read();
    if (!piece) co_return piece.error();
    if (piece->empty()) co_return Error(Code::io, "ended " + std::to_string(left) + " bytes early");
    const auto bytes = text_of(*piece).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, piece->size())));
    read_ += bytes.size();
    co_return bytes;
  }
  const auto from = part_begin() - chunk().offset + read_;
  const auto n = static_cast<std::size_t>(std::min(kPieceBytes, left));
  if (!found_->body) {
    read_ += n;
    co_return text_of(found_->needle.data).substr(static_cast<std::size_t>(from), n);
  }
  room_.resize(n);
  const std::span<std::uint8_t> out(reinterpret_cast<std::uint8_t*>(room_.data()), n);
  const Status loaded = co_await routes_.load(loop_, *found_->body, from, out);
  if (!loaded) co_return loaded.error();
  read_ += n;
  if (is_whole_chunk()) {
    crc_ = crc32c(bytes_of(std::string_view(room_)), crc_);
    if (n == left && !volume::crc_matches(crc_, found_->needle.stored_crc)) co_return Error(Code::corrupt, "fails its checksum");
  }
  co_return std::string_view(room_);
}

}  // namespace holdfast::front
