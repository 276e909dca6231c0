// WitnessMachine: one simulated machine that may run a witness: its clock, its few bytes of disk, its process.
#pragma once

#include <deque>
#include <memory>

#include "core/raft/witness.h"
#include "test/sim/world.h"

namespace holdfast::sim {

class WitnessMachine {
 public:
  WitnessMachine(World& world, std::size_t slot) : world_(world), slot_(slot), true_base_(world.now()) {}

  void format(NodeId id);  // a new, empty disk
  void start();
  void crash();
  void pause(Duration length);
  void give(const raft::Message& message);
  void slow_disk(Duration extra) { sync_extra_ = extra; }

  bool formatted() const { return !id_.value().empty(); }
  bool up() const { return witness_ != nullptr; }
  bool virgin() const { return durable_ == raft::WitnessState(); }
  bool removed() const { return removed_; }
  NodeId id() const { return id_; }

 private:
  raft::Time local_time() const;
  void wake_later(Duration delay);
  void turn();
  void write_next();
  void send_message(const raft::Message& message);

  World& world_;
  const std::size_t slot_;

  // The machine.
  NodeId id_;
  raft::WitnessState durable_;
  Incarnation incarnation_{0};
  bool removed_ = false;
  Instant true_base_;
  double rate_ = 1;
  double raw_rate_ = 1;
  Instant paused_until_ = kDistantPast;
  Duration sync_extra_{};
  std::uint64_t process_number_ = 0;

  // The process.
  std::unique_ptr<raft::Witness> witness_;
  std::deque<raft::Message> inbox_;
  std::deque<raft::Witness::Output> to_disk_;
  bool disk_busy_ = false;
  bool turn_pending_ = false;
};

}  // namespace holdfast::sim
