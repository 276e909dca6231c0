#include "service/master/healing.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace holdfast::master {

namespace {

using Healed = VolumeOrders::Healed;
using topology::copies_gone;
using topology::HealCopy;
using topology::HealPlace;
using topology::HealTask;
using topology::HealView;
using topology::HealVolume;

// As the admin lock names this.
constexpr const char* kLockClient = "self-healing";

// Nobody knows what was done, or will be yet.
bool is_without_answer(const Error& error) {
  return error.code() == Code::unavailable || error.code() == Code::timed_out || error.code() == Code::outcome_unknown;
}

long seconds(Duration time) { return static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(time).count()); }

}  // namespace

Healing::Healing(Shared& shared, KeyValues& space)
    : shared_(shared),
      space_(space),
      planner_(shared.options.heal_after),
      made_count_(metrics::process().counter("holdfast_master_copies_healed_total", "lost copies that were made again",
                                             {{"result", "success"}})),
      failed_count_(metrics::process().counter("holdfast_master_copies_healed_total", "lost copies that were made again",
                                               {{"result", "failure"}})) {}

bool Healing::is_current(const Heal& heal) const {
  const auto view = shared_.consensus.load()->view();
  return !stopped_ && view->is_leader() && view->term == heal.term;
}

void Healing::look(Instant now) {
  if (now - looked_at_ < kHealLook) return;
  looked_at_ = now;
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader()) return;
  if (term_ != view->term) {
    term_ = view->term;
    planner_.forget();
    attempts_ = 0;
    comparing_ = false;
    look_ = {};
    look_.pass = look_.next = now + kFirstLook * shared_.options.heal_after;
    troubles_.clear();
    begun_at_ = kDistantPast;
  }
  const auto heals = heals_;  // tend() may end one
  for (const auto& [id, heal] : heals) tend(heal, now);
  if (now - begun_at_ < kHealBegin) return;
  begun_at_ = now;
  const HealView missing = shared_.with_topology([](topology::Topology& topology) { return topology.heal_view(); });
  auto waiting = what_all_wait_for(missing);
  const auto holder = lock_holder(missing);
  topology::HealPlanner::Turn turn{.now = now,
                                   .may_change = waiting.empty(),
                                   .may_compare = !comparing_,
                                   .is_locked = holder.has_value(),
                                   .under_way = {},
                                   .busy = {},
                                   .makes_max = kHealsAtOnce - std::min(kHealsAtOnce, heals_.size())};
  for (const auto& [id, heal] : heals_) {
    turn.under_way.insert(id);
    turn.busy.insert({heal->source.place.id, heal->target});
  }
  const topology::HealPlanner::World world{
      .volume = [this](VolumeId id) {
        return shared_.with_topology([&](topology::Topology& topology) { return topology.heal_volume(id); });
      },
      .targets = [this](VolumeId id, const std::string& disk_type) {
        return shared_.with_topology([&](topology::Topology& topology) { return topology.heal_targets(id, disk_type); });
      }};
  topology::PickRandom random(shared_.random.below(~0ull));
  for (const HealTask& task : planner_.plan(missing, world, std::move(turn), random)) carry_out(task, now);
  compare_next(missing, now);
  note_lock(missing, holder);
  note_troubles(missing, std::move(waiting));
}

void Healing::carry_out(const HealTask& task, Instant now) {
  switch (task.kind) {
    case HealTask::Kind::make: begin(task.volume, task.target, task.since, now); break;
    case HealTask::Kind::outdate:
      // No removal: it counts nowhere, and must not serve what it knows from before, whoever holds the admin lock.
      outdate(task.volume, task.copy, "is of before the volume was mended", kHealStepTime, [](const Status&) {});
      break;
    case HealTask::Kind::hold_against:
      comparing_ = true;
      hold_against(task.volume, task.copy, 0);
      break;
    case HealTask::Kind::look:
      comparing_ = true;
      LOG_INFO("volume {}: {} copies, and {} were asked for, for {} s: they are held against each other, and one goes if they are equal",
               text(task.volume.id), task.volume.copies.size(), task.volume.wanted(), seconds(now - task.since));
      compare_copies(task.volume, 1, false);
      break;
  }
}

Healing::HealPtr Healing::errand(const HealVolume& volume) {
  const auto heal = std::make_shared<Heal>();
  heal->request_id = shared_.request_id();
  heal->volume = volume;
  heal->term = term_;
  return heal;
}

std::optional<std::string> Healing::lock_holder(const HealView& view) const {
  if (view.with_aside.empty() && view.with_surplus.empty() && view.short_of_copies.empty()) return {};
  return shared_.registry.with_kv([](const kv::Space& space, Index) { return admin_lock_holder(space, kShellLock); });
}

void Healing::note_lock(const HealView& view, const std::optional<std::string>& holder) {
  const bool would_go = !view.with_aside.empty() || !view.with_surplus.empty();
  std::string why;
  if (would_go && holder && *holder != kLockClient) why = *holder + " holds the admin lock and may move or remove copies itself";
  if (why != no_removal_ && !why.empty()) LOG_INFO("no old or surplus copy of a volume is removed: {}", why);
  no_removal_ = std::move(why);
}

void Healing::under_lock(VolumeId id, std::function<void(Duration, const Unlock&)> act) {
  const Instant asked = shared_.clock.now();
  const AdminToken token{static_cast<std::int64_t>(shared_.random.next() >> 1 | 1), shared_.clock.wall().time_since_epoch().count()};
  space_.write(admin_lock_taking(kShellLock, token, kLockClient, "removes a copy of volume " + text(id)),
               [this, id, asked, act = std::move(act), loop = shared_.loop_owner](const OrRefusal<kv::Answer>& answer) {
                 loop->post([this, id, asked, act, answer] {
                   if (stopped_) return;
                   const auto* taken = std::get_if<kv::Answer>(&answer);
                   const Duration left = asked + kHealRemoveTime - shared_.clock.now();
                   if (taken == nullptr || taken->outcome != kv::Outcome::done || left <= Duration(0)) {
                     LOG_INFO("volume {}: no copy goes now: the admin lock could not be taken", text(id));
                     return;
                   }
                   act(left, [this, revision = taken->modified](const Status& answered) {
                     if (!answered && is_without_answer(answered.error())) return;
                     space_.write(admin_lock_giving_back(kShellLock, revision), [](const OrRefusal<kv::Answer>&) {});
                   });
                 });
               });
}

void Healing::outdate(const HealVolume& volume, const HealCopy& copy, const std::string& why, Duration time_max,
                      const Unlock& answered) {
  order(errand(volume), copy.address,
        {.step = Step::outdate, .volume = volume.id, .to = std::max(volume.agreed_epoch, copy.epoch + 1)}, time_max,
        [this, id = volume.id, server = copy.place.id, why, answered](const Result<Healed>& done) {
          answered(done.ok() ? Status() : done.error());
          if (!done) {
            LOG_WARNING("volume {}: the copy on {} {}, and was not told: {}", text(id), server, why, done.error().what());
            return;
          }
          LOG_INFO("volume {}: the copy on {} {}: it serves nothing any more", text(id), server, why);
          planner_.told(id, server, shared_.clock.now());
        });
}

void Healing::hold_against(const HealVolume& volume, const HealCopy& copy, std::size_t at) {
  const auto& other = volume.copies[at];
  const auto gibibytes = static_cast<std::int64_t>(volume.bytes >> 30);
  order(errand(volume), copy.address,
        {.step = Step::compare, .volume = volume.id, .source = other.source, .to = volume.agreed_epoch},
        kHealTimePerGiB * (gibibytes + 1),
        [this, volume, copy, at, other = other.place.id](const Result<Healed>& compared) {
          if (compared && compared->missing == 0 && at + 1 < volume.copies.size()) return hold_against(volume, copy, at + 1);
          comparing_ = false;
          if (!compared) {
            LOG_WARNING("volume {}: the old copy on {} could not be compared with the one on {}: {}", text(volume.id),
                        copy.place.id, other, compared.error().what());
            planner_.stays(volume.id, copy.place.id, "could not be compared: " + compared.error().what());
            return;
          }
          if (compared->missing > 0) {
            planner_.stays(volume.id, copy.place.id,
                           std::to_string(compared->missing) + " of its " + std::to_string(compared->files) +
                               " files and deletions are not known to the copy on " + other + ", key " +
                               fmt::format("{:x}", compared->example.value()) +
                               " for one: made there and never acknowledged, or undone since and vacuumed; nobody can tell");
            return;
          }
          discard(volume, copy, compared->files);
        });
}

void Healing::discard(const HealVolume& volume, const HealCopy& copy, std::uint64_t files) {
  // Where that is not to be, it is held against them again in an hour.
  under_lock(volume.id, [this, volume, copy, files](Duration time_max, const Unlock& unlock) {
    const auto now = shared_.with_topology([&](topology::Topology& topology) { return topology.heal_volume(volume.id); });
    if (!topology::HealPlanner::may_discard(volume, now)) return unlock({});
    order(errand(volume), copy.address,
          {.step = Step::discard, .volume = volume.id, .to = std::max(volume.agreed_epoch, copy.epoch + 1)}, time_max,
          [id = volume.id, server = copy.place.id, files, copies = volume.copies.size(), unlock](const Result<Healed>& done) {
            unlock(done.ok() ? Status() : done.error());
            if (!done) {
              LOG_WARNING("volume {}: the old copy on {} stays: {}", text(id), server, done.error().what());
              return;
            }
            LOG_INFO("volume {}: the old copy on {} is removed: each of its {} files and deletions is known to all {} copies that "
                     "count, as it is or by something younger", text(id), server, files, copies);
          });
  });
}

// What it is told of afterwards, nobody can tell it: it stands still, is held against the others once more, and then goes.
void Healing::remove_surplus(const HealVolume& found_equal) {
  under_lock(found_equal.id, [this, found_equal](Duration time_max, const Unlock& unlock) {
    const auto now = shared_.with_topology([&](topology::Topology& topology) { return topology.heal_volume(found_equal.id); });
    const auto copy = planner_.surplus_of(found_equal, now, shared_.clock.now());
    if (!copy) return unlock({});
    outdate(*now, *copy, fmt::format("is one more than the {} that were asked for, and all {} were found equal", now->wanted(),
                                     now->copies.size()),
            time_max, unlock);
  });
}

void Healing::compare_next(const HealView& view, Instant now) {
  const Duration grace = shared_.options.heal_after;
  if (grace <= Duration(0) || comparing_ || now < look_.next || topology::is_too_much_at_once(view)) return;
  VolumeId id;
  for (const auto& [suspect, at] : look_.suspected) {
    if (now >= at) id = suspect;
  }
  const bool is_second_look = id != VolumeId();
  if (!is_second_look) {
    if (look_.waiting.empty()) {
      look_.waiting = std::exchange(look_.postponed, {});
      if (now >= look_.pass) {
        look_.pass = now + kLooksPass;
        look_.waiting = shared_.with_topology([](topology::Topology& topology) { return topology.volumes_to_compare(); });
      }
      std::reverse(look_.waiting.begin(), look_.waiting.end());
    }
    if (look_.waiting.empty()) return;
    id = look_.waiting.back();
    look_.waiting.pop_back();
  }
  look_.next = now + grace / kNextLook;
  const auto volume = shared_.with_topology([&](topology::Topology& topology) { return topology.heal_volume(id); });
  const bool can = volume && !volume->busy && volume->is_complete() && volume->copies.size() > 1 && !heals_.contains(id) &&
                   std::all_of(volume->copies.begin(), volume->copies.end(), [](const HealCopy& c) { return c.can_take_part; });
  if (!can) {
    look_.suspected.erase(id);
    if (!volume) return;
    if (is_second_look) {
      look_.suspected[id] = now + kSecondLook * grace;
    } else {
      look_.postponed.push_back(id);
    }
    return;
  }
  comparing_ = true;
  compare_copies(*volume, 1, false);
}

// Each copy against the first one, and the first one against it.
void Healing::compare_copies(const HealVolume& volume, std::size_t at, bool backwards) {
  const HealCopy& first = volume.copies.front();
  if (at == volume.copies.size()) {
    comparing_ = false;
    look_.suspected.erase(volume.id);
    look_.differ.erase(volume.id);
    if (volume.copies.size() > volume.wanted()) remove_surplus(volume);
    return;
  }
  const HealCopy& one = backwards ? first : volume.copies[at];
  const HealCopy& other = backwards ? volume.copies[at] : first;
  const auto gibibytes = static_cast<std::int64_t>(volume.bytes >> 30);
  order(errand(volume), one.address, {.step = Step::compare, .volume = volume.id, .source = other.source, .to = volume.epoch},
        kHealTimePerGiB * (gibibytes + 1),
        [this, volume, at, backwards, one, other](const Result<Healed>& compared) {
          if (!compared) {
            LOG_V(1, "volume {}: its copies were not compared: {}", text(volume.id), compared.error().what());
            comparing_ = false;
            if (!look_again(volume.id, compared.error())) look_.suspected.erase(volume.id);
            return;
          }
          if (compared->missing == 0) return compare_copies(volume, backwards ? at + 1 : at, !backwards);
          copies_differ(volume, one, other,
                        fmt::format("{} of the {} files and deletions on {} are not known on {}, key {:x} for one", compared->missing, compared->files,
                                    one.place.id, other.place.id, compared->example.value()));
        });
}

void Healing::copies_differ(const HealVolume& volume, const HealCopy& one, const HealCopy& other, const std::string& what) {
  if (!look_.suspected.contains(volume.id)) {
    comparing_ = false;
    return note_difference(volume, what);
  }
  const auto gibibytes = static_cast<std::int64_t>(volume.bytes >> 30);
  order(errand(volume), other.address, {.step = Step::catch_up, .volume = volume.id, .source = one.source},
        kHealTimePerGiB * (gibibytes + 1), [this, volume, what, one = one.place.id, other = other.place.id](const Result<Healed>& mended) {
          comparing_ = false;
          if (!mended) {
            if (!look_again(volume.id, mended.error())) note_difference(volume, what + " (" + mended.error().what() + ")");
            return;
          }
          ++made_;
          made_count_.add();
          LOG_INFO("volume {}: {}: the copy on {} was the beginning of the one on {}, and got the {} bytes that it lacked", text(volume.id),
                   what, other, one, mended->bytes);
          look_.differ.erase(volume.id);
          look_.suspected[volume.id] = shared_.clock.now();  // whether they are equal now, and the others too
        });
}

// One that changed meanwhile or could not be reached: that says nothing of its content, so a suspect stays one. False: it does.
bool Healing::look_again(VolumeId id, const Error& error) {
  const bool says_nothing = error.code() == Code::stale || error.code() == Code::busy || is_without_answer(error);
  if (says_nothing && look_.suspected.contains(id)) {
    look_.suspected[id] = shared_.clock.now() + kSecondLook * shared_.options.heal_after;
  }
  return says_nothing;
}

void Healing::note_difference(const HealVolume& volume, const std::string& what) {
  const auto suspected = look_.suspected.find(volume.id);
  if (suspected == look_.suspected.end()) {  // something may have been under way
    look_.suspected[volume.id] = shared_.clock.now() + kSecondLook * shared_.options.heal_after;
    return;
  }
  look_.suspected.erase(suspected);
  look_.differ[volume.id] = what;
}

std::string Healing::what_all_wait_for(const HealView& view) const {
  const auto& options = shared_.options;
  if (options.heal_after <= Duration(0)) return "it is switched off (-healAfter=0)";
  if (options.replication_as_minimum) {
    return "master.replication.treat_replication_as_minimums is set: a volume may have any number of copies then";
  }
  if (shared_.registry.state()->feature_level < kHealingFeatureLevel) return "not every master knows epochs of copies yet";
  if (!topology::is_too_much_at_once(view)) return {};
  return "too much is missing at once (" + std::to_string(view.copies_missing) + " of " +
         std::to_string(view.copies_missing + view.copies_there) + " copies, " + std::to_string(view.servers_silent) + " of " +
         std::to_string(view.servers) + " servers silent): that looks like a cut network rather than like lost servers";
}

void Healing::note_troubles(const HealView& view, std::string waiting) {
  std::map<VolumeId, std::string> troubles = planner_.troubles();
  for (const auto& [id, what] : look_.differ) {
    troubles[id] = "its copies differ, and none is surely the newer one: " + what +
                   ". Nothing was changed; volume.check.disk of the shell shows more";
  }
  for (const VolumeId id : view.only_aside) {
    troubles[id] = "none of its copies of epoch " + std::to_string(shared_.registry.state()->epoch(id)) +
                   " is there, only older ones, which lack what was written since: bring its servers back";
  }
  for (const auto& [id, what] : troubles) {
    if (const auto known = troubles_.find(id); known == troubles_.end() || known->second != what) {
      LOG_WARNING("volume {}: {}", text(id), what);
    }
  }
  troubles_ = std::move(troubles);
  if (waiting != waiting_ && !waiting.empty() && view.short_count > 0) {
    LOG_WARNING("{} volumes are short of copies, and none is made again: {}", view.short_count, waiting);
  }
  waiting_ = waiting;
  publish(std::move(waiting), &view);
}

void Healing::mend(VolumeId id, const std::string& target, Mended finished) {
  const auto refuse = [&](Refusal::Kind kind, const std::string& why) {
    finished(Refusal{kind, "volume " + text(id) + ": " + why, kind == Refusal::Kind::busy ? Duration(1s) : Duration(0)});
  };
  const Instant now = shared_.clock.now();
  const auto view = shared_.consensus.load()->view();
  if (stopped_ || !view->is_leader()) return refuse(Refusal::Kind::not_leader, "this master does not lead");
  if (shared_.registry.state()->feature_level < kHealingFeatureLevel) {
    return refuse(Refusal::Kind::unsupported, "not every master knows epochs of copies yet");
  }
  const auto volume = shared_.with_topology([&](topology::Topology& topology) { return topology.heal_volume(id); });
  if (!volume || volume->copies.empty()) return refuse(Refusal::Kind::bad_request, "no copy of it is there");
  for (const HealCopy& copy : volume->copies) {
    if (copy.can_take_part) continue;
    return refuse(Refusal::Kind::unsupported, "its copy on " + copy.place.id +
                                                  " cannot be asked now, or is of a server that knows no epochs of copies");
  }
  if (shared_.registry.state()->unsettled->contains(id)) {
    // Seen with all of them, it is an entry of theirs a moment later (leftovers.h).
    return refuse(volume->is_complete() ? Refusal::Kind::busy : Refusal::Kind::unsupported,
                  "the masters do not know yet that all its copies were made once");
  }
  if (volume->busy || heals_.contains(id) || term_ != view->term) {
    return refuse(Refusal::Kind::busy, "it is under vacuum, erasure-coded, or a copy of it is being made");
  }
  if (target.empty()) {
    if (!volume->is_complete()) return refuse(Refusal::Kind::failed, copies_gone(*volume) + ": make them first");
  } else {
    if (volume->is_complete()) return refuse(Refusal::Kind::failed, "it has all its copies");
    auto places = shared_.with_topology([&](topology::Topology& topology) {
      return topology.heal_targets(id, volume->disk_type);
    });
    std::erase_if(places, [&](const HealPlace& place) { return place.id != target; });
    if (places.empty()) {
      return refuse(Refusal::Kind::unsupported, target + " is not there, has a copy, or knows no epochs of copies");
    }
    std::vector<HealPlace> holders;
    for (const HealCopy& copy : volume->copies) holders.push_back(copy.place);
    topology::PickRandom random(1);  // of one
    if (topology::choose_target(holders, places, volume->replica_placement, random).empty()) {
      return refuse(Refusal::Kind::failed, target + " has no room for it, or does not fit its placement " +
                                               text(volume->replica_placement));
    }
  }
  begin(*volume, target, now, now)->finished = std::move(finished);
}

Healing::HealPtr Healing::begin(const HealVolume& volume, const std::string& target, Instant short_since, Instant now) {
  const auto heal = std::make_shared<Heal>();
  heal->request_id = shared_.request_id();
  heal->short_since = short_since;
  heal->volume = volume;
  heal->term = term_;
  heal->token = 1 + shared_.random.below(~0ull - 1);
  heal->to = topology::next_epoch(volume.epoch, shared_.registry.state()->generation, term_, ++attempts_);
  heal->source = volume.copies.front();
  heal->others.assign(volume.copies.begin() + 1, volume.copies.end());
  heal->target = target;
  heal->begun = heal->extended = now;
  shared_.with_topology([&](topology::Topology& topology) {
    if (!target.empty()) heal->target_address = topology.grpc_address(target);
    topology.hold(volume.id, true);
  });
  heals_[volume.id] = heal;
  if (!target.empty()) {
    LOG_INFO("volume {}: {} for {} s: one is made again on {}, from {}", text(volume.id), copies_gone(volume),
             seconds(now - heal->short_since), target, heal->source.place.id);
  }
  order(heal, heal->source.address,
        {.step = Step::freeze, .volume = volume.id, .token = heal->token, .time = kFreezeTime}, kHealStepTime,
        [this, heal](const Result<Healed>& frozen) {
          if (!frozen) return fail(heal, "the source could not be frozen: " + frozen.error().what());
          if (frozen->epoch != heal->volume.epoch) {
            return fail(heal, "the source is of epoch " + std::to_string(frozen->epoch) + " by now");
          }
          heal->target.empty() ? adopt(heal) : copy(heal);
        });
  return heal;
}

void Healing::copy(const HealPtr& heal) {
  heal->phase = Phase::copying;
  heal->extended = shared_.clock.now();
  const auto gibibytes = static_cast<std::int64_t>(heal->volume.bytes >> 30);
  order(heal, heal->target_address,
        {.step = Step::copy,
         .volume = heal->volume.id,
         .token = heal->token,
         .time = kFreezeTime * 2,
         .source = heal->source.source},
        kHealTimePerGiB * (gibibytes + 1), [this, heal](const Result<Healed>& copied) {
          if (!heal->failure.empty()) return fail(heal, heal->failure);
          if (!copied) return fail(heal, "the copy broke off: " + copied.error().what());
          adopt(heal);
        });
}

// A freeze is given more time while the copy is on its way; a source that has adopted its epoch tells of it by its report.
void Healing::tend(const HealPtr& heal, Instant now) {
  if (!is_current(*heal)) return end(heal);
  if (heal->phase == Phase::copying && heal->failure.empty() && now - heal->extended >= kFreezeExtend) {
    heal->extended = now;
    order(heal, heal->source.address,
          {.step = Step::extend, .volume = heal->volume.id, .token = heal->token, .time = kFreezeTime}, kHealStepTime,
          [heal](const Result<Healed>& extended) {
            // The copy that is on its way ends first; then this is looked at.
            if (!extended && heal->phase == Phase::copying) heal->failure = "the source's freeze was lost: " + extended.error().what();
          });
  }
  if (heal->phase != Phase::telling) return;
  const auto volume = shared_.with_topology(
      [&](topology::Topology& topology) { return topology.heal_volume(heal->volume.id); });
  const bool told = volume && std::any_of(volume->copies.begin(), volume->copies.end(), [&](const HealCopy& copy) {
                      return copy.place.id == heal->source.place.id && copy.epoch == heal->to;
                    });
  if (told) return commit(heal);
  if (now - heal->adopted > kHealTellTime) fail(heal, "the source did not tell of its new epoch");
}

void Healing::adopt(const HealPtr& heal) {
  const auto volume = shared_.with_topology(
      [&](topology::Topology& topology) { return topology.heal_volume(heal->volume.id); });
  if (!volume) return fail(heal, "the volume is gone");
  if (volume->is_complete() && !heal->target.empty()) return fail(heal, "it has all its copies again");
  if (volume->epoch != heal->volume.epoch) return fail(heal, "its copies are of another epoch by now");
  heal->phase = Phase::adopting;
  order(heal, heal->source.address,
        {.step = Step::adopt,
         .volume = heal->volume.id,
         .token = heal->token,
         .from = heal->volume.epoch,
         .to = heal->to,
         .frozen = true},
        kHealStepTime, [this, heal](const Result<Healed>& adopted) {
          if (!adopted) return fail(heal, "the source did not go on to the next epoch: " + adopted.error().what());
          heal->phase = Phase::telling;
          heal->adopted = shared_.clock.now();
        });
}

void Healing::commit(const HealPtr& heal) {
  heal->phase = Phase::committing;
  shared_.consensus.load()->propose(
      topology::encode(topology::SetReplicaEpoch{heal->volume.id, heal->to}),
      [this, heal, loop = shared_.loop_owner](const Result<std::string>& answer) {
        loop->post([this, heal, answer] {
          if (stopped_) return;
          const auto decided = answer.ok() ? topology::decode_answer(*answer) : Result<topology::Answer>(answer.error());
          if (!decided) return fail(heal, "the masters did not agree on its epoch: " + decided.error().what());
          if (!is_current(*heal)) return end(heal);
          spread(heal);
        });
      });
}

void Healing::spread(const HealPtr& heal) {
  heal->phase = Phase::spreading;
  const VolumeOrders::HealOrder adoption{.step = Step::adopt,
                                         .volume = heal->volume.id,
                                         .token = heal->token,
                                         .time = Duration(0),
                                         .source = {},
                                         .from = heal->volume.epoch,
                                         .to = heal->to,
                                         .frozen = false};
  std::vector<std::pair<std::string, std::string>> servers;  // id, address
  if (!heal->target.empty()) servers.emplace_back(heal->target, heal->target_address);
  for (const HealCopy& other : heal->others) servers.emplace_back(other.place.id, other.address);
  heal->missing = servers.size();
  if (servers.empty()) return spread_ended(heal);
  for (const auto& [id, address] : servers) {
    order(heal, address, adoption, kHealStepTime, [this, heal, server = id](const Result<Healed>& adopted) {
      if (!adopted && heal->failure.empty()) {
        heal->failure = server + " did not go on to the next epoch: " + adopted.error().what();
      }
      if (--heal->missing == 0) spread_ended(heal);
    });
  }
}

void Healing::spread_ended(const HealPtr& heal) {
  if (!heal->failure.empty()) return fail(heal, heal->failure);
  heal->is_done = true;
  if (heal->target.empty()) {
    LOG_INFO("volume {}: its copies are of epoch {} now", text(heal->volume.id), heal->to);
    return end(heal);
  }
  ++made_;
  made_count_.add();
  LOG_INFO("volume {}: a copy was made again on {} in {} s, {} bytes; its copies are of epoch {} now", text(heal->volume.id),
           heal->target, seconds(shared_.clock.now() - heal->begun), heal->volume.bytes, heal->to);
  end(heal);
}

void Healing::fail(const HealPtr& heal, const std::string& why) {
  if (heal->phase == Phase::over) return;
  heal->failure = why;
  if (heal->target.empty()) {
    LOG_WARNING("volume {}: its copies did not all go on to epoch {}: {}", text(heal->volume.id), heal->to, why);
  } else {
    ++failed_;
    failed_count_.add();
    LOG_WARNING("volume {}: no copy was made again on {}: {}", text(heal->volume.id), heal->target, why);
  }
  // What is left undone ends by time as well; a source that has adopted its epoch is not frozen any more.
  if (is_current(*heal)) {
    for (const std::string& address : {heal->source.address, heal->target_address}) {
      if (address.empty()) continue;
      order(heal, address, {.step = Step::thaw, .volume = heal->volume.id, .token = heal->token}, kHealStepTime,
            [](const Result<Healed>&) {});
    }
  }
  planner_.not_made(heal->volume.id, shared_.clock.now(), why);
  end(heal);
}

void Healing::end(const HealPtr& heal) {
  if (heal->phase == Phase::over) return;
  heal->phase = Phase::over;
  if (const auto it = heals_.find(heal->volume.id); it != heals_.end() && it->second == heal) {
    heals_.erase(it);
    shared_.with_topology([&](topology::Topology& topology) { topology.hold(heal->volume.id, false); });
  }
  const auto finished = std::exchange(heal->finished, nullptr);
  if (!finished) return;
  if (heal->is_done) return finished(heal->to);
  const bool is_lost = heal->failure.empty();  // given up with its leader: the next one knows by the copies how far it came
  finished(Refusal{is_lost ? Refusal::Kind::outcome_unknown : Refusal::Kind::failed,
                   "volume " + text(heal->volume.id) + ": " + (is_lost ? "the leader lost its place meanwhile" : heal->failure)});
}

void Healing::order(const HealPtr& heal, const std::string& address, VolumeOrders::HealOrder order, Duration time_max,
                    std::function<void(Result<Healed>)> then) {
  const auto state = shared_.registry.state();
  const OrderFence fence{state->cluster_id, state->generation, heal->term, shared_.next_order.fetch_add(1)};
  const api::RequestScope scope(heal->request_id);
  shared_.orders->heal(address, fence, order, time_max,
                       [this, heal, then = std::move(then), loop = shared_.loop_owner](const Result<Healed>& done) {
                         loop->post([this, heal, then, done] {
                           if (stopped_ || heal->phase == Phase::over) return;
                           if (!is_current(*heal)) return end(heal);
                           then(done);
                         });
                       });
}

void Healing::view_changed() {
  const auto heals = heals_;
  for (const auto& [id, heal] : heals) {
    if (!is_current(*heal)) end(heal);
  }
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader()) publish("another master leads", nullptr);
}

void Healing::stop() {
  stopped_ = true;
  const auto heals = heals_;
  for (const auto& [id, heal] : heals) end(heal);
}

void Healing::publish(std::string waiting, const HealView* view) {
  HealingStatus status;
  status.is_on = shared_.options.heal_after > Duration(0);
  status.grace = shared_.options.heal_after;
  status.waiting = std::move(waiting);
  if (view != nullptr) status.no_removal = no_removal_;
  status.made = made_;
  status.failed = failed_;
  if (view != nullptr) {
    status.short_of_copies = view->short_count;
    for (const auto& [id, heal] : heals_) {
      constexpr const char* kSteps[] = {"freezing", "copying", "adopting", "telling", "committing", "spreading", "over"};
      status.under_way.push_back({id, copies_gone(heal->volume), heal->source.place.id, heal->target,
                                  kSteps[static_cast<std::size_t>(heal->phase)]});
    }
    for (const auto& [id, what] : troubles_) {
      if (status.reported.size() < HealingStatus::kTroublesMax) status.reported.push_back({id, what});
    }
    status.reported_all = troubles_.size();
  }
  const Guard guard(status_mutex_);
  status_ = std::move(status);
}

HealingStatus Healing::status() const {
  const Guard guard(status_mutex_);
  return status_;
}

}  // namespace holdfast::master
