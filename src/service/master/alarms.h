// Alarms: what an operator of the masters should look at, each told once when it begins and once when it has passed.
//
//   changes      leadership changes hands again and again
//   no_leader    a leader's time ran out and nobody has followed
//   conflict     two masters called themselves leader, or a new one had to wait for the lease of the one before
//   cut          one master does not reach another, though others do (one direction is enough)
//   clock        a clock runs at another speed than the others, or a calendar is far off
//
// An alarm that comes and goes is one alarm: it passes only after its cause has not been seen for kAlarmStays.
//
// Pure; not thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "service/master/lease_events.h"
#include "service/master/reach.h"

namespace holdfast::master {

enum class AlarmKind { changes, no_leader, conflict, cut, clock };
inline constexpr AlarmKind kAlarmKinds[] = {AlarmKind::changes, AlarmKind::no_leader, AlarmKind::conflict, AlarmKind::cut,
                                            AlarmKind::clock};
const char* text(AlarmKind kind);

struct Alarm {
  AlarmKind kind = AlarmKind::changes;
  std::string text;  // a sentence without its full stop
  Instant since;
  bool is_on = true;  // else its cause is gone, and it stays for a moment
};

inline constexpr Duration kAlarmStays = 15s;
inline constexpr std::size_t kChangesMany = 4;        // changes of leadership
inline constexpr Duration kChangesWithin = 60s;       // in this time
inline constexpr Duration kNoLeaderFor = 1s;          // elections take a fraction of it
inline constexpr Duration kCutFor = 2s;               // the account of a master that has just died says "heard" for a moment
inline constexpr Duration kConflictShown = 60s;
inline constexpr double kClockRateApart = 0.01;       // twice what leases allow one clock (core/raft/core.h, clock_drift)
inline constexpr Duration kCalendarApart = 5s;        // nothing rests on it but people who compare log lines

class Alarms {
 public:
  struct Seen {
    Instant now;
    bool has_leader = false;
    bool takes_part = false;        // bootstrap is over
    bool clocks_apart = false;      // this machine's own two
    std::string last_change;
    const ReachMatrix* matrix = nullptr;
    std::map<NodeId, ClockSeen> clocks;
    std::function<std::string(NodeId)> name;
  };

  void happened(const LeaseEvent& event);

  // What has begun and what has passed since the last look; all() is what is.
  struct News {
    std::vector<Alarm> begun;
    std::vector<Alarm> passed;
  };
  News look(const Seen& seen);

  std::vector<Alarm> all() const;

 private:
  struct Kept {
    Alarm alarm;
    Instant seen;
  };
  void note(AlarmKind kind, const std::string& key, std::string text, const Seen& seen, News* news);
  void look_at_matrix(const Seen& seen, News* news);

  std::map<std::string, Kept> kept_;
  std::deque<Instant> changes_;
  std::optional<LeaseEvent> conflict_;
  std::map<std::pair<NodeId, NodeId>, Instant> suspected_;  // from, to: since when
  std::optional<Instant> leaderless_since_;
  Term term_;  // of the last grant
};

}  // namespace holdfast::master
