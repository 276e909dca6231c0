// ChunkReader: a part of a file that was cut into chunks, piece by piece (spec/weed-cluster 3.10). It holds one piece of
// at most 256 KiB at a time.
//
// A chunk that lies here is read from its volume; any other is fetched from a server that holds it, as the masters say,
// and so is one that is packed or a manifest itself, be it from this very server: serving those is the work of its routes.
//
// A source that fails in the middle of a chunk is followed by the next holder, from the chunk's beginning: what was given
// out already must come again with the same checksum, so a damaged copy is never mended by the end of a sound one.
//
// Belongs to one coroutine on one loop; await one next() after the other.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/task.h"
#include "client/chunk_manifest.h"
#include "client/http_pool.h"
#include "front/http/byte_range.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

// How deep manifests may lie in manifests. What lies deeper is refused: it may be a circle.
inline constexpr unsigned kChunkDepthMax = 4;

// Requests for chunks say how deep they are. 0 for those of clients.
inline constexpr std::string_view kChunkDepthHeader = "X-Holdfast-Chunk-Depth";
unsigned chunk_depth_of(const http::Request& request);

class ChunkReader {
 public:
  // `manifest` is whole (check_whole) and outlives this; `range` lies within it.
  ChunkReader(VolumeRoutes::Inside& routes, io::EventLoop& loop, const client::ChunkManifest& manifest, ByteRange range,
              unsigned depth);

  // The next piece, good until the next call; empty at the end. Code::not_found: nobody holds the chunk.
  Async<Result<std::string_view>> next();

 private:
  struct Attempt {
    std::string server;  // "" is here
    bool fresh;          // over a connection of its own: one that was kept may have been closed meanwhile
  };

  const client::Chunk& chunk() const { return manifest_.chunks[index_]; }
  std::uint64_t part_begin() const { return std::max(begin_, chunk().offset); }  // of this chunk's part, in the file
  std::uint64_t part_end() const { return std::min(end_, chunk().end()); }
  bool is_whole_chunk() const { return part_begin() == chunk().offset && part_end() == chunk().end(); }

  void next_chunk();
  void close();
  Async<Status> open();  // a source for the present chunk, or why there is none
  Async<Status> find_holders();
  Async<Status> open_here();
  Async<Status> open_elsewhere(const Attempt& attempt);
  Async<Result<std::string_view>> read_source();  // never empty

  VolumeRoutes::Inside& routes_;
  io::EventLoop& loop_;
  const client::ChunkManifest& manifest_;
  const std::uint64_t begin_;
  const std::uint64_t end_;
  const unsigned depth_;

  std::size_t index_ = 0;  // of the present chunk
  std::uint64_t at_;       // in the file: what was given out ends here

  // Of the present chunk.
  std::vector<Attempt> attempts_;
  std::size_t attempt_ = 0;
  bool has_looked_ = false;  // for holders
  Error failure_{Code::not_found, ""};
  std::uint32_t given_crc_ = 0;  // of what was given out of it

  // Of the present source.
  bool is_open_ = false;
  std::uint64_t read_ = 0;       // of its part of the chunk
  std::uint64_t compared_ = 0;   // of what was given out before, from another source
  std::uint32_t compared_crc_ = 0;
  std::uint32_t crc_ = 0;        // of a chunk that lies here
  std::unique_ptr<volume::Found> found_;
  std::unique_ptr<client::HttpCall> call_;
  std::string room_;
};

}  // namespace holdfast::front
