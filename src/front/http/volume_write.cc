// Uploads and deletions (spec/weed-cluster 3.5, 3.7).
#include <algorithm>
#include <charconv>
#include <map>

#include "base/log.h"
#include "front/http/chunk_reader.h"
#include "front/http/content_disposition.h"
#include "front/http/json.h"
#include "front/http/upload_body.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;
using http::Method;

namespace {

constexpr std::string_view kPairPrefix = "Seaweed-";
constexpr std::size_t kPairsBytesMax = 64_KiB;  // below it
constexpr std::string_view kOctets = "application/octet-stream";

bool is_pair(std::string_view name) {
  return name.size() > kPairPrefix.size() && io::http1::same_name(name.substr(0, kPairPrefix.size()), kPairPrefix);
}

// {"Lower-Case":"x","Owner":"me"}: sorted, the first value of a repeated header.
std::string pairs_of(const http::Request& request) {
  std::map<std::string, std::string_view> pairs;
  for (const auto& header : request.headers) {
    if (is_pair(header.name)) pairs.try_emplace(canonical_header(header.name.substr(kPairPrefix.size())), header.value);
  }
  if (pairs.empty()) return {};
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  for (const auto& [name, value] : pairs) json.field(name, value);
  json.end_object();
  return out.size() < kPairsBytesMax ? out : std::string();
}

// By the extension of the name, unless its only dot is the first character.
std::string_view type_by_name(const ContentTypes& types, std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  std::string ext(name.substr(dot));
  std::transform(ext.begin(), ext.end(), ext.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto type = types.of_extension(ext);
  return type == kOctets ? std::string_view() : type;
}

// The type to be stored (spec/weed-cluster 3.5): raw bodies keep whatever they say, parts only what says something.
std::string type_to_store(const ContentTypes& types, std::string_view given, std::string_view name, bool is_multipart) {
  if (!given.empty() && (!is_multipart || given != kOctets)) return std::string(given);
  return std::string(type_by_name(types, name));
}

// 0 for what is none: of a time it means now, of an epoch the first.
std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

int status_of_write(const Error& error) {
  switch (error.code()) {
    case Code::invalid: return 400;
    case Code::not_found: return 404;
    case Code::unsupported: return 501;
    default: return 500;
  }
}

}  // namespace

bool VolumeRoutes::Inside::is_allowed(Exchange& exchange) {
  if (!white_list.is_active() || white_list.allows(exchange.request().peer_ip)) return true;
  answer_nothing(exchange, 401);
  return false;
}

void VolumeRoutes::Inside::write(Exchange& exchange) {
  if (is_allowed(exchange)) write_file(exchange);
}

Task VolumeRoutes::Inside::write_file(Exchange& exchange) {
  const auto& request = exchange.request();
  // Held until the answer has gone out. Copies of siblings pass: their first holder has counted them.
  std::optional<InflightLimit::Pass> pass;
  if (uploads.is_on() && Params(request.query).get("type") != "replicate") {
    pass.emplace(co_await uploads.enter(exchange.loop(), request.body_bytes.value_or(0)));
    if (!*pass) {
      met("upload_refused");
      answer_error(exchange, 429, "reject because inflight upload data " + std::to_string(uploads.bytes()) + " > " +
                                      std::to_string(uploads.bytes_max()) + ", and wait timeout");
      co_return;
    }
  }
  if (const auto error = query_error(request.query)) {
    answer_error(exchange, 400, *error);
    co_return;
  }
  const Params params(request.query);
  const auto decoded = decode_path(request.path).value_or(std::string(request.path));
  const auto volume = parse_volume_id(parse_volume_path(decoded).volume);
  if (!volume) {
    answer_error(exchange, 400, volume.error().what());
    co_return;
  }
  if (needs_token(&api::JwtKeys::write) && !is_authorized(exchange, jwt->write, parse_volume_path(decoded))) co_return;
  const auto form = UploadBody::form_of(request);
  if (!form) {
    answer_error(exchange, 400, form.error().what());
    co_return;
  }
  const bool is_multipart = form->is_multipart;
  const auto key = parse_fid_part(fid_of_write(decoded));
  if (!key && !is_multipart) {
    answer_error(exchange, 400, key.error().what());
    co_return;
  }

  const bool is_replica = params.get("type") == "replicate";
  const bool is_manifest = params.get("cm") == "true";
  UploadBody::Limits limits;
  if (!is_replica) limits.bytes_max = std::min(options.file_bytes_max, volume::kDataBytesMax);
  UploadBody body(exchange, service, *volume, limits);
  auto received = co_await body.receive(*form);
  if (!received) {
    if (received.error().code() == Code::io || received.error().code() == Code::timed_out) {
      // The client has gone, or the spool's disk has failed; whoever is still there hears of it.
      answer_error(exchange, 500, received.error().what());
    } else {
      answer_error(exchange, received.error().code() == Code::invalid ? 400 : 500, received.error().what());
    }
    co_return;
  }
  // A form is read before its id is looked at, so its own faults come first.
  if (!key) {
    answer_error(exchange, 400, key.error().what());
    co_return;
  }

  std::string name = body.name();
  if (name.empty() && !is_multipart) name = std::string(last_element(decoded));
  // A form's manifest is stored without a type: it says its file's own.
  const auto mime = is_manifest && is_multipart ? std::string() : type_to_store(types, body.part_type(), name, is_multipart);
  auto prepared = co_await body.prepare(mime, !is_replica);
  if (!prepared) {
    answer_error(exchange, prepared.error().code() == Code::invalid ? 400 : 500, prepared.error().what());
    co_return;
  }

  if (options.turn_images && images != nullptr && !is_replica && !is_manifest && !body.is_compressed() &&
      (mime == "image/jpeg" || image_format_of(extension(name)) == ImageFormat::jpeg)) {
    const Status turned = co_await turn_upright(exchange.loop(), body);
    if (!turned) LOG_WARNING("{} is stored as it came: {}", name, turned.error().what());
  }

  const RequestId request_id(clock);
  const auto pairs = pairs_of(request);
  volume::WriteRequest out;
  out.id = {*volume, key->key, key->cookie};
  const auto path = parse_volume_path(decoded);
  const auto fid_text = std::string(path.volume) + "," + std::string(path.fid);
  if (needs_token(&api::JwtKeys::write)) out.fid_text = fid_text;
  out.data = body.data();
  out.spool = body.spool();
  out.compressed = body.is_compressed();
  out.chunk_manifest = is_manifest;
  out.name = name;
  out.mime = mime;
  out.pairs = pairs;
  out.last_modified = number_of(params.get("ts"));
  if (const auto ttl = Ttl::parse(params.get("ttl"))) out.ttl = *ttl;
  out.ttl_text = params.get("ttl");
  out.fsync = params.get("fsync") == "true";
  out.is_replica = is_replica;
  if (is_replica) out.epoch = number_of(params.get("epoch"));
  out.was_passed_on = params.get("proxied") == "true";
  const auto authorization = authorization_to_pass_on(request);
  out.authorization = authorization;
  out.request_id = request_id;
  for (const auto& header : request.headers) {
    if (is_pair(header.name)) out.pair_headers.emplace_back(header.name, header.value);
  }
  auto start = [&](auto done) { service.write(std::move(out), done); };
  const auto written = co_await awaited<Result<volume::Written>>(exchange.loop(), start);
  if (!written) {
    if (status_of_write(written.error()) == 500) write_failures.add();
    answer_error(exchange, status_of_write(written.error()), written.error().what());
    co_return;
  }

  char etag[16];
  std::snprintf(etag, sizeof etag, "\"%08x\"", written->etag);
  auto& answer = head(exchange, written->unchanged ? 204 : 201, request_id);
  answer.add("Etag", etag).add("Content-MD5", body.content_md5());
  if (written->unchanged) {
    exchange.finish();
    co_return;
  }
  answer.add("Content-Type", "application/json").add("X-Content-Type-Options", "nosniff");
  std::string json_text;
  JsonWriter json(json_text, wants_pretty(request.query));
  json.begin_object()
      .field_unless_empty("name", name)
      .field_unless_empty("size", body.original_size())
      .field("eTag", std::string_view(etag).substr(1, 8))
      .field_unless_empty("mime", mime)
      .field_unless_empty("contentMd5", body.content_md5())
      .end_object();
  exchange.finish(json_text);
}

Task VolumeRoutes::Inside::remove(Exchange& exchange) {
  if (!is_allowed(exchange)) co_return;
  const auto& request = exchange.request();
  const Asked asked(request);
  const auto key = parse_fid_part(asked.path.fid);
  if (!key) {
    answer_error(exchange, 400, key.error().what());
    co_return;
  }
  if (needs_token(&api::JwtKeys::write) && !is_authorized(exchange, jwt->write, asked.path)) co_return;
  std::string size_json;
  const auto sized = [&](std::int64_t size) -> const std::string& {
    size_json.clear();
    JsonWriter(size_json, wants_pretty(request.query)).begin_object().field("size", size).end_object();
    return size_json;
  };
  const auto volume = parse_volume_id(asked.path.volume);
  if (!volume) {
    answer_json(exchange, 404, sized(0));
    co_return;
  }
  volume::RemoveRequest out;
  out.id = {*volume, key->key, key->cookie};
  const auto fid_text = std::string(asked.path.volume) + "," + std::string(asked.path.fid);
  if (needs_token(&api::JwtKeys::write)) out.fid_text = fid_text;
  out.is_replica = asked.param("type") == "replicate";
  out.fsync = asked.param("fsync") == "true";
  if (out.is_replica) out.epoch = number_of(asked.param("epoch"));
  const auto authorization = authorization_to_pass_on(request);
  out.authorization = authorization;

  std::optional<std::uint64_t> manifest_size;
  if (!out.is_replica && asked.param("cm") != "false") {
    // Its chunks go first: deleting a manifest alone would leave them behind for ever.
    auto look = [&](auto done) { service.read(out.id, {}, done); };
    auto found = co_await awaited<Result<volume::Found>>(exchange.loop(), look);
    if (found && found->needle.has(volume::kFlagChunkManifest)) {
      const auto manifest = co_await load_manifest(exchange.loop(), *found);
      if (!manifest) {
        answer_error(exchange, 500, "Load chunks manifest error: " + manifest.error().what());
        co_return;
      }
      const Status chunks = co_await remove_chunks(exchange.loop(), *manifest, out.id, chunk_depth_of(request));
      if (!chunks) {
        answer_error(exchange, 500, "Delete chunks error: " + chunks.error().what());
        co_return;
      }
      manifest_size = manifest->size;
    }
  }

  auto start = [&](auto done) { service.remove(out, done); };
  const auto removed = co_await awaited<Result<volume::Removed>>(exchange.loop(), start);
  if (removed) {
    answer_json(exchange, 202, sized(manifest_size ? static_cast<std::int64_t>(*manifest_size) : removed->size));
    co_return;
  }
  switch (removed.error().code()) {
    case Code::not_found:
      answer_json(exchange, 404, sized(0));
      break;
    case Code::refused:
      answer_error(exchange, 400, "File Random Cookie does not match.");
      break;
    default:
      answer_error(exchange, 500, "Deletion Failed: " + removed.error().what());
      break;
  }
}

}  // namespace holdfast::front
