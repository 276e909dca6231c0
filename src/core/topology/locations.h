// Where volumes lie, in the form that event loops read: values that never change once published, and an index of them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "model/ids.h"

namespace holdfast::topology {

// What is read about a server at each pick: until when it counts as alive. Each report moves it on by some pulses;
// silence needs no action at all. And whether it is doubted in the meantime: it may have gone with its machine, so others
// are picked as long as there are any. Shared by everything that names the server.
class Liveness {
 public:
  bool alive(Instant now) const { return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed); }
  bool doubted() const { return doubted_.load(std::memory_order_relaxed); }
  // What was heard ends a doubt.
  void set(Instant until) {
    until_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
    doubted_.store(false, std::memory_order_relaxed);
  }
  // For one that counts as alive, or did until lately: later, and never earlier. False if it does not count as alive.
  bool extend(Instant until) {
    auto known = until_.load(std::memory_order_relaxed);
    const auto wanted = until.time_since_epoch().count();
    do {
      if (known == kDistantPast.time_since_epoch().count()) return false;
      if (known >= wanted) break;
    } while (!until_.compare_exchange_weak(known, wanted, std::memory_order_relaxed));
    doubted_.store(false, std::memory_order_relaxed);
    return true;
  }
  void doubt() { doubted_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<Instant::rep> until_{kDistantPast.time_since_epoch().count()};
  std::atomic<bool> doubted_{false};
};
using LivenessPtr = std::shared_ptr<Liveness>;

struct Location {
  std::string url;         // ip:port exactly as the volume server reported itself
  std::string public_url;
  std::string data_center;
  std::string rack;
  std::string server_id;
  std::uint32_t grpc_port = 0;
  LivenessPtr liveness;    // never null once published
};

// The replicas of one volume, in order of registration; never empty, never changed once published.
struct Locations {
  VolumeId volume;
  std::string collection;
  std::vector<Location> places;
  std::size_t copies = 1;  // that there should be

  // Fewer places may mean that a copy is lost, or that its server has not told this master yet.
  bool complete() const { return places.size() >= copies; }
  bool alive(Instant now) const {
    for (const Location& place : places)
      if (!place.liveness->alive(now)) return false;
    return true;
  }
  bool doubted() const {
    for (const Location& place : places)
      if (place.liveness->doubted()) return true;
    return false;
  }
};
using LocationsPtr = std::shared_ptr<const Locations>;

// Volume id -> Locations. Thread-safe; a lookup holds one of many locks for as long as a hash lookup takes.
class LocationIndex {
 public:
  LocationsPtr find(VolumeId volume) const {
    const Shard& shard = shards_[volume.value() % kShards];
    Guard guard(shard.mutex);
    const auto it = shard.by_volume.find(volume);
    return it == shard.by_volume.end() ? nullptr : it->second;
  }
  // Null removes.
  void set(VolumeId volume, LocationsPtr locations) {
    Shard& shard = shards_[volume.value() % kShards];
    Guard guard(shard.mutex);
    // The old value leaves through `locations`, after the lock.
    if (locations == nullptr) {
      if (const auto it = shard.by_volume.find(volume); it != shard.by_volume.end()) {
        locations = std::move(it->second);
        shard.by_volume.erase(it);
      }
    } else {
      shard.by_volume[volume].swap(locations);
    }
  }

 private:
  static constexpr std::size_t kShards = 64;  // a power of two; far more than there are event loops
  struct alignas(64) Shard {
    mutable Mutex mutex;  // leaf
    std::unordered_map<VolumeId, LocationsPtr> by_volume HOLDFAST_GUARDED_BY(mutex);
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace holdfast::topology
