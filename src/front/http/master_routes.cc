#include "front/http/master_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "base/strconv.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/master_json.h"
#include "front/http/master_metrics.h"
#include "front/http/master_page.h"
#include "front/http/master_routes_inside.h"
#include "front/http/master_watch_json.h"
#include "front/http/metaloggers.h"
#include "front/http/page_assets.h"
#include "service/master/staleness.h"

namespace holdfast::front {
namespace {

using http::Exchange;
using master::Refusal;

// The names of the routes in metrics, in the order of Route.
const std::vector<std::string> kRouteNames = {
    "other",      "assign",          "lookup", "redirect", "dirStatus",     "volStatus",      "grow",    "vacuum", "deleteCollection",
    "collection", "submit",          "page",   "status",   "clusterHealth", "health",         "ready",   "raft",   "metrics", "kv",     "static", "stepDown", "member",
    "lease", "leaseHistory", "memberAdd", "memberRemove", "memberReplace", "metaloggers"};

struct Rule {
  std::string_view path;
  Route route;
  bool guarded = false;      // the white list applies
  bool data = false;         // absent with -disableHttp
  bool needs_leader = false;
  bool get_only = false;     // GET and HEAD, else 405
  bool admin = false;        // POST, else 405; the admin guard applies
};

constexpr std::array kRules = {
    Rule{.path = "/dir/assign", .route = Route::assign, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/dir/lookup", .route = Route::lookup, .guarded = true, .data = true},
    Rule{.path = "/dir/status", .route = Route::dir_status, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/col/delete", .route = Route::col_delete, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/grow", .route = Route::vol_grow, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/status", .route = Route::vol_status, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/vol/vacuum", .route = Route::vol_vacuum, .guarded = true, .data = true, .needs_leader = true},
    Rule{.path = "/submit", .route = Route::submit, .guarded = true, .data = true},
    Rule{.path = "/collection/info", .route = Route::collection_info, .guarded = true, .data = true},
    Rule{.path = "/", .route = Route::page},
    Rule{.path = "/ui/index.html", .route = Route::page},
    Rule{.path = "/cluster/status", .route = Route::cluster_status, .get_only = true},
    Rule{.path = "/cluster/member", .route = Route::member, .get_only = true},
    Rule{.path = "/cluster/metaloggers", .route = Route::metaloggers, .get_only = true},
    Rule{.path = "/cluster/healthz", .route = Route::cluster_healthz, .get_only = true},
    Rule{.path = "/healthz", .route = Route::healthz, .get_only = true},
    Rule{.path = "/readyz", .route = Route::readyz, .get_only = true},
    Rule{.path = "/raft/stats", .route = Route::raft_stats, .get_only = true},
    Rule{.path = "/cluster/leader/stepdown", .route = Route::step_down, .guarded = true, .needs_leader = true, .admin = true},
    Rule{.path = "/cluster/lease", .route = Route::lease, .get_only = true},
    Rule{.path = "/cluster/lease/history", .route = Route::lease_history, .get_only = true},
    Rule{.path = "/cluster/members/add", .route = Route::member_add, .guarded = true, .needs_leader = true, .admin = true},
    Rule{.path = "/cluster/members/remove", .route = Route::member_remove, .guarded = true, .needs_leader = true, .admin = true},
    Rule{.path = "/cluster/members/replace", .route = Route::member_replace, .guarded = true, .needs_leader = true, .admin = true},
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
constexpr std::string_view kKvFolder = "/cluster/kv/";

std::uint64_t retry_after_seconds(Duration d) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(1, (d.count() + 999'999'999) / 1'000'000'000));
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

MasterRoutes::Inside::Inside(Parts p, Options o)
    : parts(p),
      options(std::move(o)),
      admin(options.admin_token),
      watch(p.pool, p.clock),
      forward(p.master, p.pool, p.loops, p.clock, options.forward),
      requests(p.metrics, "master", kRouteNames),
      collected(p.metrics.collector([this](std::vector<metrics::Family>& out) {
        append_master_metrics(out, {cluster_status(), parts.master.topology_status(false), forward.leader_changes(),
                                    options.version, parts.clock.wall(), watch_report()});
      })),
      submit({p.master, p.pool, p.clock, forward, options.submit_bytes_max,
              [this](std::string_view fid) { return write_token(fid); }}) {}

// ---- answers
void MasterRoutes::Inside::json(Exchange& exchange, int status, std::string_view body, std::string_view token) {
  auto& head = exchange.head(status)
                   .add("Content-Type", "application/json")
                   .add("X-Content-Type-Options", "nosniff")
                   .add("X-Amz-Request-Id", RequestId(parts.clock));
  if (!token.empty()) head.add("Authorization", "Bearer " + std::string(token));
  exchange.finish(body);
}

std::string MasterRoutes::Inside::token_for(const api::JwtKey api::JwtKeys::*key, std::string_view fid) const {
  if (parts.jwt == nullptr || !(parts.jwt->*key).is_set()) return {};
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(parts.clock.wall().time_since_epoch()).count();
  return (parts.jwt->*key).sign(fid, now);
}

// Without a request id, as upstream's cluster routes.
void MasterRoutes::Inside::plain_json(Exchange& exchange, std::string_view body) {
  exchange.head(200).add("Content-Type", "application/json").add("X-Content-Type-Options", "nosniff");
  exchange.finish(body);
}

void MasterRoutes::Inside::refuse(Exchange& exchange, const Refusal& refusal) {
  const auto body = json_error(refusal.text, wants_pretty(exchange.request().query));
  const int status = http_status(refusal.kind);
  auto& head = exchange.head(status)
                   .add("Content-Type", "application/json")
                   .add("X-Content-Type-Options", "nosniff")
                   .add("X-Amz-Request-Id", RequestId(parts.clock));
  if (refusal.retry_after > Duration(0) || status == 503) head.add("Retry-After", retry_after_seconds(refusal.retry_after));
  exchange.finish(body);
}

bool MasterRoutes::Inside::refused_read_only(Exchange& exchange, Route route) {
  if (!options.read_only) return false;
  switch (route) {
    case Route::assign:
    case Route::vol_grow:
    case Route::vol_vacuum:
    case Route::col_delete:
    case Route::submit:
    case Route::step_down:
    case Route::member_add:
    case Route::member_remove:
    case Route::member_replace: break;
    case Route::kv:
      if (!is_get(exchange.request())) break;
      return false;
    default: return false;
  }
  const auto leader = parts.master.leader();
  json(exchange, 403, json_error(master::read_only_text(leader ? leader->http : ""), wants_pretty(exchange.request().query)));
  return true;
}

void MasterRoutes::Inside::with_request_id(Exchange& exchange, int status) {
  exchange.head(status).add("X-Amz-Request-Id", RequestId(parts.clock));
  exchange.finish();
}

void MasterRoutes::Inside::page(Exchange& exchange) {
  MasterPage page{options.version, cluster_status(), parts.master.topology_status(false), options.address,
                  admin.asks_for_token(), parts.clock.now()};
  page.seen = watch.look(*page.cluster.view);
  page.watch = watch_report();
  page.changes_members = static_cast<bool>(parts.change_members);
  page.metaloggers = metaloggers();
  page.healing = parts.master.healing();
  page.follows = options.follows;
  const auto body = render(page);
  exchange.head(200)
      .add("Content-Type", "text/html; charset=utf-8")
      .add("X-Content-Type-Options", "nosniff")
      .add("Content-Security-Policy", page_security_policy())
      .add("Cache-Control", "no-store")
      .add("X-Amz-Request-Id", RequestId(parts.clock));
  exchange.finish(body);
}

std::vector<master::MetaloggerStatus> MasterRoutes::Inside::metaloggers() const {
  return parts.metaloggers ? parts.metaloggers() : std::vector<master::MetaloggerStatus>();
}

// With a view in any case, also before the master has started.
master::ClusterStatus MasterRoutes::Inside::cluster_status() const {
  auto status = parts.master.cluster_status();
  if (!status.view) status.view = std::make_shared<const master::View>();
  return status;
}

std::shared_ptr<const master::WatchReport> MasterRoutes::Inside::watch_report() const {
  auto report = parts.watch_report ? parts.watch_report() : nullptr;
  return report ? report : std::make_shared<const master::WatchReport>();
}

void MasterRoutes::Inside::collection_info(Exchange& exchange, const Params& params) {
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

void MasterRoutes::Inside::statics(Exchange& exchange, std::string_view name) {
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

bool MasterRoutes::Inside::is_guarded_against(const Exchange& exchange) const {
  const auto& request = exchange.request();
  return !parts.white_list.allows(request.peer_ip) && !is_from_a_master(request);
}

bool MasterRoutes::Inside::is_from_a_master(const http::Request& request) const {
  const auto token = request.header(kForwardedHeader);
  if (token.empty()) return false;
  const auto process = cluster_status().view->process;
  return !process.empty() && token == text(process);
}

// What one master alone can answer, once the parameters are there.
void MasterRoutes::Inside::dispatch(Exchange& exchange, Route route, const Params& params) {
  switch (route) {
    case Route::lookup: return lookup(exchange, params);
    case Route::collection_info: return collection_info(exchange, params);
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
    const auto body = json_error(
        "a form of more than 1 MiB: parameters belong here; files go to /submit or to a volume server",
        wants_pretty(exchange.request().query));
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

MasterRoutes::MasterRoutes(Parts parts, Options options)
    : inside_(std::make_unique<Inside>(parts, std::move(options))) {}

MasterRoutes::~MasterRoutes() = default;

http::Observer& MasterRoutes::observer() { return *inside_; }

void MasterRoutes::serve(Exchange& exchange) {
  auto& in = *inside_;
  const auto& request = exchange.request();
  std::string_view path = request.path;
  std::string decoded;
  if (path == "*") return answer_empty(exchange, 200);  // OPTIONS *: the server as a whole
  // Keys are texts of their own, not paths: nothing in them is cleaned up.
  if (path.starts_with(kKvFolder) || path == kKvFolder.substr(0, kKvFolder.size() - 1)) {
    exchange.set_kind(static_cast<std::uint8_t>(Route::kv));
    if (in.options.disable_http) return answer_no_such_page(exchange);
    if (in.is_guarded_against(exchange)) return answer_empty(exchange, 401);
    if (in.refused_read_only(exchange, Route::kv)) return;
    return in.kv(exchange, path.substr(std::min(kKvFolder.size(), path.size())));
  }
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
  if (in.refused_read_only(exchange, rule->route)) return;
  if (rule->admin && request.method_text != "POST") return answer_empty(exchange, 405);
  if (rule->admin && !in.is_from_a_master(request)) {
    if (const auto refusal = in.admin.refuses(request)) {
      return in.json(exchange, refusal->status, json_error(refusal->text, wants_pretty(request.query)));
    }
  }

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
    case Route::member: {
      std::string body;
      append_member_facts(body, facts_of(in.cluster_status(), in.parts.clock.now()), wants_pretty(request.query));
      return in.plain_json(exchange, body);
    }
    case Route::lease: {
      std::string body;
      append_lease_status(body, in.cluster_status(), *in.watch_report(), in.parts.clock.now(), wants_pretty(request.query));
      return in.plain_json(exchange, body);
    }
    case Route::lease_history: {
      std::string body;
      append_lease_history(body, *in.watch_report());
      exchange.head(200).add("Content-Type", "application/x-ndjson").add("X-Content-Type-Options", "nosniff");
      return exchange.finish(body);
    }
    case Route::metaloggers: {
      std::string body;
      append_metaloggers(body, in.metaloggers(), wants_pretty(request.query));
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
