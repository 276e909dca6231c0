// One line per message, stable: golden stories and logs are made of these.
#include <fmt/format.h>

#include <algorithm>

#include "core/raft/core.h"
#include "core/raft/messages.h"

namespace holdfast::raft {
namespace {

// Members of tests have small numbers and are called n1, n2; real ones by the head of their UUID.
std::string name(NodeId id) {
  if (id.value().high == 0) return fmt::format("n{}", id.value().low);
  return text(id).substr(0, 8);
}

std::string position(LogPosition p) { return fmt::format("{}.{}", p.term.value(), p.index.value()); }

std::string lease(const Lease& l) {
  return l.epoch == 0 ? "" : fmt::format(" lease {}.{} us", l.epoch, l.length.count() / 1000);
}
std::string released(const std::vector<Release>& releases) {
  std::string out;
  for (const auto& r : releases) {
    out += fmt::format(" over {} t{} {}", name(r.holder), r.term.value(),
                       r.epoch == kEveryEpoch ? "all" : std::to_string(r.epoch));
  }
  return out;
}

std::string record(const InSync& r) {
  auto out = fmt::format(" t{}.{}", r.term.value(), r.number);
  if (r.members.empty()) out += " all";
  for (const auto& id : r.members) out += " " + name(id);
  return out;
}

struct BodyText {
  std::string operator()(const VoteRequest& m) const {
    return fmt::format("{}{}{} last {}{}", m.pre ? "pre-vote?" : "vote?", m.transfer ? " transfer" : "",
                       m.link_lost ? " link-lost" : "", position(m.last), released(m.released));
  }
  std::string operator()(const VoteReply& m) const {
    auto out = fmt::format("{} {} for t{}", m.pre ? "pre-vote" : "vote", m.granted ? "yes" : "no",
                           m.request_term.value());
    for (const auto& r : m.reports) {
      out += fmt::format(" granted {} t{} {} {} us", name(r.holder), r.term.value(), r.epoch, r.left.count() / 1000);
    }
    if (m.in_sync) out += " in sync" + record(*m.in_sync);
    return out + released(m.released);
  }
  std::string operator()(const Append& m) const {
    return fmt::format("append after {} +{} commit {}{}", position(m.previous), m.entries.size(), m.commit.value(),
                       lease(m.lease));
  }
  std::string operator()(const AppendReply& m) const {
    switch (m.result) {
      case AppendResult::accepted:
        return fmt::format("ack {}{}", m.match.value(), lease(m.lease));
      case AppendResult::conflict:
        return fmt::format("conflict hint {}.{}{}", m.hint_term.value(), m.hint_index.value(), lease(m.lease));
      case AppendResult::disk_full:
        return "disk full";
    }
    return "?";
  }
  std::string operator()(const Beat& m) const {
    return fmt::format("beat commit {} round {}{}", m.commit.value(), m.round.value(), lease(m.lease));
  }
  std::string operator()(const BeatReply& m) const {
    return fmt::format("heard last {} durable {} round {}{}{}{}", m.last.value(), m.durable.value(), m.round.value(),
                       m.disk_full ? " full" : "", m.damaged ? " damaged" : "", lease(m.lease));
  }
  std::string operator()(const TimeoutNow& m) const {
    return m.release.term == Term(0) ? "timeout-now" : "timeout-now" + released({m.release});
  }
  std::string operator()(const SnapshotPiece& m) const {
    return fmt::format("snapshot {} at {} +{}{}", position(m.meta.last), m.offset, m.data.size(),
                       m.last ? " last" : "");
  }
  std::string operator()(const SnapshotReply& m) const {
    return fmt::format("snapshot {} {}", position(m.snapshot),
                       m.stored ? std::string("stored") : fmt::format("next {}", m.next_offset));
  }
  std::string operator()(const ReadQuery& m) const { return fmt::format("read? {}", m.request); }
  std::string operator()(const ReadAnswer& m) const {
    return m.ok ? fmt::format("read {} at {}", m.request, m.index.value())
                : fmt::format("read {} no", m.request);
  }
  std::string operator()(const Notice& m) const { return "notice: " + m.text; }
  std::string operator()(const RegisterRequest& m) const { return "register" + record(m.record); }
  std::string operator()(const RegisterReply& m) const { return "registered" + record(m.record); }
};

}  // namespace

bool InSync::allows(NodeId id) const {
  return members.empty() || std::find(members.begin(), members.end(), id) != members.end();
}

std::string text(const Message& message) {
  return fmt::format("{}->{} t{} {}", name(message.from), name(message.to), message.term.value(),
                     std::visit(BodyText{}, message.body));
}

std::size_t bytes_of(const Message& message) {
  constexpr std::size_t kHead = 96;
  constexpr std::size_t kEntryHead = 32;
  std::size_t bytes = kHead;
  if (const auto* append = std::get_if<Append>(&message.body)) {
    for (const auto& entry : append->entries) bytes += entry.data.size() + kEntryHead;
  } else if (const auto* piece = std::get_if<SnapshotPiece>(&message.body)) {
    bytes += piece->data.size() + encode(piece->meta.configuration).size();
  }
  return bytes;
}

const char* text(Role role) {
  switch (role) {
    case Role::learner:
      return "learner";
    case Role::follower:
      return "follower";
    case Role::candidate:
      return "candidate";
    case Role::leader:
      return "leader";
  }
  return "?";
}

const char* text(PeerState state) {
  switch (state) {
    case PeerState::probe:
      return "probe";
    case PeerState::replicate:
      return "replicate";
    case PeerState::snapshot:
      return "snapshot";
    case PeerState::refused:
      return "refused";
  }
  return "?";
}

}  // namespace holdfast::raft
