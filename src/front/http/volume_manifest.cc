// Files that were cut into chunks: a manifest names them, readers get them as one (spec/weed-cluster 3.7, 3.10).
#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "front/http/chunk_reader.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;

namespace {

constexpr std::size_t kSniffBytes = 512;
constexpr std::size_t kRemovalsAtOnce = 16;  // of one manifest's chunks; within a manifest's manifest one at a time

// What a failed deletion of a chunk says; "" when it is gone.
std::string removal_trouble(const Result<client::HttpAnswer>& answer) {
  if (!answer) return answer.error().what();
  if (answer->status == 200 || answer->status == 202 || answer->status == 204 || answer->status == 404) return {};
  return "status " + std::to_string(answer->status) + (answer->body.empty() ? "" : " " + answer->body.substr(0, 300));
}

// The deletions of one manifest's chunks, a few at a time. All on one loop.
struct Removals {
  VolumeRoutes::Inside& routes;
  io::EventLoop& loop;
  const client::ChunkManifest& manifest;
  const FileId& parent;
  const unsigned depth;
  std::size_t next = 0;
  std::size_t running = 0;
  Status outcome;
  std::function<void(Status)> done;
};

Task remove_some(Removals& all) {
  while (all.outcome && all.next < all.manifest.chunks.size()) {
    const FileId id = all.manifest.chunks[all.next++].id;
    if (id.volume == all.parent.volume && id.key == all.parent.key) continue;  // a manifest that names itself
    const Status removed = co_await all.routes.remove_chunk(all.loop, id, all.depth + 1);
    if (!removed && all.outcome) all.outcome = Error(removed.error().code(), "chunk delete " + text(id) + ": " + removed.error().what());
  }
  if (--all.running == 0) all.done(all.outcome);
}

}  // namespace

std::string VolumeRoutes::Inside::token_for(const FileId& id, const api::JwtKey api::JwtKeys::*key) const {
  if (!needs_token(key)) return {};
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
  return "Bearer " + (jwt->*key).sign(text(id), now);
}

Async<Result<client::ChunkManifest>> VolumeRoutes::Inside::load_manifest(io::EventLoop& loop, volume::Found& found) {
  // Off the loop: unpacking and parsing take up to some hundred milliseconds.
  auto work = [&found]() -> Result<client::ChunkManifest> {
    auto whole = whole_data(found, client::kManifestBytesMax);
    if (!whole) return Error(whole.error().code() == Code::invalid ? Code::corrupt : whole.error().code(), whole.error().what());
    return client::parse_manifest(bytes_of(*whole));
  };
  co_return co_await on_pool<client::ChunkManifest>(loop, work, found.body.get());
}

void VolumeRoutes::Inside::answer_manifest_failed(Exchange& exchange, const Asked& asked, const Error& error) {
  LOG_ERROR("the chunks of {}: {}", text(asked.id), error.what());
  head(exchange, 500).add("Content-Type", "text/plain; charset=utf-8").add("X-Content-Type-Options", "nosniff");
  exchange.finish(error.code() == Code::not_found ? "File Not Found\n" : error.what() + "\n");
}

Task VolumeRoutes::Inside::answer_manifest(Exchange& exchange, std::unique_ptr<Asked> asked, volume::Found found) {
  keep(found);
  const Result<client::ChunkManifest> loaded = co_await load_manifest(exchange.loop(), found);
  if (!loaded && loaded.error().code() == Code::invalid) {
    LOG_WARNING("{} is marked as a manifest and is none: sent as it is", text(asked->id));
    asked->as_stored = true;
    answer_found(exchange, *asked, found);
    co_return;
  }
  if (!loaded) {
    answer_manifest_failed(exchange, *asked, loaded.error());
    co_return;
  }
  const auto& manifest = *loaded;
  if (const auto whole = client::check_whole(manifest); !whole) {
    answer_manifest_failed(exchange, *asked, whole.error());
    co_return;
  }
  const auto depth = chunk_depth_of(exchange.request());
  if (depth >= kChunkDepthMax) {
    answer_manifest_failed(exchange, *asked, Error(Code::corrupt, "manifests lie in each other too deep, or in a circle"));
    co_return;
  }

  HeaderList headers;
  found.needle.name = manifest.name;
  found.needle.mime = manifest.mime;
  if (collect_headers(exchange, *asked, found, headers)) co_return;
  headers.set("X-File-Store", "chunked");
  const auto total = manifest.size;
  if (asked->is_head) {
    headers.write_to(head(exchange, 200));
    exchange.finish_without_body(total);
    co_return;
  }
  auto wanted = ranges_to_send(asked->range, total);
  if (!wanted) {
    answer_bad_range(exchange, headers);
    co_return;
  }
  auto& ranges = *wanted;
  const bool is_partial = !ranges.empty();
  std::optional<MultiRange> parts;
  if (ranges.size() > 1) {
    parts.emplace(ranges, total, headers.stored_type, random_boundary());
    headers.set("Content-Type", parts->content_type());
  } else if (is_partial) {
    headers.set("Content-Range", content_range(ranges[0], total));
  } else {
    ranges.push_back({0, total});
  }

  // The head leaves when there is something behind it, so that a chunk that nobody has can still be told.
  auto reader = std::make_unique<ChunkReader>(*this, exchange.loop(), manifest, ranges[0], depth);
  Result<std::string_view> piece = co_await reader->next();
  if (!piece) {
    answer_manifest_failed(exchange, *asked, piece.error());
    co_return;
  }
  if (!piece->empty() && !headers.has("Content-Type") && !headers.has("Content-Encoding")) {
    headers.set("Content-Type", sniffed_type(bytes_of(piece->substr(0, kSniffBytes))));
  }
  headers.write_to(head(exchange, is_partial ? 206 : 200));
  exchange.begin(parts ? parts->length() : ranges[0].length);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (parts) {
      const auto part_head = parts->head(i);
      const Status sent = co_await exchange.write(std::string_view(part_head));
      if (!sent) break;
    }
    if (i > 0) {
      reader = std::make_unique<ChunkReader>(*this, exchange.loop(), manifest, ranges[i], depth);
      piece = co_await reader->next();
    }
    while (piece && !piece->empty()) {
      const Status sent = co_await exchange.write(*piece);
      if (!sent) {
        exchange.abort();
        co_return;
      }
      piece = co_await reader->next();
    }
    if (!piece) {
      // Too late for a status: fewer bytes than announced tell the client.
      LOG_ERROR("the chunks of {}: {}", text(asked->id), piece.error().what());
      exchange.abort();
      co_return;
    }
  }
  if (parts) {
    const auto tail = parts->tail();
    co_await exchange.write(std::string_view(tail));
  }
  exchange.end();
}

Async<Status> VolumeRoutes::Inside::remove_chunks(io::EventLoop& loop, const client::ChunkManifest& manifest,
                                                  const FileId& id, unsigned depth) {
  if (depth >= kChunkDepthMax) co_return Error(Code::corrupt, "manifests lie in each other too deep, or in a circle");
  Removals all{.routes = *this, .loop = loop, .manifest = manifest, .parent = id, .depth = depth};
  const auto at_once = std::min(depth == 0 ? kRemovalsAtOnce : 1, std::max<std::size_t>(manifest.chunks.size(), 1));
  auto start = [&](auto done) {
    all.done = done;
    all.running = at_once;
    for (std::size_t i = 0; i < at_once; ++i) remove_some(all);
  };
  co_return co_await awaited<Status>(loop, start);
}

Async<Status> VolumeRoutes::Inside::remove_chunk_here(io::EventLoop& loop, const FileId& id, unsigned depth) {
  auto look = [&](auto done) { service.read(id, {}, done); };
  auto found = co_await awaited<Result<volume::Found>>(loop, look);
  if (!found && found.error().code() == Code::not_found) co_return Status();
  if (found && found->needle.has(volume::kFlagChunkManifest)) {
    const auto manifest = co_await load_manifest(loop, *found);
    if (!manifest) co_return manifest.error();
    const Status inner = co_await remove_chunks(loop, *manifest, id, depth);
    if (!inner) co_return inner;
  }
  const auto token = token_for(id, &api::JwtKeys::write);
  volume::RemoveRequest request;
  request.id = id;
  request.authorization = token;
  auto start = [&](auto done) { service.remove(request, done); };
  const auto removed = co_await awaited<Result<volume::Removed>>(loop, start);
  if (!removed && removed.error().code() != Code::not_found) co_return removed.error();
  co_return Status();
}

Async<Status> VolumeRoutes::Inside::remove_chunk(io::EventLoop& loop, const FileId& id, unsigned depth) {
  if (service.has_volume(id.volume)) {
    const Status removed = co_await remove_chunk_here(loop, id, depth);
    co_return removed;
  }
  auto look = [&](auto done) { service.locate(id.volume, done); };
  const auto located = co_await awaited<Result<std::vector<volume::Location>>>(loop, look);
  if (!located) co_return located.error();
  std::string trouble = "volume id " + text(id.volume) + " not found";
  for (const auto& place : *located) {
    client::HttpRequest request;
    request.method = "DELETE";
    request.authority = place.url;
    request.target = "/" + text(id);
    request.may_repeat = true;  // deleting what is deleted changes nothing
    request.headers.emplace_back(kChunkDepthHeader, std::to_string(depth));
    if (auto token = token_for(id, &api::JwtKeys::write); !token.empty()) request.headers.emplace_back("Authorization", std::move(token));
    auto start = [&](auto done) { pool.send(loop, request, done); };
    const auto answer = co_await awaited<Result<client::HttpAnswer>>(loop, start);
    trouble = removal_trouble(answer);
    if (trouble.empty()) co_return Status();
  }
  co_return Error(Code::unavailable, trouble);
}

}  // namespace holdfast::front
