#include "front/http/member_watch.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <vector>

#include "base/strconv.h"
#include "front/http/json.h"

namespace holdfast::front {

MemberFacts facts_of(const master::ClusterStatus& status, Instant now) {
  const auto& view = *status.view;
  const auto left = [&](const std::optional<Instant>& until) {
    return until && *until > now ? std::optional<Duration>(*until - now) : std::nullopt;
  };
  const auto* self = view.member(view.self);
  return {.id = view.self,
          .state = master::text(view.role),
          .term = view.term,
          .last = self == nullptr ? view.commit : std::max(self->match, view.commit),
          .committed = view.commit,
          .applied = view.applied,
          .feature_level = self == nullptr ? 0 : self->feature_level,
          .digest = view.digest,
          .digest_at = view.digest_at,
          .lease_left = left(view.lease.held_until),
          .lease_length = view.is_leader() ? view.lease.length : Duration(0),
          .commits_in = left(view.lease.commits_from)};
}

void append_member_facts(std::string& out, const MemberFacts& facts, bool pretty) {
  JsonWriter json(out, pretty);
  json.begin_object()
      .field("id", text(facts.id))
      .field("state", facts.state)
      .field("term", facts.term.value())
      .field("last", facts.last.value())
      .field("committed", facts.committed.value())
      .field("applied", facts.applied.value())
      .field("featureLevel", facts.feature_level);
  if (facts.digest_at != Index()) {
    json.field("digest", fmt::format("{:016x}", facts.digest)).field("digestAt", facts.digest_at.value());
  }
  if (facts.lease_length > Duration(0)) json.field("leaseLengthMs", milliseconds(facts.lease_length));
  if (facts.lease_left) json.field("leaseLeftMs", milliseconds(*facts.lease_left));
  if (facts.commits_in) json.field("commitsInMs", milliseconds(*facts.commits_in));
  json.end_object();
}

std::optional<MemberFacts> parse_member_facts(std::string_view json) {
  boost::system::error_code failed;
  const auto value = boost::json::parse(json, failed);
  if (failed || !value.is_object()) return std::nullopt;
  const auto& object = value.as_object();
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    const auto* field = object.if_contains(name);
    if (field == nullptr) return std::nullopt;
    boost::system::error_code no_number;
    const auto parsed = field->to_number<std::uint64_t>(no_number);
    return no_number ? std::nullopt : std::optional(parsed);
  };
  const auto word = [&](const char* name) -> std::string {
    const auto* field = object.if_contains(name);
    return field != nullptr && field->is_string() ? std::string(field->as_string()) : "";
  };
  const auto id = Uuid::parse(word("id"));
  const auto term = number("term"), last = number("last"), committed = number("committed"), applied = number("applied");
  if (!id || !term || !last || !committed || !applied) return std::nullopt;
  const auto duration = [&](const char* name) -> std::optional<Duration> {
    const auto ms = number(name);
    if (!ms || *ms > 3'600'000) return std::nullopt;
    return std::chrono::milliseconds(*ms);
  };
  const auto digest = strconv::parse_uint(word("digest"), 16);
  return MemberFacts{.id = NodeId(*id),
                     .state = word("state"),
                     .term = Term(*term),
                     .last = Index(*last),
                     .committed = Index(*committed),
                     .applied = Index(*applied),
                     .feature_level = static_cast<std::uint32_t>(number("featureLevel").value_or(0)),
                     .digest = digest ? *digest : 0,
                     .digest_at = digest ? Index(number("digestAt").value_or(0)) : Index(),
                     .lease_left = duration("leaseLeftMs"),
                     .lease_length = duration("leaseLengthMs").value_or(Duration(0)),
                     .commits_in = duration("commitsInMs")};
}

std::map<NodeId, MemberSeen> MemberWatch::look(const master::View& view) {
  const Instant now = clock_.now();
  std::map<NodeId, MemberSeen> seen;
  std::vector<std::pair<NodeId, std::string>> to_ask;
  {
    Guard guard(shared_->mutex);
    std::erase_if(shared_->members, [&](const auto& one) { return view.member(one.first) == nullptr; });
    for (const auto& member : view.members) {
      if (member.self || member.witness || member.http.empty()) continue;
      auto& one = shared_->members[member.id];
      if (one.answered_or_failed()) seen.emplace(member.id, one.seen);
      if (one.under_way || now < one.asked + kInterval) continue;
      one.under_way = true;
      one.asked = now;
      to_ask.emplace_back(member.id, member.http);
    }
  }
  for (const auto& [id, authority] : to_ask) ask(id, authority);
  return seen;
}

void MemberWatch::ask(NodeId id, const std::string& authority) {
  client::HttpRequest request{.authority = authority, .target = "/cluster/member"};
  request.connect_timeout = kAnswerMax;
  request.silence_timeout = kAnswerMax;
  request.answer_bytes_max = 64 << 10;
  pool_.send(std::move(request), [shared = shared_, id, asked = clock_.now(), &clock = clock_](Result<client::HttpAnswer> answer) {
    const Instant now = clock.now();
    std::optional<MemberFacts> facts;
    std::string trouble;
    if (!answer) {
      trouble = answer.error().what();
    } else if (facts = parse_member_facts(answer->body); !facts) {
      trouble = "it answered " + std::to_string(answer->status) + " without saying how it is";
    } else if (facts->id != id) {
      facts.reset();
      trouble = "another master answers there";
    }
    Guard guard(shared->mutex);
    const auto found = shared->members.find(id);
    if (found == shared->members.end()) return;  // a member no more
    auto& one = found->second;
    one.under_way = false;
    one.seen.trouble = std::move(trouble);
    if (!facts) return;
    one.seen.facts = std::move(facts);
    one.seen.round_trip = now - asked;
    one.seen.answered = now;
  });
}

}  // namespace holdfast::front
