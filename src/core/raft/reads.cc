// Reads that are linearizable without a clock: a round of beats, begun after the read came, confirms that this leader
// still leads; then its commit index of that moment is a safe place to read at (Ongaro 6.4).
#include "core/raft/core_impl.h"

namespace holdfast::raft {
namespace {

constexpr int kAskAgainBeats = 5;  // a follower repeats its question after so many beat intervals

}  // namespace

// Until then this leader's commit index may lie behind what its predecessor has committed (etcd #7331).
bool Core::Impl::own_term_committed() const { return leader() != nullptr && commit_ >= leader()->term_start; }

void Core::Impl::on(const ReadRequested& input) {
  if (reads_.size() >= options_.reads_in_flight_max) {
    out_.reads.push_back({input.tag, false, Index(0)});
    return;
  }
  const auto request = ++read_counter_;
  reads_[request] = LocalRead{input.tag, now_ + options_.read_wait_max, kDistantPast, input.key, input.by_round};
  if (leader() != nullptr) ask_for_read(request);
}

void Core::Impl::ask_for_read(std::uint64_t request) {
  leader()->waiting.push_back({options_.self, options_.incarnation, request, Index(0), Round(0)});
}

void Core::Impl::receive(const Message& m, const ReadQuery& query) {
  auto* leading = leader();
  if (leading == nullptr || m.term != term_ ||
      leading->waiting.size() + leading->asking.size() >= options_.reads_in_flight_max) {
    ++counters_.messages_dropped;
    return;
  }
  leading->waiting.push_back({m.from, m.incarnation, query.request, Index(0), Round(0)});
}

// One round at a time is out, more only with the regular beats: many reads share one.
void Core::Impl::begin_round() {
  auto* leading = leader();
  answer_by_lease();
  const bool may = own_term_committed() || mutated(Mutation::read_before_own_commit);
  if (leading->waiting.empty() || !may || (!leading->asking.empty() && now_ < leading->next_beat)) return;
  leading->round = leading->round.next();
  for (auto& read : leading->waiting) {
    read.index = commit_;
    read.round = leading->round;
    leading->asking.push_back(read);
  }
  leading->waiting.clear();
  leading->beat_due = true;
  confirm_reads();
}

void Core::Impl::confirm_reads() {
  auto* leading = leader();
  const Round own(UINT64_MAX);
  auto confirmed = majority_value<Round>(own, [](const Peer& peer) {
    return peer.state == PeerState::refused ? Round(0) : peer.round;
  });
  if (mutated(Mutation::read_without_round)) confirmed = own;
  while (!leading->asking.empty() && leading->asking.front().round <= confirmed) {
    answer_read(leading->asking.front(), ReadBy::round);
    leading->asking.pop_front();
  }
}

// All of this step's reads came before its `now`, so what is committed now is an answer that was right then (2.4).
void Core::Impl::answer_by_lease() {
  auto* leading = leader();
  const auto held = lease_held();
  if (leading->waiting.empty() || now_ >= held.until.boot || time_.raw >= held.until.raw) return;
  std::erase_if(leading->waiting, [&](RoundRead& read) {
    std::optional<std::string> key;
    if (read.from != options_.self) {
      if (held.in_wait) return false;  // a follower is told an index, and that may be behind
    } else {
      const auto found = reads_.find(read.request);
      if (found == reads_.end()) return true;
      if (found->second.by_round) return false;
      key = found->second.key;
    }
    const auto by = held.in_wait ? lease_serves(time_, key) : std::optional(ReadBy::lease);
    if (!by) return false;
    read.index = commit_;
    answer_read(read, *by);
    return true;
  });
}

void Core::Impl::answer_read(const RoundRead& read, ReadBy by) {
  ++(by == ReadBy::round ? counters_.reads_by_round : by == ReadBy::lease ? counters_.reads_by_lease
                                                                         : counters_.reads_in_wait);
  if (read.from != options_.self) {
    send_now(read.from, ReadAnswer{read.request, read.incarnation, true, read.index});
    return;
  }
  const auto found = reads_.find(read.request);
  if (found == reads_.end()) return;
  out_.reads.push_back({found->second.tag, true, read.index, by});
  reads_.erase(found);
}

void Core::Impl::receive(const Message&, const ReadAnswer& answer) {
  const auto found = reads_.find(answer.request);
  if (!answer.ok || answer.asker != options_.incarnation || found == reads_.end()) {
    ++counters_.messages_dropped;
    return;
  }
  out_.reads.push_back({found->second.tag, true, answer.index});
  reads_.erase(found);
}

// A follower asks whoever leads, again and again; a late answer to an earlier asking is as good, since both came after
// the read.
void Core::Impl::tick_reads() {
  for (auto it = reads_.begin(); it != reads_.end();) {
    auto& [request, read] = *it;
    if (now_ >= read.give_up_at) {
      out_.reads.push_back({read.tag, false, Index(0)});
      it = reads_.erase(it);
      continue;
    }
    if (leader() == nullptr && leader_ && now_ - read.asked_at >= kAskAgainBeats * options_.beat_interval) {
      read.asked_at = now_;
      send_now(*leader_, ReadQuery{request});
    }
    ++it;
  }
}

}  // namespace holdfast::raft
