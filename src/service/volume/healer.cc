#include "service/volume/healer.h"

#include <algorithm>

#include "base/log.h"
#include "service/volume/catch_up.h"

namespace holdfast::volume {

Result<std::shared_ptr<Volume>> Healer::find(VolumeId id) const {
  auto volume = world_.store.find(id);
  if (!volume) return Error(Code::not_found, "not found volume id " + text(id));
  return volume;
}

std::optional<Healer::Waiting> Healer::take(VolumeId id, std::uint64_t token) {
  const Guard guard(mutex_);
  const auto it = waiting_.find(id);
  if (it == waiting_.end() || it->second.token != token) return std::nullopt;
  auto out = std::move(it->second);
  waiting_.erase(it);
  return out;
}

Result<std::uint64_t> Healer::freeze(VolumeId id, std::uint64_t token, Duration time) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  if (auto frozen = (*volume)->freeze(token, std::min(time, kTimeMax)); !frozen) return frozen.error();
  // A removal or an unmount that came first has let go of what was frozen here.
  const auto now = find(id);
  if (!now || &(*now)->replica() != &(*volume)->replica()) {
    return Error(Code::not_found, "volume " + text(id) + " was replaced while it was to be frozen");
  }
  LOG_INFO("volume {}: takes no writes for now: a copy of it is made for one that was lost", text(id));
  return (*volume)->replica().epoch();
}

Status Healer::extend(VolumeId id, std::uint64_t token, Duration time) {
  time = std::min(time, kTimeMax);
  {
    const Guard guard(mutex_);
    const auto it = waiting_.find(id);
    if (it != waiting_.end() && it->second.token == token) {
      it->second.until = world_.clock.now() + time;
      return {};
    }
  }
  const auto volume = find(id);
  if (!volume) return volume.error();
  return (*volume)->replica().extend(token, time);
}

Status Healer::thaw(VolumeId id, std::uint64_t token) {
  if (const auto waiting = take(id, token)) {
    world_.store.drop_copy(waiting->place);
    LOG_INFO("volume {}: the copy that was made here is not needed any more", text(id));
    return {};
  }
  if (const auto volume = find(id)) (*volume)->replica().thaw(token);
  return {};
}

Status Healer::copy(VolumeId id, const std::string& source, std::uint64_t token, Duration time, Cancel& cancel) {
  // What an earlier leader left waiting is worth nothing to this one.
  std::optional<Waiting> left;
  {
    const Guard guard(mutex_);
    if (const auto it = waiting_.find(id); it != waiting_.end()) {
      left = std::move(it->second);
      waiting_.erase(it);
    }
  }
  if (left) world_.store.drop_copy(left->place);
  auto place = world_.receiver.fetch({.id = id, .disk_type = {}, .source = source, .bytes_per_second = 0}, cancel);
  if (!place) return place.error();
  LOG_INFO("volume {}: copied from {}, as one of its copies was lost; not served yet", text(id), source);
  const Guard guard(mutex_);
  waiting_[id] = {token, world_.clock.now() + std::min(time, kTimeMax), std::move(*place)};
  return {};
}

Status Healer::adopt(VolumeId id, std::uint64_t token, bool frozen, std::uint64_t from, std::uint64_t to) {
  if (const auto waiting = take(id, token)) {
    // Its epoch is on disk before it is a volume at all.
    if (auto written = ReplicaState::write(world_.disk, waiting->place.hfe(), to); !written) {
      world_.store.drop_copy(waiting->place);
      return written;
    }
    if (auto served = world_.store.end_copy(waiting->place); !served) return served.error();
    LOG_INFO("volume {}: the copy made here is served now, epoch {}", text(id), to);
    world_.changed();
    return {};
  }
  const auto volume = find(id);
  if (!volume) return volume.error();
  auto adopted = (*volume)->replica().adopt(frozen ? std::optional(token) : std::nullopt, from, to);
  if (adopted) LOG_INFO("volume {}: its copies are of epoch {} from now on, and writes of epoch {} are refused", text(id), to, from);
  world_.changed();
  return adopted;
}

Status Healer::outdate(VolumeId id, std::uint64_t by) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  auto& replica = (*volume)->replica();
  if (replica.outdated_by() >= by) return {};
  if (auto outdated = replica.outdate(by); !outdated) return outdated;
  LOG_WARNING("volume {}: this copy, of epoch {}, is neither read nor written any more: it was away, and others of epoch {} "
              "have taken its place", text(id), replica.epoch(), by);
  world_.changed();
  return {};
}

Pacer Healer::pacer(std::uint64_t bytes_per_second) const {
  const auto bound = world_.bytes_per_second;
  return Pacer(world_.clock, bound > 0 ? std::min(bound, bytes_per_second) : bytes_per_second);
}

Status Healer::content(VolumeId id, const std::function<Status(BytesView)>& give, Cancel& cancel) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  constexpr std::size_t kPieceBytes = ContentEntry::kBytes * 8192;
  std::string piece;
  Pacer pace = pacer(kCompareBytesPerSecond);
  const auto walked = walk_content(*volume, pace, cancel, [&](const ContentEntry& entry) -> Status {
    entry.append_to(piece);
    if (piece.size() < kPieceBytes) return {};
    auto given = give(bytes_of(piece));
    piece.clear();
    return given;
  });
  if (!walked || piece.empty()) return walked;
  return give(bytes_of(piece));
}

Result<Coverage::Answer> Healer::compare(VolumeId id, const std::string& source, std::uint64_t to, Cancel& cancel) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  const bool is_outdated = (*volume)->replica().outdated_by() != 0;
  if (is_outdated) (*volume)->settle_writes();  // what was under way when it became outdated
  if (!is_outdated && (*volume)->live_needles() > kFilesMax) {
    return Error(Code::no_space, "too many files to be held against others in the background");
  }
  const auto address = world_.receiver.source_of(source);
  if (!address) return address.error();
  Pacer pace = pacer(is_outdated ? kCompareBytesPerSecond : kBackgroundBytesPerSecond);
  const bool with_deletions = (*volume)->replica().epoch() >= to;
  auto coverage = Coverage::of(*volume, is_outdated, with_deletions, pace, cancel);
  if (!coverage) return coverage.error();
  const auto other = client::VolumeSource::at(*address);
  const Cancel::Hook hook(cancel, [&] { other->cancel(); });
  const auto told = other->content(id, [&](BytesView entries) -> Status {
    if (entries.size() % ContentEntry::kBytes != 0) return Error(Code::corrupt, "the other copy's server sends what are no entries");
    for (std::size_t at = 0; at < entries.size(); at += ContentEntry::kBytes) {
      coverage->known(ContentEntry::parse(entries.data() + at));
    }
    return {};
  });
  if (!told) return told.error();
  const auto answer = coverage->answer();
  if (!is_outdated) return answer;
  const Guard guard(mutex_);
  if (answer.is_covered()) {
    covered_[id] = *volume;
  } else {
    covered_.erase(id);
  }
  return answer;
}

Status Healer::discard(VolumeId id, std::uint64_t by) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  const auto& replica = (*volume)->replica();
  if (replica.outdated_by() == 0 || replica.outdated_by() > by || replica.epoch() >= by) {
    return Error(Code::refused, "volume " + text(id) + " is not outdated by epoch " + std::to_string(by) + " here");
  }
  {
    const Guard guard(mutex_);
    const auto it = covered_.find(id);
    if (it == covered_.end() || it->second.lock() != *volume) {
      return Error(Code::refused, "volume " + text(id) + " was not compared with a copy that knows all that is in it");
    }
    covered_.erase(it);
  }
  if (auto removed = world_.store.remove(id, false); !removed) return removed.error();
  LOG_INFO("volume {}: the outdated copy is removed: all its files are known to the copies of epoch {}", text(id), by);
  world_.changed();
  return {};
}

Result<std::uint64_t> Healer::catch_up(VolumeId id, const std::string& source, Cancel& cancel) {
  const auto volume = find(id);
  if (!volume) return volume.error();
  const auto address = world_.receiver.source_of(source);
  if (!address) return address.error();
  {
    const Guard guard(mutex_);
    if (!catching_up_.insert(id).second) return Error(Code::busy, "volume " + text(id) + " is being mended already");
  }
  const auto other = client::VolumeSource::at(*address);
  Pacer pace = pacer(kCompareBytesPerSecond);
  auto appended = CatchUp(world_.store, world_.disk, *volume, *other, pace, cancel).run(world_.changed);
  {
    const Guard guard(mutex_);
    catching_up_.erase(id);
  }
  if (appended) {
    LOG_INFO("volume {}: this copy was the beginning of the one on {}; the {} bytes that it lacked were appended", text(id), source, *appended);
  }
  return appended;
}

void Healer::tend() {
  std::vector<std::pair<VolumeId, VolumePlace>> over;
  {
    const Guard guard(mutex_);
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (world_.clock.now() < it->second.until) {
        ++it;
        continue;
      }
      over.emplace_back(it->first, std::move(it->second.place));
      it = waiting_.erase(it);
    }
  }
  for (const auto& [id, place] : over) {
    LOG_WARNING("volume {}: the copy made here is dropped: the master that ordered it has not come back to it", text(id));
    world_.store.drop_copy(place);
  }
}

}  // namespace holdfast::volume
