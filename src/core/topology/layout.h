// Layout: the volumes that an assign may choose from, all of one (collection, replication, ttl, disk type).
//
// It holds only volumes that take writes; Topology decides which those are and adds and removes them in O(1). A pick
// samples three and takes one at random, weighted by free space, so that fuller volumes get less without a sort.
//
// What was assigned and not yet reported biases the weights for a few seconds. It never closes a volume: assigns that
// nobody uses cost nothing (upstream counts them as written, and 64 of them close a 64 MB volume).
//
// Thread-safe. A pick holds the layout's lock for the time of three samples; a scan (for a wish that few volumes
// meet, or while many servers are silent) lets go of it every kScanSlice volumes.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "core/topology/locations.h"
#include "model/ids.h"
#include "model/replica_placement.h"
#include "model/ttl.h"

namespace holdfast::topology {

// What makes volumes interchangeable, as views: the key of a search that copies nothing.
struct LayoutRef {
  std::string_view collection;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::string_view disk_type;  // canonical: "" is hdd

  friend bool operator==(const LayoutRef&, const LayoutRef&) = default;
};
struct LayoutKey {
  std::string collection;
  ReplicaPlacement replica_placement;
  Ttl ttl;
  std::string disk_type;

  LayoutRef ref() const { return {collection, replica_placement, ttl, disk_type}; }
  friend auto operator<=>(const LayoutKey&, const LayoutKey&) = default;
};

// Where the client wants the file to be; "" = anywhere. One replica must meet all that is given.
struct Wish {
  std::string_view data_center;
  std::string_view rack;
  std::string_view server;  // its id, or ip:port

  bool empty() const { return data_center.empty() && rack.empty() && server.empty(); }
  bool met_by(const Location& place) const {
    return (data_center.empty() || place.data_center == data_center) && (rack.empty() || place.rack == rack) &&
           (server.empty() || place.server_id == server || place.url == server);
  }
  bool met_by(const Locations& locations) const {
    for (const Location& place : locations.places)
      if (met_by(place)) return true;
    return false;
  }
};

// What reports and picks tell each other about one volume, without a lock.
class Fill {
 public:
  static constexpr Duration kBiasEpoch = 2s;  // a bias lasts for one to two of these

  void reported(std::uint64_t bytes) { reported_.store(bytes, std::memory_order_relaxed); }
  std::uint64_t reported() const { return reported_.load(std::memory_order_relaxed); }

  // Racing calls around the turn of an epoch may lose some bytes of bias, which is harmless.
  void assigned(Instant now, std::uint64_t bytes);
  std::uint64_t bias(Instant now) const;

 private:
  static std::uint32_t epoch(Instant now) { return static_cast<std::uint32_t>(now.time_since_epoch() / kBiasEpoch); }

  std::atomic<std::uint64_t> reported_{0};  // the largest replica
  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<std::uint64_t> current_{0};
  std::atomic<std::uint64_t> previous_{0};
};

// One volume that takes writes.
struct Candidate {
  LocationsPtr locations;
  std::shared_ptr<Fill> fill;
};

// The caller's source of randomness for weights and samples: quick, not for secrets. One per thread.
class PickRandom {
 public:
  explicit PickRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // Below `bound` > 0; the bias of the multiplication is far below what any choice here could show.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }

 private:
  std::uint64_t state_;
};

class Layout {
 public:
  static constexpr std::size_t kSamples = 3;
  static constexpr std::size_t kScanSlice = 4096;

  Layout(LayoutKey key, std::uint64_t volume_size_limit) : key_(std::move(key)), limit_(volume_size_limit) {}

  const LayoutKey& key() const { return key_; }

  // A volume all of whose servers are alive at `now` and of which one meets the wish; null locations when there is
  // none. One with a doubted server only when there is no other. `bytes` (what will be written) weighs on the next picks.
  LocationsPtr pick(Instant now, const Wish& wish, std::uint64_t bytes, PickRandom& random) const;

  // Of `wishes`, by their index, those that no volume of at most `bytes_max` meets.
  std::vector<std::size_t> unmet(const std::vector<Wish>& wishes, std::uint64_t bytes_max, Instant now) const;

  // Whether pick() would find one.
  bool can_pick(Instant now, const Wish& wish) const;

  // ---- for Topology, from one thread at a time ----
  // Adds the volume or replaces its locations.
  void add(Candidate candidate);
  void remove(VolumeId volume);

  std::vector<VolumeId> volumes() const;
  std::size_t size() const;
  // Picks since the last call: whether anyone uses the layout.
  std::uint64_t take_pick_count() const { return picks_.exchange(0, std::memory_order_relaxed); }

 private:
  std::uint64_t weight(const Candidate& candidate, Instant now) const;
  // The weighted choice among `found`, which holds at least one; counts it.
  const Candidate* choose(const std::array<const Candidate*, kSamples>& found, std::size_t count, Instant now,
                          PickRandom& random) const;
  // Up to `wanted` volumes from `start` on, round the whole list. Copies, since the lock is let go between slices.
  std::vector<Candidate> scan(Instant now, const Wish& wish, std::size_t wanted, std::size_t start, bool doubted) const;

  const LayoutKey key_;
  const std::uint64_t limit_;
  mutable std::atomic<std::uint64_t> picks_{0};

  mutable Mutex mutex_;  // leaf
  std::vector<Candidate> candidates_ HOLDFAST_GUARDED_BY(mutex_);
  std::unordered_map<VolumeId, std::size_t> position_ HOLDFAST_GUARDED_BY(mutex_);  // in candidates_
};
using LayoutPtr = std::shared_ptr<Layout>;

// All layouts, by key. Reading copies one shared pointer under a lock and searches without it; a new layout replaces
// the table, which is rare.
class LayoutTable {
 public:
  LayoutPtr find(const LayoutRef& ref) const;
  void add(LayoutPtr layout);
  void remove(const LayoutKey& key);
  std::vector<LayoutPtr> all() const;  // in the order of their keys

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const LayoutRef& ref) const {
      const std::hash<std::string_view> hash;
      return hash(ref.collection) * 31 + hash(ref.disk_type) * 7 + ref.replica_placement.byte() * 65537u + ref.ttl.wire();
    }
    std::size_t operator()(const LayoutKey& key) const { return (*this)(key.ref()); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const LayoutKey& a, const LayoutKey& b) const { return a == b; }
    bool operator()(const LayoutKey& a, const LayoutRef& b) const { return a.ref() == b; }
    bool operator()(const LayoutRef& a, const LayoutKey& b) const { return a == b.ref(); }
  };
  using Table = std::unordered_map<LayoutKey, LayoutPtr, Hash, Equal>;

  std::shared_ptr<const Table> table() const {
    Guard guard(mutex_);
    return table_;
  }

  mutable Mutex mutex_;  // leaf
  std::shared_ptr<const Table> table_ HOLDFAST_GUARDED_BY(mutex_) = std::make_shared<Table>();
};

}  // namespace holdfast::topology
