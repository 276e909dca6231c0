#include "service/master/keys.h"

namespace holdfast::master {

void KeySource::set_identity(NodeId self, Uuid process) {
  Guard guard(mutex_);
  self_ = self;
  process_ = process;
  accept();
}

void KeySource::update(const topology::RegistryState& state) {
  Guard guard(mutex_);
  state_ = state;
  accept();
}

void KeySource::accept() {
  while (!reserve_.empty() && reserve_.front().begin < state_.key_floor) reserve_.pop_front();
  if (next_.load() != kNone && NeedleId(next_.load()) < state_.key_floor) {
    next_.store(kNone);
    end_.store(0);
  }
  if (process_.empty()) return;
  const auto holder = state_.holders.find(self_);
  if (holder == state_.holders.end() || holder->second.process != process_) return;
  for (const topology::KeyBlock& block : holder->second.blocks) {
    if (block.begin < accepted_below_ || block.begin < state_.key_floor) continue;
    accepted_below_ = block.end;
    reserve_.push_back(block);
  }
}

std::optional<NeedleId> KeySource::take_current(std::uint64_t count) {
  std::uint64_t next = next_.load();
  for (;;) {
    const std::uint64_t end = end_.load();
    if (end <= next || end - next < count) return std::nullopt;
    if (next_.compare_exchange_weak(next, next + count)) return NeedleId(next);
  }
}

std::optional<NeedleId> KeySource::take(std::uint64_t count) {
  if (const auto key = take_current(count)) return key;
  return take_slow(count);
}

std::optional<NeedleId> KeySource::take_slow(std::uint64_t count) {
  Guard guard(mutex_);
  if (const auto key = take_current(count)) return key;  // another thread has changed the block meanwhile
  const std::uint64_t next = next_.load();
  const bool used_up = end_.load() <= next;
  if (used_up && !reserve_.empty()) {
    const topology::KeyBlock block = reserve_.front();
    reserve_.pop_front();
    next_.store(block.begin.value());
    end_.store(block.end.value());
    if (const auto key = take_current(count)) return key;
  }
  // More than is left of the current block: from one behind, so that a large count does not throw the rest away.
  for (topology::KeyBlock& block : reserve_) {
    if (block.end - block.begin < count) continue;
    const NeedleId key = block.begin;
    block.begin = block.begin + count;
    return key;
  }
  return std::nullopt;
}

std::uint64_t KeySource::left() const {
  Guard guard(mutex_);
  const std::uint64_t next = next_.load();
  const std::uint64_t end = end_.load();
  std::uint64_t left = end > next ? end - next : 0;
  for (const topology::KeyBlock& block : reserve_) left += block.end - block.begin;
  return left;
}

}  // namespace holdfast::master
