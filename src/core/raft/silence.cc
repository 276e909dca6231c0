#include "core/raft/silence.h"

#include <algorithm>

namespace holdfast::raft {
namespace {

constexpr int kFactor = 4;           // beats 15 ms late, common on a loaded machine, mean S = 100 ms
constexpr Duration kOnTime = 10ms;   // what a beat that comes on time counts for
constexpr int kFade = 96;            // per sample; at 30 beats a second the half-life is 2.2 s
constexpr int kDoublingsMax = 4;     // 16 times; options_.max bounds it anyway
constexpr Duration kHour = 3600s;

}  // namespace

Silence::Silence(Options options) : options_(options), worst_(options.initial / kFactor) {}

Duration Silence::timeout() const {
  if (options_.fixed) return options_.initial;
  return std::clamp<Duration>(worst_ * kFactor * (1 << doublings_), options_.min, options_.max);
}

void Silence::observe_gap(Duration gap) { observe(gap); }
void Silence::observe_round_trip(Duration round) { observe(round); }

void Silence::observe(Duration length) {
  length = std::max(length - options_.interval, Duration(0)) + kOnTime;
  // A pause longer than any S says that the leader was gone, not how regular it is.
  length = std::clamp<Duration>(length, Duration(0), options_.max / kFactor);
  worst_ = std::max(length, worst_ - worst_ / kFade);
}

void Silence::suspected_wrongly(Instant now) {
  if (last_wrong_ != kDistantPast && now - last_wrong_ < kHour) {
    doublings_ = std::min(doublings_ + 1, kDoublingsMax);
  }
  last_wrong_ = now;
}

void Silence::passed(Instant now) {
  if (doublings_ > 0 && now - last_wrong_ >= kHour) {
    --doublings_;
    last_wrong_ = now;
  }
}

}  // namespace holdfast::raft
