// VipPolicy: when this master may hold the virtual IP, and when it must let go of it (docs/virtual-ip.md).
//
// Only a leader holds it, under a grant of its own: kVipGrant, counted from the sending of the newest heartbeat that a
// majority has answered in this term. Whoever votes for a later leader answers the earlier one no more, so that grant is
// over kVipGrant after any later election at the latest. A new leader waits kVipGrant and kVipMargin from its election; the
// margin is for the kernel, which drops an expired address a part of a second late, and for clocks.
//
// It need not wait when it is told that the address is free: by the leader before it, which has let go of it for ever in
// its term, or by that one's guardian, which has removed it. Whoever speaks for term t knows nothing of a later holder; but
// a leader takes the address only after it has committed an entry of its term, and that entry is in the log of every later
// leader: so word of a term below that of the last entry in the new leader's log is too old to count.
//
// Pure: every Instant comes from the caller. Not thread-safe.
#pragma once

#include <algorithm>
#include <optional>

#include "base/time.h"
#include "model/ids.h"

namespace holdfast::master {

inline constexpr std::chrono::seconds kVipGrant(2);
inline constexpr Duration kVipMargin = 1s;
inline constexpr Duration kVipRenewEvery = 500ms;
// The kernel counts whole seconds from when it is told: only a grant as young as this is passed on, half the margin is left
// for the kernel.
inline constexpr Duration kVipFresh = 250ms;

// How this master stands in consensus.
struct LeadFacts {
  bool leads = false;
  Term term;
  Term previous_term;     // leading: of the last entry before its own term
  Instant elected = kDistantPast;
  bool has_committed = false;  // leading: an entry of its own term
  Instant answered = kDistantPast;  // leading: when the newest heartbeat was sent that a majority has answered
  bool revoked = false;   // leading: its guardian has told the others that it let go
  // The newest that others have said: of this term, free from then on.
  struct Word {
    Term term;
    Instant free_at;
  };
  std::optional<Word> word;
};

class VipPolicy {
 public:
  enum class Action { nothing, take, renew, drop };

  // What to do now; the caller does it, and says so with done() when it has succeeded.
  [[nodiscard]] Action look(Instant now, const LeadFacts& facts) const {
    const bool may = facts.leads && !facts.revoked;
    const bool fresh = now - facts.answered < kVipFresh;
    if (held_) {
      if (!may || *held_ != facts.term || now >= facts.answered + kVipGrant) return Action::drop;
      return fresh && now >= renewed_ + kVipRenewEvery ? Action::renew : Action::nothing;
    }
    if (!may || !facts.has_committed || !fresh || now < free_at(facts)) return Action::nothing;
    return Action::take;
  }

  void done(Action action, Instant now, const LeadFacts& facts) {
    if (action == Action::drop) held_.reset();
    if (action == Action::take) held_ = facts.term;
    if (action == Action::take || action == Action::renew) renewed_ = now;
  }

  // From when on nobody else can hold it, for a leader that does not hold it itself.
  [[nodiscard]] static Instant free_at(const LeadFacts& facts) {
    const Instant by_time = facts.elected + kVipGrant + kVipMargin;
    if (!facts.word || facts.word->term < facts.previous_term || facts.word->term >= facts.term) return by_time;
    return std::min(by_time, facts.word->free_at);
  }

  [[nodiscard]] bool holds() const { return held_.has_value(); }

 private:
  std::optional<Term> held_;  // in this term
  Instant renewed_ = kDistantPast;
};

}  // namespace holdfast::master
