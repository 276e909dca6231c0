// Reads answered from memory (spec/weed-cluster 3.3, 3.4).
#include <algorithm>
#include <boost/json/parse.hpp>
#include <charconv>
#include <cstring>

#include "base/gzip.h"
#include "base/log.h"
#include "base/strconv.h"
#include "front/http/content_disposition.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;
using http::Method;
using volume::ReadNow;

namespace {

constexpr std::size_t kSniffBytes = 512;
// What a loop unpacks by itself: from so much at most, and so much at most. More is for the disk pool.
constexpr std::size_t kUnpackInline = 32_KiB;
constexpr std::size_t kUnpackedInline = 256_KiB;

// The answer's own framing is not for stored pairs to say.
bool is_framing(std::string_view name) {
  for (std::string_view framing : {"Content-Length", "Transfer-Encoding", "Connection", "Date", "Trailer", "Upgrade"}) {
    if (io::http1::same_name(name, framing)) return true;
  }
  return false;
}

void add_pairs(std::string_view pairs, HeaderList& headers) {
  boost::json::error_code error;
  const auto parsed = boost::json::parse(boost::json::string_view(pairs.data(), pairs.size()), error);
  if (error || !parsed.is_object()) return;
  for (const auto& [key, value] : parsed.get_object()) {
    if (!value.is_string()) continue;
    const auto name = canonical_header(std::string_view(key.data(), key.size()));
    if (name.empty() || is_framing(name)) continue;
    headers.set(name, std::string_view(value.get_string().data(), value.get_string().size()));
  }
}

struct Override {
  std::string_view parameter;
  std::string_view header;
};
constexpr std::array kOverrides = {
    Override{"response-cache-control", "Cache-Control"},
    Override{"response-content-disposition", "Content-Disposition"},
    Override{"response-content-encoding", "Content-Encoding"},
    Override{"response-content-language", "Content-Language"},
    Override{"response-content-type", "Content-Type"},
    Override{"response-expires", "Expires"},
};

// The names of these parameters are read in any case, so the query is gone through here.
void add_overrides(std::string_view query, HeaderList& headers) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = pair.substr(0, equals);
    for (const auto& [parameter, header] : kOverrides) {
      if (!io::http1::same_name(name, parameter)) continue;
      const Params one(pair);
      const auto value = one.get(name);
      if (!value.empty()) headers.set(header, value);
    }
  }
}

}  // namespace

std::string random_boundary() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (int i = 0; i < 60; i += 12) {
    auto bits = quick_random();
    for (int j = 0; j < 12; ++j, bits >>= 4) out.push_back(kDigits[bits & 15]);
  }
  return out;
}

Asked::Asked(const http::Request& request) : is_head(request.method == Method::head) {
  auto text = request.path;
  if (text.find('%') != std::string_view::npos) {
    decoded = decode_path(text).value_or(std::string("/"));
    text = decoded;
  }
  path = parse_volume_path(text);
  if (!request.query.empty()) params.emplace(request.query);
  // From the last to the first: of a header that comes twice the first counts, as everywhere.
  for (std::size_t i = request.headers.size(); i-- > 0;) {
    const auto& header = request.headers[i];
    switch (header.name.size()) {
      case 5:
        if (!is_head && io::http1::same_name(header.name, "Range")) range = header.value;
        break;
      case 13:
        if (io::http1::same_name(header.name, "If-None-Match")) if_none_match = header.value;
        break;
      case 15:
        if (io::http1::same_name(header.name, "Accept-Encoding")) {
          takes_gzip = header.value.find("gzip") != std::string_view::npos;
        }
        break;
      case 17:
        if (io::http1::same_name(header.name, "If-Modified-Since")) if_modified_since = header.value;
        break;
      default:
        break;
    }
  }
}

void VolumeRoutes::Inside::read(Exchange& exchange) {
  Asked asked(exchange.request());
  if (needs_token(&api::JwtKeys::read) && !is_authorized(exchange, jwt->read, asked.path)) return;
  const auto volume = parse_volume_id(asked.path.volume);
  if (!volume) {
    answer_nothing(exchange, 400);
    return;
  }
  const auto key = parse_fid_part(asked.path.fid);
  if (!key) {
    answer_nothing(exchange, 400);
    return;
  }
  asked.id = {*volume, key->key, key->cookie};
  volume::ReadOptions read_options;
  read_options.read_deleted = asked.param("readDeleted") == "true";

  if (downloads.is_full() && service.has_volume(*volume)) {
    auto kept = std::make_unique<Asked>(exchange.request());
    kept->id = asked.id;
    read_when_room(exchange, std::move(kept), read_options);
    return;
  }
  volume::Found found;
  auto& buffer = buffers[exchange.loop().number()].buffer;
  switch (service.read_now(asked.id, read_options, buffer, found)) {
    case ReadNow::found:
      answer_found(exchange, asked, found);
      return;
    case ReadNow::not_found:
      answer_nothing(exchange, 404);
      return;
    case ReadNow::no_volume:
      answer_elsewhere(exchange, asked);
      return;
    case ReadNow::would_block: {
      auto kept = std::make_unique<Asked>(exchange.request());
      kept->id = asked.id;
      read_slowly(exchange, std::move(kept), read_options);
      return;
    }
    case ReadNow::failed:
      read_failures.add();
      answer_nothing(exchange, 500);
      return;
  }
}

Task VolumeRoutes::Inside::read_when_room(Exchange& exchange, std::unique_ptr<Asked> asked,
                                          volume::ReadOptions read_options) {
  {
    const auto pass = co_await downloads.enter(exchange.loop(), 0);
    if (!pass) {
      met("download_refused");
      answer_error(exchange, 429, "reject because inflight download data " + std::to_string(downloads.bytes()) + " > " +
                                      std::to_string(downloads.bytes_max()) + ", and wait timeout");
      co_return;
    }
  }
  read_slowly(exchange, std::move(asked), read_options);
}

Task VolumeRoutes::Inside::read_slowly(Exchange& exchange, std::unique_ptr<Asked> asked,
                                       volume::ReadOptions read_options) {
  auto start = [&](auto done) { service.read(asked->id, read_options, done); };
  auto found = co_await awaited<Result<volume::Found>>(exchange.loop(), start);
  if (found) {
    answer_found(exchange, *asked, *found);
  } else {
    if (found.error().code() != Code::not_found) read_failed(found.error());
    // Unavailable is what may be read later: its tier or the other servers with its shards do not answer.
    const auto code = found.error().code();
    answer_nothing(exchange, code == Code::not_found ? 404 : code == Code::unavailable ? 503 : 500);
  }
}

bool VolumeRoutes::Inside::answer_not_modified(Exchange& exchange, const Asked& asked, const volume::Found& found) {
  const auto modified = static_cast<std::int64_t>(found.needle.last_modified);
  bool met = false;
  if (modified != 0 && !asked.if_modified_since.empty()) {
    const auto since = http::parse_http_date(asked.if_modified_since);
    met = since && *since >= modified;
  }
  if (!met && asked.if_none_match.size() == 10) {
    char etag[12];
    std::snprintf(etag, sizeof etag, "\"%08x\"", found.etag);
    met = asked.if_none_match == std::string_view(etag, 10);
  }
  if (!met) return false;
  auto& answer = head(exchange, 304);
  if (modified != 0) answer.add("Last-Modified", http::http_date(modified));
  exchange.finish();
  return true;
}

// The order is upstream's, for later ones replace earlier ones: ETag, Last-Modified, pairs, overrides, the rest.
bool VolumeRoutes::Inside::collect_headers(Exchange& exchange, const Asked& asked, const volume::Found& found,
                                           HeaderList& headers) {
  const auto& needle = found.needle;
  if (!asked.if_modified_since.empty() || !asked.if_none_match.empty()) {
    if (answer_not_modified(exchange, asked, found)) return true;
  }
  char etag[10];
  etag[0] = '"';
  for (int i = 0; i < 8; ++i) etag[1 + i] = "0123456789abcdef"[found.etag >> (28 - 4 * i) & 15];
  etag[9] = '"';
  headers.set("Etag", {etag, 10});
  if (needle.last_modified != 0) {
    char date[http::kDateBytes];
    http::write_http_date(static_cast<std::int64_t>(needle.last_modified), date);
    headers.set("Last-Modified", {date, sizeof date});
  }
  if (!needle.pairs.empty()) add_pairs(needle.pairs, headers);
  if (asked.params) add_overrides(exchange.request().query, headers);

  const auto name = asked.path.name.empty() ? needle.name : asked.path.name;
  std::string_view mime = needle.mime;
  if (mime.starts_with("application/octet-stream")) mime = {};
  if (mime.empty()) mime = types.of_name(name);
  headers.stored_type = mime;
  if (!mime.empty() && asked.param("response-content-type").empty()) headers.set("Content-Type", mime);
  if (!name.empty() && !headers.has("Content-Disposition")) {
    thread_local std::string disposition;  // keeps its capacity
    const auto dl = asked.params ? strconv::parse_bool(asked.param("dl")) : Result<bool>(false);
    write_content_disposition(dl && *dl ? "attachment" : "inline", name, disposition);
    headers.set("Content-Disposition", disposition);
  }
  headers.set("Accept-Ranges", "bytes");
  return false;
}

void VolumeRoutes::Inside::answer_found(Exchange& exchange, Asked& asked, volume::Found& found) {
  const auto& needle = found.needle;
  if (needle.has(volume::kFlagChunkManifest) && !asked.as_stored && asked.param("cm") != "false") {
    auto kept = std::make_unique<Asked>(exchange.request());
    kept->id = asked.id;
    answer_manifest(exchange, std::move(kept), std::move(found));
    return;
  }
  if (asked.params && !asked.as_stored && images != nullptr) {
    if (const auto wish = image_wish(asked, needle.name)) {
      auto kept = std::make_unique<Asked>(exchange.request());
      kept->id = asked.id;
      answer_image(exchange, std::move(kept), std::move(found), *wish);
      return;
    }
  }
  const bool compressed = needle.has(volume::kFlagCompressed);
  if (found.body) {
    auto kept = std::make_unique<Asked>(exchange.request());
    kept->id = asked.id;
    if (downloads.is_on() && !asked.is_head) kept->pass.emplace(downloads.take(found.body->size()));
    answer_large(exchange, std::move(kept), std::move(found));
    return;
  }
  const bool is_gzip = compressed && gzip::is_gzip(needle.data);
  if (is_gzip && !asked.takes_gzip) {
    auto plain = needle.data.size() > kUnpackInline ? Error(Code::no_space, "for the pool")
                                                    : gzip::decompress(needle.data, kUnpackedInline);
    if (!plain && plain.error().code() == Code::no_space) {
      // Off the loop; the data must leave the shared buffer.
      auto kept = std::make_unique<Asked>(exchange.request());
      kept->id = asked.id;
      answer_unpacked(exchange, std::move(kept), std::move(found), std::string(text_of(needle.data)));
      return;
    }
    HeaderList headers;
    if (collect_headers(exchange, asked, found, headers)) return;
    if (!plain) {
      LOG_ERROR("volume {}: {} does not unpack: {}", asked.id.volume.value(), text(asked.id), plain.error().what());
      read_failed(plain.error());
      answer_nothing(exchange, 500);
      return;
    }
    answer_data(exchange, asked, headers, *plain);
    return;
  }
  HeaderList headers;
  if (collect_headers(exchange, asked, found, headers)) return;
  if (is_gzip) headers.set("Content-Encoding", "gzip");
  answer_data(exchange, asked, headers, text_of(needle.data));
}

void VolumeRoutes::Inside::answer_bad_range(Exchange& exchange, HeaderList& headers) {
  headers.set("Content-Type", "text/plain; charset=utf-8");
  headers.set("X-Content-Type-Options", "nosniff");
  headers.write_to(head(exchange, 416));
  exchange.finish("invalid range\n");
}

void VolumeRoutes::Inside::answer_data(Exchange& exchange, const Asked& asked, HeaderList& headers,
                                       std::string_view data) {
  if (asked.is_head) {
    headers.write_to(head(exchange, 200));
    exchange.finish_without_body(data.size());
    return;
  }
  const auto wanted = ranges_to_send(asked.range, data.size());
  if (!wanted) {
    answer_bad_range(exchange, headers);
    return;
  }
  const auto& ranges = *wanted;
  if (ranges.size() > 1) {
    const MultiRange parts(ranges, data.size(), headers.stored_type, random_boundary());
    std::string body;
    body.reserve(parts.length());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      body += parts.head(i);
      body += data.substr(ranges[i].begin, ranges[i].length);
    }
    body += parts.tail();
    headers.set("Content-Type", parts.content_type());
    headers.write_to(head(exchange, 206));
    exchange.finish(body);
    return;
  }
  const std::uint64_t total = data.size();
  if (ranges.size() == 1) {
    headers.set("Content-Range", content_range(ranges[0], total));
    data = data.substr(ranges[0].begin, ranges[0].length);
  }
  if (!data.empty() && !headers.has("Content-Type") && !headers.has("Content-Encoding")) {
    headers.set("Content-Type", sniffed_type(bytes_of(data.substr(0, kSniffBytes))));
  }
  headers.write_to(head(exchange, ranges.empty() ? 200 : 206));
  exchange.finish(data);
}

}  // namespace holdfast::front
