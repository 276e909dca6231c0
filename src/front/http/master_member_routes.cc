// Changes of the masters' members over HTTP: POST /cluster/members/add?address=host:port[&voter=false],
// /cluster/members/remove?address=host:port[&force=true], /cluster/members/replace?address=new&old=host:port. A member may be
// named by its id as well. Done by the leader; the others pass it on. The admin guard has let the request in.
//
// A new master learns first and votes when it has caught up. `replace` lets it take the place of the old one right before it
// votes, so that the number of votes that are needed never grows.
#include <algorithm>
#include <memory>

#include "base/strconv.h"
#include "front/http/form.h"
#include "front/http/json.h"
#include "front/http/master_params.h"
#include "front/http/master_routes_inside.h"

namespace holdfast::front {
namespace {

using http::Exchange;
using master::Refusal;

constexpr int kRoundsMax = 32;  // reach_leader() gives up by itself well before
constexpr int kBusyTriesMax = 30;
constexpr Duration kBusyPause = 100ms;

struct Wish {
  Route route = Route::member_add;
  Address address;            // add, replace
  bool voter = true;
  std::string member;         // remove, replace: who goes
  bool force = false;
};

std::optional<bool> flag(std::string_view value, bool otherwise) {
  if (value.empty()) return otherwise;
  const auto parsed = strconv::parse_bool(value);
  return parsed ? std::optional(*parsed) : std::nullopt;
}

std::optional<Refusal> parse(const Params& params, Wish& wish) {
  const auto wrong = [](std::string text) { return Refusal{Refusal::Kind::bad_request, std::move(text)}; };
  const bool adds = wish.route != Route::member_remove;
  if (adds) {
    const std::string given(params.get("address"));
    if (given.empty()) return wrong("address is missing: of the master that is to join, host:port; it must have been started there");
    auto address = Address::parse(given);
    if (!address) return wrong("address: " + address.error().what());
    wish.address = *address;
  }
  if (wish.route == Route::member_replace) wish.member = params.get("old");
  if (wish.route == Route::member_remove) wish.member = params.get("address").empty() ? params.get("id") : params.get("address");
  if (wish.route != Route::member_add && wish.member.empty()) {
    return wrong(adds ? "old is missing: the master whose place is taken, host:port or its id"
                      : "address is missing: of the master that is to go, host:port; or its id as id");
  }
  const auto voter = flag(params.get("voter"), true), force = flag(params.get("force"), false);
  if (!voter || !force) return wrong("voter and force are true or false");
  wish.voter = *voter;
  wish.force = *force;
  return std::nullopt;
}

const master::MemberView* named(const master::View& view, const std::string& name) {
  const auto found = std::find_if(view.members.begin(), view.members.end(), [&](const auto& member) {
    return member.http == name || member.grpc == name || text(member.id) == name;
  });
  return found == view.members.end() ? nullptr : &*found;
}

std::string members_text(const master::View& view) {
  std::string out;
  for (const auto& member : view.members) out += (out.empty() ? "" : ", ") + (member.http.empty() ? text(member.id) : member.http);
  return out;
}

Refusal refusal_of(const Error& error) {
  switch (error.code()) {
    case Code::not_leader: return {Refusal::Kind::not_leader, error.what()};
    case Code::busy: return {Refusal::Kind::busy, error.what(), 1s};
    case Code::unavailable: return {Refusal::Kind::failed, error.what()};  // the new one does not answer: no other leader helps
    case Code::outcome_unknown: return {Refusal::Kind::outcome_unknown, error.what()};
    default: return {Refusal::Kind::bad_request, error.what()};
  }
}

}  // namespace

Task MasterRoutes::Inside::change_members(Exchange& exchange, Route route, std::string form) {
  const auto& request = exchange.request();
  const bool pretty = wants_pretty(request.query);
  Params params;
  if (!form.empty()) add_form(params, request.header("Content-Type"), form);
  params.add(request.query);
  Wish wish{.route = route};
  if (const auto wrong = parse(params, wish)) {
    refuse(exchange, *wrong);
    co_return;
  }
  for (int round = 0; round <= kRoundsMax; ++round) {
    const bool leads = co_await reach_leader(exchange, round, "POST", form, LeaderForward::Repeat::never);
    if (!leads) co_return;
    const auto view = cluster_status().view;
    const auto* member = wish.member.empty() ? nullptr : named(*view, wish.member);
    if (!wish.member.empty() && member == nullptr) {
      refuse(exchange, {Refusal::Kind::not_found, "no master of this cluster is called " + wish.member + ". There are: " + members_text(*view)});
      co_return;
    }
    if (member != nullptr && route == Route::member_remove && member->connected && !member->self && !wish.force) {
      refuse(exchange, {Refusal::Kind::bad_request, "master " + member->http + " is connected; stop it first, or say force=true"});
      co_return;
    }
    if (!parts.change_members) {
      refuse(exchange, {Refusal::Kind::unsupported, "members cannot be changed here"});
      co_return;
    }
    const MemberChange change{.adds = route == Route::member_remove ? std::nullopt : std::optional(wish.address),
                              .voter = wish.voter,
                              .removes = member == nullptr ? std::nullopt : std::optional(member->id)};
    const auto name = member == nullptr ? std::string() : member->http;
    const auto ask = [&](auto done) { parts.change_members(change, done); };
    auto outcome = co_await awaited<Status>(exchange.loop(), ask);
    // One change is made after the other; each names what it wants, so asking again is harmless.
    for (int tries = 1; tries < kBusyTriesMax && !outcome.ok() && outcome.error().code() == Code::busy; ++tries) {
      const auto pause = [&exchange](auto done) { exchange.loop().post_after(kBusyPause, [done] { done(true); }); };
      co_await awaited<bool>(exchange.loop(), pause);
      outcome = co_await awaited<Status>(exchange.loop(), ask);
    }
    if (outcome.ok()) {
      std::string body;
      JsonWriter json_body(body, pretty);
      json_body.begin_object();
      if (change.adds) json_body.field("added", text(wish.address)).field("votes", wish.voter ? "when it has caught up" : "never");
      if (change.removes) json_body.field(change.adds ? "replaces" : "removed", name.empty() ? wish.member : name);
      json_body.end_object();
      json(exchange, 200, body);
      co_return;
    }
    if (!goes_round(exchange, refusal_of(outcome.error()))) co_return;
  }
}

}  // namespace holdfast::front
