// RaftHost: runs one member of the masters' Raft group. The loop between the pure core (core/raft), the log thread,
// the links and the state machine; the Consensus that the Master sees.
//
// One thread owns the core and the state machine. It waits for whatever comes first: an input, a heartbeat datagram
// (it polls the socket itself, so that a beat proves that this very thread turns), or the core's next deadline. Each
// turn: step, send what promises nothing, hand the rest to the log thread, apply what is committed, publish a View.
//
// A leader beats only while it could also work: while a write or sync of the log hangs (goes on for far longer than is
// usual for this disk, and for a second) no beat leaves, and the core is told to hand leadership over
// (design/raft-and-leases 3.5; docs/decisions/slow-disks.md says why not after half the silence timeout).
//
// Before begin() there is no core: the View says what bootstrap waits for, proposals are refused.
//
// Threads: begin, stop and the destructor belong to one thread, all else may be called from any.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "core/raft/core.h"
#include "core/topology/state_machine.h"
#include "io/clock.h"
#include "io/posix/udp.h"
#include "service/master/change_feed.h"
#include "io/posix/vmclock.h"
#include "service/master/consensus.h"
#include "service/master/guardian.h"
#include "service/master/lease_events.h"
#include "service/master/log_thread.h"
#include "service/master/published_lease.h"
#include "service/master/transport.h"
#include "service/master/vip_policy.h"

namespace holdfast::master {

struct Datagram;

// Commands waiting for the core's thread; more are refused as busy. Reads likewise.
inline constexpr std::size_t kCommandsWaitingMax = 65'536;
inline constexpr std::size_t kReadsWaitingMax = 65'536;
// Inputs waiting for the core's thread; messages beyond are dropped, as the network might have.
inline constexpr std::size_t kInputsWaitingMax = 65'536;

class RaftHost final : public Consensus {
 public:
  struct Options {
    NodeId self;
    Incarnation incarnation;
    Uuid process;
    std::string address;  // own, as in the configuration
    std::uint32_t feature_level = 1;
    raft::Options core;   // self and incarnation are filled in from above
    std::uint64_t snapshot_entries = 10'000;
    std::uint64_t snapshot_log_bytes = 32u << 20;
    std::uint64_t entries_kept = 5'000;
    ChangeFeed* feed = nullptr;  // told of all that is committed; outlives stop()
    std::function<void(const std::string& why)> on_fatal;
    std::function<void()> on_removed;  // a leader says that this is no member any more; before on_fatal
    std::function<void(LeaseEvent)> on_lease_event;           // on the core's thread, as on_datagram: be short
    std::function<void(BytesView)> on_datagram;               // one that is no message for the core
    std::function<void(BytesView)> on_pulse;                  // a volume server's (api/pulse.h), likewise
    Guardian* guardian = nullptr;                // outlives the host; null: none
    const io::posix::VmClock* vmclock = nullptr;  // likewise
  };

  RaftHost(Options options, io::Clock& clock, topology::StateMachine& state);
  ~RaftHost() override;  // stops

  // Brings the state machine to where the snapshot stands and starts the threads. `transport` and `beats` (may be null:
  // beats then come through received()) outlive stop(). An error: the snapshot cannot be read by this build.
  Status begin(ClusterId cluster, std::unique_ptr<storage::RaftStore> store, raft::Start start, Transport& transport,
               const io::posix::UdpSocket* beats);

  // Ends the threads; what is proposed and unanswered ends as outcome_unknown. Does not hand leadership over.
  void stop();

  // From now on not a word leaves this host, though it goes on turning. For a process that is about to end.
  void silence();

  // --- what happened ---
  void received(std::vector<raft::Message> messages);
  void link_lost(NodeId peer);

  // Hands leadership over; `done` at once when this host does not lead. or_anew: if there is nobody to take it, its term ends.
  void transfer(std::optional<NodeId> target, std::function<void(Status)> done, bool or_anew = false);

  // A change of members; answered when committed, not_leader elsewhere than at the leader.
  void change(raft::Change change, std::function<void(Status)> done);

  // The configuration in force; null before begin() and while there is none.
  [[nodiscard]] std::shared_ptr<const raft::Configuration> configuration() const;
  // The last one that was in force when it was known to be committed; null while there is none.
  [[nodiscard]] std::shared_ptr<const raft::Configuration> committed_configuration() const;

  // For the virtual IP: how this master stands now, and what to tell each other member of it. Any thread.
  [[nodiscard]] LeadFacts lead_facts() const;
  [[nodiscard]] std::vector<Certificate> farewells(Term term, Duration free_in) const;

  // What bootstrap waits for, for the View; only before begin().
  void set_waiting(std::string text);

  // --- Consensus ---
  [[nodiscard]] std::shared_ptr<const View> view() const override;
  [[nodiscard]] bool may_assign(Instant now) const override {
    return now.time_since_epoch().count() < assign_until_.load(std::memory_order_acquire);
  }
  void propose(std::string command, Done done) override;
  void confirm_read(ReadDone done) override;
  void confirm_read_of(std::string key, KeyReadDone done) override;
  bool may_answer(Index applied) const override;
  void on_view_change(std::function<void()> changed) override;

 private:
  struct Command {
    std::string command;
    Done done;
  };
  struct Batch {  // one entry proposed here
    std::vector<Done> dones;
    std::uint64_t first_sequence = 0;
    Instant since;
  };
  struct WaitingRead {
    std::optional<std::string> key;  // nothing: of everything
    KeyReadDone done;
  };
  struct ConfirmedReads {
    std::vector<WaitingRead> reads;
    bool whole = true;
  };
  struct Heard {
    Instant at = kDistantPast;
    Term term;
    std::uint64_t beat = 0;  // newest sequence
  };

  void run();
  void wait(Instant until);
  void wake();
  void post(std::vector<raft::Input> inputs);
  std::vector<raft::Input> take_inputs();
  void take_datagrams(std::vector<raft::Input>* inputs);
  void take_datagram(BytesView received, std::vector<raft::Input>* inputs);
  void take_commands(std::vector<raft::Input>* inputs);
  void add_read(WaitingRead read);
  void take_reads(std::vector<raft::Input>* inputs);
  bool is_at_rest(const std::vector<raft::Input>& inputs, Instant now);
  void note_disk(Instant now, std::vector<raft::Input>* inputs);
  void note_senders(const std::vector<raft::Input>& inputs, Instant now);
  void handle(raft::Output out);
  void apply(const raft::Output& out);
  void answer(const raft::ProposalDone& done);
  void answer_reads(const std::vector<raft::ReadState>& reads);
  void consider_snapshot();
  void refresh_digest(Instant now);
  void tell_of_leases();
  void note_configuration(const raft::Output& out);
  // What was in force before a change that is not known to be committed; null: there is none such.
  const raft::Configuration* committed_before() const;
  bool is_joining(const raft::Member& member) const;
  void publish(bool changed);
  std::shared_ptr<const View> make_view() const;
  LeaseView make_lease_view(Instant now) const;

  // Leases as others see them: raft_host_leases.cc.
  void look_at_the_word(std::vector<raft::Input>* inputs);
  [[nodiscard]] bool is_revoked() const;
  void publish_lease(const raft::LeaseHeld& held);
  void tell_guardian(bool changed);
  void note_lead(const raft::Output& out, const raft::CoreStatus& before);
  void note_address(const Datagram& datagram);
  std::string barred_text() const;
  void tell_barred();
  void tell(const raft::LeadershipChange& change);
  void fail(const std::string& why);
  void end_all_proposals();

  const Options options_;
  io::Clock& clock_;
  topology::StateMachine& state_;

  // Set by begin(), then constant.
  ClusterId cluster_;
  Transport* transport_ = nullptr;
  const io::posix::UdpSocket* beats_ = nullptr;
  io::posix::DatagramBatch datagrams_;
  int event_ = -1;  // eventfd: something waits in the inbox

  // Shared.
  mutable Mutex mutex_;  // leaf
  std::vector<raft::Input> inbox_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<Command> commands_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<WaitingRead> reads_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<std::pair<raft::Change, std::function<void(Status)>>> changes_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<std::function<void(Status)>> transfers_ HOLDFAST_GUARDED_BY(mutex_);
  std::shared_ptr<const View> view_ HOLDFAST_GUARDED_BY(mutex_);
  LeadFacts lead_ HOLDFAST_GUARDED_BY(mutex_);
  std::shared_ptr<const raft::Configuration> configuration_ HOLDFAST_GUARDED_BY(mutex_);
  std::shared_ptr<const raft::Configuration> committed_configuration_ HOLDFAST_GUARDED_BY(mutex_);
  bool begun_ HOLDFAST_GUARDED_BY(mutex_) = false;
  bool ended_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::function<void()> changed_;  // constant after on_view_change
  PublishedLease lease_;
  mutable std::atomic<std::uint64_t> answered_by_lease_{0};  // without the core's thread
  std::atomic<std::int64_t> assign_until_{kDistantPast.time_since_epoch().count()};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> silent_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> woken_{false};  // event_ is raised already

  // The core's thread only.
  std::optional<raft::Core> core_;
  std::unique_ptr<LogThread> log_;
  raft::DiskCondition disk_ = raft::DiskCondition::good;
  std::map<raft::Tag, Batch> batches_;
  std::map<raft::Tag, std::function<void(Status)>> changes_under_way_;
  std::map<Index, std::vector<std::string>> answers_;
  std::map<raft::Tag, std::vector<WaitingRead>> reads_under_way_;
  std::multimap<Index, ConfirmedReads> reads_confirmed_;  // to be applied up to there
  std::map<NodeId, Heard> heard_;
  raft::Tag next_tag_ = 1;
  std::uint64_t next_sequence_ = 1;  // of requests of this process
  Index applied_;
  Term applied_term_;
  Index snapshot_at_;
  std::uint64_t digest_ = 0;
  Index digest_at_;  // 0: none yet
  Instant digest_due_ = kDistantPast;
  std::uint64_t log_bytes_at_snapshot_ = 0;
  bool snapshot_under_way_ = false;
  raft::CoreStatus status_;
  Index configuration_committed_;  // of committed_configuration_; 0: none
  std::string last_change_;
  LeaseObserver lease_observer_;
  std::optional<raft::InSync> barred_told_;
  std::shared_ptr<const std::vector<LeadershipMoment>> history_;  // replaced, never changed: views share it
  std::optional<Instant> leader_since_;
  Instant published_at_ = kDistantPast;
  Instant guardian_told_at_ = kDistantPast;
  std::uint64_t pauses_seen_ = 0;  // vmclock's marker: nothing of before it counts
  Instant gather_until_ = kDistantPast;  // until then datagrams may wait
  Instant asked_until_ = kDistantPast;   // until then a follower's read may wait for the answers to beats

  std::thread thread_;
};

}  // namespace holdfast::master
