#include "test/sim/history.h"

#include <fmt/format.h>

#include "test/sim/checker.h"

namespace holdfast::sim {
namespace {

const Instant kBegin = at(1000s);

std::int64_t ns(Instant t) { return (t - kBegin).count(); }
std::uint64_t name(NodeId id) { return id.value().low; }

// What an entry writes, as WorldOptions' masters tell it to the core; the start of a term touches nothing.
std::string key_of(const Entry& entry) {
  if (entry.kind != EntryKind::command) return "nothing";
  const auto key = written_register(entry);
  return key ? std::to_string(*key) : "registry";
}

std::string names(const std::vector<NodeId>& ids) {
  std::string out;
  for (const auto& id : ids) out += fmt::format("{}{}", out.empty() ? "" : ",", name(id));
  return "[" + out + "]";
}

// No members: nobody has said anything yet, and all are meant.
std::string record_of(const raft::InSync& record) {
  return fmt::format(",\"record\":[{},{},{}]", record.term.value(), record.number, names(record.members));
}

}  // namespace

History::History(const std::string& path, std::size_t founders, Duration lease, std::optional<NodeId> witness)
    : file_(path), witness_(witness), founders_(founders) {
  file_ << std::unitbuf;  // whole up to a CHECK that fails
  file_ << fmt::format("{{\"what\":\"begin\",\"masters\":{},\"witness\":{},\"lease\":{}}}\n", founders,
                       witness ? name(*witness) : 0, lease.count());
}

std::string History::line(NodeId who, const char* what, const std::string& rest) const {
  return fmt::format("{{\"at\":{},\"what\":\"{}\",\"who\":{}{}", ns(now_), what, name(who), rest);
}

void History::started(Instant now, NodeId who, const raft::Start& start) {
  now_ = now;
  std::string terms;
  for (const auto& entry : start.entries) terms += fmt::format("{}{}", terms.empty() ? "" : ",", entry.term.value());
  file_ << line(who, "restart", fmt::format(",\"term\":{},\"vote\":{},\"commit\":{},\"log\":[{}]}}\n",
                                           start.hard_state.term.value(), name(start.hard_state.vote),
                                           start.hard_state.commit.value(), terms));
}

void History::input(NodeId who, const raft::Message& m, const raft::CoreStatus& before, const raft::CoreStatus& after,
                    const raft::Output& out) {
  if (const auto* reply = std::get_if<raft::VoteReply>(&m.body); reply != nullptr && reply->granted && !reply->pre) {
    lines_.push_back(line(who, "count", fmt::format(",\"from\":{},\"term\":{},\"incarnation\":{}", name(m.from),
                                                    reply->request_term.value(),
                                                    reply->candidate_incarnation.value())));
    return;
  }
  const auto acked = [&](Instant stamp, std::uint64_t epoch, Index match) {
    const auto sent = sent_.find({who, stamp});
    if (m.term != before.term || sent == sent_.end()) return;
    lines_.push_back(line(who, "ack", fmt::format(",\"from\":{},\"id\":{},\"epoch\":{},\"match\":{}", name(m.from),
                                                  ns(sent->second), epoch, match.value())));
  };
  if (const auto* reply = std::get_if<raft::AppendReply>(&m.body); reply != nullptr) {
    const bool accepted = reply->result == raft::AppendResult::accepted;
    return acked(reply->sent, reply->lease.epoch, accepted ? reply->match : Index(0));
  }
  if (const auto* reply = std::get_if<raft::BeatReply>(&m.body); reply != nullptr) {
    return acked(reply->sent, reply->lease.epoch, std::min(reply->last, reply->durable));
  }
  const auto* append = std::get_if<raft::Append>(&m.body);
  const auto* beat = std::get_if<raft::Beat>(&m.body);
  if (append == nullptr && beat == nullptr) return;
  // Taken when it is answered.
  const auto taken = [&](const raft::Message& answer, std::uint64_t epoch, Index match, Index equal) {
    if (answer.to != m.from) return;
    const auto sent = sent_.find({m.from, append != nullptr ? append->sent : beat->sent});
    if (sent == sent_.end()) return;
    lines_.push_back(line(who, "take",
                          fmt::format(",\"from\":{},\"term\":{},\"equal\":{},\"commit\":{},\"epoch\":{},\"match\":{},"
                                      "\"id\":{},\"age\":{}",
                                      name(m.from), m.term.value(), std::max(equal, after.commit).value(),
                                      after.commit.value(), epoch, match.value(), ns(sent->second),
                                      (now_ - sent->second).count())));
  };
  for (const auto* messages : {&out.messages_now, &out.messages_after_sync}) {
    for (const auto& answer : *messages) {
      if (const auto* reply = std::get_if<raft::AppendReply>(&answer.body); reply != nullptr && append != nullptr) {
        const auto match = reply->result == raft::AppendResult::accepted ? reply->match : Index(0);
        taken(answer, reply->lease.epoch, match, match);
      } else if (const auto* told = std::get_if<raft::BeatReply>(&answer.body); told != nullptr && beat != nullptr) {
        taken(answer, told->lease.epoch, std::min(told->last, told->durable), Index(0));
      }
    }
  }
}

void History::stepped(Instant now, NodeId who, const raft::Input* input, const raft::CoreStatus& before,
                      const raft::CoreStatus& after, const raft::Output& out) {
  now_ = now;
  const bool led = before.role == raft::Role::leader;
  const bool leads = after.role == raft::Role::leader;
  const bool acts = leads || (led && before.term == after.term);  // it may step down at the end of the step
  const bool campaigned = after.counters.elections_started > before.counters.elections_started;
  const auto heard = campaigned ? Term(after.term.value() - 1) : after.term;
  const auto* received = input == nullptr ? nullptr : std::get_if<raft::Received>(input);
  if (heard > before.term) lines_.push_back(line(who, "term", fmt::format(",\"term\":{}", heard.value())));
  if (received != nullptr) this->input(who, received->message, before, after, out);
  if (leads && (!led || before.term != after.term)) {
    lines_.push_back(line(who, "lead", fmt::format(",\"term\":{}", after.term.value())));
  }
  for (const auto& entry : out.appended) {
    if (!acts || entry.term != after.term) continue;
    lines_.push_back(line(who, "write", fmt::format(",\"term\":{},\"index\":{},\"key\":\"{}\"", entry.term.value(),
                                                    entry.index.value(), key_of(entry))));
  }
  if (leads && witness_) register_lines(who, !led || before.term != after.term, before, after, out);
  if (acts && after.commit > before.commit) {
    lines_.push_back(line(who, "commit", fmt::format(",\"index\":{}", after.commit.value())));
  } else if (after.commit > before.commit && (lines_.empty() || lines_.back().find("\"take\"") == std::string::npos)) {
    lines_.push_back(line(who, "know", fmt::format(",\"index\":{}", after.commit.value())));
  }

  for (const auto* messages : {&out.messages_now, &out.messages_after_sync}) {
    for (const auto& message : *messages) {
      if (const auto* append = std::get_if<raft::Append>(&message.body); append != nullptr) {
        sent_[{who, append->sent}] = now;
      } else if (const auto* beat = std::get_if<raft::Beat>(&message.body); beat != nullptr) {
        sent_[{who, beat->sent}] = now;
      } else if (const auto* order = std::get_if<raft::TimeoutNow>(&message.body); order != nullptr) {
        auto& newest = given_up_[{who, order->release.term}];
        if (order->release.term == Term(0) || order->release.epoch <= newest) continue;
        newest = order->release.epoch;
        rest_.push_back(line(who, "hand-over", fmt::format(",\"epoch\":{}", newest)));
      } else if (const auto* vote = std::get_if<raft::VoteReply>(&message.body);
                 vote != nullptr && vote->granted && !vote->pre) {
        rest_.push_back(line(who, "vote", fmt::format(",\"for\":{},\"term\":{},\"incarnation\":{}", name(message.to),
                                                      vote->request_term.value(), vote->candidate_incarnation.value())));
      }
    }
  }
  if (led && !leads && before.term == after.term) rest_.push_back(line(who, "down", ""));
  if (campaigned) rest_.push_back(line(who, "campaign", fmt::format(",\"term\":{}", after.term.value())));
  is_ = fmt::format(",\"is\":[{},{},{},{},{}]", after.term.value(), leads ? 1 : 0, after.last.value(),
                    after.last_term.value(), after.commit.value());
  if (leads && witness_) is_ += ",\"needs\":" + names(after.in_sync.needed);
}

// What the step did to the register: the witness's answer first, then who is needed, then a new record.
void History::register_lines(NodeId who, bool elected, const raft::CoreStatus& before, const raft::CoreStatus& after,
                             const raft::Output& out) {
  const auto meant = [&](const std::optional<raft::InSync>& known) {
    return !known || known->members.empty() ? founders_ : known->members.size();
  };
  auto needed = elected ? meant(after.in_sync.known) : before.in_sync.needed.size();
  if (!elected && before.in_sync.known != after.in_sync.known) {
    needed = meant(after.in_sync.known);
    lines_.push_back(line(who, "confirm", ""));
  }
  if (after.in_sync.needed.size() > needed) lines_.push_back(line(who, "require", ""));
  if (after.in_sync.needed.size() < needed) lines_.push_back(line(who, "unrequire", ""));
  for (const auto& message : out.messages_now) {
    const auto* request = std::get_if<raft::RegisterRequest>(&message.body);
    if (request == nullptr || request->record.number <= records_[after.term]) continue;
    records_[after.term] = request->record.number;
    lines_.push_back(line(who, "propose", record_of(request->record)));
  }
}

void History::read(NodeId who, std::uint64_t key, Index index) {
  lines_.push_back(line(who, "read", fmt::format(",\"key\":\"{}\",\"index\":{}", key, index.value())));
}

void History::step_over() {
  lines_.insert(lines_.end(), rest_.begin(), rest_.end());
  for (std::size_t i = 0; i < lines_.size(); ++i) file_ << lines_[i] << (i + 1 == lines_.size() ? is_ : "") << "}\n";
  lines_.clear();
  rest_.clear();
}

void History::witness_started(Instant now, NodeId who, const raft::WitnessState& state) {
  now_ = now;
  file_ << line(who, "restart", fmt::format(",\"term\":{},\"vote\":{}{}}}\n", state.term.value(), name(state.vote),
                                           record_of(state.in_sync)));
}

void History::witness_stepped(Instant now, NodeId who, const raft::WitnessState& before, const raft::WitnessState& after,
                              const raft::Witness::Output& out) {
  now_ = now;
  if (after.term > before.term) lines_.push_back(line(who, "term", fmt::format(",\"term\":{}", after.term.value())));
  for (const auto* messages : {&out.now, &out.after_sync}) {
    for (const auto& message : *messages) {
      if (const auto* vote = std::get_if<raft::VoteReply>(&message.body); vote != nullptr && vote->granted && !vote->pre) {
        lines_.push_back(line(who, "vote", fmt::format(",\"for\":{},\"term\":{},\"incarnation\":{}", name(message.to),
                                                       vote->request_term.value(), vote->candidate_incarnation.value())));
      } else if (const auto* reply = std::get_if<raft::RegisterReply>(&message.body); reply != nullptr) {
        lines_.push_back(line(who, "register", record_of(reply->record)));
      }
    }
  }
  is_ = fmt::format(",\"is\":[{}]{}", after.term.value(), record_of(after.in_sync));
  if (!lines_.empty() && lines_.back().find("\"register\"") != std::string::npos) is_ = fmt::format(",\"is\":[{}]", after.term.value());
  step_over();
}

void History::said(Instant now, const raft::Message& message) {
  if (const auto* reply = std::get_if<raft::RegisterReply>(&message.body); reply != nullptr) {
    now_ = now;
    file_ << line(message.from, "recorded", record_of(reply->record) + "}\n");
    return;
  }
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  if (vote == nullptr || !vote->granted || vote->pre) return;
  now_ = now;
  file_ << line(message.from, "said", fmt::format(",\"for\":{},\"term\":{}}}\n", name(message.to),
                                                  vote->request_term.value()));
}

void History::certified(Instant now, NodeId who, Term term) {
  now_ = now;
  file_ << line(who, "certificate", fmt::format(",\"term\":{}}}\n", term.value()));
}

}  // namespace holdfast::sim
