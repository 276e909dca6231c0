#include "service/master/reach.h"

#include <algorithm>
#include <limits>

#include "base/codec.h"
#include "base/crc32c.h"

namespace holdfast::master {
namespace {

constexpr std::string_view kMagic = "HFR1";
constexpr std::size_t kHeadBytes = 4 + 4;
constexpr Duration kUnit = 10ms;
constexpr std::uint32_t kNever = 0xffff;
constexpr std::uint8_t kLinked = 1;
constexpr std::size_t kMembersTold = 31;  // as many as a cluster may have

// Rates are told from two exchanges at least so far apart, and the first one is replaced after a while, so that a clock that
// was wrong once is not held against it for ever.
constexpr Duration kRateOver = 10s;
constexpr Duration kRateAtMostOver = 60s;
constexpr std::int64_t kClockRateMax = 2;  // of another's, that is believed
constexpr Duration kRoundTripMax = 100ms;  // beyond that an exchange says too little about clocks

std::uint32_t units(Duration age) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(age / kUnit, 0, kNever - 1));
}

void put_u16(Writer& out, std::uint32_t v) {
  out.u8(static_cast<std::uint8_t>(v >> 8));
  out.u8(static_cast<std::uint8_t>(v));
}
std::uint32_t take_u16(Reader& in) {
  const std::uint32_t high = in.u8();
  return high << 8 | in.u8();
}

}  // namespace

const char* text(Reached reached) {
  switch (reached) {
    case Reached::unknown: return "unknown";
    case Reached::yes: return "yes";
    case Reached::by_stream: return "stream";
    case Reached::no: return "no";
  }
  return "";
}

void Reach::members(const std::map<NodeId, bool>& linked) {
  members_ = linked;
  const auto gone = [&](const auto& one) { return !members_.contains(one.first); };
  std::erase_if(watched_, gone);
  std::erase_if(rows_, gone);
}

Reach::Row Reach::own_row(Instant now) const {
  Row row{.made = now};
  for (const auto& [id, linked] : members_) {
    ReachCell cell{.linked = linked};
    const auto watched = watched_.find(id);
    if (id == self_) {
      cell.heard = Duration(0);
    } else if (watched != watched_.end()) {
      cell.heard = now - watched->second.heard;
    }
    row.cells[id] = cell;
  }
  return row;
}

std::string Reach::datagram_to(NodeId to, Instant now, io::WallTime wall) {
  std::vector<NodeId> ids;
  for (const auto& [id, linked] : members_) {
    if (ids.size() < kMembersTold) ids.push_back(id);
  }
  Writer out;
  out.id(cluster_);
  out.id(self_);
  out.uuid(process_);
  out.u64(static_cast<std::uint64_t>(now.time_since_epoch().count()));
  out.u64(static_cast<std::uint64_t>(wall.time_since_epoch().count()));
  const auto echoed = watched_.find(to);
  out.u64(echoed == watched_.end() ? 0 : static_cast<std::uint64_t>(echoed->second.stamp));
  out.u64(echoed == watched_.end() ? 0 : static_cast<std::uint64_t>((now - echoed->second.heard).count()));
  out.u8(static_cast<std::uint8_t>(ids.size()));
  for (const auto id : ids) out.id(id);

  std::vector<std::pair<std::size_t, Row>> rows;
  const std::size_t bytes_each = 1 + 2 + 3 * ids.size();
  const std::size_t room = (kReachBytesMax - kHeadBytes - out.bytes().size() - 1) / bytes_each;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == self_) rows.emplace_back(i, own_row(now));
  }
  for (std::size_t n = 0; n < ids.size() && rows.size() < room; ++n) {
    const std::size_t i = (next_row_ + n) % ids.size();
    const auto row = rows_.find(ids[i]);
    if (ids[i] != to && row != rows_.end() && now - row->second.made < kRowFreshFor) rows.emplace_back(i, row->second);
  }
  if (!ids.empty()) next_row_ = (next_row_ + 1) % ids.size();
  out.u8(static_cast<std::uint8_t>(rows.size()));
  for (const auto& [index, row] : rows) {
    out.u8(static_cast<std::uint8_t>(index));
    put_u16(out, units(now - row.made));
    for (const auto id : ids) {
      const auto cell = row.cells.find(id);
      const bool known = cell != row.cells.end();
      put_u16(out, known && cell->second.heard ? units(*cell->second.heard) : kNever);
      out.u8(known && cell->second.linked ? kLinked : 0);
    }
  }
  std::string datagram(kMagic);
  append_be(datagram, crc32c(bytes_of(out.bytes())));
  return datagram + out.bytes();
}

bool Reach::received(BytesView datagram, Instant now, io::WallTime wall) {
  if (datagram.size() < kHeadBytes || text_of(datagram.first(4)) != kMagic) return false;
  const auto rest = datagram.subspan(kHeadBytes);
  if (load_be<std::uint32_t>(datagram.data() + 4) != crc32c(rest)) return false;
  Reader in(rest);
  const auto cluster = in.id<ClusterId>();
  const auto from = in.id<NodeId>();
  const auto process = in.uuid();
  const auto stamp = static_cast<std::int64_t>(in.u64());
  const auto calendar = static_cast<std::int64_t>(in.u64());
  const auto echo = static_cast<std::int64_t>(in.u64());
  const auto held = static_cast<std::int64_t>(in.u64());
  std::vector<NodeId> ids(in.u8());
  if (ids.size() > kMembersTold) return false;
  for (auto& id : ids) id = in.id<NodeId>();
  std::map<NodeId, Row> rows;
  const std::size_t row_count = in.u8();
  for (std::size_t n = 0; n < row_count && in.ok(); ++n) {
    const std::size_t owner = in.u8();
    Row row{.made = now - kUnit * take_u16(in)};
    for (const auto id : ids) {
      const auto heard = take_u16(in);
      ReachCell cell;
      if (heard != kNever) cell.heard = kUnit * heard;
      cell.linked = (in.u8() & kLinked) != 0;
      row.cells[id] = cell;
    }
    if (owner >= ids.size()) return false;
    rows[ids[owner]] = std::move(row);
  }
  if (!in.at_end() || cluster != cluster_ || from == self_ || !members_.contains(from)) return false;

  auto& one = watched_[from];
  if (one.process != process) one = Watched{.process = process};
  if (stamp <= one.stamp) return true;  // overtaken, or doubled
  one.stamp = stamp;
  one.heard = now;
  const Instant sent{Duration(echo)};
  // By a fast clock it may have been held for longer than the whole round took by ours.
  if (echo > 0 && held >= 0 && sent <= now && Duration(held) / kClockRateMax <= now - sent) {
    watch_clock(one, std::max(now - sent - Duration(held), Duration(0)), stamp, calendar, now, wall);
  }
  for (auto& [id, row] : rows) {
    if (id == self_ || !members_.contains(id)) continue;
    auto& known = rows_[id];
    if (row.made > known.made) known = std::move(row);
  }
  return true;
}

void Reach::watch_clock(Watched& one, Duration round_trip, std::int64_t stamp, std::int64_t calendar, Instant now,
                        io::WallTime wall) {
  if (!one.seen) one.seen.emplace();
  one.seen->round_trip = round_trip;
  one.seen->calendar_ahead = Duration(calendar) + round_trip / 2 - wall.time_since_epoch();
  if (round_trip > kRoundTripMax) return;
  const Duration offset = Duration(stamp) + round_trip / 2 - now.time_since_epoch();
  const Duration watched = now - one.begun;
  if (one.begun != kDistantPast && watched >= kRateOver) {
    const auto over = static_cast<double>(watched.count());
    one.seen->rate = static_cast<double>((offset - one.offset_then).count()) / over;
    one.seen->rate_error = static_cast<double>((round_trip + one.round_trip_then).count()) / 2 / over;
  }
  if (one.begun == kDistantPast || watched >= kRateAtMostOver) {
    one.begun = now;
    one.offset_then = offset;
    one.round_trip_then = round_trip;
  }
}

ReachMatrix Reach::matrix(Instant now) const {
  ReachMatrix out;
  for (const auto& [id, linked] : members_) out.members.push_back(id);
  const auto own = own_row(now);
  for (const auto from : out.members) {
    auto& line = out.cells.emplace_back();
    for (const auto to : out.members) {
      const auto row = rows_.find(to);
      const Row* account = to == self_ ? &own : row != rows_.end() ? &row->second : nullptr;
      if (account == nullptr || now - account->made > kRowFreshFor) {
        line.push_back(Reached::unknown);
        continue;
      }
      const auto cell = account->cells.find(from);
      if (cell == account->cells.end()) {
        line.push_back(Reached::unknown);  // it does not know that member yet
      } else if (cell->second.heard && *cell->second.heard < kReachedWithin) {
        line.push_back(Reached::yes);
      } else {
        line.push_back(cell->second.linked ? Reached::by_stream : Reached::no);
      }
    }
  }
  return out;
}

std::optional<ClockSeen> Reach::clock_of(NodeId member) const {
  const auto found = watched_.find(member);
  return found == watched_.end() ? std::nullopt : found->second.seen;
}

}  // namespace holdfast::master
