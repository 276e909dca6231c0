// LeaseEvents: what happens to the leading master's lease, as one member sees it; for lease.log, the page and metrics.
//
//   grant      somebody leads and holds a lease (or leads without one, where leases are off: `length` is 0 then)
//   hand_over  the holder gave it up so that another can have it at once
//   loss       the holder lost it before its time: it learned of a later term, a guardian revoked it, its clocks differ
//   expiry     it ran out: no majority renewed it; or, seen by others, nobody followed in its time
//   conflict   two terms overlap: a new leader has to wait for an earlier lease, or an old one still calls itself leader
//
// A renewal is no event. LeaseObserver finds them in what the core says of itself after each of its steps.
// Pure; not thread-safe: belongs to the thread that runs the core.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/raft/core.h"
#include "io/clock.h"

namespace holdfast::master {

enum class LeaseEventKind { grant, hand_over, loss, expiry, conflict };
inline constexpr LeaseEventKind kLeaseEventKinds[] = {LeaseEventKind::grant, LeaseEventKind::hand_over, LeaseEventKind::loss,
                                                      LeaseEventKind::expiry, LeaseEventKind::conflict};
const char* text(LeaseEventKind kind);  // "grant", "hand-over", ...

struct LeaseEvent {
  LeaseEventKind kind = LeaseEventKind::grant;
  Instant at;         // of the observer's CLOCK_BOOTTIME
  io::WallTime wall{};
  Term term;
  NodeId holder;
  Duration length{};  // granted to this member; 0: leases are off, or it is another's
  std::string cause;
  // Filled in where the addresses are known.
  std::string holder_address;
  std::string seen_by;

  friend bool operator==(const LeaseEvent&, const LeaseEvent&) = default;
};

// One line of lease.log: {"wall":"2026-11-21T22:41:12.123456Z","boot":34567.123456,"event":"grant","term":5,
// "holder":"10.0.0.1:9333","holderId":"..","leaseMs":80,"cause":"..","seenBy":"10.0.0.1:9333"}; without leaseMs where it is
// not known. Back: an Error for what is no such line.
std::string lease_line(const LeaseEvent& event);
Result<LeaseEvent> parse_lease_line(std::string_view line);

class LeaseObserver {
 public:
  explicit LeaseObserver(NodeId self) : self_(self) {}

  // After a step. `why` is the last reason given for a change of leadership.
  std::vector<LeaseEvent> look(const raft::CoreStatus& status, const raft::Time& now, io::WallTime wall, const std::string& why);

  // `from` speaks as leader of `term`, which is over. Once for each.
  std::optional<LeaseEvent> spoke(NodeId from, Term term, const raft::Time& now, io::WallTime wall);

  // This member stops.
  std::optional<LeaseEvent> ended(const raft::Time& now, io::WallTime wall);

 private:
  struct Own {
    Term term;
    std::uint64_t epoch = 0;
    bool by_lease = false;
    bool over = false;       // and that was told; it may be earned again
    raft::Time until;        // the last one seen
  };
  struct Followed {
    Term term;
    NodeId holder;
    std::optional<Instant> lost_at;
  };
  void look_at_own(const raft::CoreStatus& status, const raft::Time& now, const std::string& why);
  void look_at_others(const raft::CoreStatus& status, const raft::Time& now, const std::string& why);
  void add(LeaseEventKind kind, Term term, NodeId holder, std::string cause, Duration length = Duration(0));

  const NodeId self_;
  std::optional<Own> own_;
  std::optional<Followed> followed_;
  bool was_transferring_ = false;
  std::uint64_t waits_ = 0;
  std::map<NodeId, Term> spoke_;
  Term term_;
  std::vector<LeaseEvent> found_;
};

}  // namespace holdfast::master
