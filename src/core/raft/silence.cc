#include "core/raft/silence.h"

#include <algorithm>

namespace holdfast::raft {
namespace {

constexpr int kFactor = 4;           // a gap of 25 ms, common on a loaded machine, means S = 100 ms
constexpr int kFade = 256;           // per sample; at 100 beats a second the half-life is 1.8 s
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
