// Consensus: what the Master needs of the Raft group, and no more. RaftHost (raft_host.h) implements it; tests use a
// fake. The implementation drives the state machine (core/topology/state_machine.h) that was given to it.
//
// The master never asks "am I the leader?" and then acts on the answer: an order or a committed entry carries the
// term, and an assign is allowed only until a published deadline that ends before anyone else could have been elected
// without us hearing of it (check-quorum: the leader's own silence timeout, counted from sending).
//
// Every function may be called from any thread and returns at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/ids.h"

namespace holdfast::master {

enum class Role { follower, pre_candidate, candidate, leader, learner };
const char* text(Role role);  // "follower", ..., for logs and the page

// A member of the group as this master knows it. Addresses are texts "host:port"; empty while unknown. What is not
// known of a member (never connected yet) is zero or empty.
struct MemberView {
  NodeId id;
  bool self = false;
  bool voter = true;      // false: learner
  bool promote = false;   // a learner that votes as soon as it has caught up
  bool witness = false;   // a volume server that votes: has no log, is no master to be called by anybody else
  // In force as Raft has it, from the entry's appending on; but that is not known to be committed yet and may be undone.
  // So whoever tells people that it votes, or is there at all, waits until this is false.
  bool joining = false;
  bool connected = false; // a link in at least one direction is up (true for self)
  std::string http;       // host:port as clients should dial it
  std::string grpc;       // host:grpc port
  // The running process of the member, from its first message on a link. Key blocks belong to exactly one process.
  Incarnation incarnation;
  Uuid process;           // random at each start: tells a rolled-back folder from the process it was copied from
  std::uint32_t feature_level = 0;
  // What the member last said, or (on the leader) is known to hold.
  Role role = Role::follower;
  Term term;
  Index match;
  std::optional<Duration> silent_for;  // since its last message; empty: never heard
};

// Leases (docs/leases.md) as this master knows of them; all zero while they are off. Instants are on io::Clock::now(), by
// the clock that ends first; they may be a little old, so they are for people, not for reads.
struct LeaseView {
  Duration cap{};     // the longest that may be granted; 0: leases are off
  Duration length{};  // leading: asked for; 0: this master reads by rounds
  std::uint64_t epoch = 0;
  std::optional<Instant> held_until;     // leading, and holding one
  std::optional<Instant> commits_from;   // leading: nothing is committed before, an earlier lease may still run
  bool clocks_apart = false;             // this machine's clocks differ in speed: no lease is held here
  std::uint64_t reads_by_lease = 0;      // since the start
  std::uint64_t reads_in_wait = 0;
  std::uint64_t reads_by_round = 0;
};

// A change of leadership, as this master saw it.
struct LeadershipMoment {
  Instant at;
  std::chrono::sys_time<Duration> wall;  // for people; the order is that of `at`
  Term term;
  std::optional<NodeId> leader;  // empty: none from here on
  std::string why;
};
inline constexpr std::size_t kLeadershipMomentsMax = 200;  // older ones are forgotten

// One moment of the group, never changed after it is published.
struct View {
  ClusterId cluster_id;  // empty until bootstrap is over
  NodeId self;
  Incarnation incarnation;
  Uuid process;
  Role role = Role::follower;
  Term term;
  std::optional<NodeId> leader;      // self included; empty while none is known
  std::optional<Instant> leader_since;
  Index commit;
  Index applied;
  Index last;  // end of the log, synced or not
  Term last_term;
  Index snapshot;
  Term snapshot_term;
  Index configuration;  // the entry that made the configuration in force
  // The commit index this leader knew when it was elected: key blocks at or below it may be used at once. Blocks above
  // it are used only when their own entry has been committed and applied (so: always ask the registry, never the log).
  Index commit_at_election;
  std::vector<MemberView> members;   // self included
  // Removed, which Raft goes by already; but that is not known to be committed yet and may be undone. For people.
  std::vector<MemberView> leaving;
  std::uint64_t digest = 0;          // of the state machine at `digest_at`; equal on members that have applied the same
  Index digest_at;                   // a little behind `applied`; 0: none yet
  LeaseView lease;
  std::string last_change;           // one line: who leads and why it changed
  std::shared_ptr<const std::vector<LeadershipMoment>> history;  // since this start, oldest first; may be null: none
  std::string barred;                // not elected, since another has acknowledged what this one lacks: a sentence; else empty
  std::string waiting_for;           // bootstrap: "localhost:9335 has not answered yet"; empty otherwise

  bool is_leader() const { return role == Role::leader; }
  const MemberView* member(NodeId id) const {
    for (const auto& m : members)
      if (m.id == id) return &m;
    return nullptr;
  }
  const MemberView* leader_member() const { return leader ? member(*leader) : nullptr; }
};

class Consensus {
 public:
  virtual ~Consensus() = default;

  // The newest view; never null.
  virtual std::shared_ptr<const View> view() const = 0;

  // Whether this master leads and may hand out file ids at `now`: one atomic load and a comparison.
  virtual bool may_assign(Instant now) const = 0;

  // Puts one command (registry.h) into the log, together with others that arrive meanwhile. `done` gets the state
  // machine's answer once the entry is committed and applied here, or an error: not_leader and busy are surely without
  // effect; outcome_unknown may take effect later. Called exactly once, on the applying thread: it must be short and
  // not call back into propose() and wait. When shutting down all that is pending ends as outcome_unknown.
  using Done = std::function<void(Result<std::string>)>;
  virtual void propose(std::string command, Done done) = 0;

  // For reads of the state machine that must see everything that was acknowledged before they came: `done` gets the
  // index they are good for, once this master has applied it. Any member may ask; the leader confirms that it leads. An
  // error (unavailable): nobody could be confirmed within about a second; no harm was done, ask again. Called exactly
  // once, on the applying thread, as that of propose().
  using ReadDone = std::function<void(Result<Index>)>;
  virtual void confirm_read(ReadDone done) = 0;

  // The same for a read of one key, as topology::keys_changed_by() names it. While a new leader may not commit yet because
  // an earlier lease may still run, it answers this one too if nothing that its predecessor may have committed changed the
  // key. Then `whole` is false: what is read besides the key may have been changed.
  struct KeyRead {
    Index index;
    bool whole = true;
  };
  using KeyReadDone = std::function<void(Result<KeyRead>)>;
  virtual void confirm_read_of(std::string /*key*/, KeyReadDone done) {
    confirm_read([done = std::move(done)](const Result<Index>& index) {
      done(index ? Result<KeyRead>(KeyRead{*index}) : Result<KeyRead>(index.error()));
    });
  }

  // Whether what was read a moment ago from a state up to `applied` may be answered without asking anyone: this master
  // leads by a lease, and has told nobody of a commit beyond. Read first, then ask, then answer. Cheap.
  virtual bool may_answer(Index /*applied*/) const { return false; }

  // `changed` is called after each new view that differs in more than lag, on the thread that publishes it: be short.
  // Given once, before start.
  virtual void on_view_change(std::function<void()> changed) = 0;
};

}  // namespace holdfast::master
