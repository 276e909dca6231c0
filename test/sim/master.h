// Master: one simulated machine that may run a master: its clock, its disk, its process.
//
// The process is the loop of service/master in small: an inbox, the core, a log thread that syncs in groups, the state
// machine (the real Registry beside a few registers), and the taking of keys from committed blocks.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "core/topology/registry.h"
#include "test/sim/store.h"
#include "test/sim/world.h"

namespace holdfast::sim {

// A command of the log: "K" key value (a register), or "R" and a batch for the Registry.
std::string register_write(std::uint64_t key, std::uint64_t value);

class Master {
 public:
  Master(World& world, std::size_t slot);
  ~Master();

  // ---- the machine ----
  void format(bool founder, const raft::Configuration& configuration, NodeId id);  // a new, empty disk
  void start();
  void crash(bool power_loss);
  void pause(Duration length, bool clock_stops);
  void set_rates(double boot, double raw);
  void draw_rates();  // with leases: one of the two clocks keeps to the drift, at its very bound often
  // Its guardian sees that it stands still, or has died: stops its reads by lease (not when it has died), then says so.
  void certify();
  bool up() const { return core_ != nullptr; }
  bool formatted() const { return store_ != nullptr; }
  bool stopped() const { return retired_; }  // refused by the leader: it must not be started again
  NodeId id() const { return id_; }
  std::size_t slot() const { return slot_; }
  Store& store() { return *store_; }
  Instant local() const { return local_time().boot; }
  raft::Time local_time() const;
  bool lost() const { return lost_; }  // its promises are gone: it may only return as a new member
  void set_lost() { lost_ = true; }
  bool paused() const;
  bool damaged_at_start() const { return damaged_at_start_.has_value(); }
  // The log is whole again, on disk.
  bool repaired() const {
    return up() && status_.counters.damage_repaired > 0 && status_.durable == status_.last;
  }
  void disk_condition(raft::DiskCondition condition);
  void slow_disk(Duration sync_extra) { sync_extra_ = sync_extra; }

  // ---- the process ----
  void give(raft::Input input);
  bool holds_lease() const;
  std::optional<raft::ReadBy> would_serve(std::uint64_t key) const;
  const raft::CoreStatus& status() const { return status_; }
  const raft::Configuration& configuration() const { return core_->configuration(); }
  const topology::Registry& registry() const { return *registry_; }
  Index applied() const { return applied_; }
  std::uint64_t digest() const;
  Incarnation incarnation() const { return incarnation_; }
  Uuid process() const { return process_; }
  std::uint64_t processes() const { return process_number_; }
  bool received_from_majority_within(Duration length) const;
  void heard_from(std::size_t slot);

  // Calls of clients; `done` is called at most once, in this process, never after a crash.
  void propose(std::string command, std::function<void(const raft::ProposalDone&, const std::string&)> done);
  void change(raft::Change change, std::function<void(const raft::ProposalDone&)> done);
  void read(std::uint64_t key, std::function<void(std::optional<std::uint64_t>)> done);
  std::optional<std::uint64_t> assign();
  std::uint64_t keys_left() const;
  Fence next_fence();

 private:
  void wake_later(Duration delay);
  void turn();
  void handle(raft::Output out, const raft::Input* input);
  void apply(const Entry& entry);
  void restore(const raft::SnapshotMeta& meta);
  void take_blocks();
  void maybe_snapshot();
  void store_snapshot();
  void serve_reads();
  void answered(const raft::ReadState& read);
  void send(const raft::Message& message);
  void log_thread();
  void die(bool power_loss);
  std::vector<topology::CheckpointFile> checkpoint() const;

  World& world_;
  const std::size_t slot_;

  // The machine.
  NodeId id_;
  std::unique_ptr<Store> store_;
  Incarnation incarnation_{0};
  bool retired_ = false;
  bool lost_ = false;
  std::optional<raft::Damage> damaged_at_start_;
  raft::Time local_base_;
  Instant true_base_;
  double rate_ = 1;
  double raw_rate_ = 1;
  Duration lease_length_{};
  bool clock_stopped_ = false;
  Instant paused_until_ = kDistantPast;
  Duration sync_extra_{};
  raft::DiskCondition condition_ = raft::DiskCondition::good;
  std::uint64_t process_number_ = 0;  // counts processes; events of an older one do nothing

  // The process; lost with it.
  std::unique_ptr<raft::Core> core_;
  std::optional<Term> word_;  // set by the guardian: no read by lease in this term
  raft::CoreStatus status_;
  std::deque<raft::Input> inbox_;
  bool turn_pending_ = false;
  Instant wake_at_ = kDistantFuture;
  std::uint64_t wake_number_ = 0;
  int turns_at_once_ = 0;  // in a row, without an input
  std::deque<raft::Output> to_disk_;
  bool disk_busy_ = false;
  std::uint64_t sequence_ = 0;  // of the last write handed to the log thread
  std::uint64_t synced_ = 0;
  struct Snapshot {
    std::uint64_t after = 0;
    raft::SnapshotMeta meta;
    std::vector<topology::CheckpointFile> files;
    Index keep_from;
  };
  std::optional<Snapshot> snapshot_;  // waits for the writes before it
  std::unique_ptr<topology::Registry> registry_;
  std::map<std::uint64_t, std::uint64_t> values_;
  std::uint64_t values_digest_ = 0;
  Index applied_;
  Term applied_term_;
  Index snapshot_index_;
  Uuid process_;
  Index block_index_;
  struct Keys {
    std::uint64_t next;
    std::uint64_t end;
  };
  std::deque<Keys> keys_;
  Instant assign_until_ = kDistantPast;
  std::uint64_t order_sequence_ = 0;
  Term order_term_;
  raft::Tag tag_ = 0;
  std::map<raft::Tag, std::function<void(const raft::ProposalDone&, const std::string&)>> proposals_;
  std::map<Index, std::string> answers_;  // of entries applied in this step, until the proposals are told
  struct Read {
    std::uint64_t key = 0;
    Index committed;  // by anyone, when it was asked
    std::function<void(std::optional<std::uint64_t>)> done;
  };
  std::map<raft::Tag, Read> reads_;
  std::multimap<Index, Read> ready_reads_;
  std::map<std::size_t, Instant> heard_;
  std::set<raft::Tag> answered_tags_;
};

}  // namespace holdfast::sim
