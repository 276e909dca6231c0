#include "front/http/master_watch_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "front/http/json.h"

namespace holdfast::front {
namespace {

std::string name_of(const master::View& view, NodeId id) {
  const auto* member = view.member(id);
  return member == nullptr || member->http.empty() ? text(id) : member->http;
}

}  // namespace

std::string vote_reason(const master::MemberView& member, const master::View& view) {
  const auto voters = static_cast<std::size_t>(
      std::count_if(view.members.begin(), view.members.end(), [](const auto& one) { return one.voter; }));
  if (member.joining) return "joins: that it is a member as it is shown is not committed yet";
  if (member.voter) {
    return fmt::format("votes{}: {} of {} are a majority", member.witness ? ", a volume server as witness" : "", voters / 2 + 1, voters);
  }
  if (!member.promote) return "learns only: it was added without a vote";
  if (view.is_leader() && view.commit > member.match && member.match.value() > 0) {
    return fmt::format("learns first, and votes when it has caught up: {} entries to go", view.commit - member.match);
  }
  return "learns first, and votes when it has caught up";
}

void append_lease_status(std::string& out, const master::ClusterStatus& cluster, const master::WatchReport& watch, Instant now,
                         bool pretty) {
  const auto& view = *cluster.view;
  const auto& lease = view.lease;
  JsonWriter json(out, pretty);
  json.begin_object();
  json.field("holder", view.leader ? name_of(view, *view.leader) : std::string());
  json.field("term", view.term.value());
  json.field("capMs", milliseconds(lease.cap));
  if (view.is_leader()) {
    const bool held = lease.held_until && *lease.held_until > now;
    json.field("reads", held ? "lease" : "majority").field("lengthMs", milliseconds(lease.length));
    if (held) json.field("leftMs", milliseconds(*lease.held_until - now));
    if (lease.commits_from && *lease.commits_from > now) json.field("commitsInMs", milliseconds(*lease.commits_from - now));
  }
  json.key("masters").begin_array();
  for (const auto& member : view.members) {
    json.begin_object().field("address", name_of(view, member.id)).field("id", text(member.id));
    json.field("votes", member.voter && !member.joining).field("why", vote_reason(member, view)).field("connected", member.connected);
    if (const auto clock = watch.clocks.find(member.id); clock != watch.clocks.end()) {
      json.field("roundTripMs", static_cast<double>(clock->second.round_trip.count()) / 1e6);
      json.field("calendarAheadMs", milliseconds(clock->second.calendar_ahead));
      if (clock->second.rate) json.field("clockRate", *clock->second.rate);
    }
    json.end_object();
  }
  json.end_array().key("reach").begin_array();
  const auto& matrix = watch.matrix;
  for (std::size_t from = 0; from < matrix.members.size(); ++from) {
    for (std::size_t to = 0; to < matrix.members.size(); ++to) {
      if (from == to) continue;
      json.begin_object().field("from", name_of(view, matrix.members[from])).field("to", name_of(view, matrix.members[to]));
      json.field("reached", text(matrix.cells[from][to])).end_object();
    }
  }
  json.end_array().key("alarms").begin_array();
  for (const auto& alarm : watch.alarms) {
    json.begin_object().field("kind", text(alarm.kind)).field("text", alarm.text).field("on", alarm.is_on);
    json.field("sinceMs", milliseconds(now - alarm.since)).end_object();
  }
  json.end_array().key("discovered").begin_array();
  for (const auto& master : watch.discovered) {
    json.begin_object().field("address", master.address).field("state", master.state).end_object();
  }
  json.end_array().end_object();
}

void append_lease_history(std::string& out, const master::WatchReport& watch) {
  for (const auto& event : watch.events) out += master::lease_line(event) + "\n";
}

}  // namespace holdfast::front
