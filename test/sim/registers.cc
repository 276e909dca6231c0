#include "test/sim/registers.h"

#include <fmt/format.h>

#include <algorithm>

namespace holdfast::sim {

void Registers::wrote(std::uint64_t key, Value value, Instant begin, std::optional<Instant> end) {
  auto& v = keys_[key][value];
  v.written = true;
  v.write_begin = begin;
  v.last_begin = std::max(v.last_begin, begin);
  if (end) v.first_end = std::min(v.first_end, *end);
  ++size_;
}

void Registers::read(std::uint64_t key, Value value, Instant begin, Instant end) {
  auto& v = keys_[key][value];
  v.last_begin = std::max(v.last_begin, begin);
  v.first_end = std::min(v.first_end, end);
  v.first_read_end = std::min(v.first_read_end, end);
  ++v.reads;
  ++size_;
}

std::optional<std::string> Registers::contradiction() const {
  struct Zone {
    Instant from;
    Instant to;
    Value value;
  };
  for (const auto& [key, values] : keys_) {
    std::vector<Zone> forward;
    std::vector<Zone> backward;
    for (auto [value, v] : values) {
      if (value == 0) {
        v.written = true;
        v.first_end = kDistantPast;
      }
      if (!v.written) return fmt::format("register {}: a read saw {}, which nobody wrote", key, value);
      if (v.first_read_end < v.write_begin) {
        return fmt::format("register {}: a read of {} ended before its write began", key, value);
      }
      if (v.first_end == kDistantFuture) continue;  // its outcome is unknown and nobody saw it
      if (v.first_end < v.last_begin) {
        forward.push_back({v.first_end, v.last_begin, value});
      } else {
        backward.push_back({v.last_begin, v.first_end, value});
      }
    }
    std::sort(forward.begin(), forward.end(), [](const Zone& a, const Zone& b) { return a.from < b.from; });
    for (std::size_t i = 1; i < forward.size(); ++i) {
      if (forward[i - 1].to > forward[i].from) {
        return fmt::format("register {}: {} and {} were both surely held at {} ns", key, forward[i - 1].value,
                           forward[i].value, forward[i].from.time_since_epoch().count());
      }
    }
    // Forward zones are disjoint here: only the last one that begins before a backward zone can contain it.
    for (const auto& zone : backward) {
      auto after = std::lower_bound(forward.begin(), forward.end(), zone.from,
                                    [](const Zone& f, Instant from) { return f.from < from; });
      if (after == forward.begin()) continue;
      const auto& around = *std::prev(after);
      if (around.to > zone.to) {
        return fmt::format("register {}: {} was held at some instant while {} surely was, around {} ns", key,
                           zone.value, around.value, zone.from.time_since_epoch().count());
      }
    }
  }
  return std::nullopt;
}

}  // namespace holdfast::sim
