#include "base/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>

namespace holdfast::gzip {
namespace {

constexpr int kRawDeflate = -15;      // window of 32 KiB, no zlib header
constexpr int kGzipInflate = 15 + 16;  // zlib checks header and trailer
constexpr std::size_t kPieceBytes = 64_KiB;
constexpr unsigned char kHeader[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff};
constexpr unsigned char kLastBlock[] = {1, 0, 0, 0xff, 0xff};

void append_le(std::string& out, std::uint32_t v) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(v >> shift));
}

// zlib counts input in unsigned ints.
BytesView next_piece(BytesView& bytes) {
  const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max()));
  bytes = bytes.subspan(piece.size());
  return piece;
}

}  // namespace

struct Compressor::State {
  z_stream zlib{};
  std::uint32_t crc = 0;
  std::uint64_t bytes = 0;
  bool begun = false;

  void run(BytesView piece, int flush, std::string& out) {
    std::array<unsigned char, 16_KiB> room;
    zlib.next_in = const_cast<unsigned char*>(piece.data());
    zlib.avail_in = static_cast<unsigned>(piece.size());
    do {
      zlib.next_out = room.data();
      zlib.avail_out = room.size();
      CHECK(deflate(&zlib, flush) != Z_STREAM_ERROR);
      out.append(reinterpret_cast<const char*>(room.data()), room.size() - zlib.avail_out);
    } while (zlib.avail_out == 0);
  }
  void begin(std::string& out) {
    if (begun) return;
    begun = true;
    out.append(reinterpret_cast<const char*>(kHeader), sizeof kHeader);
  }
};

Compressor::Compressor() : state_(std::make_unique<State>()) {
  CHECK(deflateInit2(&state_->zlib, Z_BEST_SPEED, Z_DEFLATED, kRawDeflate, 8, Z_DEFAULT_STRATEGY) == Z_OK);
}
Compressor::~Compressor() { deflateEnd(&state_->zlib); }

void Compressor::add(BytesView bytes, std::string& out) {
  state_->begin(out);
  while (!bytes.empty()) {
    const auto piece = next_piece(bytes);
    state_->crc = static_cast<std::uint32_t>(::crc32(state_->crc, piece.data(), static_cast<unsigned>(piece.size())));
    state_->bytes += piece.size();
    state_->run(piece, Z_NO_FLUSH, out);
  }
}

void Compressor::finish(std::string& out) {
  state_->begin(out);
  // A flush ends on a byte's boundary, so a last block of our own can follow it.
  if (state_->bytes > 0) state_->run({}, Z_SYNC_FLUSH, out);
  out.append(reinterpret_cast<const char*>(kLastBlock), sizeof kLastBlock);
  append_le(out, state_->crc);
  append_le(out, static_cast<std::uint32_t>(state_->bytes));
}

struct Decompressor::State {
  z_stream zlib{};
  bool at_boundary = true;  // between two members
  bool any = false;
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {
  CHECK(inflateInit2(&state_->zlib, kGzipInflate) == Z_OK);
}
Decompressor::~Decompressor() { inflateEnd(&state_->zlib); }

Status Decompressor::add(BytesView bytes, const std::function<Status(BytesView)>& out) {
  std::array<unsigned char, kPieceBytes> room;
  auto& zlib = state_->zlib;
  while (!bytes.empty()) {
    const auto piece = next_piece(bytes);
    zlib.next_in = const_cast<unsigned char*>(piece.data());
    zlib.avail_in = static_cast<unsigned>(piece.size());
    bool more_room_needed = false;
    while (zlib.avail_in > 0 || more_room_needed) {
      if (state_->at_boundary) {
        if (zlib.avail_in == 0) break;
        if (state_->any) inflateReset(&zlib);
        state_->at_boundary = false;
        state_->any = true;
      }
      zlib.next_out = room.data();
      zlib.avail_out = room.size();
      const int answer = inflate(&zlib, Z_NO_FLUSH);
      if (answer != Z_OK && answer != Z_STREAM_END && answer != Z_BUF_ERROR) {
        return Error(answer == Z_MEM_ERROR ? Code::internal : Code::corrupt, "bad gzip stream");
      }
      if (const auto made = room.size() - zlib.avail_out; made > 0) {
        if (auto taken = out({room.data(), made}); !taken) return taken;
      }
      more_room_needed = zlib.avail_out == 0;
      if (answer == Z_STREAM_END) {
        state_->at_boundary = true;
        more_room_needed = false;
      }
    }
  }
  return {};
}

Status Decompressor::finish() const {
  if (state_->any && state_->at_boundary) return {};
  return Error(Code::corrupt, "the gzip stream ends early");
}

std::string compress(BytesView bytes) {
  std::string out;
  out.reserve(bytes.size() / 2 + 64);
  Compressor compressor;
  compressor.add(bytes, out);
  compressor.finish(out);
  return out;
}

Result<std::string> decompress(BytesView stream, std::uint64_t bytes_max) {
  std::string out;
  Decompressor decompressor;
  const auto taken = decompressor.add(stream, [&](BytesView piece) -> Status {
    if (out.size() + piece.size() > bytes_max) return Error(Code::no_space, "unfolds to more than is allowed");
    out.append(text_of(piece));
    return {};
  });
  if (!taken) return taken.error();
  if (auto complete = decompressor.finish(); !complete) return complete.error();
  return out;
}

}  // namespace holdfast::gzip
