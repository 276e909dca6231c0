// Expiry: the leader's clock over keys with a time to live. What the state cannot know: since when a life runs.
//
// A life is counted from when this leader first saw it, which is no earlier than it was committed. begin() forgets
// everything, so under a new leader (or a new term of the same) every key has its full time again. A life that is over
// is named by due() until it is gone, at first at once and then every kRepeat, since a proposal may be lost.
//
// Pure; not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "core/kv/space.h"

namespace holdfast::kv {

class Expiry {
 public:
  static constexpr Duration kRepeat = std::chrono::seconds(1);

  // This master begins to lead.
  void begin();

  // Counts lives that are new in `space` from `now`, and returns those that are over, at most
  // kExpiriesPerCommandMax.
  std::vector<Expire::One> look(const Space& space, Instant now);

  // When the next life known here ends.
  Instant next() const { return ends_.empty() ? kDistantFuture : ends_.begin()->first; }

 private:
  Life seen_;
  std::multimap<Instant, Life> ends_;
};

}  // namespace holdfast::kv
