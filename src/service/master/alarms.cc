#include "service/master/alarms.h"

#include <fmt/format.h>

#include <algorithm>

namespace holdfast::master {

const char* text(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::changes: return "changes";
    case AlarmKind::no_leader: return "no_leader";
    case AlarmKind::conflict: return "conflict";
    case AlarmKind::cut: return "cut";
    case AlarmKind::clock: return "clock";
  }
  return "";
}

void Alarms::happened(const LeaseEvent& event) {
  if (event.kind == LeaseEventKind::conflict) conflict_ = event;
  if (event.kind != LeaseEventKind::grant || event.term == term_) return;  // earned again in its term: nobody else led
  // The first leader that this process sees is no change.
  if (term_ != Term()) changes_.push_back(event.at);
  term_ = event.term;
}

void Alarms::note(AlarmKind kind, const std::string& key, std::string words, const Seen& seen, News* news) {
  const auto [place, is_new] = kept_.try_emplace(std::string(text(kind)) + " " + key,
                                                 Kept{.alarm = {.kind = kind, .text = words, .since = seen.now}, .seen = seen.now});
  if (is_new) news->begun.push_back(place->second.alarm);
  place->second.seen = seen.now;
  place->second.alarm.text = std::move(words);
}

// Nobody hears a master that is down: that stands among the masters, and is no cut.
void Alarms::look_at_matrix(const Seen& seen, News* news) {
  const auto& matrix = *seen.matrix;
  const auto count = matrix.members.size();
  const auto before = std::exchange(suspected_, {});
  for (std::size_t from = 0; from < count; ++from) {
    const bool is_heard = std::any_of(matrix.cells[from].begin(), matrix.cells[from].end(), [&, to = std::size_t{0}](Reached r) mutable {
      return to++ != from && (r == Reached::yes || r == Reached::by_stream);
    });
    for (std::size_t to = 0; to < count; ++to) {
      const auto cell = matrix.cells[from][to];
      // Of two, each of which hears nothing: it may be gone. Of two, one of which hears the other: one direction is cut.
      const bool back = matrix.cells[to][from] == Reached::yes;
      if (from == to || cell != Reached::no || !(is_heard || back)) continue;
      const std::pair pair(matrix.members[from], matrix.members[to]);
      const auto earlier = before.find(pair);
      const auto since = suspected_[pair] = earlier == before.end() ? seen.now : earlier->second;
      if (seen.now - since < kCutFor) continue;
      const auto a = seen.name(matrix.members[from]), b = seen.name(matrix.members[to]);
      note(AlarmKind::cut, a + " " + b,
           fmt::format("what {} sends does not reach {}{}", a, b, back ? ", though the other way is open" : ""), seen, news);
    }
  }
}

Alarms::News Alarms::look(const Seen& seen) {
  News news;
  const Instant now = seen.now;
  while (!changes_.empty() && now - changes_.front() > kChangesWithin) changes_.pop_front();
  if (changes_.size() >= kChangesMany) {
    note(AlarmKind::changes, "", fmt::format("leadership changed {} times within a minute; last: {}", changes_.size(), seen.last_change),
         seen, &news);
  }
  if (seen.has_leader || !seen.takes_part) {
    leaderless_since_.reset();
  } else if (!leaderless_since_) {
    leaderless_since_ = now;
  } else if (now - *leaderless_since_ >= kNoLeaderFor) {
    note(AlarmKind::no_leader, "", "no master leads, nobody has followed the last one: " + seen.last_change, seen, &news);
  }
  if (conflict_ && now - conflict_->at < kConflictShown) {
    note(AlarmKind::conflict, "", fmt::format("two terms overlapped: {}, term {}, {}", seen.name(conflict_->holder),
                                              conflict_->term.value(), conflict_->cause), seen, &news);
  }
  if (seen.clocks_apart) note(AlarmKind::clock, "own", "the two clocks of this machine differ in speed", seen, &news);
  for (const auto& [id, clock] : seen.clocks) {
    const auto who = seen.name(id);
    if (clock.rate && std::abs(*clock.rate) - clock.rate_error > kClockRateApart) {
      note(AlarmKind::clock, "rate " + who,
           fmt::format("the clock of {} runs {:.1f} % {} than this master's: leases allow for 0.5 % each", who,
                       std::abs(*clock.rate) * 100, *clock.rate > 0 ? "faster" : "slower"), seen, &news);
    }
    const auto off = clock.calendar_ahead < Duration(0) ? -clock.calendar_ahead : clock.calendar_ahead;
    if (off - clock.round_trip > kCalendarApart) {
      note(AlarmKind::clock, "calendar " + who,
           fmt::format("the calendar of {} is {:.0f} s {} this master's", who, seconds(off),
                       clock.calendar_ahead > Duration(0) ? "ahead of" : "behind"), seen, &news);
    }
  }
  if (seen.matrix != nullptr) look_at_matrix(seen, &news);
  for (auto& [key, kept] : kept_) kept.alarm.is_on = kept.seen == now;
  std::erase_if(kept_, [&](const auto& one) {
    // What the minute says of itself needs no further moment.
    const auto stays = one.second.alarm.kind == AlarmKind::conflict ? Duration(0) : kAlarmStays;
    const bool is_over = one.second.seen != now && now - one.second.seen >= stays;
    if (is_over) news.passed.push_back(one.second.alarm);
    return is_over;
  });
  return news;
}

std::vector<Alarm> Alarms::all() const {
  std::vector<Alarm> out;
  for (const auto& [key, kept] : kept_) out.push_back(kept.alarm);
  return out;
}

}  // namespace holdfast::master
