#include "test/sim/checker.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"

namespace holdfast::sim {
namespace {

std::string name(NodeId id) { return fmt::format("n{}", id.value().low); }

}  // namespace

std::optional<std::uint64_t> written_register(const Entry& entry) {
  const auto data = entry.data.view();
  if (entry.kind != EntryKind::command || data.empty() || data[0] != 'K') return std::nullopt;
  return load_be<std::uint64_t>(data.data() + 1);
}

std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t h = 1469598103934665603u;  // FNV-1a
  for (const char c : bytes) h = (h ^ static_cast<std::uint8_t>(c)) * 1099511628211u;
  return h;
}

std::optional<Term> LogView::term_at(Index index) const {
  if (index == before.index) return before.term;
  if (index < before.index || index > last()) return std::nullopt;
  return terms[index - before.index - 1];
}

void LogView::take(const raft::Output& out) {
  if (out.log_reset) {
    before = out.log_reset->last;
    terms.clear();
  }
  if (out.appended.empty()) return;
  const auto first = out.appended.front().index;
  if (first > before.index) terms.resize(std::min<std::size_t>(terms.size(), first - before.index - 1));
  for (const auto& entry : out.appended) {
    if (entry.index > before.index) terms.push_back(entry.term);
  }
}

bool Checker::Node::may_be_replaced(Index index) const {
  return std::any_of(replaced_from.begin(), replaced_from.end(), [&](const auto& from) { return from && index >= *from; });
}

void Checker::founded(const raft::Configuration& configuration) {
  const auto entry = raft::bootstrap_entry(configuration);
  committed_.push_back({entry.term, mixed(hash_of(entry.data.view()), static_cast<std::uint64_t>(entry.kind)), Term(1)});
  configuration_ = configuration;
}

void Checker::started(NodeId who, const raft::Start& start) {
  auto& node = nodes_[who];
  LogView view;
  if (start.snapshot) view.before = start.snapshot->last;
  for (const auto& entry : start.entries) {
    if (entry.index > view.before.index) view.terms.push_back(entry.term);
  }
  // What was synced and is committed must be there, but for damage that is reported, and unless a later leader's entries
  // were just taking its place here: they were written and not synced, and whoever committed it did so without this node.
  for (auto i = view.before.index.next(); !start.damage && i <= node.durable.last() && i <= committed_last();
       i = i.next()) {
    const auto term = committed_[i.value() - 1].term;
    if (node.durable.term_at(i) == term && view.term_at(i) != term && !node.may_be_replaced(i)) {
      fail(fmt::format("{} lost the synced entry {}", name(who), i.value()));
      break;
    }
  }
  for (auto i = view.before.index.next(); i <= start.hard_state.commit && i <= view.last(); i = i.next()) {
    if (i > committed_last() || committed_[i.value() - 1].term != view.term_at(i)) {
      fail(fmt::format("I3: {} starts with {} as committed, which is not", name(who), i.value()));
      break;
    }
  }
  if (start.hard_state.term < node.durable_state.term) {
    fail(fmt::format("I5: {} lost its synced term {}", name(who), node.durable_state.term.value()));
  }
  node.written = view;
  node.replaced_from.clear();
  // What rotted counts as once acknowledged.
  for (auto i = view.last().next(); start.damage && i <= node.durable.last(); i = i.next()) {
    view.terms.push_back(node.durable.term_at(i).value_or(Term(0)));
  }
  node.durable = view;
  node.durable_state = start.hard_state;
  node.handed_out = view.before.index;
}

void Checker::check_entry(const Entry& entry, Term previous) {
  const auto hash = mixed(hash_of(entry.data.view()), static_cast<std::uint64_t>(entry.kind));
  const auto [known, fresh] = entries_.try_emplace({entry.term, entry.index}, EntryFact{hash, previous});
  if (!fresh && (known->second.hash != hash || known->second.previous != previous)) {
    fail(fmt::format("I2: two different entries, or histories, at {} of term {}", entry.index.value(),
                     entry.term.value()));
  }
}

void Checker::stepped(NodeId who, Incarnation incarnation, const raft::CoreStatus& before, const raft::CoreStatus& after,
                      const raft::Configuration& configuration, const raft::Output& out) {
  auto& node = nodes_[who];
  if (out.log_reset || !out.appended.empty()) {
    const auto replaces = [&](const Entry& entry) {
      const auto old = node.written.term_at(entry.index);
      return old && *old != entry.term;
    };
    const auto first = std::find_if(out.appended.begin(), out.appended.end(), replaces);
    node.replaced_from.push_back(first == out.appended.end() ? std::nullopt : std::optional(first->index));
  }
  node.written.take(out);
  if (!out.appended.empty()) {
    auto previous = node.written.term_at(out.appended.front().index.previous());
    for (const auto& entry : out.appended) {
      if (previous) check_entry(entry, *previous);
      previous = entry.term;
    }
  }
  if (after.term < before.term || after.commit < before.commit || after.handed_out < before.handed_out) {
    fail(fmt::format("I5: {} went back: term {} to {}, commit {} to {}", name(who), before.term.value(),
                     after.term.value(), before.commit.value(), after.commit.value()));
  }
  if (out.restore) node.handed_out = out.restore->last.index;
  for (const auto& entry : out.committed) {
    if (entry.index != node.handed_out.next()) {
      fail(fmt::format("{} applies {} after {}", name(who), entry.index.value(), node.handed_out.value()));
    }
    node.handed_out = entry.index;
    const auto h = mixed(hash_of(entry.data.view()), static_cast<std::uint64_t>(entry.kind));
    const auto at = entry.index.value() - 1;
    if (at == committed_.size()) {
      committed_.push_back({entry.term, h, after.term});
      hash = mixed(hash, h);
      if (const auto key = written_register(entry)) last_writes_[*key] = entry.index;
      if (entry.kind == EntryKind::configuration) {
        if (auto decoded = raft::decode_configuration(entry.data.view())) configuration_ = *decoded;
        events.count("configurations committed");
      }
    } else if (at > committed_.size()) {
      fail(fmt::format("{} applies {} before anyone committed {}", name(who), at + 1, committed_.size() + 1));
    } else if (committed_[at].term != entry.term || committed_[at].hash != h) {
      fail(fmt::format("I3: {} commits another entry at {} (term {} instead of {})", name(who), at + 1,
                       entry.term.value(), committed_[at].term.value()));
    }
  }
  if (out.restore && out.restore->last.index > committed_last()) {
    fail(fmt::format("{} installs a snapshot of what nobody committed", name(who)));
  }
  if (after.role == raft::Role::leader) {
    if (before.role != raft::Role::leader || before.term != after.term) {
      check_leader(who, incarnation, after, configuration);
    }
    check_change(who, after, out);
    if (after.commit > before.commit) check_commit(who, before, after, configuration);
  }
}

// Raft 4.1: a leader changes the members only once it has committed an entry of its own term, and the last change.
void Checker::check_change(NodeId who, const raft::CoreStatus& after, const raft::Output& out) {
  const auto& log = nodes_[who].written;
  for (const auto& entry : out.appended) {
    if (entry.kind != EntryKind::configuration || entry.term != after.term) continue;
    auto& last = last_change_[after.term];
    if (last > after.commit) fail(fmt::format("4.1: {} changes the members twice at once", name(who)));
    if (log.term_at(after.commit) != after.term) {
      fail(fmt::format("4.1: {} changes the members before it committed anything in its term", name(who)));
    }
    last = entry.index;
  }
}

void Checker::check_leader(NodeId who, Incarnation incarnation, const raft::CoreStatus& after,
                           const raft::Configuration& configuration) {
  events.count("leaders elected");
  std::size_t votes = 0;
  for (const auto& member : configuration.members()) {
    if (!member.voter) continue;
    if (member.id == who) {
      const auto& state = nodes_[who].durable_state;
      if (state.term == after.term && state.vote == who) ++votes;
      continue;
    }
    const auto said = votes_.find({member.id, after.term});
    if (said != votes_.end() && said->second.candidate == who && said->second.incarnations.contains(incarnation)) {
      ++votes;
    }
  }
  if (votes < configuration.majority()) {
    fail(fmt::format("I6: {} leads term {} with {} durable votes of {}", name(who), after.term.value(), votes,
                     configuration.voter_count()));
  }
  const auto [known, fresh] = leaders_.try_emplace(after.term, who);
  if (!fresh && known->second != who) {
    fail(fmt::format("I1: {} and {} both lead term {}", name(known->second), name(who), after.term.value()));
  }
  const auto& log = nodes_[who].written;
  for (std::size_t i = log.before.index.value(); i < committed_.size(); ++i) {
    if (committed_[i].in_term >= after.term) break;  // elected late: others lead later terms already
    const auto term = log.term_at(Index(i + 1));
    if (term != committed_[i].term) {
      fail(fmt::format("I4: {} leads term {} without the committed entry {} of term {}", name(who),
                       after.term.value(), i + 1, committed_[i].term.value()));
      return;
    }
  }
}

void Checker::check_commit(NodeId who, const raft::CoreStatus& before, const raft::CoreStatus& after,
                           const raft::Configuration& configuration) {
  const auto term = nodes_[who].written.term_at(after.commit);
  if (before.role == raft::Role::leader && before.term == after.term && term && *term != after.term) {
    fail(fmt::format("I7: {} commits {} of term {} by count in term {}", name(who), after.commit.value(),
                     term->value(), after.term.value()));
  }
  if (!term) return;
  if (const auto missing = holders_missing(configuration, after.commit, *term); missing > 0) {
    fail(fmt::format("I6: {} commits {} of term {}, which is on {} disks too few", name(who), after.commit.value(),
                     term->value(), missing));
  }
}

bool Checker::holds(NodeId who, Index index, Term term) const {
  const auto found = nodes_.find(who);
  if (found == nodes_.end()) return false;
  // A snapshot that was installed is on disk before the log is emptied for it.
  const auto& log = found->second.durable;
  return log.term_at(index) == term || log.before.index > index || found->second.written.before.index >= index;
}

// On how many more disks this must be before it may be committed. With a witness beside two masters: on all that its
// record names (I13); beside more: on a majority of the masters.
std::size_t Checker::holders_missing(const raft::Configuration& configuration, Index index, Term term) const {
  auto voters = configuration.full_voters();
  std::size_t wanted = voters.size() / 2 + 1;
  if (const auto witness = configuration.witness(); witness && voters.size() <= 2) {
    const auto record = records_.find(*witness);
    if (record != records_.end() && !record->second.members.empty()) voters = record->second.members;
    wanted = voters.size();
  }
  std::size_t holders = 0;
  for (const auto& id : voters) holders += holds(id, index, term) ? 1 : 0;
  return wanted > holders ? wanted - holders : 0;
}

void Checker::witness_synced(NodeId who, const raft::WitnessState& state) {
  auto& durable = nodes_[who].durable_state;
  if (state.term < durable.term) fail(fmt::format("I5: witness {} goes back to term {}", name(who), state.term.value()));
  durable = {state.term, state.vote, Index(0)};
  auto& record = records_[who];
  if (record == state.in_sync) return;
  if (!state.in_sync.later_than(record)) fail(fmt::format("I5: witness {} takes an earlier record", name(who)));
  record = state.in_sync;
  events.count("records taken by witnesses");
  // I13: whoever is named has all that anybody has committed.
  for (const auto& id : record.members) {
    if (committed_.empty() || holds(id, committed_last(), committed_.back().term)) continue;
    fail(fmt::format("I13: witness {} records that {} has everything, and it lacks {}", name(who), name(id),
                     committed_last().value()));
  }
}

void Checker::synced(NodeId who, const raft::Output& out) {
  auto& node = nodes_[who];
  node.durable.take(out);
  if ((out.log_reset || !out.appended.empty()) && !node.replaced_from.empty()) node.replaced_from.pop_front();
  if (out.hard_state) node.durable_state = *out.hard_state;
}

void Checker::sent(const raft::Message& message) {
  const auto& node = nodes_[message.from];
  if (const auto* vote = std::get_if<raft::VoteReply>(&message.body); vote != nullptr && vote->granted && !vote->pre) {
    const auto& state = node.durable_state;
    const bool covered = state.term > vote->request_term ||
                         (state.term == vote->request_term && state.vote == message.to);
    if (!covered) fail(fmt::format("I6: {} says a vote that is not on its disk", name(message.from)));
    auto& said = votes_[{message.from, vote->request_term}];
    if (!said.incarnations.empty() && said.candidate != message.to) {
      fail(fmt::format("I5: {} votes for {} and {} in term {}", name(message.from), name(said.candidate),
                       name(message.to), vote->request_term.value()));
    }
    said.candidate = message.to;
    said.incarnations.insert(vote->candidate_incarnation);
    events.count("votes");
  }
  if (const auto* ack = std::get_if<raft::AppendReply>(&message.body);
      ack != nullptr && ack->result == raft::AppendResult::accepted && message.term == node.durable_state.term) {
    if (node.durable.last() < ack->match) {
      fail(fmt::format("I6: {} acknowledges {}, on its disk is {}", name(message.from), ack->match.value(),
                       node.durable.last().value()));
    }
  }
  if (const auto* taken = std::get_if<raft::RegisterReply>(&message.body);
      taken != nullptr && taken->record.later_than(records_[message.from])) {
    fail(fmt::format("I6: witness {} says a record that is not on its disk", name(message.from)));
  }
  if (const auto* heard = std::get_if<raft::BeatReply>(&message.body);
      heard != nullptr && message.term == node.durable_state.term) {
    // A snapshot that was installed is on disk before the log is emptied for it.
    const auto on_disk = std::max(node.durable.last(), node.written.before.index);
    if (std::min(heard->last, heard->durable) > on_disk) {
      fail(fmt::format("I6: {} says that {} is on its disk, it is {}", name(message.from), heard->durable.value(),
                       on_disk.value()));
    }
  }
}

void Checker::applied(NodeId who, Index index, std::uint64_t digest) {
  const auto [known, fresh] = digests_.try_emplace(index.value(), digest);
  if (!fresh && known->second != digest) {
    fail(fmt::format("I12: {} has another state at {} than those before", name(who), index.value()));
  }
}

void Checker::key_assigned(NodeId who, std::uint64_t process, std::uint64_t key) {
  events.count("keys assigned");
  const auto [known, fresh] = keys_.try_emplace(key, process);
  if (!fresh) fail(fmt::format("key {} is assigned twice, the second time by {}", key, name(who)));
}

void Checker::volume_id_given(std::uint64_t request, std::uint64_t first, std::uint64_t count) {
  events.count("volume ids given", count);
  for (auto id = first; id < first + count; ++id) {
    const auto [known, fresh] = volume_ids_.try_emplace(id, request);
    if (!fresh && known->second != request) fail(fmt::format("volume id {} is given to two requests", id));
  }
}

void Checker::request_answered(std::uint64_t session, std::uint64_t sequence, const std::string& answer) {
  const auto [known, fresh] = answers_.try_emplace({session, sequence}, answer);
  if (!fresh) {
    events.count("requests answered again");
    if (known->second != answer) fail(fmt::format("I15: request {}.{} is answered twice differently", session, sequence));
  }
}

void Checker::order_given(const Fence& fence, std::uint64_t what) {
  const auto [known, fresh] =
      orders_.try_emplace({fence.generation.value(), fence.term.value(), fence.sequence}, what);
  if (!fresh && known->second != what) fail("two different orders carry the same fence");
}

void Checker::order_obeyed(std::size_t server, const Fence& fence) {
  events.count("orders obeyed");
  const auto [known, fresh] = obeyed_.try_emplace(server, fence);
  if (!fresh) {
    if (age_order(fence, known->second) < 0) fail(fmt::format("volume server {} obeys an older order", server));
    known->second = fence;
  }
}

void Checker::finish() {
  if (const auto wrong = registers.contradiction()) fail("not linearizable: " + *wrong);
  events.count("history of reads and writes", registers.size());
}

}  // namespace holdfast::sim
