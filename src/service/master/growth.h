// Growth: makes new volumes, as the leader. One growth per layout at a time, those of different layouts side by side.
//
//     plan (core/topology/growth.h) -> reserve slots -> volume ids through Raft -> AllocateVolume on every server of
//     every volume, all at once -> a volume whose copies are all there takes writes at once; one that lacks a copy is
//     deleted again
//
// A volume waits for the answers of all its servers. One of them that misses its pulses meanwhile is waited for no longer
// when volumes like it can be made elsewhere: its outcome stays unknown, the volume is deleted again, and a growth that
// made nothing else is planned once more, without that server. Where there is no other the growth goes on waiting.
//
// A growth belongs to the term it began in: its orders carry it, and when the term ends it makes nothing more. Then
// what it was doing may or may not have happened; volumes it made turn up in the servers' reports, the same as after
// a crash of the leader half way. Those that lack copies are found by the next leader (leftovers.h).
//
// Everything here runs on the master's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "service/master/selection.h"
#include "service/master/shared.h"

namespace holdfast::master {

constexpr std::uint32_t kGrowthVolumesMax = 1024;  // in one growth; topology::kVolumeIdsPerCommandMax
constexpr std::size_t kGrowthsWaitingMax = 256;    // of one layout
constexpr int kGrowthPlansMax = 3;                 // of one growth whose servers fall silent one after the other
constexpr std::size_t kWantedMax = 65'536;         // layouts whose wanted number of volumes is remembered

class Growth {
 public:
  // Names one growth. An outcome is the number of replicas made, or why there are none: no_space (no slot is free),
  // unavailable (the copies cannot be placed, or nothing was done for want of a quorum), outcome_unknown (the leader
  // lost its place meanwhile), io (a volume server failed).
  using Id = std::uint64_t;
  using Outcome = Result<std::uint64_t>;
  using Finished = std::function<void(const Outcome&)>;

  // `progress` is called when a volume was made or a growth ended.
  Growth(Shared& shared, std::function<void()> progress);

  // Begins (or queues) a growth by `volumes`.
  void begin(const Selection& selection, std::uint32_t volumes, Finished finished);

  // The same for somebody who only needs volumes like these: joins a growth for them that has begun already.
  void join_or_begin(const Selection& selection, std::uint32_t volumes, Finished finished);

  // Gives up on servers that have fallen silent.
  void look(Instant now);

  // Whether anything is being made for the layout.
  bool is_growing(const topology::LayoutKey& layout) const { return by_layout_.contains(layout); }

  // Whether orders for this volume may be under way.
  bool is_making(VolumeId volume) const { return under_way_.contains(volume); }

  // Volumes of which surely no copy is left, since the last call.
  std::vector<VolumeId> take_undone() { return std::exchange(undone_, {}); }

  // How many writable volumes who assigns last said there should be of the layout; 0: nobody did, to this leader.
  void remember_wanted(const topology::LayoutKey& layout, std::uint32_t volumes);
  std::uint32_t wanted(const topology::LayoutKey& layout) const;

  // How many volumes a growth makes when nobody says.
  std::uint32_t default_volumes(const ReplicaPlacement& placement) const;

  // The term may have changed: who waits for a growth of an earlier one is answered, and it makes nothing more.
  void view_changed();

  // Answers everything; later answers of servers are ignored.
  void stop();

 private:
  struct Volume {
    VolumeId id;
    std::vector<std::string> servers;
    std::vector<std::string> addresses;  // gRPC
    std::vector<std::optional<Status>> answers;
    std::size_t missing = 0;
  };
  struct Run {
    Id id = 0;
    std::string request_id;  // of the request that began it
    Selection selection;
    std::uint32_t wanted = 0;
    std::vector<Finished> finished;
    Term term;
    int plans = 1;         // this one is how many-th
    bool ordered = false;  // orders have left
    std::vector<std::vector<std::string>> planned;
    std::vector<Volume> volumes;
    std::size_t missing = 0;  // volumes without an outcome
    std::uint64_t replicas_made = 0;
    bool gave_up = false;  // on a server that fell silent
    std::optional<Error> failure;
  };
  using RunPtr = std::shared_ptr<Run>;

  void enqueue(RunPtr run);
  void start(const RunPtr& run);
  void start_next(const topology::LayoutKey& layout);
  void got_ids(const RunPtr& run, const Result<std::string>& answer);
  void order(const RunPtr& run, std::size_t volume);
  void answered(const RunPtr& run, std::size_t volume, std::size_t server, Status status);
  void settle(const RunPtr& run, std::size_t volume);
  void undo(const RunPtr& run, const Volume& volume);
  bool has_other_servers(const Run& run);
  void begin_again(const RunPtr& run);
  void finish(const RunPtr& run, const Outcome& outcome);
  void release(const Run& run, const std::vector<std::string>& servers);
  bool is_current(const Run& run) const;
  OrderFence fence(const Run& run);
  // Posts to the loop; nothing happens once this is stopped.
  void post(Loop& loop, std::function<void()> task);

  Shared& shared_;
  const std::function<void()> progress_;
  topology::PickRandom random_;
  // The running one in front, others of the layout behind it.
  std::map<topology::LayoutKey, std::deque<RunPtr>> by_layout_;
  std::map<topology::LayoutKey, std::uint32_t> wanted_;
  Id next_id_ = 1;
  std::set<VolumeId> under_way_;
  std::vector<VolumeId> undone_;
  bool stopped_ = false;
};

}  // namespace holdfast::master
