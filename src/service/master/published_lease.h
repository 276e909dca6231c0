// PublishedLease: what the thread that runs consensus lets others answer by its lease.
//
// A reader reads the state first, noting the last entry in it, then asks covers() with the clocks as they are now, and
// only then answers. It may answer if at one moment in between the lease was held and nobody had been told of a commit
// that the state did not have: publish() comes before any message that says otherwise, so that moment is when the lease
// was looked at. What else may end a lease (a guardian's word, a machine that stood still) is asked after covers().
//
// One thread publishes, any number read; nobody waits for anybody.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/time.h"
#include "core/raft/core.h"
#include "model/ids.h"

namespace holdfast::master {

class PublishedLease {
 public:
  // Nothing may be answered from here on.
  void withdraw() {
    if (is_open_) put(kDistantPast, {}, {}, 0);
  }

  // `applied`: the last entry of the state that has everything any member was told of. `marker`: of the machine's pauses.
  void publish(const raft::LeaseHeld& held, Index applied, std::uint64_t marker) {
    if (held.in_wait || held.until.boot == kDistantPast) return withdraw();
    put(held.until, held.term, applied, marker);
  }

  struct Held {
    Term term;
    std::uint64_t marker = 0;
  };
  // Whether a state up to `applied` is an answer at `now`; nothing if not.
  [[nodiscard]] std::optional<Held> covers(Index applied, const raft::Time& now) const {
    const auto before = version_.load(std::memory_order_acquire);
    if ((before & 1) != 0) return std::nullopt;
    std::array<std::int64_t, kFields> seen{};
    for (std::size_t i = 0; i < kFields; ++i) seen[i] = fields_[i].load(std::memory_order_acquire);
    if (version_.load(std::memory_order_acquire) != before) return std::nullopt;
    if (now.boot.time_since_epoch().count() >= seen[0] || now.raw.time_since_epoch().count() >= seen[1]) return std::nullopt;
    if (applied.value() < static_cast<std::uint64_t>(seen[3])) return std::nullopt;
    return Held{Term(static_cast<std::uint64_t>(seen[2])), static_cast<std::uint64_t>(seen[4])};
  }

 private:
  static constexpr std::size_t kFields = 5;

  void put(const raft::Time& until, Term term, Index applied, std::uint64_t marker) {
    const std::array<std::int64_t, kFields> fields = {
        until.boot.time_since_epoch().count(), until.raw.time_since_epoch().count(),
        static_cast<std::int64_t>(term.value()), static_cast<std::int64_t>(applied.value()),
        static_cast<std::int64_t>(marker)};
    const auto version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1);
    for (std::size_t i = 0; i < kFields; ++i) fields_[i].store(fields[i]);
    version_.store(version + 2);
    is_open_ = until.boot != kDistantPast;
  }

  std::atomic<std::uint64_t> version_{0};  // odd: being written
  std::array<std::atomic<std::int64_t>, kFields> fields_{kDistantPast.time_since_epoch().count(),
                                                         kDistantPast.time_since_epoch().count()};
  bool is_open_ = false;  // the publisher's own
};

}  // namespace holdfast::master
