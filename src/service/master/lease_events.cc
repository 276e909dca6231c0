#include "service/master/lease_events.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>

namespace holdfast::master {
namespace {

// A hand-over leaves followers without a leader for a moment: no expiry.
constexpr Duration kSuccessorWithin = 200ms;

std::string wall_text(io::WallTime wall) {
  const auto second = std::chrono::floor<std::chrono::seconds>(wall);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(wall - second).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(second)), micros);
}

std::optional<io::WallTime> parse_wall(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, micros = 0, end = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &year, &month, &day, &hour, &minute, &second, &micros,
                  &end) != 7 ||
      static_cast<std::size_t>(end) != text.size()) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return io::WallTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                      std::chrono::minutes(minute) + std::chrono::seconds(second) + std::chrono::microseconds(micros));
}

bool holds(const raft::LeaseHeld& held, const raft::Time& now) {
  return now.boot < held.until.boot && now.raw < held.until.raw;
}

}  // namespace

const char* text(LeaseEventKind kind) {
  switch (kind) {
    case LeaseEventKind::grant: return "grant";
    case LeaseEventKind::hand_over: return "hand-over";
    case LeaseEventKind::loss: return "loss";
    case LeaseEventKind::expiry: return "expiry";
    case LeaseEventKind::conflict: return "conflict";
  }
  return "";
}

std::string lease_line(const LeaseEvent& event) {
  boost::json::object line;
  line["wall"] = wall_text(event.wall);
  line["boot"] = nullptr;  // below: a double would lose digits after some weeks
  line["event"] = text(event.kind);
  line["term"] = event.term.value();
  line["holder"] = event.holder_address;
  line["holderId"] = text(event.holder);
  if (event.length > Duration(0)) line["leaseMs"] = milliseconds(event.length);
  line["cause"] = event.cause;
  line["seenBy"] = event.seen_by;
  auto out = boost::json::serialize(line);
  const auto micros = event.at.time_since_epoch().count() / 1000;
  const auto boot = fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
  out.replace(out.find("null"), 4, boot);  // the first: no text stands before it
  return out;
}

Result<LeaseEvent> parse_lease_line(std::string_view line) {
  boost::system::error_code failed;
  const auto value = boost::json::parse(line, failed);
  const Error wrong{Code::corrupt, "not a line of lease.log"};
  if (failed || !value.is_object()) return wrong;
  const auto& object = value.as_object();
  const auto word = [&](const char* name) -> std::string {
    const auto* field = object.if_contains(name);
    return field != nullptr && field->is_string() ? std::string(field->as_string()) : "";
  };
  const auto number = [&](const char* name) -> std::uint64_t {
    const auto* field = object.if_contains(name);
    boost::system::error_code none;
    return field != nullptr && field->is_number() ? field->to_number<std::uint64_t>(none) : 0;
  };
  LeaseEvent event;
  const auto kind = word("event");
  const auto* found = std::find_if(std::begin(kLeaseEventKinds), std::end(kLeaseEventKinds),
                                   [&](LeaseEventKind one) { return kind == text(one); });
  const auto wall = parse_wall(word("wall"));
  const auto holder = Uuid::parse(word("holderId"));
  const auto* boot = object.if_contains("boot");
  if (found == std::end(kLeaseEventKinds) || !wall || !holder || boot == nullptr || !boot->is_number()) return wrong;
  event.kind = *found;
  event.wall = *wall;
  const auto seconds = boot->to_number<double>();
  if (!(seconds >= 0 && seconds < 4e9)) return wrong;
  event.at = Instant(std::chrono::microseconds(std::llround(seconds * 1e6)));
  event.term = Term(number("term"));
  event.holder = NodeId(*holder);
  event.length = std::chrono::milliseconds(std::min<std::uint64_t>(number("leaseMs"), 3'600'000));
  event.cause = word("cause");
  event.holder_address = word("holder");
  event.seen_by = word("seenBy");
  return event;
}

void LeaseObserver::add(LeaseEventKind kind, Term term, NodeId holder, std::string cause, Duration length) {
  found_.push_back({.kind = kind, .term = term, .holder = holder, .length = length, .cause = std::move(cause)});
}

std::vector<LeaseEvent> LeaseObserver::look(const raft::CoreStatus& status, const raft::Time& now, io::WallTime wall,
                                            const std::string& why) {
  found_.clear();
  look_at_own(status, now, why);
  look_at_others(status, now, why);
  if (status.counters.waits != waits_) {
    waits_ = status.counters.waits;
    add(LeaseEventKind::conflict, status.term, self_,
        fmt::format("the lease of an earlier leader may still run for {} ms: nothing is committed before",
                    milliseconds(status.lease.wait_left) + 1));
  }
  was_transferring_ = status.transferring;
  term_ = status.term;
  for (auto& event : found_) {
    event.at = now.boot;
    event.wall = wall;
  }
  return std::exchange(found_, {});
}

void LeaseObserver::look_at_own(const raft::CoreStatus& status, const raft::Time& now, const std::string& why) {
  using enum LeaseEventKind;
  const bool leads = status.role == raft::Role::leader;
  const bool held = leads && holds(status.lease.held, now);
  if (own_ && (!leads || status.term != own_->term)) {
    const bool ran_out = own_->by_lease && !(now.boot < own_->until.boot && now.raw < own_->until.raw);
    if (!own_->over) add(was_transferring_ ? hand_over : ran_out ? expiry : loss, own_->term, self_, why);
    own_.reset();
  }
  if (!leads) return;
  if (!own_) {
    // Without leases who leads is all there is to say; with them the first round of answers is waited for.
    if (!held && status.lease.asked > Duration(0)) return;
    own_ = Own{.term = status.term, .epoch = status.lease.epoch, .by_lease = held, .until = status.lease.held.until};
    add(grant, status.term, self_, held ? why : why + "; reads ask a majority",
        held ? status.lease.asked : Duration(0));
    return;
  }
  if (held && !own_->by_lease) {
    own_->by_lease = true;
    own_->epoch = status.lease.epoch;
    add(grant, status.term, self_, "leases count from here on", status.lease.asked);
  } else if (own_->by_lease && status.lease.epoch != own_->epoch) {
    if (!own_->over) add(hand_over, own_->term, self_, "given up so that another master can lead at once");
    own_->epoch = status.lease.epoch;
    own_->over = true;
  } else if (own_->by_lease && !held && !own_->over) {
    own_->over = true;
    if (status.lease.revoked) {
      add(loss, own_->term, self_, "revoked by its guardian: this process showed no sign of life");
    } else if (status.lease.clocks_apart) {
      add(loss, own_->term, self_, "the clocks of this machine differ in speed");
    } else if (!status.transferring) {
      add(expiry, own_->term, self_, "no majority of the voters has renewed it in time");
    } else {
      own_->over = false;  // the epoch tells in a moment, or the term does
    }
  } else if (own_->over && held) {
    own_->over = false;
    add(grant, own_->term, self_, "a majority renews it again", status.lease.asked);
  }
  if (held) own_->until = status.lease.held.until;
}

void LeaseObserver::look_at_others(const raft::CoreStatus& status, const raft::Time& now, const std::string& why) {
  if (status.leader == self_) {
    followed_.reset();
  } else if (status.leader) {
    const bool is_news = !followed_ || followed_->term != status.term || followed_->holder != *status.leader;
    // The same one, heard again: nothing was granted to anybody in between.
    if (is_news) add(LeaseEventKind::grant, status.term, *status.leader, why);
    followed_ = Followed{.term = status.term, .holder = *status.leader};
  } else if (followed_) {
    if (!followed_->lost_at) followed_->lost_at = now.boot;
    if (now.boot - *followed_->lost_at >= std::max(status.lease.cap, kSuccessorWithin)) {
      add(LeaseEventKind::expiry, followed_->term, followed_->holder, "nobody has followed yet: " + why);
      followed_.reset();
    }
  }
}

std::optional<LeaseEvent> LeaseObserver::spoke(NodeId from, Term term, const raft::Time& now, io::WallTime wall) {
  if (term >= term_ || term == Term()) return std::nullopt;
  auto& last = spoke_[from];
  if (term <= last) return std::nullopt;
  last = term;
  return LeaseEvent{.kind = LeaseEventKind::conflict, .at = now.boot, .wall = wall, .term = term, .holder = from,
                    .cause = fmt::format("calls itself leader of term {} while term {} is on; it is told so", term.value(),
                                         term_.value())};
}

std::optional<LeaseEvent> LeaseObserver::ended(const raft::Time& now, io::WallTime wall) {
  if (!own_ || own_->over) return std::nullopt;
  const auto term = own_->term;
  own_.reset();
  return LeaseEvent{.kind = LeaseEventKind::loss, .at = now.boot, .wall = wall, .term = term, .holder = self_,
                    .cause = "this master stops"};
}

}  // namespace holdfast::master
