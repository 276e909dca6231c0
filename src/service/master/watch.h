// Watch: what is told of the masters' leadership beside the consensus itself. It keeps lease.log in the data folder, finds
// out who reaches whom (reach.h), and raises alarms (alarms.h): in the log, for metrics and for the page.
//
// A thread of its own does all of it twice a second, so that neither a slow disk nor a full one holds up the core's thread,
// which only leaves its events here. A line that cannot be written is told of once, and counts for nothing else.
//
// Threads: any.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "io/posix/line_file.h"
#include "service/master/alarms.h"
#include "service/master/consensus.h"
#include "service/master/discovered.h"
#include "service/master/lease_events.h"
#include "service/master/reach.h"

namespace holdfast::master {

inline constexpr std::uint64_t kLeaseLogBytesMax = 1u << 20;  // some thousand lines
inline constexpr int kLeaseLogOldFiles = 4;
inline constexpr std::size_t kLeaseEventsKept = 200;  // in memory

// lease.log of the masters that keep their state below `folder` (-mdir).
io::posix::LineFile lease_log(const std::string& folder);

// What there is to show; never changed after it is published.
struct WatchReport {
  Instant made;
  ReachMatrix matrix;
  std::map<NodeId, ClockSeen> clocks;
  std::vector<Alarm> alarms;
  std::vector<DiscoveredMaster> discovered;  // by -peers and DNS, that are no members
  std::vector<LeaseEvent> events;            // since the start and, before that, of this master in lease.log; oldest first
  std::map<LeaseEventKind, std::uint64_t> counts;  // since the start
  std::map<AlarmKind, std::uint64_t> alarm_counts;
};

class Watch {
 public:
  struct Options {
    std::string folder;  // -mdir; "" = no log file
    std::string self;    // own address
    // All of them may be called until stop() has returned.
    std::function<std::shared_ptr<const View>()> view;
    std::function<std::vector<DiscoveredMaster>()> discovered;
    std::function<void(NodeId to, const std::string& datagram)> send;
  };

  Watch(Options options, io::Clock& clock);
  ~Watch() { stop(); }

  void start();
  void stop();  // writes what is left

  void happened(LeaseEvent event);
  void received(BytesView datagram);

  std::shared_ptr<const WatchReport> report() const;  // never null

 private:
  void run();
  void turn();
  void write(std::vector<LeaseEvent> events);
  void read_back();
  std::string name(const View& view, NodeId id) const;

  // Constant after construction.
  const Options options_;
  io::Clock& clock_;
  const io::posix::LineFile log_;

  mutable Mutex mutex_;  // leaf
  Condition woken_;
  bool stopping_ HOLDFAST_GUARDED_BY(mutex_) = false;
  std::vector<LeaseEvent> waiting_ HOLDFAST_GUARDED_BY(mutex_);
  std::unique_ptr<Reach> reach_ HOLDFAST_GUARDED_BY(mutex_);
  ClusterId cluster_ HOLDFAST_GUARDED_BY(mutex_);
  std::shared_ptr<const WatchReport> report_ HOLDFAST_GUARDED_BY(mutex_);

  // The thread's own.
  Alarms alarms_;
  std::vector<LeaseEvent> events_;
  std::map<LeaseEventKind, std::uint64_t> counts_;
  std::map<AlarmKind, std::uint64_t> alarm_counts_;
  bool is_log_broken_ = false;

  std::thread thread_;
};

}  // namespace holdfast::master
