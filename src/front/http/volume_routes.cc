#include "front/http/volume_routes.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "front/http/json.h"
#include "front/http/volume_routes_inside.h"

namespace holdfast::front {

using http::Exchange;
using http::Method;

namespace {

// In the order of VolumeKind.
const std::vector<std::string> kKinds = {"get",    "head", "post", "put",     "delete",  "options",
                                         "status", "health", "page", "metrics", "statics", "other"};

constexpr std::string_view kStaticPrefix = "/seaweedfsstatic/";

VolumeKind kind_of(Method method) {
  switch (method) {
    case Method::get: return VolumeKind::get;
    case Method::head: return VolumeKind::head;
    case Method::post: return VolumeKind::post;
    case Method::put: return VolumeKind::put;
    case Method::delete_: return VolumeKind::delete_;
    case Method::options: return VolumeKind::options;
    default: return VolumeKind::other;
  }
}

// Their place in the names of in_flight: those of methods, and one for what is no method of ours.
std::size_t in_flight_kind(Method method) {
  return std::min(static_cast<std::size_t>(kind_of(method)), static_cast<std::size_t>(VolumeKind::status));
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  if (file) out << file.rdbuf();
  return std::move(out).str();
}

bool is_admin_path(std::string_view path) {
  return path == "/status" || path == "/healthz" || path == "/readyz" || path == "/ui/index.html" || path == "/metrics";
}

// An unclean path is answered with the clean one, as Go's router does.
void answer_clean_path(Exchange& exchange, http::Head& head, const std::string& cleaned) {
  auto location = escape_path(cleaned);
  if (!exchange.request().query.empty()) location += "?" + std::string(exchange.request().query);
  head.add("Location", location);
  const auto method = exchange.request().method;
  if (method != Method::get && method != Method::head) {
    exchange.finish();
    return;
  }
  std::string shown;
  for (char c : location) shown += c == '&' ? "&amp;" : std::string(1, c);
  head.add("Content-Type", "text/html; charset=utf-8");
  exchange.finish("<a href=\"" + shown + "\">Temporary Redirect</a>.\n\n");
}

}  // namespace

ReadMode read_mode_of(std::string_view text) {
  if (text == "local") return ReadMode::local;
  if (text == "redirect") return ReadMode::redirect;
  return ReadMode::proxy;
}

std::string canonical_header(std::string_view name) {
  std::string out(name);
  bool upper = true;
  for (char& c : out) {
    const bool is_lower = c >= 'a' && c <= 'z';
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_other = (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    if (!is_lower && !is_upper && !is_other) return {};
    if (upper && is_lower) c = static_cast<char>(c - 32);
    if (!upper && is_upper) c = static_cast<char>(c + 32);
    upper = c == '-';
  }
  return out;
}

void load_host_types(ContentTypes& types) {
  for (const char* path : {"/usr/local/share/mime/globs2", "/usr/share/mime/globs2"}) {
    if (const auto content = read_file(path); !content.empty()) {
      types.add_globs2(content);
      return;
    }
  }
  for (const char* path : {"/etc/mime.types", "/etc/apache2/mime.types", "/etc/apache/mime.types", "/etc/httpd/conf/mime.types"}) {
    types.add_mime_types(read_file(path));
  }
}

// --- HeaderList

std::size_t HeaderList::find(std::string_view name) const {
  const char* text = text_.view().data();
  std::size_t i = 0;
  for (const auto& line : lines_) {
    if (line.name_bytes == name.size() && io::http1::same_name({text + line.begin, line.name_bytes}, name)) break;
    ++i;
  }
  return i;
}

void HeaderList::remove(std::size_t i) {
  const auto begin = lines_[i].begin;
  const auto end = i + 1 < lines_.size() ? lines_[i + 1].begin : static_cast<std::uint32_t>(text_.size());
  text_.erase(begin, end - begin);
  lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(i));
  for (; i < lines_.size(); ++i) lines_[i].begin -= end - begin;
}

void HeaderList::set(std::string_view name, std::string_view value) {
  if (may_have(name)) {
    if (const auto i = find(name); i < lines_.size()) remove(i);
  }
  lengths_ |= length_bit(name);
  lines_.push_back({static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(name.size())});
  text_.append_line(name, value);
}

// --- routes

VolumeRoutes::Inside::Inside(Parts parts, Options options)
    : service(parts.service),
      pool(parts.pool),
      loops(parts.loops),
      clock(parts.clock),
      white_list(parts.white_list),
      registry(parts.metrics),
      jwt(parts.jwt),
      images(parts.images),
      options(std::move(options)),
      uploads(this->options.upload_bytes_max, this->options.upload_patience),
      downloads(this->options.download_bytes_max, this->options.download_patience),
      server_line([this] {
        auto text = "Server: SeaweedFS Volume " + this->options.version;
        while (text.ends_with(' ')) text.pop_back();
        return text + "\r\n";
      }()),
      started_at(clock.now()),
      buffers(loops.size()),
      requests(registry, "volumeServer", kKinds),
      in_flight({"get", "head", "post", "put", "delete", "options", "other"}),
      volume_metrics(registry, service, clock, this->options.version),
      read_failures(registry.counter("SeaweedFS_volumeServer_file_read_failures", "Reads that a disk or a checksum failed.")),
      write_failures(registry.counter("SeaweedFS_volumeServer_file_write_failures", "Writes that a disk or a copy failed.")),
      invalid_needles(registry.counter("SeaweedFS_volumeServer_file_read_invalid_needles",
                                       "Files asked for whose bytes on disk are not what was written.")),
      limit_metrics(registry.collector([this](std::vector<metrics::Family>& out) {
        const auto add = [&out](const char* name, const char* help, std::uint64_t value) {
          out.push_back({name, help, metrics::Family::Kind::gauge, {{{}, static_cast<double>(value), {}}}});
        };
        add("SeaweedFS_volumeServer_in_flight_upload_size", "Bytes of uploads under way, where they are limited.", uploads.bytes());
        add("SeaweedFS_volumeServer_in_flight_download_size", "Bytes of large files on their way out, where they are limited.",
            downloads.bytes());
        add("SeaweedFS_volumeServer_concurrent_upload_limit", "Their bound; 0: none.", uploads.bytes_max());
        add("SeaweedFS_volumeServer_concurrent_download_limit", "Their bound; 0: none.", downloads.bytes_max());
        out.push_back(in_flight.family("SeaweedFS_volumeServer_in_flight_requests"));
      })) {
  load_host_types(types);
}

void VolumeRoutes::Inside::finished(const Exchange& exchange, int status, Duration took, std::size_t) {
  requests.done(exchange.kind(), static_cast<unsigned>(status), took);
  in_flight.ended(in_flight_kind(exchange.request().method));
}

void VolumeRoutes::Inside::met(const char* what) {
  registry.counter("SeaweedFS_volumeServer_handler_total", "What requests met on their way, besides their answers.", {{"type", what}})
      .add();
}

void VolumeRoutes::Inside::read_failed(const Error& error) {
  read_failures.add();
  if (error.code() == Code::corrupt) invalid_needles.add();
}

http::Head& VolumeRoutes::Inside::head(Exchange& exchange, int status, std::string_view request_id) {
  auto& head = exchange.head(status);
  head.add_lines(server_line);
  if (request_id.empty()) {
    head.add("X-Amz-Request-Id", RequestId(clock));
  } else {
    head.add("X-Amz-Request-Id", request_id);
  }
  const auto& request = exchange.request();
  for (const auto& header : request.headers) {
    if (header.name.size() != 6 || !io::http1::same_name(header.name, "Origin") || header.value.empty()) continue;
    if (is_admin_path(request.path)) break;
    head.add("Access-Control-Allow-Origin", "*").add("Access-Control-Allow-Credentials", "true");
    break;
  }
  return head;
}

void VolumeRoutes::Inside::answer_nothing(Exchange& exchange, int status) {
  head(exchange, status);
  exchange.finish();
}

void VolumeRoutes::Inside::answer_json(Exchange& exchange, int status, std::string_view body) {
  head(exchange, status).add("Content-Type", "application/json").add("X-Content-Type-Options", "nosniff");
  exchange.finish(body);
}

void VolumeRoutes::Inside::answer_error(Exchange& exchange, int status, std::string_view text) {
  answer_json(exchange, status, json_error(text, wants_pretty(exchange.request().query)));
}

void VolumeRoutes::Inside::answer_options(Exchange& exchange, bool read_only) {
  exchange.set_kind(static_cast<std::uint8_t>(VolumeKind::options));
  head(exchange, 200)
      .add("Access-Control-Allow-Methods", read_only ? "GET, OPTIONS" : "PUT, POST, GET, DELETE, OPTIONS")
      .add("Access-Control-Allow-Headers", "*");
  exchange.finish();
}

void VolumeRoutes::Inside::serve(Exchange& exchange) {
  const auto& request = exchange.request();
  exchange.set_kind(static_cast<std::uint8_t>(kind_of(request.method)));
  in_flight.begun(in_flight_kind(request.method));
  if (!is_plain_path(request.path) && request.path != "*") {
    const auto decoded = decode_path(request.path);
    if (!decoded || decoded->empty()) {
      answer_nothing(exchange, 400);
      return;
    }
    if (auto cleaned = clean_path(*decoded); cleaned != *decoded) {
      answer_clean_path(exchange, head(exchange, 307), cleaned);
      return;
    }
  }
  if (options.public_port != 0 && request.local_port == options.public_port) {
    serve_public(exchange);
    return;
  }
  const auto path = request.path;
  const auto kind = [&](VolumeKind k) { exchange.set_kind(static_cast<std::uint8_t>(k)); };
  // A file's path begins with a digit; the few others are told apart by their first letter.
  if (path.size() > 1 && (path[1] < '0' || path[1] > '9')) {
    if (path == "/status") {
      kind(VolumeKind::status);
      answer_status(exchange);
      return;
    }
    if (path == "/healthz" || path == "/readyz") {
      kind(VolumeKind::health);
      answer_health(exchange);
      return;
    }
    if (path == "/ui/index.html" && (options.has_page || !needs_token(&api::JwtKeys::write))) {
      kind(VolumeKind::page);
      answer_page(exchange);
      return;
    }
    if (path == "/metrics" && (request.method == Method::get || request.method == Method::head)) {
      kind(VolumeKind::metrics);
      answer_metrics(exchange);
      return;
    }
    if (path == "/favicon.ico" || path.starts_with(kStaticPrefix)) {
      kind(VolumeKind::statics);
      answer_static(exchange, path);
      return;
    }
  }
  serve_file(exchange);
}

void VolumeRoutes::Inside::serve_file(Exchange& exchange) {
  switch (exchange.request().method) {
    case Method::get:
    case Method::head:
      read(exchange);
      return;
    case Method::post:
    case Method::put:
      write(exchange);
      return;
    case Method::delete_:
      remove(exchange);
      return;
    case Method::options:
      answer_options(exchange, false);
      return;
    default:
      answer_error(exchange, 400, "unsupported method " + std::string(exchange.request().method_text));
      return;
  }
}

void VolumeRoutes::Inside::serve_public(Exchange& exchange) {
  const auto path = exchange.request().path;
  if (path == "/favicon.ico" || path.starts_with(kStaticPrefix)) {
    exchange.set_kind(static_cast<std::uint8_t>(VolumeKind::statics));
    answer_static(exchange, path);
    return;
  }
  switch (exchange.request().method) {
    case Method::get:
    case Method::head:
      read(exchange);
      return;
    case Method::options:
      answer_options(exchange, true);
      return;
    default:
      // Upstream says 200 and does nothing: a client would believe its file stored.
      head(exchange, 405).add("Allow", "GET, HEAD, OPTIONS").add("Content-Type", "application/json");
      exchange.finish(json_error("this port only reads; write to the volume server's main port"));
      return;
  }
}

VolumeRoutes::VolumeRoutes(Parts parts, Options options)
    : inside_(std::make_unique<Inside>(parts, std::move(options))) {}

VolumeRoutes::~VolumeRoutes() = default;

void VolumeRoutes::serve(Exchange& exchange) { inside_->serve(exchange); }

http::Observer& VolumeRoutes::observer() { return *inside_; }

}  // namespace holdfast::front
