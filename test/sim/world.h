// World: one cluster, its clients and its misfortunes, in one thread under one seed.
//
// Events stand in one queue ordered by true time, then by the order they were made, so a seed gives the same run bit
// for bit; the digest of the trace shows it. True time is nobody's clock: every master has its own, which drifts,
// jumps and stands still (master.h).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "core/raft/core.h"
#include "core/raft/mutation.h"
#include "test/sim/checker.h"
#include "test/sim/store.h"

namespace holdfast::sim {

class Master;
class WitnessMachine;
class VolumeServer;
class Clients;
class Nemesis;
class History;

inline constexpr std::size_t kSlots = 9;       // machines that may run a master
inline constexpr std::size_t kWitnessMachines = 2;  // numbered after those
inline constexpr std::size_t kMachines = kSlots + kWitnessMachines;
inline constexpr std::size_t kFounders = 5;    // of them, at first
inline constexpr std::size_t kVolumeServers = 3;
inline constexpr std::uint64_t kRegisters = 5;

// What can go wrong in this run; drawn from the seed, so that some runs are gentle in all but one respect.
struct Profile {
  std::uint64_t loss_ppm = 0;
  std::uint64_t double_ppm = 0;
  std::uint64_t replay_ppm = 0;  // an old message comes again, perhaps from before a restart
  std::uint64_t slow_ppm = 0;    // a message takes long
  Duration delay_min = 50us;
  Duration delay_spread = 300us;
  Duration slow_max = 200ms;

  double drift_max = 0;            // clocks run at 1 +- this
  Duration trouble_every = 300ms;  // mean time between misfortunes
  std::map<std::string, std::uint64_t> troubles;  // kind -> weight
  std::uint64_t crash_at_sync_ppm = 0;            // at each of the points around a sync

  Duration sync_min = 30us;
  Duration sync_spread = 500us;
  bool real_disk = false;
  std::size_t inputs_max = 64;  // one step takes at most so many

  std::size_t snapshot_every = 200;  // entries applied
  std::size_t keep_entries = 50;     // before a snapshot
  raft::Options options;
  Duration think = 5ms;  // of a client between operations
  std::size_t clients = 4;
  std::uint64_t read_percent = 25;
  std::size_t founders = kFounders;

  // Leases (raft-and-leases 2). Of the two clocks of a machine one keeps to `clock_drift`, nobody knows which.
  bool leases = false;
  Duration lease_cap{};          // of the founding configuration; 0: somebody turns leases on later
  Duration lease_length_min{};   // asked for by each machine, when it leads
  Duration lease_length_max{};
  Duration probe_every{};        // reads at whoever thinks that it leads

  bool witness = false;  // beside an even number of masters, at first two
};

// In which seeds there is a witness. They draw apart, so that the others play what they played before there were any.
enum class Witnesses { none, some, always };

struct WorldOptions {
  std::uint64_t seed = 1;
  std::uint64_t steps = 40'000;
  raft::Mutation mutation{};
  bool trace = false;
  Witnesses witnesses = Witnesses::none;
  std::size_t calm_masters = 0;  // above 0: so many, and nothing goes wrong by itself (survival.h)
  bool calm_witness = false;
  // What model/ speaks of: three masters that stay, or two and a witness, whole disks, one length of lease.
  bool within_model = false;
  std::string history;        // a file for it (history.h); only within the model
  bool leases = true;  // half of the seeds have some; without, the seeds play what they played before there were any
};

struct Outcome {
  std::optional<std::string> failure;
  std::uint64_t digest = 0;  // of every event of the run
  std::uint64_t steps = 0;
  Events events;
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();

  Outcome run();

  // Of a calm world: these machines are lost at once; back comes who is in `back`; then those in `then` are lost. Whether a
  // write succeeds after each loss.
  bool writes_go_on(const std::vector<std::size_t>& lost, const std::vector<std::size_t>& back = {},
                    const std::vector<std::size_t>& then = {});

  // ---- for the parts ----
  Instant now() const { return now_; }
  Random& random() { return random_; }
  const Profile& profile() const { return profile_; }
  Profile& profile() { return profile_; }
  Checker& checker() { return checker_; }
  Master& master(std::size_t slot) { return *masters_[slot]; }
  WitnessMachine& witness(std::size_t slot) { return *witnesses_[slot - kSlots]; }
  VolumeServer& volume_server(std::size_t n) { return *servers_[n]; }
  Clients& clients() { return *clients_; }
  Nemesis& nemesis() { return *nemesis_; }
  bool within_model() const { return options_.within_model; }
  History* history() { return history_.get(); }  // null: not written
  Random& lease_random() { return lease_random_; }  // apart, so that runs without leases draw what they always drew
  Random& witness_random() { return witness_random_; }
  // Whoever would answer by its lease right now must give the last committed value (I8).
  void check_leases();
  // `term`'s leader commits: no earlier leader may hold a lease (I9).
  void check_commit_by(Term term);
  // Somebody says that it is over: it must be (I10).
  void check_release(const raft::Release& release);
  bool cut(std::size_t from, std::size_t to) const { return cut_[from][to]; }
  raft::Mutation mutation() const { return options_.mutation; }
  bool healing() const { return healing_; }
  void end_early() { ended_early_ = true; }  // the faults are no longer survivable

  void after(Duration delay, std::function<void()> what);
  Duration between(Duration from, Duration spread);
  bool chance(std::uint64_t ppm) { return random_.chance(ppm); }

  // Sends between masters, with everything that may happen on the way.
  void send(raft::Message message);
  // Carries a call of a client or volume server; may be lost.
  void call(std::function<void()> what);

  // Machines that reach each other. Which slot an identity lives at is known from start().
  void set_cut(std::size_t from, std::size_t to, bool cut) { cut_[from][to] = cut; }
  void clog(std::size_t from, std::size_t to, Instant until) { clogged_[from][to] = until; }
  void heal_network();
  void moved(NodeId id, std::size_t slot) { slots_[id] = slot; }
  NodeId new_id() { return NodeId(Uuid{0, ++ids_}); }
  std::optional<std::size_t> slot_of(NodeId id) const;

  // Part of the digest; with --trace also printed.
  void note(std::uint64_t a, std::uint64_t b, const std::function<std::string()>& line);
  bool tracing() const { return options_.trace; }

 private:
  struct Event {
    Instant at;
    std::uint64_t order;
    std::function<void()> what;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };
  void draw_profile();
  void draw_focus(std::uint64_t focus);
  void draw_leases();
  void draw_witness();
  void keep_within_model();
  void begin();
  void lose(std::size_t slot);
  bool a_write_succeeds();
  void one_after_the_other();
  void deliver(const raft::Message& message, Duration delay);
  bool run_events(std::uint64_t steps, const std::function<bool()>& done);
  bool converged();
  void final_phase();

  const WorldOptions options_;
  Random random_;
  Random lease_random_;
  Random witness_random_;
  Profile profile_;
  Checker checker_;
  Instant now_ = at(1000s);
  std::uint64_t order_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t digest_ = 0;
  std::uint64_t ids_ = 0;
  bool healing_ = false;
  bool ended_early_ = false;
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  std::vector<std::unique_ptr<Master>> masters_;
  std::vector<std::unique_ptr<WitnessMachine>> witnesses_;
  std::vector<std::unique_ptr<VolumeServer>> servers_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Nemesis> nemesis_;
  std::unique_ptr<History> history_;
  bool cut_[kMachines][kMachines] = {};
  Instant clogged_[kMachines][kMachines] = {};
  std::map<NodeId, std::size_t> slots_;
  std::deque<raft::Message> old_;  // to be replayed
};

}  // namespace holdfast::sim
