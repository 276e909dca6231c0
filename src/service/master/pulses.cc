#include "service/master/pulses.h"

#include <algorithm>

#include "api/pulse.h"

namespace holdfast::master {

namespace {

// Datagrams have stopped after so many thirds of what makes a server silent: it has the last third to be heard otherwise.
constexpr int kStoppedThirds = 2;

Instant stops_at(Instant heard, Duration lasts) { return heard + lasts * kStoppedThirds / 3; }

}  // namespace

Pulses::Terms Pulses::open(topology::SessionId session, topology::Topology::Life life,
                           std::function<void(bool heard)> tell) {
  Guard guard(mutex_);
  auto [it, is_new] = lines_.try_emplace(session.value());
  Line& line = it->second;
  if (is_new) {
    for (std::size_t i = 0; i < api::kPulseKeyBytes; i += 8) append_be(line.key, random_.next());
  }
  line.life = std::move(life);
  line.tell = std::move(tell);
  return {.line = session.value(), .key = line.key, .heard = line.heard};
}

void Pulses::close(topology::SessionId session) {
  std::function<void(bool)> last;  // what it holds goes without the lock
  Guard guard(mutex_);
  const auto found = lines_.find(session.value());
  if (found == lines_.end()) return;
  last = std::move(found->second.tell);
  lines_.erase(found);
}

bool Pulses::received(BytesView datagram, Instant now) {
  const auto pulse = api::read_pulse(datagram);
  if (!pulse) return false;
  bool look_soon = false;
  {
    Guard guard(mutex_);
    const auto found = lines_.find(pulse->line);
    if (found == lines_.end()) return false;
    Line& line = found->second;
    if (pulse->number <= line.number || !api::is_genuine(datagram, line.key)) return false;
    line.number = pulse->number;
    line.at = now;
    line.is_new = true;
    const auto& liveness = *line.life.liveness;
    const bool was_alive = liveness.alive(now);
    look_soon = !line.life.liveness->extend(now + line.life.lasts) || !was_alive || !line.heard;
  }
  if (look_soon) wake_();
  return true;
}

Pulses::Look Pulses::look(Instant now) {
  Look out;
  std::vector<std::pair<std::function<void(bool)>, bool>> telling;
  {
    Guard guard(mutex_);
    for (auto& [id, line] : lines_) {
      if (std::exchange(line.is_new, false)) out.heard.push_back({topology::SessionId(id), line.at});
      const bool heard = now < stops_at(line.at, line.life.lasts);
      if (heard) out.next = std::min(out.next, stops_at(line.at, line.life.lasts));
      if (std::exchange(line.heard, heard) != heard) telling.emplace_back(line.tell, heard);
    }
  }
  for (const auto& [tell, heard] : telling) tell(heard);
  return out;
}

}  // namespace holdfast::master
