#include "front/http/master_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "base/strconv.h"
#include "base/task.h"
#include "front/http/answers.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/master_json.h"
#include "front/http/master_metrics.h"
#include "front/http/master_page.h"
#include "front/http/page_assets.h"
#include "front/http/submit.h"
#include "front/http/url.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::front {
namespace {

using http::Exchange;
using master::Refusal;

enum class Route : std::uint8_t {
  other,  // redirects of unclean paths, text 404
  assign,
  lookup,
  file_id,
  dir_status,
  vol_status,
  vol_grow,
  vol_vacuum,
  col_delete,
  collection_info,
  submit,
  page,
  cluster_status,
  cluster_healthz,
  healthz,
  readyz,
  raft_stats,
  metrics,
  statics,
};

// The names of the routes in metrics, in the order of Route.
const std::vector<std::string> kRouteNames = {
    "other",      "assign",          "lookup", "redirect", "dirStatus",     "volStatus",      "grow",    "vacuum", "deleteCollection",
    "collection", "submit",          "page",   "status",   "clusterHealth", "health",         "ready",   "raft",   "metrics", "static"};

struct Rule {
  std::string_view path;
  Route route;
  bool guarded = false;      // the white list applies
  bool data = false;         // absent with -disableHttp
  bool needs_leader = false;
  bool get_only = false;     // GET and HEAD, else 405
};

constexpr std::array kRules = {
    Rule{.path = "/dir/assign", .route = Route::assign, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/dir/lookup", .route = Route::lookup, .guarded = true, .data = true},
    Rule{.path = "/dir/status", .route = Route::dir_status, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/col/delete", .route = Route::col_delete, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/grow", .route = Route::vol_grow, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/status", .route = Route::vol_status, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/vacuum", .route = Route::vol_vacuum, .guarded = true, .data = true},
    Rule{.path = "/submit", .route = Route::submit, .guarded = true, .data = true},
    Rule{.path = "/collection/info", .route = Route::collection_info, .guarded = true, .data = true},
    Rule{.path = "/", .route = Route::page},
    Rule{.path = "/ui/index.html", .route = Route::page},
    Rule{.path = "/cluster/status", .route = Route::cluster_status, .get_only = true},
    Rule{.path = "/cluster/healthz", .route = Route::cluster_healthz, .get_only = true},
    Rule{.path = "/healthz", .route = Route::healthz, .get_only = true},
    Rule{.path = "/readyz", .route = Route::readyz, .get_only = true},
    Rule{.path = "/raft/stats", .route = Route::raft_stats, .get_only = true},
    Rule{.path = "/metrics", .route = Route::metrics, .get_only = true},
    Rule{.path = "/favicon.ico", .route = Route::statics},
};

const Rule* find_rule(std::string_view path) {
  for (const auto& rule : kRules) {
    if (rule.path == path) return &rule;
  }
  return nullptr;
}

constexpr std::string_view kStaticFolder = "/seaweedfsstatic/";

// A request may go round this often between "this master leads" and "not any more" before it is refused.
constexpr int kRoundsMax = 32;
constexpr Duration kRoundPause = 10ms;

bool is_get(const http::Request& request) {
  return request.method_text == "GET" || request.method_text == "HEAD";
}

std::uint64_t retry_after_seconds(Duration d) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(1, (d.count() + 999'999'999) / 1'000'000'000));
}

// ---- parameters ----------------------------------------------------------------------------------------------------

Refusal not_acceptable(std::string text) { return {Refusal::Kind::not_acceptable, std::move(text)}; }

// The numbers among the parameters that choose a volume; the texts are parsed by the master.
struct Numbers {
  std::int64_t preallocate = 0;
  std::uint32_t memory_map_max_size_mb = 0;
};

std::optional<Refusal> parse_numbers(const Params& params, Numbers& out) {
  if (const auto given = params.get("memoryMapMaxSizeMb"); !given.empty()) {
    const auto parsed = strconv::parse_uint(given, 10, 32);
    if (!parsed) return not_acceptable(parsed.error().what());
    out.memory_map_max_size_mb = static_cast<std::uint32_t>(*parsed);
  }
  if (const auto given = params.get("preallocate"); !given.empty()) {
    const auto parsed = strconv::parse_int(given, 10, 64);
    if (!parsed) {
      return not_acceptable("Failed to parse int64 preallocate = " + std::string(given) + ": " + parsed.error().what());
    }
    out.preallocate = *parsed;
  }
  return std::nullopt;
}

template <typename T>
T number_or(std::string_view text, T fallback) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() ? value : fallback;
}

std::optional<Refusal> parse_assign(const Params& params, master::AssignRequest& out) {
  Numbers numbers;
  if (auto refusal = parse_numbers(params, numbers)) return refusal;
  out.count = number_or<std::uint64_t>(params.get("count"), 1);
  out.collection = params.get("collection");
  out.replication = params.get("replication");
  out.ttl = params.get("ttl");
  out.disk_type = params.get("disk");
  out.data_center = params.get("dataCenter");
  out.rack = params.get("rack");
  out.data_node = params.get("dataNode");
  out.writable_volume_count = number_or<std::uint32_t>(params.get("writableVolumeCount"), 0);
  out.data_size = number_or<std::uint64_t>(params.get("dataSize"), 0);
  out.preallocate = numbers.preallocate;
  out.memory_map_max_size_mb = numbers.memory_map_max_size_mb;
  return std::nullopt;
}

std::optional<Refusal> parse_grow(const Params& params, master::GrowRequest& out) {
  // The order of the checks is upstream's: the first thing wrong is the one that is told.
  if (const auto parsed = ReplicaPlacement::parse(params.get("replication")); !parsed) {
    return not_acceptable(parsed.error().what());
  }
  if (const auto parsed = Ttl::parse(params.get("ttl")); !parsed) return not_acceptable(parsed.error().what());
  Numbers numbers;
  if (auto refusal = parse_numbers(params, numbers)) return refusal;
  const auto count = strconv::parse_uint(params.get("count"), 10, 32);
  if (!count) return not_acceptable("can not parse parameter count " + std::string(params.get("count")));
  out.count = static_cast<std::uint32_t>(*count);
  out.collection = params.get("collection");
  out.replication = params.get("replication");
  out.ttl = params.get("ttl");
  out.disk_type = params.get("disk");
  out.data_center = params.get("dataCenter");
  out.rack = params.get("rack");
  out.data_node = params.get("dataNode");
  out.preallocate = numbers.preallocate;
  out.memory_map_max_size_mb = numbers.memory_map_max_size_mb;
  return std::nullopt;
}

// Upstream takes a missing name for the collection without a name and deletes all of it at once. Here that one must be
// asked for.
std::optional<Refusal> parse_delete(const Params& params, std::string& collection) {
  collection = params.get("collection");
  const bool of_default = !params.get("default").empty();
  if (collection.empty() != of_default) {
    return Refusal{Refusal::Kind::bad_request,
                   of_default ? "collection and default exclude each other: nothing was deleted"
                              : "collection is required: nothing was deleted. The volumes without a collection are "
                                "deleted by /col/delete?default=yes"};
  }
  return std::nullopt;
}

// "3" of "3,01637037d6"; the whole text without a comma.
std::string_view volume_part(std::string_view text, std::size_t comma) {
  return comma == std::string_view::npos ? text : text.substr(0, comma);
}

// What of a path may stand in a Location as it is; the rest is encoded again, so that it still means the same path and
// cannot end the header.
std::string location_path(std::string_view decoded) {
  std::string out;
  for (const char c : decoded) {
    const auto byte = static_cast<unsigned char>(c);
    const bool stays = byte > 0x20 && byte < 0x7f && std::string_view("%?#\"<>\\^`{|}").find(c) == std::string_view::npos;
    out += stays ? std::string(1, c) : escape_path(std::string_view(&c, 1));
  }
  return out;
}

// ---- passing on ----------------------------------------------------------------------------------------------------

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
  });
}

// Headers that concern one connection only, or that each side writes itself.
bool is_hop_header(std::string_view name) {
  static constexpr std::string_view kHop[] = {"Connection",        "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
                                              "Proxy-Authorization", "TE",       "Trailer",          "Transfer-Encoding",
                                              "Upgrade",           "Host",       "Content-Length",   "Expect",
                                              "Date",              kForwardedHeader};
  return std::any_of(std::begin(kHop), std::end(kHop), [&](std::string_view hop) { return same_word(hop, name); });
}

client::HttpRequest passed_on(const http::Request& request, std::string form, bool repeatable) {
  client::HttpRequest out;
  // A GET that does something must not be repeated by any connection pool on the way; the leader takes any method.
  out.method = repeatable ? std::string(request.method_text) : "POST";
  out.target = request.target;
  std::string forwarded_for;
  for (const auto& header : request.headers) {
    if (same_word(header.name, "X-Forwarded-For")) {
      forwarded_for = header.value;
    } else if (!is_hop_header(header.name)) {
      out.headers.emplace_back(header.name, header.value);
    }
  }
  if (!forwarded_for.empty()) forwarded_for += ", ";
  out.headers.emplace_back("X-Forwarded-For", forwarded_for + std::string(request.peer_ip));
  if (!form.empty()) {
    auto kept = std::make_shared<const std::string>(std::move(form));
    out.body.push_back(*kept);
    out.keep = kept;
  }
  return out;
}

void relay(Exchange& exchange, const client::HttpAnswer& answer) {
  auto& head = exchange.head(answer.status);
  for (const auto& [name, value] : answer.headers) {
    if (!is_hop_header(name)) head.add(name, value);
  }
  if (exchange.request().method_text == "HEAD" && answer.body.empty()) {
    exchange.finish_without_body(number_or<std::uint64_t>(client::header(answer.headers, "Content-Length"), 0));
  } else {
    exchange.finish(answer.body);
  }
}

}  // namespace

int http_status(Refusal::Kind kind) {
  switch (kind) {
    case Refusal::Kind::bad_request: return 400;
    case Refusal::Kind::not_acceptable: return 406;
    case Refusal::Kind::not_found: return 404;
    case Refusal::Kind::busy:
    case Refusal::Kind::warming_up:
    case Refusal::Kind::unavailable:
    case Refusal::Kind::not_leader: return 503;
    case Refusal::Kind::timed_out: return 408;
    case Refusal::Kind::outcome_unknown:
    case Refusal::Kind::failed: return 500;
    case Refusal::Kind::unsupported: return 501;
  }
  return 500;
}

struct MasterRoutes::Inside : http::Observer {
  Inside(Parts p, Options o)
      : parts(p),
        options(std::move(o)),
        forward(p.master, p.pool, p.loops, p.clock, options.forward),
        requests(p.metrics, "master", kRouteNames),
        collected(p.metrics.collector([this](std::vector<metrics::Family>& out) {
          append_master_metrics(out, {cluster_status(), parts.master.topology_status(false), forward.leader_changes(),
                                      options.version, parts.clock.wall()});
        })),
        submit({p.master, p.pool, p.clock, forward, options.submit_bytes_max}) {}

  void finished(const Exchange& exchange, int status, Duration took, std::size_t) override {
    requests.done(exchange.kind(), static_cast<unsigned>(status), took);
  }

  // ---- answers
  void json(Exchange& exchange, int status, std::string_view body) {
    exchange.head(status)
        .add("Content-Type", "application/json")
        .add("X-Content-Type-Options", "nosniff")
        .add("X-Amz-Request-Id", RequestId(parts.clock));
    exchange.finish(body);
  }

  // Without a request id, as upstream's cluster routes.
  void plain_json(Exchange& exchange, std::string_view body) {
    exchange.head(200).add("Content-Type", "application/json").add("X-Content-Type-Options", "nosniff");
    exchange.finish(body);
  }

  void refuse(Exchange& exchange, const Refusal& refusal) {
    const auto body = json_error(refusal.text, wants_pretty(exchange.request().query));
    const int status = http_status(refusal.kind);
    auto& head = exchange.head(status)
                     .add("Content-Type", "application/json")
                     .add("X-Content-Type-Options", "nosniff")
                     .add("X-Amz-Request-Id", RequestId(parts.clock));
    if (refusal.retry_after > Duration(0) || status == 503) head.add("Retry-After", retry_after_seconds(refusal.retry_after));
    exchange.finish(body);
  }

  void with_request_id(Exchange& exchange, int status) {
    exchange.head(status).add("X-Amz-Request-Id", RequestId(parts.clock));
    exchange.finish();
  }

  // ---- routes every master answers
  void lookup(Exchange& exchange, const Params& params) {
    auto given = params.get("volumeId");
    given = volume_part(given, given.find(','));
    const auto file_id = params.get("fileId");
    if (const auto comma = file_id.find(','); comma != std::string_view::npos) given = file_id.substr(0, comma);
    const bool pretty = wants_pretty(exchange.request().query);
    thread_local std::string body;
    body.clear();
    const auto volume = parse_volume_id(given);
    if (!volume) {
      append_lookup_error(body, given, "Unknown volume id " + std::string(given), pretty);
      return json(exchange, 404, body);
    }
    const std::string_view collection = params.get("collection");
    const auto found = parts.master.lookup(*volume, collection);
    if (found.may_appear) {
      lookup_soon(exchange, *volume, std::string(given), std::string(collection));
    } else {
      answer_lookup(exchange, given, found);
    }
  }

  // A volume that was just made may be yet to be heard of here.
  Task lookup_soon(Exchange& exchange, VolumeId volume, std::string given, std::string collection) {
    const auto ask = [&](auto done) { parts.master.lookup_soon(volume, collection, done); };
    const auto found = co_await awaited<master::LookupAnswer>(exchange.loop(), ask);
    answer_lookup(exchange, given, found);
  }

  void answer_lookup(Exchange& exchange, std::string_view given, const master::LookupAnswer& found) {
    const bool pretty = wants_pretty(exchange.request().query);
    thread_local std::string body;
    body.clear();
    if (found.locations) {
      append_lookup(body, given, *found.locations, pretty);
      return json(exchange, 200, body);
    }
    if (found.warming_up) {
      append_lookup_error(body, given, "service warming up, please retry", pretty);
      exchange.head(503)
          .add("Content-Type", "application/json")
          .add("X-Content-Type-Options", "nosniff")
          .add("X-Amz-Request-Id", RequestId(parts.clock))
          .add("Retry-After", 1);
      return exchange.finish(body);
    }
    append_lookup_error(body, given, "volume id " + std::string(given) + " not found", pretty);
    json(exchange, 404, body);
  }

  void redirect_to_volume(Exchange& exchange, std::string_view path) {
    const auto& request = exchange.request();
    const auto segment = path.substr(1);
    const auto given = volume_part(segment, segment.rfind(','));
    const auto volume = parse_volume_id(given);
    if (!volume) {
      return refuse(exchange, {Refusal::Kind::not_found, "volume id " + std::string(given) + " not found: " +
                                                             "Unknown volume id " + std::string(given)});
    }
    const Params params(request.query);
    const std::string_view collection = params.get("collection");
    const auto found = parts.master.lookup(*volume, collection);
    if (found.may_appear) {
      redirect_soon(exchange, *volume, std::string(path), std::string(collection));
    } else {
      answer_redirect(exchange, path, found);
    }
  }

  Task redirect_soon(Exchange& exchange, VolumeId volume, std::string path, std::string collection) {
    const auto ask = [&](auto done) { parts.master.lookup_soon(volume, collection, done); };
    const auto found = co_await awaited<master::LookupAnswer>(exchange.loop(), ask);
    answer_redirect(exchange, path, found);
  }

  void answer_redirect(Exchange& exchange, std::string_view path, const master::LookupAnswer& found) {
    const auto& request = exchange.request();
    const auto segment = path.substr(1);
    const auto given = volume_part(segment, segment.rfind(','));
    const auto not_found = "volume id " + std::string(given) + " not found: ";
    if (!found.locations && found.warming_up) {
      return refuse(exchange, {Refusal::Kind::warming_up, not_found + "service warming up, please retry", 1s});
    }
    if (!found.locations || found.locations->places.empty()) {
      return refuse(exchange, {Refusal::Kind::not_found, not_found + "volume id " + std::string(given) + " not found"});
    }
    const auto& places = found.locations->places;
    const auto& place = places[places.size() == 1 ? 0 : quick_random() % places.size()];
    std::string location = "http://" + (place.public_url.empty() ? place.url : place.public_url) + location_path(path);
    if (!request.query.empty()) {
      location += '?';
      location += request.query;
    }
    auto& head = exchange.head(308).add("Location", location).add("X-Amz-Request-Id", RequestId(parts.clock));
    if (!is_get(request)) return exchange.finish();
    head.add("Content-Type", "text/html; charset=utf-8");
    std::string body = "<a href=\"";
    append_html(body, location);
    body += "\">Permanent Redirect</a>.\n\n";
    exchange.finish(body);
  }

  void page(Exchange& exchange) {
    MasterPage page{options.version, cluster_status(), parts.master.topology_status(false)};
    const auto body = render(page);
    exchange.head(200)
        .add("Content-Type", "text/html; charset=utf-8")
        .add("X-Content-Type-Options", "nosniff")
        .add("Content-Security-Policy", page_security_policy())
        .add("Cache-Control", "no-store")
        .add("X-Amz-Request-Id", RequestId(parts.clock));
    exchange.finish(body);
  }

  // With a view in any case, also before the master has started.
  master::ClusterStatus cluster_status() const {
    auto status = parts.master.cluster_status();
    if (!status.view) status.view = std::make_shared<const master::View>();
    return status;
  }

  void collection_info(Exchange& exchange, const Params& params) {
    const std::string collection(params.get("collection"));
    const bool pretty = wants_pretty(exchange.request().query);
    if (collection.empty()) return refuse(exchange, {Refusal::Kind::bad_request, "collection is required"});
    const auto info = parts.master.collection_info(collection);
    if (const auto* refusal = std::get_if<Refusal>(&info)) return refuse(exchange, *refusal);
    std::string body;
    if (params.get("detail") == "true") {
      append_collection_details(body, parts.master.collection_details(collection), options.version, pretty);
    } else {
      append_collection_info(body, std::get<master::CollectionStatus>(info), options.version, pretty);
    }
    json(exchange, 200, body);
  }

  void vacuum(Exchange& exchange, const Params& params) {
    if (const auto given = params.get("garbageThreshold"); !given.empty() && !strconv::parse_float(given)) {
      return refuse(exchange, not_acceptable("garbageThreshold " + std::string(given) + " is not a valid float number"));
    }
    refuse(exchange, {Refusal::Kind::unsupported, "vacuum is not built yet: nothing was done, deleted files keep their space"});
  }

  void statics(Exchange& exchange, std::string_view name) {
    if (name.empty()) {
      std::string body = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
      for (const auto& file : static_files()) body += fmt::format("<a href=\"{}\">{}</a>\n", file.path, file.path);
      body += "</pre>\n";
      exchange.head(200).add("Content-Type", "text/html; charset=utf-8");
      return exchange.finish(body);
    }
    const auto* file = static_file(name);
    if (file == nullptr) return answer_no_such_page(exchange);
    exchange.head(200)
        .add("Content-Type", file->content_type)
        .add("X-Content-Type-Options", "nosniff")
        .add("Cache-Control", "max-age=3600");
    exchange.finish(file->bytes);
  }

  // ---- the assign, as fast as can be
  // False: it takes waiting, or is wrong; nothing was answered and no key was taken.
  bool assign_at_once(Exchange& exchange, const Params& params) {
    master::AssignRequest request;
    if (parse_assign(params, request)) return false;
    const auto answer = parts.master.try_assign(request);
    if (!answer) return false;
    answer_assign(exchange, *answer);
    return true;
  }

  void answer_assign(Exchange& exchange, const master::AssignAnswer& answer) {
    thread_local std::string body;
    body.clear();
    append_assign(body, answer, wants_pretty(exchange.request().query));
    json(exchange, 200, body);
  }

  bool is_guarded_against(const Exchange& exchange) const {
    const auto& request = exchange.request();
    if (parts.white_list.allows(request.peer_ip)) return false;
    // What another master passes on was let in there.
    const auto token = request.header(kForwardedHeader);
    if (token.empty()) return true;
    const auto process = cluster_status().view->process;
    return process.empty() || token != text(process);
  }

  void dispatch(Exchange& exchange, Route route, const Params& params);
  Task with_form(Exchange& exchange, Route route, bool needs_leader);
  Task on_leader(Exchange& exchange, Route route, std::string form);

  const Parts parts;
  const Options options;
  LeaderForward forward;
  RequestMetrics requests;
  metrics::Registry::Collector collected;
  Submit submit;
};

// What one master alone can answer, once the parameters are there.
void MasterRoutes::Inside::dispatch(Exchange& exchange, Route route, const Params& params) {
  switch (route) {
    case Route::lookup: return lookup(exchange, params);
    case Route::collection_info: return collection_info(exchange, params);
    case Route::vol_vacuum: return vacuum(exchange, params);
    default: return answer_no_such_page(exchange);
  }
}

// Reads the form in the body first.
Task MasterRoutes::Inside::with_form(Exchange& exchange, Route route, bool needs_leader) {
  const auto read = [&exchange](auto done) { exchange.read_all(kFormBytesMax, done); };
  auto form = co_await awaited<Result<std::string>>(exchange.loop(), read);
  if (!form.ok()) {
    if (form.error().code() != Code::no_space) {
      exchange.abort();  // the client is gone, or sends what is no HTTP
      co_return;
    }
    const auto body = json_error("a form of more than 1 MiB", wants_pretty(exchange.request().query));
    json(exchange, 413, body);
    co_return;
  }
  if (needs_leader) {
    on_leader(exchange, route, std::move(*form));
    co_return;
  }
  Params params;
  add_form(params, exchange.request().header("Content-Type"), *form);
  params.add(exchange.request().query);
  dispatch(exchange, route, params);
}

// What the leader does: here, or passed on to it.
Task MasterRoutes::Inside::on_leader(Exchange& exchange, Route route, std::string form) {
  const auto& request = exchange.request();
  auto& loop = exchange.loop();
  const bool pretty = wants_pretty(request.query);
  Params params;
  if (!form.empty()) add_form(params, request.header("Content-Type"), form);
  params.add(request.query);

  // What is wrong in itself needs no leader.
  master::AssignRequest assign;
  master::GrowRequest grow;
  std::string collection;
  std::optional<Refusal> wrong;
  if (route == Route::assign) wrong = parse_assign(params, assign);
  if (route == Route::vol_grow) wrong = parse_grow(params, grow);
  if (route == Route::col_delete) wrong = parse_delete(params, collection);
  if (wrong) {
    refuse(exchange, *wrong);
    co_return;
  }
  if (route == Route::vol_grow && grow.count == 0) {
    std::string body;
    JsonWriter(body, pretty).begin_object().field("count", 0).end_object();
    json(exchange, 200, body);
    co_return;
  }

  const bool repeatable = route != Route::vol_grow && route != Route::col_delete;
  const bool was_passed_on = request.has_header(kForwardedHeader);
  for (int round = 0; round < kRoundsMax; ++round) {
    if (round > 0) {
      const auto pause = [&loop](auto done) { loop.post_after(kRoundPause, [done] { done(true); }); };
      co_await awaited<bool>(loop, pause);
    }
    if (was_passed_on) {
      const auto leader = parts.master.leader();
      if (!leader || !leader->self) break;
    } else {
      const auto pass_on = [&](auto done) {
        forward.send(loop, passed_on(request, form, repeatable),
                     repeatable ? LeaderForward::Repeat::harmless : LeaderForward::Repeat::never, done);
      };
      const auto outcome = co_await awaited<LeaderForward::Outcome>(loop, pass_on);
      if (const auto* answer = std::get_if<client::HttpAnswer>(&outcome)) {
        relay(exchange, *answer);
        co_return;
      }
      if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
        refuse(exchange, *refusal);
        co_return;
      }
    }

    // This master leads.
    std::optional<Refusal> refusal;
    if (route == Route::assign) {
      const auto ask = [&](auto done) { parts.master.assign(assign, done); };
      const auto result = co_await awaited<master::OrRefusal<master::AssignAnswer>>(loop, ask);
      if (const auto* answer = std::get_if<master::AssignAnswer>(&result)) {
        answer_assign(exchange, *answer);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::vol_grow) {
      const auto ask = [&](auto done) { parts.master.grow(grow, done); };
      const auto result = co_await awaited<master::OrRefusal<master::GrowAnswer>>(loop, ask);
      if (const auto* answer = std::get_if<master::GrowAnswer>(&result)) {
        std::string body;
        JsonWriter(body, pretty).begin_object().field("count", answer->replicas).end_object();
        json(exchange, 200, body);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::col_delete) {
      const auto ask = [&](auto done) { parts.master.delete_collection(collection, done); };
      const auto result = co_await awaited<master::OrRefusal<master::Done>>(loop, ask);
      if (std::holds_alternative<master::Done>(result)) {
        with_request_id(exchange, 204);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else {
      std::string body;
      if (route == Route::dir_status) {
        append_dir_status(body, parts.master.topology_status(false), parts.master.cluster_status().cluster_id,
                          options.version, pretty);
      } else {
        append_vol_status(body, parts.master.topology_status(true), options.version, pretty);
      }
      json(exchange, 200, body);
      co_return;
    }

    // `unavailable` is surely without effect: a master that stops, or has just lost the others. Another may lead.
    const auto leader = parts.master.leader();
    const bool elsewhere = refusal->kind == Refusal::Kind::unavailable && (was_passed_on || (leader && !leader->self));
    if (refusal->kind != Refusal::Kind::not_leader && !elsewhere) {
      refuse(exchange, *refusal);
      co_return;
    }
    if (was_passed_on) break;
  }

  // Not the leader although it was asked as such: the one who passed it on looks for another.
  if (was_passed_on) {
    exchange.head(503)
        .add("Content-Type", "application/json")
        .add(kNotLeaderHeader, "1")
        .add("Retry-After", 1);
    exchange.finish(json_error("this master does not lead", pretty));
    co_return;
  }
  refuse(exchange, {Refusal::Kind::unavailable, "leadership of the masters keeps changing", 1s});
}

MasterRoutes::MasterRoutes(Parts parts, Options options)
    : inside_(std::make_unique<Inside>(parts, std::move(options))) {}

MasterRoutes::~MasterRoutes() = default;

http::Observer& MasterRoutes::observer() { return *inside_; }

void MasterRoutes::serve(Exchange& exchange) {
  auto& in = *inside_;
  const auto& request = exchange.request();
  std::string_view path = request.path;
  std::string decoded;
  if (!is_plain_path(path)) {
    auto result = decode_path(path);
    if (!result) return answer_empty(exchange, 400);  // the server lets none such through
    decoded = std::move(*result);
    const auto cleaned = clean_path(decoded);
    if (cleaned != decoded) return answer_cleaned_path(exchange, cleaned);
    path = decoded;
  }

  const auto kind = [&exchange](Route route) { exchange.set_kind(static_cast<std::uint8_t>(route)); };
  const auto* rule = find_rule(path);
  // Upstream's router, when the method does not fit here, takes the next route that does.
  const bool falls_through = rule != nullptr && !is_get(request) && !in.options.disable_http &&
                             (rule->route == Route::healthz || rule->route == Route::readyz);
  if (rule == nullptr || falls_through) {
    if (path.starts_with(kStaticFolder)) {
      kind(Route::statics);
      return in.statics(exchange, path.substr(kStaticFolder.size()));
    }
    if (in.options.disable_http || path.find('/', 1) != std::string_view::npos) return answer_no_such_page(exchange);
    kind(Route::file_id);
    return in.redirect_to_volume(exchange, path);
  }

  kind(rule->route);
  if (rule->data && in.options.disable_http) return answer_no_such_page(exchange);
  if (rule->get_only && !is_get(request)) return answer_empty(exchange, 405);
  if (rule->guarded && in.is_guarded_against(exchange)) return answer_empty(exchange, 401);

  switch (rule->route) {
    case Route::page: return in.page(exchange);
    case Route::statics: return in.statics(exchange, path.substr(1));
    case Route::healthz: return in.with_request_id(exchange, 200);
    case Route::readyz: return in.with_request_id(exchange, in.parts.master.leader() ? 200 : 503);
    case Route::cluster_healthz: return answer_empty(exchange, in.parts.master.leader() ? 200 : 503);
    case Route::cluster_status: {
      std::string body;
      append_cluster_status(body, in.cluster_status(), wants_pretty(request.query));
      return in.plain_json(exchange, body);
    }
    case Route::raft_stats: {
      std::string body;
      append_raft_stats(body, *in.cluster_status().view, wants_pretty(request.query));
      return in.plain_json(exchange, body);
    }
    case Route::metrics: return answer_metrics(exchange, in.parts.metrics);
    case Route::submit: return in.submit.serve(exchange);
    default: break;
  }

  if (has_form(request)) {
    in.with_form(exchange, rule->route, rule->needs_leader);
    return;
  }
  const Params params(request.query);
  if (!rule->needs_leader) return in.dispatch(exchange, rule->route, params);
  if (rule->route == Route::assign && in.assign_at_once(exchange, params)) return;
  in.on_leader(exchange, rule->route, {});
}

}  // namespace holdfast::front
