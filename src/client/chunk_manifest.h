// ChunkManifest: a file that was cut into several (spec/weed-cluster 3.10, spec/volume-format 11).
//
// It is stored as a needle of its own, marked by a flag, whose data is JSON:
//   {"name":"big.bin","mime":"video/mp4","size":9000000,"chunks":[{"fid":"3,01637037d6","offset":0,"size":4194304},...]}
// Readers of its id get the chunks one after the other; `weed upload -maxMB` writes such files.
//
// Pure. What is read here was written by anybody: texts and numbers are checked, nothing is trusted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/file_id.h"

namespace holdfast::client {

// The longest manifest that is read: some 150,000 chunks, and so 600 GB of the usual 4 MiB each.
inline constexpr std::uint64_t kManifestBytesMax = 8_MiB;

struct Chunk {
  FileId id;
  std::uint64_t offset = 0;  // of its first byte in the file
  std::uint64_t size = 0;

  std::uint64_t end() const { return offset + size; }
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

struct ChunkManifest {
  std::string name;
  std::string mime;
  std::uint64_t size = 0;
  std::vector<Chunk> chunks;  // by offset

  friend bool operator==(const ChunkManifest&, const ChunkManifest&) = default;
};

// Code::invalid: no JSON of this shape, so whoever reads the file gets it as it is. Code::corrupt: a manifest, with a
// file id that is none or numbers that cannot be; what() says which. Keys are taken in any case, unknown ones are
// skipped, null counts as absent. A size of 0 beside chunks becomes the end of the last chunk.
Result<ChunkManifest> parse_manifest(BytesView json);

// As upstream's clients write it: empty texts and a size of 0 are left out.
std::string manifest_json(const ChunkManifest& manifest);

// Whether the chunks are all of the file: one behind the other, without a hole and without overlapping, up to its size.
// Code::corrupt with the place where they are not.
Status check_whole(const ChunkManifest& manifest);

}  // namespace holdfast::client
