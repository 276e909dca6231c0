// Checker: sees everything that any master writes, says, commits or answers, and objects to the first contradiction.
//
// The numbers are those of design/raft-and-leases 6. It trusts nothing that a core says about itself: what is durable
// it takes from what the log thread has synced, what is committed from what was handed out to be applied.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/raft/core.h"
#include "core/raft/witness.h"
#include "model/fence.h"
#include "test/sim/registers.h"

namespace holdfast::sim {

// Counts what happened, so that a run in which nothing happened does not pass for a proof.
struct Events {
  std::map<std::string, std::uint64_t> counts;
  void count(const std::string& what, std::uint64_t by = 1) { counts[what] += by; }
  void add(const Events& other) {
    for (const auto& [what, n] : other.counts) counts[what] += n;
  }
};

// The log of one identity, as written and as synced; kept for ever, also when its disk is lost.
struct LogView {
  raft::LogPosition before;  // entries follow
  std::vector<Term> terms;
  Index last() const { return before.index + terms.size(); }
  std::optional<Term> term_at(Index index) const;
  void take(const raft::Output& out);
};

class Checker {
 public:
  // The entry all founders begin with.
  void founded(const raft::Configuration& configuration);

  // Called by the simulated masters.
  void started(NodeId who, const raft::Start& start);
  void stepped(NodeId who, Incarnation incarnation, const raft::CoreStatus& before, const raft::CoreStatus& after,
               const raft::Configuration& configuration, const raft::Output& out);
  void synced(NodeId who, const raft::Output& out);
  void sent(const raft::Message& message);
  void witness_synced(NodeId who, const raft::WitnessState& state);
  void applied(NodeId who, Index index, std::uint64_t digest);

  // The state machine's side.
  void key_assigned(NodeId who, std::uint64_t process, std::uint64_t key);
  void volume_id_given(std::uint64_t request, std::uint64_t first, std::uint64_t count);
  void request_answered(std::uint64_t session, std::uint64_t sequence, const std::string& answer);
  void order_given(const Fence& fence, std::uint64_t what);
  void order_obeyed(std::size_t server, const Fence& fence);

  Registers registers;

  // At the end of a run.
  void finish();

  const std::optional<std::string>& failure() const { return failure_; }
  void fail(std::string why) {
    if (!failure_) failure_ = std::move(why);
  }

  struct Committed {
    Term term;
    std::uint64_t hash = 0;
    Term in_term;  // when somebody first applied it
  };
  const std::vector<Committed>& committed() const { return committed_; }
  const raft::Configuration& configuration() const { return configuration_; }
  Index committed_last() const { return Index(committed_.size()); }
  // The last committed write of a register, by whomever.
  Index last_write(std::uint64_t key) const {
    const auto found = last_writes_.find(key);
    return found == last_writes_.end() ? Index(0) : found->second;
  }
  Events events;
  std::uint64_t hash = 0;  // of all that was committed, for the trace's digest

 private:
  struct Node {
    LogView written;
    LogView durable;
    // For each write to the log that is not synced yet, in order: from which entry on it replaces others (none: empty).
    // What it replaces may be there after a crash or not, synced though it was.
    std::deque<std::optional<Index>> replaced_from;
    bool may_be_replaced(Index index) const;
    raft::HardState durable_state;
    std::optional<Index> committed_in_process;
    Index handed_out;
  };
  void check_entry(const Entry& entry, Term previous);
  void check_leader(NodeId who, Incarnation incarnation, const raft::CoreStatus& after,
                    const raft::Configuration& configuration);
  void check_change(NodeId who, const raft::CoreStatus& after, const raft::Output& out);
  void check_commit(NodeId who, const raft::CoreStatus& before, const raft::CoreStatus& after,
                    const raft::Configuration& configuration);

  std::size_t holders_missing(const raft::Configuration& configuration, Index index, Term term) const;
  bool holds(NodeId who, Index index, Term term) const;

  std::map<NodeId, Node> nodes_;
  std::map<NodeId, raft::InSync> records_;  // on witnesses' disks
  std::map<Term, NodeId> leaders_;
  struct Vote {
    NodeId candidate;
    std::set<Incarnation> incarnations;  // of the candidate, that were told
  };
  std::map<std::pair<NodeId, Term>, Vote> votes_;  // by voter and term
  std::map<Term, Index> last_change_;  // of members, appended by the leader of the term
  struct EntryFact {
    std::uint64_t hash = 0;
    Term previous;
  };
  std::map<raft::LogPosition, EntryFact> entries_;
  std::vector<Committed> committed_;   // [i] is index i + 1
  std::map<std::uint64_t, Index> last_writes_;
  Index quorum_checked_;               // committed by a leader, found on a majority's disks
  raft::Configuration configuration_;  // the last committed
  std::unordered_map<std::uint64_t, std::uint64_t> digests_;
  std::unordered_map<std::uint64_t, std::uint64_t> keys_;        // key -> process
  std::unordered_map<std::uint64_t, std::uint64_t> volume_ids_;  // id -> request
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> answers_;
  std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, std::uint64_t> orders_;
  std::map<std::size_t, Fence> obeyed_;
  std::optional<std::string> failure_;
};

// The register that a command writes.
std::optional<std::uint64_t> written_register(const Entry& entry);

std::uint64_t hash_of(std::string_view bytes);
inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  auto z = (a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2))) * 0xbf58476d1ce4e5b9u;
  return z ^ (z >> 31);
}

}  // namespace holdfast::sim
