#include "test/sim/witness.h"

#include <fmt/format.h>

#include <utility>

#include "test/sim/history.h"

namespace holdfast::sim {

void WitnessMachine::format(NodeId id) {
  id_ = id;
  durable_ = {};
  incarnation_ = Incarnation(0);
  removed_ = false;
  sync_extra_ = Duration(0);
  world_.moved(id, slot_);
}

raft::Time WitnessMachine::local_time() const {
  const auto passed = static_cast<double>((world_.now() - true_base_).count());
  const auto counted = [&](double rate) { return at(100s) + Duration(static_cast<std::int64_t>(passed * rate)); };
  return {counted(rate_), counted(raw_rate_)};
}

void WitnessMachine::start() {
  if (up() || removed_ || !formatted()) return;
  auto& random = world_.witness_random();
  if (incarnation_ == Incarnation(0) && world_.profile().leases) {
    // As a master's: one of the two clocks keeps to the bound.
    const auto drift = world_.profile().options.clock_drift;
    const auto drawn = [&](double bound) { return 1 + bound * (static_cast<double>(random.below(2001)) - 1000) / 1000; };
    const auto good = random.chance(500'000) ? (random.chance(500'000) ? 1 + drift : 1 - drift) : drawn(drift);
    const auto other = random.chance(500'000) ? good : drawn(0.3);
    const bool first = random.chance(500'000);
    true_base_ = world_.now();
    rate_ = first ? good : other;
    raw_rate_ = first ? other : good;
  }
  incarnation_ = incarnation_.next();
  ++process_number_;
  inbox_.clear();
  to_disk_.clear();
  disk_busy_ = turn_pending_ = false;
  raft::Witness::Options options;
  options.self = id_;
  options.incarnation = incarnation_;
  options.lease_cap_max = world_.profile().options.lease_cap_max;
  options.clock_drift = world_.profile().options.clock_drift;
  options.mutation = world_.mutation();
  witness_ = std::make_unique<raft::Witness>(options, durable_, local_time());
  if (auto* history = world_.history()) history->witness_started(world_.now(), id_, witness_->state());
  world_.note(6, slot_, [&] { return fmt::format("start witness n{}, term {}", id_.value().low, durable_.term.value()); });
}

// A write that is under way reaches the disk or does not.
void WitnessMachine::crash() {
  if (!up()) return;
  world_.note(7, slot_, [&] { return fmt::format("witness n{} dies", id_.value().low); });
  world_.checker().events.count("witnesses that died");
  for (auto& out : to_disk_) {
    if (!world_.witness_random().chance(500'000)) break;
    if (out.state) {
      durable_ = *out.state;
      world_.checker().witness_synced(id_, durable_);
    }
  }
  witness_.reset();
  ++process_number_;
}

void WitnessMachine::pause(Duration length) { paused_until_ = std::max(paused_until_, world_.now() + length); }

void WitnessMachine::give(const raft::Message& message) {
  if (!up() || inbox_.size() > 10'000) return;
  inbox_.push_back(message);
  if (!turn_pending_) wake_later(Duration(2'000 + static_cast<std::int64_t>(world_.witness_random().below(40'000))));
}

void WitnessMachine::wake_later(Duration delay) {
  turn_pending_ = true;
  world_.after(delay, [this, process = process_number_] {
    if (process != process_number_) return;
    if (world_.now() < paused_until_) {
      wake_later(paused_until_ - world_.now());
    } else {
      turn();
    }
  });
}

void WitnessMachine::turn() {
  turn_pending_ = false;
  const auto count = world_.within_model() ? std::min<std::size_t>(inbox_.size(), 1) : inbox_.size();
  const auto end = inbox_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::vector<raft::Message> messages(inbox_.begin(), end);
  inbox_.erase(inbox_.begin(), end);
  if (!inbox_.empty()) wake_later(5us);
  const auto before = witness_->state();
  auto out = witness_->step(local_time(), messages);
  if (auto* history = world_.history()) history->witness_stepped(world_.now(), id_, before, witness_->state(), out);
  const auto send = [this](const raft::Message& message) { send_message(message); };
  for (const auto& message : out.now) send(message);
  removed_ = removed_ || out.removed;
  if (out.sequence != 0) {
    to_disk_.push_back(std::move(out));
    write_next();
  }
  if (removed_) {
    world_.checker().events.count("witnesses told of their removal");
    crash();
  }
}

void WitnessMachine::send_message(const raft::Message& message) {
  world_.checker().sent(message);
  if (auto* history = world_.history()) history->said(world_.now(), message);
  world_.send(message);
}

void WitnessMachine::write_next() {
  if (disk_busy_ || to_disk_.empty()) return;
  disk_busy_ = true;
  const auto delay = world_.profile().sync_min + sync_extra_ +
                     Duration(static_cast<std::int64_t>(world_.witness_random().below(
                         static_cast<std::uint64_t>(world_.profile().sync_spread.count()) + 1)));
  world_.after(delay, [this, process = process_number_] {
    if (process != process_number_) return;
    auto& random = world_.witness_random();
    const auto crash_here = [&] {
      if (!random.chance(world_.profile().crash_at_sync_ppm)) return false;
      crash();
      world_.after(Duration(1'000'000 + static_cast<std::int64_t>(random.below(200'000'000))), [this] { start(); });
      return true;
    };
    if (crash_here()) return;
    // One sync for all that came meanwhile.
    for (const auto batch = std::exchange(to_disk_, {}); const auto& out : batch) {
      if (out.state) {
        durable_ = *out.state;
        world_.checker().witness_synced(id_, durable_);
      }
      witness_->persisted(out.sequence);
      for (const auto& message : out.after_sync) {
        if (crash_here()) return;
        send_message(message);
      }
    }
    disk_busy_ = false;
    write_next();
  });
}

}  // namespace holdfast::sim
