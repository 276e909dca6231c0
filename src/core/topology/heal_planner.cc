#include "core/topology/heal_planner.h"

#include <algorithm>

namespace holdfast::topology {

namespace {

const HealCopy* one_that_cannot_take_part(const std::vector<HealCopy>& copies) {
  const auto it = std::find_if(copies.begin(), copies.end(), [](const HealCopy& copy) { return !copy.can_take_part; });
  return it == copies.end() ? nullptr : &*it;
}

std::string cannot_take_part(const HealCopy& copy) {
  return "its copy on " + copy.place.id + " cannot be asked now, or is of a server that knows no epochs of copies";
}

std::string too_many(const HealVolume& volume) {
  return std::to_string(volume.copies.size()) + " copies instead of " + std::to_string(volume.wanted());
}

// Why no copy of it may be called surplus now; "": one may.
std::string surplus_obstacle(const HealVolume& volume) {
  if (volume.busy) return "it is under vacuum, half made or erasure-coded";
  if (const auto* copy = one_that_cannot_take_part(volume.copies)) return cannot_take_part(*copy);
  for (const HealCopy& copy : volume.copies) {
    // Whoever moves a volume stops it first, and removes one of the copies itself.
    if (copy.is_read_only) return "its copy on " + copy.place.id + " is read-only: it may be on its way elsewhere";
  }
  if (!volume.aside.empty()) return "an old copy is there that has not gone yet";
  if (choose_surplus(volume) == nullptr) return "without any of them the others would not stand as " + text(volume.replica_placement) + " asks";
  return {};
}

bool has_copy_on(const HealVolume& volume, const std::string& server) {
  return std::any_of(volume.copies.begin(), volume.copies.end(), [&](const HealCopy& copy) { return copy.place.id == server; });
}

}  // namespace

std::string copies_gone(const HealVolume& volume) {
  return std::to_string(volume.wanted() - std::min(volume.wanted(), volume.copies.size())) + " of its " +
         std::to_string(volume.wanted()) + " copies gone";
}

void HealPlanner::forget() {
  shorts_.clear();
  surplus_.clear();
  old_copies_.clear();
  troubles_.clear();
}

std::vector<HealTask> HealPlanner::plan(const HealView& view, const World& world, Turn turn, PickRandom& random) {
  std::vector<HealTask> out;
  if (is_too_much_at_once(view)) turn.may_change = false;
  may_change_ = turn.may_change;
  troubles_.clear();
  plan_old_copies(view, turn, out);
  plan_surplus(view, world, turn, out);
  plan_makes(view, world, turn, random, out);
  return out;
}

// What was away while its volume was mended does not serve what it knows from before; and it goes, once the copies that count
// are found to know everything in it.
void HealPlanner::plan_old_copies(const HealView& view, Turn& turn, std::vector<HealTask>& out) {
  std::map<std::pair<VolumeId, std::string>, OldCopy> old;
  for (const HealVolume& volume : view.with_aside) {
    for (const HealCopy& copy : volume.aside) {
      const std::pair key(volume.id, copy.place.id);
      const auto known = old_copies_.find(key);
      auto& one = old[key] = known == old_copies_.end() ? OldCopy{.next = turn.now + kOutdateAfter, .told = copy.is_outdated, .found = {}}
                                                        : known->second;
      if (!one.found.empty()) {
        troubles_[volume.id] = "the old copy on " + copy.place.id + " serves nothing and stays: " + one.found +
                               ". If nothing in it is wanted, delete it on that server";
      }
      // One that is just being moved on to the epoch, or has been and did not tell of it yet, is none of them.
      if ((copy.epoch >= volume.agreed_epoch && !copy.is_outdated) || !copy.can_take_part || turn.under_way.contains(volume.id)) continue;
      if (turn.now < one.next) continue;
      if (!one.told) {
        one.next = turn.now + kOutdateAgain;
        out.push_back({HealTask::Kind::outdate, volume, copy, {}, {}});
        continue;
      }
      // Not in a cluster that may be cut in two, nor before every copy that should be there is.
      const bool all_there = volume.is_complete() && volume.epoch == volume.agreed_epoch && !volume.busy &&
                             one_that_cannot_take_part(volume.copies) == nullptr;
      if (grace_ <= Duration(0) || !all_there || is_too_much_at_once(view) || !turn.may_compare || turn.is_locked) continue;
      one.next = turn.now + kCompareAgain;
      turn.may_compare = false;
      out.push_back({HealTask::Kind::hold_against, volume, copy, {}, {}});
    }
  }
  old_copies_ = std::move(old);
}

void HealPlanner::plan_surplus(const HealView& view, const World& world, Turn& turn, std::vector<HealTask>& out) {
  std::map<VolumeId, Short> surplus;
  std::size_t looked_into = 0;
  for (const VolumeId id : view.with_surplus) {
    const auto known = surplus_.find(id);
    Short& one = surplus[id] = known == surplus_.end() ? Short{.since = turn.now, .next = turn.now + grace_, .obstacle = {}} : known->second;
    const bool may = turn.may_change && turn.may_compare && !turn.is_locked && grace_ > Duration(0) && turn.now >= one.next &&
                     !turn.under_way.contains(id);
    if (may && ++looked_into <= kLookedInto) {
      if (const auto volume = world.volume(id); volume && volume->copies.size() > volume->wanted()) {
        const auto obstacle = surplus_obstacle(*volume);
        one.obstacle = obstacle.empty() ? std::string() : too_many(*volume) + ", and none goes: " + obstacle;
        one.next = turn.now + (obstacle.empty() ? kCompareAgain : kObstacleWait);
        if (obstacle.empty()) {
          turn.may_compare = false;
          out.push_back({HealTask::Kind::look, *volume, {}, {}, one.since});
        }
      }
    }
    if (!one.obstacle.empty()) troubles_[id] = one.obstacle;
  }
  surplus_ = std::move(surplus);
}

std::optional<HealCopy> HealPlanner::surplus_of(const HealVolume& found_equal, const std::optional<HealVolume>& there,
                                                Instant now) const {
  const auto known = surplus_.find(found_equal.id);
  if (!may_change_ || grace_ <= Duration(0) || known == surplus_.end() || now - known->second.since < grace_) return {};
  if (!there || there->epoch != found_equal.epoch || there->copies.size() != found_equal.copies.size()) return {};
  for (const HealCopy& copy : found_equal.copies) {
    if (!has_copy_on(*there, copy.place.id)) return {};
  }
  if (!surplus_obstacle(*there).empty()) return {};
  return *choose_surplus(*there);
}

bool HealPlanner::may_discard(const HealVolume& compared, const std::optional<HealVolume>& there) {
  if (!there || !there->is_complete() || there->busy || there->epoch != compared.epoch || there->epoch != there->agreed_epoch) return false;
  if (one_that_cannot_take_part(there->copies) != nullptr) return false;
  return std::all_of(there->copies.begin(), there->copies.end(), [&](const HealCopy& copy) { return has_copy_on(compared, copy.place.id); });
}

void HealPlanner::plan_makes(const HealView& view, const World& world, Turn& turn, PickRandom& random, std::vector<HealTask>& out) {
  std::map<VolumeId, Short> shorts;
  std::size_t looked_into = 0;
  for (const VolumeId id : view.short_of_copies) {
    const auto known = shorts_.find(id);
    Short& one = shorts[id] = known == shorts_.end() ? Short{.since = turn.now, .next = turn.now + grace_, .obstacle = {}} : known->second;
    const bool may = turn.may_change && grace_ > Duration(0) && turn.now >= one.next && !turn.under_way.contains(id) && turn.makes_max > 0;
    if (may && ++looked_into <= kLookedInto) {
      if (const auto volume = world.volume(id); volume && !volume->is_complete()) {
        if (auto task = plan_make(*volume, one, world, turn, random)) {
          --turn.makes_max;
          out.push_back(std::move(*task));
        }
      }
    }
    if (!one.obstacle.empty()) troubles_[id] = one.obstacle;
  }
  shorts_ = std::move(shorts);
}

// A task, or notes what is in the way.
std::optional<HealTask> HealPlanner::plan_make(const HealVolume& volume, Short& one, const World& world, Turn& turn, PickRandom& random) {
  const auto not_now = [&](const std::string& why) {
    one.next = turn.now + kObstacleWait;  // others come first
    one.obstacle = copies_gone(volume) + ": " + why;
    return std::nullopt;
  };
  if (volume.busy) return not_now("it is under vacuum, half made or erasure-coded");
  if (const auto* copy = one_that_cannot_take_part(volume.copies)) return not_now(cannot_take_part(*copy));
  for (const HealCopy& copy : volume.copies) {
    if (turn.is_locked && copy.is_read_only) {
      return not_now("its copy on " + copy.place.id + " is read-only and the admin lock is held: it may be on its way elsewhere");
    }
  }
  const HealCopy& source = volume.copies.front();
  if (turn.busy.contains(source.place.id)) return {};
  std::vector<HealPlace> holders;
  for (const HealCopy& copy : volume.copies) holders.push_back(copy.place);
  auto places = world.targets(volume.id, volume.disk_type);
  if (choose_target(holders, places, volume.replica_placement, random).empty()) {
    return not_now("no server with room for it fits its placement " + text(volume.replica_placement));
  }
  std::erase_if(places, [&](const HealPlace& place) { return turn.busy.contains(place.id); });
  const auto target = choose_target(holders, places, volume.replica_placement, random);
  if (target.empty()) return {};  // all that fit are at work
  one.obstacle.clear();
  turn.busy.insert(source.place.id);
  turn.busy.insert(target);
  return HealTask{HealTask::Kind::make, volume, source, target, one.since};
}

void HealPlanner::told(VolumeId volume, const std::string& server, Instant now) {
  const auto it = old_copies_.find({volume, server});
  if (it == old_copies_.end()) return;
  it->second.told = true;
  it->second.next = now + std::min(grace_, kCompareAfterMax);
}

void HealPlanner::stays(VolumeId volume, const std::string& server, std::string why) {
  if (const auto it = old_copies_.find({volume, server}); it != old_copies_.end()) it->second.found = std::move(why);
}

// Again after another grace time.
void HealPlanner::not_made(VolumeId volume, Instant now, const std::string& why) {
  const auto it = shorts_.find(volume);
  if (it == shorts_.end()) return;
  it->second.next = now + grace_;
  it->second.obstacle = "the last try failed: " + why;
}

}  // namespace holdfast::topology
