#include "service/master/growth.h"

#include "base/log.h"

namespace holdfast::master {

Growth::Growth(Shared& shared, std::function<void()> progress)
    : shared_(shared), progress_(std::move(progress)), random_(shared.random.next()) {}

std::uint32_t Growth::default_volumes(const ReplicaPlacement& placement) const {
  switch (placement.copies()) {
    case 1: return shared_.options.copy_1;
    case 2: return shared_.options.copy_2;
    case 3: return shared_.options.copy_3;
    default: return shared_.options.copy_other;
  }
}

void Growth::remember_wanted(const topology::LayoutKey& layout, std::uint32_t volumes) {
  if (volumes == 0 || (wanted_.size() >= kWantedMax && !wanted_.contains(layout))) return;
  wanted_[layout] = std::min(volumes, kGrowthVolumesMax);
}

std::uint32_t Growth::wanted(const topology::LayoutKey& layout) const {
  const auto it = wanted_.find(layout);
  return it == wanted_.end() ? 0 : it->second;
}

void Growth::begin(const Selection& selection, std::uint32_t volumes, Finished finished) {
  auto run = std::make_shared<Run>();
  run->id = next_id_++;
  run->request_id = shared_.request_id();
  run->selection = selection;
  run->wanted = std::min(volumes, kGrowthVolumesMax);
  run->finished.push_back(std::move(finished));
  enqueue(std::move(run));
}

void Growth::join_or_begin(const Selection& selection, std::uint32_t volumes, Finished finished) {
  if (const auto it = by_layout_.find(selection.layout); it != by_layout_.end()) {
    for (const RunPtr& run : it->second) {
      if (run->selection == selection) {
        run->finished.push_back(std::move(finished));
        return;
      }
    }
  }
  begin(selection, volumes, std::move(finished));
}

void Growth::enqueue(RunPtr run) {
  auto& runs = by_layout_[run->selection.layout];
  if (stopped_ || runs.size() >= kGrowthsWaitingMax) {
    const Error error(Code::busy, "too many growths of one layout are waiting");
    for (const Finished& f : run->finished) f(error);
    if (runs.empty()) by_layout_.erase(run->selection.layout);
    return;
  }
  runs.push_back(std::move(run));
  if (runs.size() == 1) start(RunPtr(runs.front()));
}

void Growth::start(const RunPtr& run) {
  const auto view = shared_.consensus.load()->view();
  run->term = view->term;
  if (!view->is_leader()) return finish(run, Error(Code::not_leader, "this master does not lead"));

  auto plan = shared_.with_topology([&](topology::Topology& topology) -> Result<topology::GrowthPlan> {
    const topology::GrowthRequest request{run->wanted, run->selection.layout.replica_placement, run->selection.wish()};
    const std::string& disk_type = run->selection.layout.disk_type;
    auto made = topology::plan_growth(topology.growth_servers(disk_type), request, random_);
    if (!made) return made;
    for (const auto& servers : made->volumes) {
      for (const std::string& server : servers) topology.reserve(server, disk_type, 1);
    }
    return made;
  });
  if (!plan) return finish(run, plan.error());
  run->planned = std::move(plan->volumes);
  if (!plan->stopped.empty()) LOG_INFO("growth stops early: {}", plan->stopped);

  const auto count = static_cast<std::uint32_t>(run->planned.size());
  shared_.consensus.load()->propose(
      topology::encode(topology::AllocateVolumeIds{count}),
      [this, run, loop = shared_.loop_owner](Result<std::string> answer) {
        post(*loop, [this, run, answer = std::move(answer)] { got_ids(run, answer); });
      });
}

void Growth::got_ids(const RunPtr& run, const Result<std::string>& answer) {
  auto ids = answer.ok() ? topology::decode_answer(*answer) : Result<topology::Answer>(answer.error());
  if (!ids || !is_current(*run)) {
    for (const auto& servers : run->planned) release(*run, servers);
    // Ids may be used up, but no server was asked for anything: nothing was made.
    if (!ids && ids.error().code() == Code::no_space) return finish(run, ids.error());
    // Otherwise the place was lost, or may have been: another leader may do it.
    const bool busy = !ids && ids.error().code() == Code::busy;
    return finish(run, Error(busy ? Code::busy : Code::not_leader,
                             ids.ok() ? "this master lost its place" : ids.error().what()));
  }
  run->ordered = true;
  run->missing = run->planned.size();
  shared_.with_topology([&](topology::Topology& topology) {
    for (std::size_t i = 0; i < run->planned.size(); ++i) {
      Volume& volume = run->volumes.emplace_back();
      volume.id = VolumeId(static_cast<std::uint32_t>(ids->first + i));
      volume.servers = run->planned[i];
      for (const std::string& server : volume.servers) volume.addresses.push_back(topology.grpc_address(server));
      volume.answers.resize(volume.servers.size());
      volume.missing = volume.servers.size();
      under_way_.insert(volume.id);
    }
  });
  for (std::size_t i = 0; i < run->volumes.size(); ++i) order(run, i);
}

void Growth::order(const RunPtr& run, std::size_t index) {
  const api::RequestScope scope(run->request_id);
  Volume& volume = run->volumes[index];
  AllocateOrder order;
  order.volume = volume.id;
  order.collection = run->selection.layout.collection;
  order.replica_placement = run->selection.layout.replica_placement;
  order.ttl = run->selection.layout.ttl;
  order.disk_type = run->selection.layout.disk_type;
  order.preallocate = run->selection.preallocate;
  if (order.preallocate == 0 && shared_.options.preallocate) {
    order.preallocate = static_cast<std::int64_t>(shared_.options.volume_size_limit);
  }
  order.memory_map_max_size_mb = run->selection.memory_map_max_size_mb;
  // Also a server that has gone meanwhile gets its answer, so that a volume is settled only when all have one.
  const std::vector<std::string> addresses = volume.addresses;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].empty()) {
      answered(run, index, i, Error(Code::unavailable, "the server has gone"));
      continue;
    }
    shared_.orders->allocate_volume(
        addresses[i], fence(*run), order, [this, run, index, i, loop = shared_.loop_owner](Status status) {
          post(*loop, [this, run, index, i, status = std::move(status)] { answered(run, index, i, status); });
        });
  }
}

void Growth::answered(const RunPtr& run, std::size_t index, std::size_t server, Status status) {
  Volume& volume = run->volumes[index];
  if (volume.answers[server].has_value()) return;
  volume.answers[server] = std::move(status);
  if (--volume.missing == 0) settle(run, index);
}

void Growth::settle(const RunPtr& run, std::size_t index) {
  Volume& volume = run->volumes[index];
  std::optional<Error> failure;
  for (std::size_t i = 0; i < volume.servers.size(); ++i) {
    const Status& status = *volume.answers[i];
    if (!status && !failure) failure = status.error().at("volume server " + volume.servers[i]);
  }
  release(*run, volume.servers);
  if (!failure) {
    VolumeInfo info;
    info.id = volume.id;
    info.collection = run->selection.layout.collection;
    info.replica_placement = run->selection.layout.replica_placement;
    info.ttl = run->selection.layout.ttl;
    info.disk_type = run->selection.layout.disk_type;
    info.size = 8;  // the superblock
    info.modified_at_second = std::chrono::duration_cast<std::chrono::seconds>(
                                  shared_.clock.wall().time_since_epoch()).count();
    const Instant now = shared_.clock.now();
    shared_.with_topology([&](topology::Topology& topology) { topology.allocated(info, volume.servers, now); });
    run->replicas_made += volume.servers.size();
    shared_.counters.volumes_made.add();
    LOG_V(1, "volume {} of collection \"{}\" made on {} servers", text(volume.id), info.collection,
          volume.servers.size());
  } else {
    LOG_WARNING("volume {} could not be made: {}", text(volume.id), failure->what());
    run->failure = failure;
    shared_.counters.volumes_failed.add();
    undo(run, volume);
  }
  under_way_.erase(volume.id);
  if (--run->missing == 0) {
    if (run->replicas_made > 0) return finish(run, run->replicas_made);
    if (!is_current(*run)) return finish(run, Error(Code::outcome_unknown, "the leader lost its place meanwhile"));
    if (run->gave_up && run->plans < kGrowthPlansMax) return begin_again(run);
    return finish(run, *run->failure);
  }
  if (!failure) progress_();
}

void Growth::look(Instant now) {
  struct Silent {
    RunPtr run;
    std::size_t volume, server;
  };
  std::vector<Silent> silent;
  for (const auto& [layout, runs] : by_layout_) {
    if (runs.empty() || runs.front()->missing == 0) continue;
    const RunPtr& run = runs.front();
    const std::size_t before = silent.size();
    shared_.with_topology([&](topology::Topology& topology) {
      for (std::size_t i = 0; i < run->volumes.size(); ++i) {
        const Volume& volume = run->volumes[i];
        for (std::size_t j = 0; j < volume.servers.size(); ++j) {
          if (!volume.answers[j] && topology.has_fallen_silent(volume.servers[j], now)) silent.push_back({run, i, j});
        }
      }
    });
    if (silent.size() > before && !has_other_servers(*run)) silent.resize(before);
  }
  for (const auto& [run, volume, server] : silent) {
    run->gave_up = true;
    answered(run, volume, server, Error(Code::outcome_unknown, "it fell silent before it answered"));
  }
}

bool Growth::has_other_servers(const Run& run) {
  return shared_.with_topology([&](topology::Topology& topology) {
    const topology::GrowthRequest one{1, run.selection.layout.replica_placement, run.selection.wish()};
    return topology::plan_growth(topology.growth_servers(run.selection.layout.disk_type), one, random_).ok();
  });
}

// As another run, since late answers still come to this one.
void Growth::begin_again(const RunPtr& run) {
  const auto it = by_layout_.find(run->selection.layout);
  if (it == by_layout_.end() || it->second.empty() || it->second.front() != run) return finish(run, *run->failure);
  auto again = std::make_shared<Run>();
  again->id = run->id;
  again->request_id = run->request_id;
  again->selection = run->selection;
  again->wanted = run->wanted;
  again->finished = std::exchange(run->finished, {});
  again->plans = run->plans + 1;
  it->second.front() = again;
  start(again);
}

// Whatever may exist of the volume goes again, as far as the servers still obey. What stays is left to Leftovers.
void Growth::undo(const RunPtr& run, const Volume& volume) {
  const api::RequestScope scope(run->request_id);
  struct Undoing {
    std::size_t missing = 1;  // orders without an answer, and this function
    bool all_gone = true;
  };
  const auto undoing = std::make_shared<Undoing>();
  const auto note = [this, undoing, id = volume.id](bool gone) {
    undoing->all_gone = undoing->all_gone && gone;
    if (--undoing->missing == 0 && undoing->all_gone) undone_.push_back(id);
  };
  for (std::size_t i = 0; i < volume.servers.size(); ++i) {
    const Status& status = *volume.answers[i];
    const bool may_exist = status.ok() || status.error().code() == Code::outcome_unknown;
    if (!may_exist) continue;
    ++undoing->missing;
    if (volume.addresses[i].empty() || !is_current(*run)) {
      note(false);
      continue;
    }
    shared_.orders->delete_volume(
        volume.addresses[i], fence(*run), volume.id, true,
        [this, note, server = volume.servers[i], id = volume.id, loop = shared_.loop_owner](const Status& deleted) {
          if (!deleted) {
            LOG_WARNING("volume {} stays on {} without its other copies: {}", text(id), server,
                        deleted.error().what());
          }
          post(*loop, [note, gone = deleted.ok()] { note(gone); });
        });
  }
  note(true);
}

void Growth::finish(const RunPtr& run, const Outcome& outcome) {
  if (!outcome) LOG_V(1, "growth of {}: {}", option_json(run->selection), outcome.error().what());
  for (const Finished& f : std::exchange(run->finished, {})) f(outcome);
  const auto it = by_layout_.find(run->selection.layout);
  if (it != by_layout_.end() && !it->second.empty() && it->second.front() == run) {
    it->second.pop_front();
    start_next(run->selection.layout);
  }
  progress_();
}

void Growth::start_next(const topology::LayoutKey& layout) {
  const auto it = by_layout_.find(layout);
  if (it == by_layout_.end()) return;
  if (it->second.empty()) {
    by_layout_.erase(it);
  } else if (!stopped_) {
    start(RunPtr(it->second.front()));
  }
}

void Growth::release(const Run& run, const std::vector<std::string>& servers) {
  shared_.with_topology([&](topology::Topology& topology) {
    for (const std::string& server : servers) topology.reserve(server, run.selection.layout.disk_type, -1);
  });
}

bool Growth::is_current(const Run& run) const {
  const auto view = shared_.consensus.load()->view();
  return !stopped_ && view->is_leader() && view->term == run.term;
}

OrderFence Growth::fence(const Run& run) {
  const auto registry = shared_.registry.state();
  return {registry->cluster_id, registry->generation, run.term, shared_.next_order.fetch_add(1)};
}

void Growth::post(Loop& loop, std::function<void()> task) {
  loop.post([this, task = std::move(task)] {
    if (!stopped_) task();
  });
}

void Growth::view_changed() {
  const auto view = shared_.consensus.load()->view();
  std::vector<RunPtr> ended;
  std::vector<topology::LayoutKey> waiting;
  for (auto& [layout, runs] : by_layout_) {
    if (runs.empty() || (view->is_leader() && runs.front()->term == view->term)) continue;
    // The running one settles when its servers have answered; nobody needs to wait for that. The ones behind it have
    // done nothing yet: they begin if this master leads again.
    ended.push_back(std::move(runs.front()));
    runs.pop_front();
    waiting.push_back(layout);
  }
  for (const RunPtr& run : ended) {
    const Error error(run->ordered ? Code::outcome_unknown : Code::not_leader, "the leader lost its place meanwhile");
    for (const Finished& f : std::exchange(run->finished, {})) f(error);
  }
  for (const topology::LayoutKey& layout : waiting) start_next(layout);
}

void Growth::stop() {
  stopped_ = true;
  auto all = std::exchange(by_layout_, {});
  for (auto& [layout, runs] : all) {
    for (const RunPtr& run : runs) {
      const Error error(run->ordered ? Code::outcome_unknown : Code::not_leader, "this master stops");
      for (const Finished& f : std::exchange(run->finished, {})) f(error);
    }
  }
}

}  // namespace holdfast::master
