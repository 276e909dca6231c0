// Latencies: how long requests took, as `benchmark` reports them: least, mean, most, deviation, percentiles, and the
// lines of a histogram file. Buckets are a tenth of a millisecond wide up to ten seconds, so a million requests take
// no more room than one. Not thread-safe; each thread keeps its own and they are added up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace holdfast::cmd {

class Latencies {
 public:
  Latencies() : buckets_(kBuckets + 1) {}

  void add(Duration took);
  void add(const Latencies& others);

  std::uint64_t count() const { return count_; }
  double min_ms() const { return count_ == 0 ? 0 : milliseconds_of(min_); }
  double max_ms() const { return milliseconds_of(max_); }
  double mean_ms() const;
  double deviation_ms() const;

  // The bucket, in tenths of a millisecond, below whose end `percent` of all requests lie.
  std::uint64_t percentile_tenths(unsigned percent) const;

  // The "Percentage of the requests served within a certain time" table: a line only where the bucket changes.
  std::string table() const;

  // Tab-separated: `phase`, lower and upper bound in ms, count; empty buckets are left out. The last bucket's upper
  // bound is the longest latency.
  std::string histogram(const std::string& phase) const;

 private:
  static constexpr std::size_t kBuckets = 100000;  // of 100 us: 10 s; the one after them holds the rest
  static constexpr Duration kWidth = 100us;
  static double milliseconds_of(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  Duration min_{0};
  Duration max_{0};
  double sum_ms_ = 0;
  double sum_of_squares_ = 0;
};

}  // namespace holdfast::cmd
