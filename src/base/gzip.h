// gzip: the one compression of stored files. The stream has upstream's shape: header 1f8b0800 00000000 04ff (no time,
// no name, fastest, unknown system), and as its last deflate block an empty stored one (spec/weed-cluster 3.3).
// The bytes between are zlib's; an ETag of compressed data therefore differs from upstream's.
//
// zlib never throws; running out of memory is Code::internal. Not thread-safe per object; free functions are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace holdfast::gzip {

// Whether bytes begin like a gzip stream (1f 8b).
inline bool is_gzip(BytesView bytes) { return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b; }

// Takes plain bytes piece by piece and gives the stream to `out`, a string it appends to.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  void add(BytesView bytes, std::string& out);
  void finish(std::string& out);  // once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Takes a stream piece by piece; plain bytes go to `out`. Several members one behind the other are one file.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Calls `out` for each piece of at most 64 KiB; stops with its error when it answers one. Code::corrupt when the
  // bytes are no gzip stream or its checksum is wrong.
  Status add(BytesView bytes, const std::function<Status(BytesView)>& out);

  // Whether the stream is complete, so that its checksum was verified.
  Status finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string compress(BytesView bytes);

// Code::no_space when the plain bytes are more than `bytes_max`: a few KiB can unfold to gigabytes.
Result<std::string> decompress(BytesView stream, std::uint64_t bytes_max);

}  // namespace holdfast::gzip
