// Silence: how long a leader may be quiet before a follower suspects it.
//
// S follows how late beats (and the answers to one's own, which are taken with the next ones) came at worst in the last
// seconds: kFactor times that, between `min` and `max`. The worst counts at once and fades with a half-life of about two seconds of beats, so a busy
// machine is not suspected for being busy, and a quiet one is found dead fast.
//
// A wrong suspicion (the suspect went on leading) costs little; more than one an hour doubles S, an hour without one
// halves it again.
//
// Pure; not thread-safe.
#pragma once

#include "base/time.h"

namespace holdfast::raft {

class Silence {
 public:
  struct Options {
    Duration interval;  // of beats; `min` is to be about three of these
    Duration initial;
    Duration min;
    Duration max;
    bool fixed;  // always `initial`
  };

  explicit Silence(Options options);

  Duration timeout() const;

  void observe_gap(Duration gap);           // between two beats of one leader
  void observe_round_trip(Duration round);  // of this leader's own beats
  void suspected_wrongly(Instant now);

  // Lets an hour without wrong suspicions count. Cheap; call it with any event.
  void passed(Instant now);

 private:
  void observe(Duration length);

  // Constant after construction.
  const Options options_;

  Duration worst_;  // fading maximum
  int doublings_ = 0;
  Instant last_wrong_ = kDistantPast;
};

}  // namespace holdfast::raft
