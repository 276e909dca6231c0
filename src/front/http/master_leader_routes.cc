// What only the leader does: assign, growth, deletion, stepping down, /dir/status, /vol/status. Done here if this master leads, else
// passed on to the one that does (leader_forward.h).
#include <algorithm>
#include <memory>
#include <utility>

#include "base/strconv.h"
#include "api/request_id.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/master_json.h"
#include "front/http/master_params.h"
#include "front/http/master_routes_inside.h"
#include "io/http1.h"

namespace holdfast::front {

using http::Exchange;
using master::Refusal;

namespace {

// A request may go round this often between "this master leads" and "not any more" before it is refused.
constexpr int kRoundsMax = 32;
constexpr Duration kRoundPause = 10ms;

// Headers that concern one connection only, or that each side writes itself.
bool is_hop_header(std::string_view name) {
  static constexpr std::string_view kHop[] = {"Connection",        "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
                                              "Proxy-Authorization", "TE",       "Trailer",          "Transfer-Encoding",
                                              "Upgrade",           "Host",       "Content-Length",   "Expect",
                                              "Date",              kForwardedHeader};
  return std::any_of(std::begin(kHop), std::end(kHop), [&](std::string_view hop) { return io::http1::same_name(hop, name); });
}

std::string address_of(const master::View& view, NodeId id) {
  const auto* member = view.member(id);
  return member == nullptr || member->http.empty() ? text(id) : member->http;
}

std::optional<NodeId> member_at(const master::View& view, std::string_view address) {
  for (const auto& member : view.members) {
    if (member.voter && !member.witness && !member.self && (member.http == address || text(member.id) == address)) return member.id;
  }
  return std::nullopt;
}

std::string no_such_voter(const master::View& view, std::string_view address) {
  std::string others;
  for (const auto& member : view.members) {
    if (member.voter && !member.witness && !member.self) others += (others.empty() ? "" : ", ") + address_of(view, member.id);
  }
  return "no other master that votes is called " + std::string(address) +
         (others.empty() ? ": this one is alone" : ". There are: " + others);
}

}  // namespace

client::HttpRequest passed_on(const http::Request& request, std::string method, std::string form) {
  client::HttpRequest out;
  out.method = std::move(method);
  out.target = request.target;
  std::string forwarded_for;
  for (const auto& header : request.headers) {
    if (io::http1::same_name(header.name, "X-Forwarded-For")) {
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

void MasterRoutes::Inside::relay(Exchange& exchange, const client::HttpAnswer& answer, std::string_view token) {
  auto& head = exchange.head(answer.status);
  if (!token.empty()) head.add("Authorization", "Bearer " + std::string(token));
  for (const auto& [name, value] : answer.headers) {
    if (!is_hop_header(name)) head.add(name, value);
  }
  if (exchange.request().method_text == "HEAD" && answer.body.empty()) {
    exchange.finish_without_body(number_or<std::uint64_t>(client::header(answer.headers, "Content-Length"), 0));
  } else {
    exchange.finish(answer.body);
  }
}

bool MasterRoutes::Inside::assign_at_once(Exchange& exchange, const Params& params) {
  master::AssignRequest request;
  if (parse_assign(params, request)) return false;
  const auto answer = parts.master.try_assign(request);
  if (!answer) return false;
  answer_assign(exchange, *answer);
  return true;
}

void MasterRoutes::Inside::answer_assign(Exchange& exchange, const master::AssignAnswer& answer) {
  thread_local std::string body;
  body.clear();
  append_assign(body, answer, wants_pretty(exchange.request().query));
  json(exchange, 200, body, parts.jwt == nullptr ? std::string() : write_token(text(answer.fid)));
}

// What the leader does: here, or passed on to it.
Task MasterRoutes::Inside::on_leader(Exchange& exchange, Route route, std::string form) {
  if (route == Route::member_add || route == Route::member_remove || route == Route::member_replace) {
    change_members(exchange, route, std::move(form));
    co_return;
  }
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
  const std::string heir(route == Route::step_down ? params.get("to") : "");
  const std::string leader_meant(route == Route::step_down ? params.get("from") : "");
  if (route == Route::assign) wrong = parse_assign(params, assign);
  if (route == Route::vol_grow) wrong = parse_grow(params, grow);
  if (route == Route::col_delete) wrong = parse_delete(params, collection);
  master::VacuumRequest vacuum;
  if (route == Route::vol_vacuum) {
    const auto given = params.get("garbageThreshold");
    if (const auto number = strconv::parse_float(given)) {
      vacuum.garbage_threshold = *number;
    } else if (!given.empty()) {
      wrong = Refusal{Refusal::Kind::not_acceptable, "garbageThreshold " + std::string(given) + " is not a valid float number"};
    }
  }
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

  const bool repeatable = route != Route::vol_grow && route != Route::col_delete && route != Route::step_down;
  // A GET that does something must not be repeated by any connection pool on the way; the leader takes any method.
  const std::string method = repeatable ? std::string(request.method_text) : "POST";
  const auto repeat = repeatable ? LeaderForward::Repeat::harmless : LeaderForward::Repeat::never;
  // What volume servers are told to do for this request has the id that its client gave it; none: one of its own.
  const auto for_client = [id = std::string(given_request_id(request))](auto call) {
    return [id, call](auto done) {
      const api::RequestScope scope(id);
      call(done);
    };
  };
  for (int round = 0;; ++round) {
    const bool leads = co_await reach_leader(exchange, round, method, form, repeat);
    if (!leads) co_return;

    // This master leads.
    std::optional<Refusal> refusal;
    if (route == Route::assign) {
      const auto ask = for_client([&](auto done) { parts.master.assign(assign, done); });
      const auto result = co_await awaited<master::OrRefusal<master::AssignAnswer>>(loop, ask);
      if (const auto* answer = std::get_if<master::AssignAnswer>(&result)) {
        answer_assign(exchange, *answer);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::vol_grow) {
      const auto ask = for_client([&](auto done) { parts.master.grow(grow, done); });
      const auto result = co_await awaited<master::OrRefusal<master::GrowAnswer>>(loop, ask);
      if (const auto* answer = std::get_if<master::GrowAnswer>(&result)) {
        std::string body;
        JsonWriter(body, pretty).begin_object().field("count", answer->replicas).end_object();
        json(exchange, 200, body);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::col_delete) {
      const auto ask = for_client([&](auto done) { parts.master.delete_collection(collection, done); });
      const auto result = co_await awaited<master::OrRefusal<master::Done>>(loop, ask);
      if (std::holds_alternative<master::Done>(result)) {
        with_request_id(exchange, 204);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::vol_vacuum) {
      const auto ask = for_client([&](auto done) { parts.master.vacuum(vacuum, done); });
      const auto result = co_await awaited<master::OrRefusal<master::Done>>(loop, ask);
      if (std::holds_alternative<master::Done>(result)) {
        std::string body;
        append_dir_status(body, parts.master.topology_status(false), parts.master.cluster_status().cluster_id,
                          options.version, pretty);
        json(exchange, 200, body);
        co_return;
      }
      refusal = std::get<Refusal>(result);
    } else if (route == Route::step_down) {
      const auto view = cluster_status().view;
      if (!leader_meant.empty() && leader_meant != address_of(*view, view->self)) {
        refuse(exchange, {Refusal::Kind::bad_request, address_of(*view, view->self) + " leads by now, not " + leader_meant});
        co_return;
      }
      const auto target = heir.empty() ? std::optional<NodeId>() : member_at(*view, heir);
      if (!heir.empty() && !target) {
        refuse(exchange, {Refusal::Kind::bad_request, no_such_voter(*view, heir)});
        co_return;
      }
      if (!parts.transfer_leadership) {
        refuse(exchange, {Refusal::Kind::unsupported, "leadership cannot be handed over here"});
        co_return;
      }
      const auto ask = [&](auto done) { parts.transfer_leadership(target, done); };
      const auto outcome = co_await awaited<Status>(loop, ask);
      if (outcome.ok()) {
        // Whoever asks next finds a leader. When none shows within the time that requests wait, this one leads no more all
        // the same.
        (void)co_await awaited<master::OrRefusal<master::Leader>>(
            loop, [&](auto done) { parts.master.wait_for_leader(done); });
        std::string body;
        JsonWriter(body, pretty).begin_object().field("steppedDown", address_of(*view, view->self)).end_object();
        json(exchange, 200, body);
        co_return;
      }
      const bool leads = outcome.error().code() != Code::not_leader;
      refusal = Refusal{leads ? Refusal::Kind::failed : Refusal::Kind::not_leader, outcome.error().what()};
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

    if (!goes_round(exchange, *refusal)) co_return;
  }
}

Async<bool> MasterRoutes::Inside::reach_leader(Exchange& exchange, int round, std::string method,
                                               const std::string& body, LeaderForward::Repeat repeat,
                                               std::string more_query) {
  const auto& request = exchange.request();
  auto& loop = exchange.loop();
  if (round >= kRoundsMax) {
    refuse(exchange, {Refusal::Kind::unavailable, "leadership of the masters keeps changing", 1s});
    co_return false;
  }
  if (round > 0) {
    const auto pause = [&loop](auto done) { loop.post_after(kRoundPause, [done] { done(true); }); };
    co_await awaited<bool>(loop, pause);
  }
  if (request.has_header(kForwardedHeader)) {
    const auto leader = parts.master.leader();
    const bool leads = leader && leader->self;
    if (!leads) answer_not_leader(exchange);
    co_return leads;
  }
  const auto pass_on = [&](auto done) {
    auto passed = passed_on(request, method, body);
    if (!more_query.empty()) passed.target += (request.query.empty() ? "?" : "&") + more_query;
    forward.send(loop, std::move(passed), repeat, done);
  };
  const auto outcome = co_await awaited<LeaderForward::Outcome>(loop, pass_on);
  if (const auto* answer = std::get_if<client::HttpAnswer>(&outcome)) relay(exchange, *answer);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) refuse(exchange, *refusal);
  co_return std::holds_alternative<LeaderForward::Here>(outcome);
}

bool MasterRoutes::Inside::goes_round(Exchange& exchange, const Refusal& refusal, bool may_be_done) {
  const bool was_passed_on = exchange.request().has_header(kForwardedHeader);
  // `unavailable` is surely without effect: a master that stops, or has just lost the others. Another may lead.
  const auto leader = parts.master.leader();
  const bool elsewhere = refusal.kind == Refusal::Kind::unavailable && (was_passed_on || (leader && !leader->self));
  if (refusal.kind != Refusal::Kind::not_leader && !elsewhere) {
    refuse(exchange, refusal);
    return false;
  }
  if (was_passed_on) answer_not_leader(exchange, may_be_done);
  return !was_passed_on;
}

void MasterRoutes::Inside::answer_not_leader(Exchange& exchange, bool may_be_done) {
  exchange.head(503)
      .add("Content-Type", "application/json")
      .add(kNotLeaderHeader, may_be_done ? kMayBeDone : "1")
      .add("Retry-After", 1);
  exchange.finish(json_error("this master does not lead", wants_pretty(exchange.request().query)));
}

}  // namespace holdfast::front
