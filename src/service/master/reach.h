// Reach: who hears whom among the masters, in both directions, with round trips and clocks.
//
// While all is well followers say nothing to each other, and a connection that is cut in one direction looks whole from one
// side for a long time. So each member sends each other one a small datagram twice a second, numbered by the sender's clock,
// and says in it when it last heard each member (its row) and what it knows of the rows of the others. Row b of the matrix is
// b's own account: cell (a, b) says whether what a sends arrives at b. A row reaches everybody who hears b, or hears somebody
// who does; what is older than kRowFreshFor is unknown.
//
// Datagrams of other masters also carry their clocks: from the round trips follows whether a clock runs at another speed
// than ours (rates only: leases rest on them), and how far its calendar is off.
//
// A datagram: "HFR1", CRC-32C of all that follows, cluster, sender, sender's process, its clock (ns), its calendar (ns); the
// receiver's clock as last heard and how long ago (ns; for the round trip); count and ids of members; count of rows, each:
// whose (index), its age in 10 ms, and for each member when it was last heard, in 10 ms (65535: not within 10 minutes), and
// flags (1: reached by its stream).
//
// Pure: clocks and bytes come from the caller. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "io/clock.h"
#include "model/ids.h"

namespace holdfast::master {

inline constexpr Duration kReachInterval = 500ms;
inline constexpr Duration kReachedWithin = 2500ms;  // several datagrams lost in a row
inline constexpr Duration kRowFreshFor = 3s;
inline constexpr std::size_t kReachBytesMax = 1200;

// What one member says of one other.
struct ReachCell {
  std::optional<Duration> heard;  // ago, by datagram
  bool linked = false;            // reached by its stream, as far as one can tell

  friend bool operator==(const ReachCell&, const ReachCell&) = default;
};

enum class Reached { unknown, yes, by_stream, no };
const char* text(Reached reached);  // "unknown", "yes", "stream", "no"

// cells[from][to]: what `from` sends, `to` hears; by the account of `to`.
struct ReachMatrix {
  std::vector<NodeId> members;
  std::vector<std::vector<Reached>> cells;
};

// How another's clocks go, beside this member's.
struct ClockSeen {
  Duration calendar_ahead{};              // of ours; give or take half a round trip
  Duration round_trip{};
  std::optional<double> rate;             // its second in ours, less 1; once it has been watched for a while
  double rate_error = 0;                  // that much of it may be the network
};

class Reach {
 public:
  Reach(ClusterId cluster, NodeId self, Uuid process) : cluster_(cluster), self_(self), process_(process) {}

  // The members in force, and which of them reach this one by their stream; what others are told from now on.
  void members(const std::map<NodeId, bool>& linked);

  std::string datagram_to(NodeId to, Instant now, io::WallTime wall);

  // False: not a datagram of this kind from another member.
  bool received(BytesView datagram, Instant now, io::WallTime wall);

  // Whether any datagram of that member has ever come.
  bool has_heard(NodeId member) const { return watched_.contains(member); }

  ReachMatrix matrix(Instant now) const;
  std::optional<ClockSeen> clock_of(NodeId member) const;

 private:
  struct Row {
    Instant made = kDistantPast;  // on our clock
    std::map<NodeId, ReachCell> cells;
  };
  struct Watched {
    Uuid process;
    Instant heard = kDistantPast;
    std::int64_t stamp = 0;  // its clock then
    std::optional<ClockSeen> seen;
    // Where its clock stood against ours when the watch of its rate began.
    Instant begun = kDistantPast;
    Duration offset_then{};
    Duration round_trip_then{};
  };
  void watch_clock(Watched& one, Duration round_trip, std::int64_t stamp, std::int64_t calendar, Instant now, io::WallTime wall);
  Row own_row(Instant now) const;

  const ClusterId cluster_;
  const NodeId self_;
  const Uuid process_;
  std::map<NodeId, bool> members_;  // self included
  std::map<NodeId, Watched> watched_;
  std::map<NodeId, Row> rows_;      // of others
  std::size_t next_row_ = 0;        // when not all fit into one datagram
};

}  // namespace holdfast::master
