// What the files of the volume server's routes share. Internal: volume_routes.cc dispatches, volume_read.cc and
// volume_read_large.cc answer reads, volume_manifest.cc those of files in chunks, volume_write.cc uploads and deletions,
// volume_admin.cc the rest.
#pragma once

#include <array>
#include <boost/container/small_vector.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/task.h"
#include "client/chunk_manifest.h"
#include "front/http/answers.h"
#include "front/http/byte_range.h"
#include "front/http/inflight_limit.h"
#include "front/http/upload_body.h"
#include "front/http/metrics.h"
#include "front/http/out_buffer.h"
#include "front/http/volume_metrics.h"
#include "front/http/url.h"
#include "front/http/volume_path.h"
#include "front/http/volume_routes.h"
#include "front/image/image_pool.h"
#include "model/content_type.h"

namespace holdfast::front {

// The kinds under which requests are counted; the names stand in volume_routes.cc.
enum class VolumeKind : std::uint8_t { get, head, post, put, delete_, options, status, health, page, metrics, statics, other };

// The headers of an answer, collected before they are sent, because later ones replace earlier ones of the same name.
// They are kept as the lines that will be sent, with room for the usual ones without allocating.
class HeaderList {
 public:
  void set(std::string_view name, std::string_view value);
  bool has(std::string_view name) const { return may_have(name) && find(name) < lines_.size(); }
  void write_to(http::Head& head) const { head.add_lines(text_.view()); }

  // The type by the file alone: what each part of several ranges says, whatever response-content-type asks for.
  std::string_view stored_type;

 private:
  struct Line {
    std::uint32_t begin;
    std::uint32_t name_bytes;
  };
  // Names are seldom alike, and mostly not even as long.
  static std::uint32_t length_bit(std::string_view name) { return std::uint32_t{1} << (name.size() % 32); }
  bool may_have(std::string_view name) const { return (lengths_ & length_bit(name)) != 0; }
  std::size_t find(std::string_view name) const;  // its place, or lines_.size()
  void remove(std::size_t i);

  std::array<char, 1024> room_;
  http::OutBuffer text_{room_};
  boost::container::small_vector<Line, 12> lines_;
  std::uint32_t lengths_ = 0;  // length_bit() of every name that was set
};

// A read as asked for. Views point into the request, or into `decoded`.
struct Asked {
  explicit Asked(const http::Request& request);
  Asked(const Asked&) = delete;

  bool is_head;
  std::string decoded;  // the path, when it was percent-encoded
  VolumePath path;
  FileId id;
  std::optional<Params> params;  // only when there is a query
  std::string_view if_modified_since;
  std::string_view if_none_match;
  std::string_view range;
  bool takes_gzip = false;
  bool as_stored = false;  // called a manifest and none, or an image that cannot be resized: sent as it is
  std::optional<InflightLimit::Pass> pass;  // of a large file, until it has gone out

  std::string_view param(std::string_view name) const { return params ? params->get(name) : std::string_view(); }
};

struct VolumeRoutes::Inside : http::Observer {
  Inside(Parts parts, Options options);

  void finished(const http::Exchange& exchange, int status, Duration took, std::size_t loop) override;

  // --- volume_routes.cc
  void serve(http::Exchange& exchange);
  void serve_public(http::Exchange& exchange);
  void serve_file(http::Exchange& exchange);
  void answer_options(http::Exchange& exchange, bool read_only);
  void answer_error(http::Exchange& exchange, int status, std::string_view text);  // {"error":"text"}
  void answer_json(http::Exchange& exchange, int status, std::string_view body);
  void answer_nothing(http::Exchange& exchange, int status);

  // The head of every answer but static files: Server, X-Amz-Request-Id, and CORS when a file was asked for.
  http::Head& head(http::Exchange& exchange, int status, std::string_view request_id = {});

  // Runs `work` on the service's pool and comes back to the loop. Code::unavailable when the server is stopping. With a body
  // it runs where that one may be read.
  template <typename T, typename Work>
  Async<Result<T>> on_pool(io::EventLoop& loop, Work work, const volume::Body* body = nullptr) {
    auto start = [&](auto done) {
      auto all = [&work, done] { done(work()); };
      const bool posted = body != nullptr && body->is_remote() ? service.post_remote(std::move(all)) : service.post(std::move(all));
      if (!posted) done(Error(Code::unavailable, "server is stopping"));
    };
    co_return co_await awaited<Result<T>>(loop, start);
  }

  void met(const char* what);             // counts what a request met on its way
  void read_failed(const Error& error);  // counts a read that failed

  // --- volume_read.cc
  void read(http::Exchange& exchange);
  Task read_when_room(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::ReadOptions options);
  Task read_slowly(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::ReadOptions options);
  // `found` may point into a shared buffer: used up before this returns, or copied.
  void answer_found(http::Exchange& exchange, Asked& asked, volume::Found& found);
  void answer_data(http::Exchange& exchange, const Asked& asked, HeaderList& headers, std::string_view data);
  void answer_bad_range(http::Exchange& exchange, HeaderList& headers);
  // What the needle and the request say about the answer, but for body and Content-Encoding. True: 304 was sent.
  bool collect_headers(http::Exchange& exchange, const Asked& asked, const volume::Found& found, HeaderList& headers);
  bool answer_not_modified(http::Exchange& exchange, const Asked& asked, const volume::Found& found);

  // --- volume_read_large.cc
  Task answer_large(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found);
  Task answer_unpacked(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found, std::string data);
  Async<Status> load(io::EventLoop& loop, const volume::Body& body, std::uint64_t offset, std::span<std::uint8_t> out);
  Async<bool> send_body(http::Exchange& exchange, const volume::Found& found, ByteRange range, std::string first);

  // --- volume_image.cc: images in another size
  Task answer_image(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found, ImageWish wish);
  Async<Status> turn_upright(io::EventLoop& loop, UploadBody& body);

  // --- volume_manifest.cc: files that were cut into chunks
  Task answer_manifest(http::Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found);
  void answer_manifest_failed(http::Exchange& exchange, const Asked& asked, const Error& error);
  Async<Result<client::ChunkManifest>> load_manifest(io::EventLoop& loop, volume::Found& found);
  // Deletes what a manifest names, `depth` manifests deep; a chunk that is gone already is fine. The first failure ends it.
  Async<Status> remove_chunks(io::EventLoop& loop, const client::ChunkManifest& manifest, const FileId& id, unsigned depth);
  Async<Status> remove_chunk(io::EventLoop& loop, const FileId& id, unsigned depth);
  Async<Status> remove_chunk_here(io::EventLoop& loop, const FileId& id, unsigned depth);
  std::string token_for(const FileId& id, const api::JwtKey api::JwtKeys::*key) const;  // "Bearer ..", "" when none is needed

  // --- volume_elsewhere.cc: the volume is not here
  void answer_elsewhere(http::Exchange& exchange, const Asked& asked);
  Task find_elsewhere(http::Exchange& exchange, std::unique_ptr<Asked> asked);
  Async<bool> relay(http::Exchange& exchange, const std::string& authority, Status& failure);

  // --- volume_write.cc
  void write(http::Exchange& exchange);
  Task write_file(http::Exchange& exchange);
  Task remove(http::Exchange& exchange);
  bool is_allowed(http::Exchange& exchange);  // by the white list; else 401 was sent

  // --- volume_tokens.cc
  // Whether the request carries a token of `key` for this file, or needs none; else 401 was sent.
  bool is_authorized(http::Exchange& exchange, const api::JwtKey& key, const VolumePath& path);
  bool needs_token(const api::JwtKey api::JwtKeys::*key) const { return jwt != nullptr && (jwt->*key).is_set(); }

  // --- volume_admin.cc
  void answer_health(http::Exchange& exchange);
  Task answer_status(http::Exchange& exchange);
  Task answer_page(http::Exchange& exchange);
  Task answer_metrics(http::Exchange& exchange);
  void answer_static(http::Exchange& exchange, std::string_view path);

  // Constant after construction.
  volume::VolumeService& service;
  client::HttpPool& pool;
  io::EventLoops& loops;
  io::Clock& clock;
  const WhiteList& white_list;
  metrics::Registry& registry;
  const api::JwtKeys* const jwt;
  ImagePool* const images;
  const Options options;
  InflightLimit uploads;
  InflightLimit downloads;
  const std::string server_line;  // "Server: ..", of every answer but static files
  ContentTypes types;
  const Instant started_at;

  // One for each loop, used for one read after the other.
  struct alignas(64) LoopBuffer {
    volume::ReadBuffer buffer;
  };
  std::vector<LoopBuffer> buffers;

  RequestMetrics requests;
  InFlightRequests in_flight;  // by method
  VolumeMetrics volume_metrics;
  metrics::Counter& read_failures;
  metrics::Counter& write_failures;
  metrics::Counter& invalid_needles;
  metrics::Registry::Collector limit_metrics;
};

// The token a request carries (spec/weed-cluster 3.11): the first of query, Authorization header and cookie that has one.
std::string token_of(const http::Request& request);

// What siblings are shown: the token as an Authorization header, whichever way it came; else the header as it is.
std::string authorization_to_pass_on(const http::Request& request);

// What the request wants an image of this name to become; nothing when it wants none.
std::optional<ImageWish> image_wish(const Asked& asked, std::string_view stored_name);

// ".jpg"; "" without a dot.
std::string_view extension(std::string_view name);

// Moves all that `found` points to into memory of its own: it may lie in the loop's shared buffer.
void keep(volume::Found& found);

// The whole of a file, unpacked and held against its checksum. Waits for the disk. Code::no_space: above `bytes_max`.
Result<std::string> whole_data(const volume::Found& found, std::uint64_t bytes_max);

// 60 random hex digits.
std::string random_boundary();

// "Lower-Case" for "lower-case"; "" when it can be no header's name.
std::string canonical_header(std::string_view name);

// Extends the table by the host's files, the first of those upstream looks at.
void load_host_types(ContentTypes& types);

}  // namespace holdfast::front
