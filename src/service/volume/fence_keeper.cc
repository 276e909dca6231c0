#include "service/volume/fence_keeper.h"

#include <algorithm>
#include <tuple>

#include "base/log.h"

namespace holdfast::volume {

Status FenceKeeper::admit(const std::optional<Fence>& fence, std::optional<VolumeId> volume) {
  if (!fence) return {};
  Guard guard(mutex_);
  const auto refused = [](std::string why) { return Error(Code::refused, std::move(why)); };
  if (!state_.cluster_id.value().empty() && state_.cluster_id != fence->cluster) {
    return refused("order of cluster " + text(fence->cluster) + ": this volume server belongs to cluster " +
                   text(state_.cluster_id));
  }
  const auto seen = std::tuple(state_.generation, state_.term);
  const auto given = std::tuple(fence->generation, fence->term);
  if (given < seen) {
    return refused("order of an older leader: generation " + text(fence->generation) + " term " + text(fence->term) +
                   ", but generation " + text(state_.generation) + " term " + text(state_.term) + " was seen");
  }
  if (given == seen && !state_.cluster_id.value().empty()) {
    const auto it = volume ? sequences_.find(*volume) : sequences_.end();
    if (it != sequences_.end() && fence->sequence < it->second) {
      return refused("order " + std::to_string(fence->sequence) + " comes late: order " + std::to_string(it->second) +
                     " for the same volume was obeyed");
    }
  } else {
    auto next = state_;
    next.cluster_id = fence->cluster;
    next.generation = fence->generation;
    next.term = fence->term;
    next.sequence = fence->sequence;
    if (auto saved = save_(next); !saved) return saved.error().at("the order's term could not be written down");
    state_ = std::move(next);
    sequences_.clear();
  }
  state_.sequence = std::max(state_.sequence, fence->sequence);
  if (volume) sequences_[*volume] = fence->sequence;
  return {};
}

void FenceKeeper::save_or_log() {
  if (auto saved = save_(state_); !saved) {
    LOG_ERROR("what the masters said could not be written down: {}", saved.error().what());
  }
}

void FenceKeeper::join(ClusterId cluster) {
  Guard guard(mutex_);
  if (state_.cluster_id == cluster) return;
  state_ = ServerState();
  state_.cluster_id = cluster;
  sequences_.clear();
  save_or_log();
}

void FenceKeeper::learn(Generation generation, Term term, bool is_leader, std::vector<MasterMember> masters) {
  Guard guard(mutex_);
  bool changed = false;
  // Only a leader's own word: a master that merely stands for election may name a term that nobody ever leads.
  if (is_leader && std::tuple(generation, term) > std::tuple(state_.generation, state_.term)) {
    state_.generation = generation;
    state_.term = term;
    state_.sequence = 0;
    sequences_.clear();
    changed = true;
  }
  if (!masters.empty() && masters != state_.masters) {
    state_.masters = std::move(masters);
    changed = true;
  }
  if (changed) save_or_log();
}

void FenceKeeper::set_adopted(bool adopted) {
  Guard guard(mutex_);
  if (state_.adopted == adopted) return;
  state_.adopted = adopted;
  save_or_log();
}

ServerState FenceKeeper::state() const {
  Guard guard(mutex_);
  return state_;
}

}  // namespace holdfast::volume
