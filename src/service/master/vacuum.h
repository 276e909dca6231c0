// Vacuum: frees what deleted files take up, as the leader (spec/weed-cluster 4.8).
//
// One run at a time over all volumes, or those asked for. For each volume: every server that holds it is asked what share
// of it is deleted; those where it is enough compact, side by side; when all of them have, all commit, else all clean up. A
// volume gets no new files while it is committed; one that lies on servers of upstream's not while it is compacted either,
// as upstream's master does it, and first its files under way are waited for.
//
// A run that the leader begins by itself asks only about volumes of which some file was deleted or overwritten, as their
// servers tell with their pulses; upstream's servers are asked about all.
//
// Every order carries a fence. A leader that loses its place gives no more orders; what it began is left on the servers,
// which drop it in time, or is done again by the next run.
//
// Whether leaders begin runs by themselves is said by two keys of the masters' key-value space, so it outlives each leader
// (upstream's mark goes with its leader, spec/weed-cluster appendix C). While some master does not know that space yet the
// mark is in the present leader's memory.
//
// Everything here runs on the master's loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/master/key_values.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr Duration kVacuumDrain = 5s;        // for files under way to servers of upstream's
constexpr Duration kVacuumCheckTime = 30s;   // for the answer to a check, and to an order to clean up
// A key that is there says that no leader begins a run by itself: people wished it, or a program that does it instead.
constexpr const char* kVacuumDisabledKey = "master-settings/vacuum-disabled";
constexpr const char* kVacuumDisabledByPluginKey = "master-settings/vacuum-disabled-by-plugin";

constexpr Duration kVacuumTimePerGiB = 3min; // for a compaction and a commit, of the volume size limit

class Vacuum {
 public:
  // `space` outlives this, and what it began is answered after stop() at the latest.
  Vacuum(Shared& shared, KeyValues& space);

  // Begins a run when it is time, if this master leads.
  void look(Instant now);

  using Finished = std::function<void(OrRefusal<Done>)>;
  void begin(const VacuumRequest& request, Finished finished);

  // At the leader. Answers when the masters have agreed.
  void disable(bool disabled, bool by_plugin, Finished finished);
  bool is_disabled() const;

  // The term may have changed: a run of an earlier one is answered and orders nothing more.
  void view_changed();
  void stop();

 private:
  struct Copy {
    std::string server;
    std::string address;
    bool takes_part = false;
    bool failed = false;
  };
  struct Volume {
    VolumeId id;
    std::vector<Copy> copies;
    bool all_are_ours = true;
    bool held = false;
    std::size_t missing = 0;  // answers to the present step
  };
  using VolumePtr = std::shared_ptr<Volume>;
  struct Run {
    std::string request_id;
    Term term;
    double threshold = 0;
    struct Server {
      int under_way = 0;
      std::deque<VolumePtr> waiting;  // for this one; whether their other servers are free is seen when it is
    };
    std::map<std::string, Server> servers;
    std::size_t waiting = 0;
    std::size_t under_way = 0;
    std::size_t vacuumed = 0;
    std::vector<Finished> finished;
    bool over = false;
  };
  using RunPtr = std::shared_ptr<Run>;

  void begin_among(topology::VacuumAmong among, const VacuumRequest& request, Finished finished);
  void start_or_wait(const RunPtr& run, const VolumePtr& volume);
  void finish_if_done(const RunPtr& run);
  void check(const RunPtr& run, const VolumePtr& volume);
  void checked(const RunPtr& run, const VolumePtr& volume);
  void compact(const RunPtr& run, const VolumePtr& volume);
  void commit(const RunPtr& run, const VolumePtr& volume);
  // Gives every copy that takes part the order, and calls `then` when all have answered.
  void order(const RunPtr& run, const VolumePtr& volume, VolumeOrders::VacuumStep step,
             std::function<void()> then);
  void clean_up(const RunPtr& run, const VolumePtr& volume);
  void end(const RunPtr& run, const VolumePtr& volume);
  void finish(const RunPtr& run, const OrRefusal<Done>& answer);
  void hold(Volume& volume, bool held);
  bool is_current(const Run& run) const;
  Duration long_time() const;
  void post(Loop& loop, std::function<void()> task);

  void write_mark(bool disabled, bool by_plugin, const Finished& finished);

  Shared& shared_;
  KeyValues& space_;
  RunPtr run_;
  Term term_;
  Instant next_ = kDistantPast;  // when the leader begins by itself
  // Marks that no key could be made of yet.
  bool disabled_ = false;
  bool disabled_by_plugin_ = false;
  struct Drain {
    Instant until;
    RunPtr run;
    VolumePtr volume;
  };
  std::vector<Drain> drains_;
  bool stopped_ = false;
};

}  // namespace holdfast::master
