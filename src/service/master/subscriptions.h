// Subscriptions: who watches where volumes lie (KeepConnected), and the queue of what they must hear.
//
// Changes are queued in the order in which the topology makes them (queue() is called under its lock) and handed out
// by the loop. A watcher that joins gets the picture of that moment, taken under the same lock, and from then on every
// later change.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "core/topology/topology.h"
#include "service/master/master.h"

namespace holdfast::master {

LocationChange change_of(topology::LocationEvent event);

class Subscriptions {
 public:
  using Changed = std::function<void(const LocationChange&)>;

  // With the topology's lock held: changes queued before are not told.
  std::unique_ptr<Subscription> add(Changed changed);
  void queue(std::vector<topology::LocationEvent> events);

  // Any thread: a leader's address, as a change without a server.
  void queue_leader(std::string leader);

  // Hands out what is queued. The loop's thread only.
  void deliver();

 private:
  struct Watcher {
    Watcher(Changed changed_given, std::uint64_t first_given) : changed(std::move(changed_given)), first(first_given) {}
    Mutex mutex;  // held while `changed` runs, so that the end of the subscription can wait for it
    Changed changed HOLDFAST_GUARDED_BY(mutex);  // empty: ended
    const std::uint64_t first;                   // the first change to tell
  };
  class Handle;

  Mutex mutex_;  // leaf
  std::uint64_t next_ HOLDFAST_GUARDED_BY(mutex_) = 0;  // number of the next change
  std::deque<LocationChange> queued_ HOLDFAST_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Watcher>> watchers_ HOLDFAST_GUARDED_BY(mutex_);
};

}  // namespace holdfast::master
