// History: what a run did that leases rest on, as JSON lines that model/Trace.tla replays against the model's actions.
//
// Only of runs within a model's bounds (WorldOptions::within_model): three masters, or two and a witness, no changes of
// members, one length of lease, one input a step. The first line tells those; each other line is one thing that happened, in the order in which
// it did, with true time in nanoseconds (`at`). model/README.md lists the lines. Nothing here judges.
//
// A line tells facts only: what was said, written, granted, counted, committed, read. How long leases and waits run is for
// the model to say. `is` closes each step of a core: what its status says of its term, role, log and commit index.
#pragma once

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/raft/core.h"
#include "core/raft/witness.h"

namespace holdfast::sim {

class History {
 public:
  // Lines go to `path`; it is overwritten. Not writable: ok() is false.
  History(const std::string& path, std::size_t founders, Duration lease, std::optional<NodeId> witness);
  bool ok() const { return file_.good(); }

  // Calls of the masters, in the order in which things happen. Of a step: stepped(), read() for each read by lease that
  // it answers, step_over().
  void started(Instant now, NodeId who, const raft::Start& start);
  void stepped(Instant now, NodeId who, const raft::Input* input, const raft::CoreStatus& before,
               const raft::CoreStatus& after, const raft::Output& out);
  void read(NodeId who, std::uint64_t key, Index index);
  void step_over();
  void said(Instant now, const raft::Message& message);  // is on the wire now, after the sync it waited for
  void certified(Instant now, NodeId who, Term term);

  void witness_started(Instant now, NodeId who, const raft::WitnessState& state);
  void witness_stepped(Instant now, NodeId who, const raft::WitnessState& before, const raft::WitnessState& after,
                       const raft::Witness::Output& out);

 private:
  std::string line(NodeId who, const char* what, const std::string& rest) const;
  void register_lines(NodeId who, bool elected, const raft::CoreStatus& before, const raft::CoreStatus& after,
                      const raft::Output& out);
  void input(NodeId who, const raft::Message& message, const raft::CoreStatus& before, const raft::CoreStatus& after,
             const raft::Output& out);

  std::ofstream file_;
  const std::optional<NodeId> witness_;
  const std::size_t founders_;
  Instant now_;
  std::vector<std::string> lines_;  // of the step under way
  std::vector<std::string> rest_;   // and what follows its reads
  std::string is_;
  std::map<std::pair<NodeId, Instant>, Instant> sent_;  // a leader's stamp -> true time
  std::map<std::pair<NodeId, Term>, std::uint64_t> given_up_;  // the newest epoch
  std::map<Term, std::uint64_t> records_;                      // made by the leader of the term
};

}  // namespace holdfast::sim
