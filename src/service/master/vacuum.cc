#include "service/master/vacuum.h"

#include <algorithm>

#include "base/log.h"

namespace holdfast::master {

namespace {

using Step = VolumeOrders::VacuumStep;

constexpr Duration kFirstPass = 1min;  // after a master began to lead: by then every server has told what it holds

}  // namespace

Vacuum::Vacuum(Shared& shared, KeyValues& space) : shared_(shared), space_(space) {}

void Vacuum::look(Instant now) {
  for (auto it = drains_.begin(); it != drains_.end();) {
    if (now < it->until) {
      ++it;
      continue;
    }
    const Drain drain = std::move(*it);
    it = drains_.erase(it);
    order(drain.run, drain.volume, Step::compact, [this, drain] { commit(drain.run, drain.volume); });
    return;  // drains_ may have changed
  }
  const auto view = shared_.consensus.load()->view();
  if (!view->is_leader() || shared_.options.vacuum_pass <= Duration(0)) return;
  if (term_ != view->term) {
    term_ = view->term;
    next_ = now + std::min(kFirstPass, shared_.options.vacuum_pass);
  }
  if (now < next_ || run_ != nullptr) return;
  // Not all clusters of a machine at the same time.
  const auto spread = shared_.options.vacuum_pass / 15;
  next_ = now + shared_.options.vacuum_pass - spread +
          Duration(static_cast<std::int64_t>(shared_.random.below(static_cast<std::uint64_t>(2 * spread.count()) + 1)));
  if (!is_disabled()) begin_among(topology::VacuumAmong::with_deletions, {}, [](const OrRefusal<Done>&) {});
}

void Vacuum::begin(const VacuumRequest& request, Finished finished) {
  begin_among(topology::VacuumAmong::all, request, std::move(finished));
}

void Vacuum::begin_among(topology::VacuumAmong among, const VacuumRequest& request, Finished finished) {
  const auto view = shared_.consensus.load()->view();
  if (stopped_ || !view->is_leader()) return finished(Refusal{Refusal::Kind::not_leader, "this master does not lead"});
  if (run_) return finished(Done{});
  run_ = std::make_shared<Run>();
  run_->request_id = shared_.request_id();
  run_->term = view->term;
  run_->threshold = request.garbage_threshold.value_or(shared_.options.garbage_threshold);
  run_->finished.push_back(std::move(finished));
  const auto candidates = shared_.with_topology([&](topology::Topology& topology) { return topology.vacuum_candidates(among); });
  const RunPtr run = run_;
  for (const auto& candidate : candidates) {
    if (request.volume != VolumeId() && candidate.volume != request.volume) continue;
    if (!request.collection.empty() && candidate.collection != request.collection) continue;
    auto volume = std::make_shared<Volume>();
    volume->id = candidate.volume;
    volume->all_are_ours = candidate.all_are_ours;
    for (std::size_t i = 0; i < candidate.servers.size(); ++i) {
      volume->copies.push_back({.server = candidate.servers[i], .address = candidate.addresses[i]});
    }
    start_or_wait(run, volume);
  }
  finish_if_done(run);
}

// Each server has only so many under way. A volume waits for one of its servers at a time, so that the end of another one
// costs a look at those that wait for its servers, however many there are.
void Vacuum::start_or_wait(const RunPtr& run, const VolumePtr& volume) {
  const int most = std::max(1, shared_.options.vacuums_per_server_max);
  for (const Copy& copy : volume->copies) {
    auto& server = run->servers[copy.server];
    if (server.under_way < most) continue;
    server.waiting.push_back(volume);
    ++run->waiting;
    return;
  }
  for (const Copy& copy : volume->copies) ++run->servers[copy.server].under_way;
  ++run->under_way;
  check(run, volume);
}

void Vacuum::finish_if_done(const RunPtr& run) {
  if (run->over || run->under_way > 0) return;
  if (!is_current(*run)) return finish(run, Refusal{Refusal::Kind::not_leader, "the leader lost its place meanwhile"});
  if (run->waiting > 0) return;
  if (run->vacuumed > 0) LOG_INFO("vacuum: {} volumes", run->vacuumed);
  finish(run, Done{});
}

void Vacuum::check(const RunPtr& run, const VolumePtr& volume) {
  const api::RequestScope scope(run->request_id);
  volume->missing = volume->copies.size();
  for (std::size_t i = 0; i < volume->copies.size(); ++i) {
    shared_.orders->vacuum_check(
        volume->copies[i].address, volume->id, kVacuumCheckTime,
        [this, run, volume, i, loop = shared_.loop_owner](Result<double> ratio) {
          post(*loop, [this, run, volume, i, ratio = std::move(ratio)] {
            auto& copy = volume->copies[i];
            copy.takes_part = ratio.ok() && *ratio >= run->threshold;
            copy.failed = !ratio.ok();
            if (!ratio) LOG_V(1, "vacuum of volume {}: {}: {}", text(volume->id), copy.server, ratio.error().what());
            if (--volume->missing == 0) checked(run, volume);
          });
        });
  }
}

void Vacuum::checked(const RunPtr& run, const VolumePtr& volume) {
  const auto& copies = volume->copies;
  const bool any_failed = std::any_of(copies.begin(), copies.end(), [](const Copy& copy) { return copy.failed; });
  const bool any = std::any_of(copies.begin(), copies.end(), [](const Copy& copy) { return copy.takes_part; });
  if (any_failed || !any || !is_current(*run)) return end(run, volume);
  compact(run, volume);
}

void Vacuum::compact(const RunPtr& run, const VolumePtr& volume) {
  if (!volume->all_are_ours) {
    hold(*volume, true);
    drains_.push_back({shared_.clock.now() + kVacuumDrain, run, volume});
    return;
  }
  order(run, volume, Step::compact, [this, run, volume] { commit(run, volume); });
}

void Vacuum::commit(const RunPtr& run, const VolumePtr& volume) {
  const auto& copies = volume->copies;
  const bool any_failed = std::any_of(copies.begin(), copies.end(), [](const Copy& copy) { return copy.failed; });
  if (any_failed || !is_current(*run)) return clean_up(run, volume);
  hold(*volume, true);
  order(run, volume, Step::commit, [this, run, volume] {
    std::size_t failed = 0;
    for (Copy& copy : volume->copies) {
      failed += copy.failed;
      copy.takes_part = copy.failed;  // those alone are to clean up
    }
    if (failed > 0) return clean_up(run, volume);
    ++run->vacuumed;
    LOG_INFO("volume {} was vacuumed", text(volume->id));
    end(run, volume);
  });
}

void Vacuum::order(const RunPtr& run, const VolumePtr& volume, Step step, std::function<void()> then) {
  if (!is_current(*run)) return end(run, volume);
  const api::RequestScope scope(run->request_id);
  const auto state = shared_.registry.state();
  const char* const name = step == Step::compact ? "compact" : step == Step::commit ? "commit" : "clean up";
  volume->missing = 1;  // this function
  const auto answered = [volume, then] {
    if (--volume->missing == 0) then();
  };
  for (std::size_t i = 0; i < volume->copies.size(); ++i) {
    if (!volume->copies[i].takes_part) continue;
    ++volume->missing;
    const OrderFence fence{state->cluster_id, state->generation, run->term, shared_.next_order.fetch_add(1)};
    const auto time_max = step == Step::clean_up ? kVacuumCheckTime : long_time();
    shared_.orders->vacuum(
        volume->copies[i].address, fence, step, volume->id, time_max,
        [this, volume, i, answered, name, loop = shared_.loop_owner](Status status) {
          post(*loop, [volume, i, answered, name, status = std::move(status)] {
            auto& copy = volume->copies[i];
            copy.failed = !status.ok();
            if (!status) {
              LOG_WARNING("vacuum of volume {}: {} on {}: {}", text(volume->id), name, copy.server,
                          status.error().what());
            }
            answered();
          });
        });
  }
  answered();
}

void Vacuum::clean_up(const RunPtr& run, const VolumePtr& volume) {
  order(run, volume, Step::clean_up, [this, run, volume] { end(run, volume); });
}

void Vacuum::end(const RunPtr& run, const VolumePtr& volume) {
  hold(*volume, false);
  if (run->over) return;
  --run->under_way;
  for (const Copy& copy : volume->copies) --run->servers[copy.server].under_way;
  const int most = std::max(1, shared_.options.vacuums_per_server_max);
  for (const Copy& copy : volume->copies) {
    auto& server = run->servers[copy.server];
    while (!run->over && is_current(*run) && server.under_way < most && !server.waiting.empty()) {
      const VolumePtr next = server.waiting.front();
      server.waiting.pop_front();
      --run->waiting;
      start_or_wait(run, next);
    }
  }
  finish_if_done(run);
}

void Vacuum::finish(const RunPtr& run, const OrRefusal<Done>& answer) {
  run->over = true;
  if (run_ == run) run_.reset();
  for (const Finished& finished : std::exchange(run->finished, {})) finished(answer);
}

void Vacuum::hold(Volume& volume, bool held) {
  if (volume.held == held) return;
  volume.held = held;
  shared_.with_topology([&](topology::Topology& topology) { topology.hold(volume.id, held); });
}

bool Vacuum::is_current(const Run& run) const {
  const auto view = shared_.consensus.load()->view();
  return !stopped_ && view->is_leader() && view->term == run.term;
}

Duration Vacuum::long_time() const {
  const auto gibibytes = static_cast<std::int64_t>(shared_.options.volume_size_limit >> 30);
  return kVacuumTimePerGiB * (gibibytes + 1);
}

void Vacuum::disable(bool disabled, bool by_plugin, Finished finished) {
  space_.when_open([this, disabled, by_plugin, finished = std::move(finished),
                    loop = shared_.loop_owner](std::optional<Refusal> closed) {
    const bool posted = loop->post([this, disabled, by_plugin, finished, closed = std::move(closed)] {
      if (stopped_) return finished(Refusal{Refusal::Kind::unavailable, "this master stops"});
      if (!closed) return write_mark(disabled, by_plugin, finished);
      if (closed->kind != Refusal::Kind::unsupported) return finished(*closed);
      (by_plugin ? disabled_by_plugin_ : disabled_) = disabled;
      LOG_WARNING("vacuums that the leader begins by itself are {}{}, until another master leads: {}",
                  disabled ? "disabled" : "enabled", by_plugin ? " by a plugin" : "", closed->text);
      finished(Done{});
    });
    if (!posted) finished(Refusal{Refusal::Kind::unavailable, "this master stops"});
  });
}

void Vacuum::write_mark(bool disabled, bool by_plugin, const Finished& finished) {
  const char* key = by_plugin ? kVacuumDisabledByPluginKey : kVacuumDisabledKey;
  kv::Command command = disabled ? kv::Command(kv::Put{.key = key, .value = "true", .ttl = {}, .compare = {}, .request_id = {}})
                                 : kv::Command(kv::Delete{.key = key, .compare = {}, .request_id = {}});
  space_.write(std::move(command), [this, disabled, by_plugin, finished, loop = shared_.loop_owner](
                                       const OrRefusal<kv::Answer>& answer) {
    if (const auto* refusal = std::get_if<Refusal>(&answer)) return finished(*refusal);
    const auto& decided = std::get<kv::Answer>(answer);
    if (decided.outcome != kv::Outcome::done && decided.outcome != kv::Outcome::not_found) {
      return finished(Refusal{Refusal::Kind::failed, "the mark cannot be kept: " +
                                  (decided.text.empty() ? std::string(kv::text(decided.outcome)) : decided.text)});
    }
    const bool posted = loop->post([this, disabled, by_plugin, finished] {
      (by_plugin ? disabled_by_plugin_ : disabled_) = false;
      LOG_INFO("vacuums that the leader begins by itself are {}{}", disabled ? "disabled" : "enabled",
               by_plugin ? " by a plugin" : "");
      finished(Done{});
    });
    if (!posted) finished(Done{});
  });
}

// A leader begins its first run so long after its election that it has applied what its predecessors agreed on.
bool Vacuum::is_disabled() const {
  return disabled_ || disabled_by_plugin_ || shared_.registry.with_kv([](const kv::Space& space, Index) {
    return space.find(kVacuumDisabledKey) != nullptr || space.find(kVacuumDisabledByPluginKey) != nullptr;
  });
}

void Vacuum::view_changed() {
  if (!shared_.consensus.load()->view()->is_leader()) disabled_ = disabled_by_plugin_ = false;
  if (!run_ || is_current(*run_)) return;
  // Its volumes end when their servers have answered; nobody needs to wait for that.
  const RunPtr run = run_;
  run->servers.clear();
  finish(run, Refusal{Refusal::Kind::not_leader, "the leader lost its place meanwhile"});
}

void Vacuum::post(Loop& loop, std::function<void()> task) {
  loop.post([this, task = std::move(task)] {
    if (!stopped_) task();
  });
}

void Vacuum::stop() {
  stopped_ = true;
  if (run_) finish(RunPtr(run_), Refusal{Refusal::Kind::unavailable, "this master stops"});
}

}  // namespace holdfast::master
