// Counters, gauges and histograms that any layer may touch on its hottest path, without a Prometheus header.
//
// A service asks its Registry once for what it counts and keeps the reference:
//
//   metrics::Counter& syncs = metrics::process().counter("holdfast_raft_syncs_total", "log syncs that succeeded");
//   ...
//   syncs.add();                       // a few ns, no lock, no line shared between threads
//
// front/http/metrics.h turns a Registry into Prometheus' text. Metrics are like log lines: everything may write them
// and no decision ever reads them, hence one process-wide registry, `process()`; tests make their own.
//
// Names: those that upstream has keep upstream's (`SeaweedFS_master_is_leader`, spec/filer-s3-mount e.2), ours begin
// with `holdfast_`. Counters end in `_total`, durations are histograms ending in `_seconds`.
//
// Thread-safe throughout. References stay valid as long as the Registry lives.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"

namespace holdfast::metrics {

// A thread adds to the shard of its own; more threads than shards share, which is slower but never wrong.
inline constexpr unsigned kShards = 8;
unsigned this_threads_shard();

class Counter {
 public:
  void add(std::uint64_t n = 1) {
    shards_[this_threads_shard()].count.fetch_add(n, std::memory_order_relaxed);
  }
  std::uint64_t value() const;

 private:
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> count{0};
  };
  std::array<Shard, kShards> shards_;
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  void add(double by);
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// How often durations fell under doubling bounds: first, 2 first, 4 first, ... 2^23 first, and above.
class Histogram {
 public:
  static constexpr unsigned kBounds = 24;

  // Upstream's first bound is 100 us (the last then is 14 minutes); for disks and networks 10 us shows more.
  explicit Histogram(Duration first_bound);

  void observe(Duration d);

  struct Snapshot {
    std::array<double, kBounds> bounds{};                    // seconds, inclusive
    std::array<std::uint64_t, kBounds + 1> counts{};         // per bucket, not cumulative; the last is above all
    std::uint64_t count = 0;
    double sum = 0;                                          // seconds
  };
  Snapshot snapshot() const;

 private:
  struct alignas(64) Shard {
    std::array<std::atomic<std::uint64_t>, kBounds + 1> counts{};
    std::atomic<std::uint64_t> sum_ns{0};
  };
  const std::uint64_t first_ns_;
  std::array<Shard, kShards> shards_;
};

inline constexpr Duration kRequestFirstBound = 100us;
inline constexpr Duration kDiskFirstBound = 10us;

using Labels = std::vector<std::pair<std::string, std::string>>;

// What a scrape sees of one metric.
struct Sample {
  Labels labels;
  double value = 0;              // counter, gauge
  Histogram::Snapshot histogram;  // histogram
};
struct Family {
  enum class Kind { counter, gauge, histogram };
  std::string name;
  std::string help;
  Kind kind;
  std::vector<Sample> samples;
};

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The same name and labels give the same object again. The first help text stays. A name has one kind for ever;
  // asking for it as another is a mistake of ours (CHECK).
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels = {},
                       Duration first_bound = kRequestFirstBound);

  // Asks `collect` at every scrape, for what a service knows anyway (volumes per collection, term, leader).
  // `collect` runs on the scraping thread and must not block; it is not running any more, nor called again, once
  // the Collector returned here is gone, so its owner may refer to itself. The Registry must outlive it.
  class Collector {
   public:
    Collector() = default;
    Collector(Collector&& other) noexcept;
    Collector& operator=(Collector&& other) noexcept;
    ~Collector();

   private:
    friend class Registry;
    Collector(Registry* registry, std::uint64_t id) : registry_(registry), id_(id) {}
    Registry* registry_ = nullptr;
    std::uint64_t id_ = 0;
  };
  [[nodiscard]] Collector collector(std::function<void(std::vector<Family>&)> collect);

  // Everything, sorted by name; families of the same name from several collectors are merged; of samples
  // with the same labels the first stays (a master and a volume server in one process both name their build).
  std::vector<Family> collect() const;

 private:
  struct Entry;
  Entry& entry(std::string_view name, std::string_view help, Family::Kind kind, const Labels& labels,
               Duration first_bound);
  void forget(std::uint64_t id);

  struct Named;
  mutable Mutex mutex_;  // leaf
  std::map<std::string, std::unique_ptr<Named>, std::less<>> named_ HOLDFAST_GUARDED_BY(mutex_);

  mutable Mutex collectors_mutex_;  // held while collectors run, so that forgetting one waits for it
  std::map<std::uint64_t, std::function<void(std::vector<Family>&)>> collectors_
      HOLDFAST_GUARDED_BY(collectors_mutex_);
  std::uint64_t next_collector_ HOLDFAST_GUARDED_BY(collectors_mutex_) = 1;
};

// The registry of this process. Never destroyed.
Registry& process();

}  // namespace holdfast::metrics
