// PublishedRegistry: the state machine that the consensus drives, and its newest state for everyone else.
#pragma once

#include <functional>
#include <memory>

#include "base/mutex.h"
#include "core/topology/registry.h"

namespace holdfast::master {

using RegistryStatePtr = std::shared_ptr<const topology::RegistryState>;

class PublishedRegistry final : public topology::StateMachine {
 public:
  // `applied` is called after each change, on the applying thread, before the proposers learn the answers.
  PublishedRegistry(std::uint32_t feature_level, std::function<void(const RegistryStatePtr&)> applied)
      : registry_(feature_level), applied_(std::move(applied)) {
    publish();
  }

  // Any thread; never null.
  RegistryStatePtr state() const {
    Guard guard(mutex_);
    return state_;
  }

  // Calls `look(space, applied)` with the key-value space as it is after the entry at `applied`. Any thread; it holds up
  // the applying thread meanwhile, so: be short.
  template <typename Look>
  auto with_kv(Look look) const {
    Guard guard(kv_mutex_);
    return look(registry_.kv(), registry_.applied());
  }

  // ---- StateMachine: the applying thread only ----
  Result<std::vector<std::string>> apply(Index index, Term term, BytesView entry) override {
    auto answers = [&] {
      Guard guard(kv_mutex_);
      return registry_.apply(index, term, entry);
    }();
    if (answers) {
      publish();
      applied_(state());
    }
    return answers;
  }
  Index applied() const override { return registry_.applied(); }
  std::uint64_t digest() const override { return registry_.digest(); }
  topology::Checkpoint checkpoint() const override { return registry_.checkpoint(); }
  Status restore(const topology::Checkpoint& checkpoint) override {
    auto status = [&] {
      Guard guard(kv_mutex_);
      return registry_.restore(checkpoint);
    }();
    if (status) {
      publish();
      applied_(state());
    }
    return status;
  }

 private:
  void publish() {
    auto next = std::make_shared<const topology::RegistryState>(registry_.state());
    Guard guard(mutex_);
    state_.swap(next);
  }

  // Changed by the applying thread only, under kv_mutex_; that thread itself reads without it.
  topology::Registry registry_;
  mutable Mutex kv_mutex_;  // leaf
  const std::function<void(const RegistryStatePtr&)> applied_;
  mutable Mutex mutex_;  // leaf
  RegistryStatePtr state_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::master
